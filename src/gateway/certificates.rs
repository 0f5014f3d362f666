//! The certificates in use, and whom the certificate of a visitor names.
//!
//! *Source:* RFC 6066 §3 (SNI), RFC 6125 §6.4.3 (wildcards).

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::listeners::TlsAccept;
use pingora_core::protocols::tls::TlsRef;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::NamedKey;
use crate::request::Certificate;

/// The certificates in use; new handshakes get the newest, connections keep theirs.
#[derive(Debug, Clone)]
pub(super) struct Certificates(Arc<ArcSwap<Known>>);

#[derive(Debug)]
struct Known {
    /// By host, wildcards as they are written; several where certificates of several kinds name one host.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// In the configuration's order.
    all: Vec<Arc<CertifiedKey>>,
}

impl Certificates {
    pub(super) fn new(keys: &[NamedKey]) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Known::new(keys))))
    }

    pub(super) fn replace(&self, keys: &[NamedKey]) {
        self.0.store(Arc::new(Known::new(keys)));
    }
}

impl Known {
    fn new(keys: &[NamedKey]) -> Self {
        let mut by_name: HashMap<String, Vec<_>> = HashMap::new();
        for named in keys {
            for name in &named.names {
                by_name.entry(name.clone()).or_default().push(Arc::clone(&named.key));
            }
        }
        Self { by_name, all: keys.iter().map(|named| Arc::clone(&named.key)).collect() }
    }

    /// The certificates for a host: those that name it, else those with a wildcard for it, else all, the first before
    /// the others. A host that nobody knows is told so by the gateway itself (421), which a browser can show.
    fn of(&self, host: Option<&str>) -> &[Arc<CertifiedKey>] {
        let host = host.map(|host| host.trim_end_matches('.').to_ascii_lowercase()).unwrap_or_default();
        let wildcard = || self.by_name.get(&format!("*.{}", host.split_once('.')?.1));
        self.by_name.get(&host).or_else(wildcard).unwrap_or(&self.all)
    }

    /// The first of them that the visitor can verify.
    fn choose(&self, host: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fitting = self.of(host);
        let good = fitting.iter().find(|key| key.key.choose_scheme(schemes).is_some());
        good.or(fitting.first()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().choose(hello.server_name(), hello.signature_schemes())
    }
}

/// Reads a visitor's certificate once, when the handshake has verified it.
pub(super) struct Visitors;

#[async_trait]
impl TlsAccept for Visitors {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let certificate = Certificate::read(tls.peer_certificate_der()?)?;
        // The edge holds on to it beyond Pingora's own reference.
        Some(Arc::new(Arc::new(certificate)))
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring;

    use super::*;

    fn named(names: &[&str]) -> NamedKey {
        let pair = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap();
        let private = rustls::pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
        let chain = vec![pair.cert.der().clone()];
        let key = CertifiedKey::from_der(chain, private, &ring::default_provider()).unwrap();
        NamedKey { names: names.iter().map(|name| (*name).to_owned()).collect(), key: Arc::new(key) }
    }

    #[test]
    fn the_name_that_a_visitor_asks_for_chooses() {
        let keys = [named(&["a.test"]), named(&["*.b.test", "x.b.test"]), named(&["y.b.test"]), named(&[])];
        let known = Known::new(&keys);
        let schemes = [SignatureScheme::ECDSA_NISTP256_SHA256];
        for (host, index) in [
            (Some("a.test"), 0),
            (Some("A.Test"), 0),
            (Some("a.test."), 0),
            (Some("x.b.test"), 1),
            (Some("z.b.test"), 1),
            (Some("y.b.test"), 2),
            (Some("z.z.b.test"), 0),
            (Some("b.test"), 0),
            (Some("other.test"), 0),
            (Some(""), 0),
            (None, 0),
        ] {
            let chosen = known.choose(host, &schemes).unwrap();
            assert!(Arc::ptr_eq(&chosen, &keys[index].key), "{host:?}");
        }
        // Whoever can verify none gets the first, and says so itself.
        assert!(Arc::ptr_eq(&known.choose(Some("y.b.test"), &[]).unwrap(), &keys[2].key));
    }
}
