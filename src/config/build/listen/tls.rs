//! The gateway's own certificates, and the authorities of its visitors'.
//!
//! *Source:* RFC 6066 §3 (SNI), RFC 6125 §6.4.3 (wildcards), RFC 6797 (HSTS).

use std::sync::Arc;

use http::HeaderValue;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::super::super::file::{File, Listen, ListenTls};
use super::super::super::loaded::{ClientAuthorities, NamedKey, Tls};
use super::super::super::problem::{Report, path};
use super::super::headers::HeaderSets;
use super::super::place::{self, listener};
use super::super::{Desk, certified, if_written};
use crate::request::Certificate;

/// What is written under `listen.tls`, with its key; a list of nothing is a problem of [`tls`].
fn written(section: &Listen) -> impl Iterator<Item = (&ListenTls, String)> {
    let is_list = section.tls.as_ref().is_some_and(|tls| tls.is_list());
    let all = section.tls.as_ref().map(|tls| tls.as_slice()).unwrap_or_default();
    all.iter().enumerate().map(move |(index, tls)| {
        (tls, if is_list { format!("listen.tls[{index}]") } else { "listen.tls".to_owned() })
    })
}

/// Builds `listen.tls`.
pub(super) fn tls(file: &File, desk: &mut Desk<'_>) -> Option<Option<Tls>> {
    let section = &file.listen;
    if section.tls.is_none() {
        return Some(None);
    }
    let (mut certificates, mut good) = (Vec::new(), true);
    for (index, (tls, key)) in written(section).enumerate() {
        let certificate = certificate(tls, &key, desk);
        good &= certificate.is_some();
        if index > 0 {
            good &= is_of_one_certificate(tls, &key, desk.report);
        }
        if index > 0 && certificate.as_ref().is_some_and(|certificate| certificate.names.is_empty()) {
            let message = "the certificate names no host, so that it is never chosen".to_owned();
            desk.report.warn("certificate-without-names", format!("{key}.cert_file"), message);
        }
        certificates.extend(certificate);
    }
    let Some((first, key)) = written(section).next() else {
        desk.report.problem("listen.tls", "no certificate", "remove it, or write cert_file and key_file");
        return None;
    };
    let redirect = first.redirect_http.as_deref().map(|text| {
        let own = format!("{key}.redirect_http");
        if place::public_url(&file.public_url, &mut Report::default())
            .is_some_and(|url| url.scheme() != "https")
        {
            let message = format!("there is no https to lead to: public_url is {}", file.public_url);
            desk.report.problem(&own, message, "write public_url with https, or remove it");
            return None;
        }
        listener(text, &own, desk.report)
    });
    let authorities = first.client_ca_file.as_deref();
    let authorities =
        authorities.map(|written| authorities_in(written, &format!("{key}.client_ca_file"), desk));
    let (redirect, client) = (if_written(redirect), if_written(authorities));
    good.then_some(())?;
    Some(Some(Tls { certificates, client: client?, redirect_http: redirect? }))
}

/// `Strict-Transport-Security`, as it is sent.
pub(super) fn hsts(section: &Listen) -> Option<HeaderValue> {
    let (first, _) = written(section).next()?;
    // RFC 6797 §6.1.1; 0 seconds takes the promise back.
    HeaderValue::try_from(format!("max-age={}", first.hsts?.0.as_secs())).ok()
}

/// What belongs to the listener may stand at the first certificate only, where everybody looks for it.
fn is_of_one_certificate(tls: &ListenTls, key: &str, report: &mut Report) -> bool {
    let whole = [
        ("client_ca_file", tls.client_ca_file.is_some()),
        ("redirect_http", tls.redirect_http.is_some()),
        ("hsts", tls.hsts.is_some()),
    ];
    let mut good = true;
    for (name, _) in whole.iter().filter(|(_, is_written)| *is_written) {
        let message = "holds for every certificate, so it stands at the first only";
        report.problem(format!("{key}.{name}"), message, format!("move it to listen.tls[0].{name}"));
        good = false;
    }
    good
}

fn certificate(tls: &ListenTls, key: &str, desk: &mut Desk<'_>) -> Option<NamedKey> {
    desk.material.watch(&tls.cert_file);
    desk.material.watch(&tls.key_file);
    let chain = desk.material.certificates(&tls.cert_file, &format!("{key}.cert_file"), desk.report);
    let private = desk.material.private_key(&tls.key_file, &format!("{key}.key_file"), desk.report);
    let chain = chain?;
    let names = chain.first().map(|der| names_of(der)).unwrap_or_default();
    let pair = certified(chain, private?, format!("{key}.key_file"), desk.report)?;
    Some(NamedKey { names, key: Arc::new(pair) })
}

/// The hosts that a certificate is for, in lower case, wildcards as they are written.
fn names_of(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let hosts = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(host) => Some(host.to_ascii_lowercase()),
        _ => None,
    });
    hosts.collect()
}

fn authorities_in(file: &str, key: &str, desk: &mut Desk<'_>) -> Option<ClientAuthorities> {
    let known = desk.material.certificates(file, key, desk.report)?;
    let mut roots = RootCertStore::empty();
    for der in &known {
        if let Err(error) = roots.add(CertificateDer::from(der.clone())) {
            let message = format!("{file} holds a certificate that is no authority: {error}");
            desk.report.problem(
                key,
                message,
                "a PEM file with the authorities of the visitors' certificates",
            );
            return None;
        }
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| desk.report.problem(key, format!("cannot be used: {error}"), "other authorities"));
    Some(ClientAuthorities { known, verifier: verifier.ok()? })
}

/// A client certificate that nobody is asked for is one that nobody shows.
pub(in super::super) fn check_uses(file: &File, fields: &HeaderSets, report: &mut Report) {
    if written(&file.listen).any(|(tls, _)| tls.client_ca_file.is_some()) {
        return;
    }
    for (index, route) in file.route.iter().enumerate() {
        let claims = route.require.iter().flat_map(|require| require.claims.keys());
        for name in claims.filter(|name| Certificate::is_named(name)) {
            let key = path(&format!("route[{index}].require.claims"), name);
            let message = "no browser is asked for a certificate, so that nobody could enter";
            report.problem(key, message, "write listen.tls.client_ca_file");
        }
        let named = |field: &&crate::headers::Field| field.template.names().any(Certificate::is_named);
        for field in fields.of(index).iter().filter(named) {
            let message = format!(
                "\"{}\" is never sent: no browser is asked for a certificate; write listen.tls.client_ca_file",
                field.name
            );
            report.warn("client-certificate-not-asked-for", format!("route[{index}].headers"), message);
        }
    }
}
