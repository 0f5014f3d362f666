//! Opening listeners, with errors that say which and why, and the certificate that a reload may change.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::services::listening::Service;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::{Address, Listen};

/// The certificate in use; new handshakes get the newest.
#[derive(Debug, Clone)]
pub(super) struct Certificate(Arc<ArcSwap<CertifiedKey>>);

impl Certificate {
    pub(super) fn new(key: Arc<CertifiedKey>) -> Self {
        Self(Arc::new(ArcSwap::new(key)))
    }

    pub(super) fn replace(&self, key: Arc<CertifiedKey>) {
        self.0.store(key);
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Tries every listener before the first one opens (I10): Pingora itself would end the process with a panic.
pub(super) fn check(listen: &Listen) -> anyhow::Result<()> {
    let admin = listen.admin.as_ref().map(|admin| &admin.address);
    let named = listen.address.iter().map(|address| ("listen.address", address));
    let others = [("listen.health", listen.health.as_ref()), ("listen.admin", admin)];
    for (key, address) in named.chain(others.into_iter().filter_map(|(key, address)| Some((key, address?)))) {
        match address {
            Address::Tcp(address) => {
                std::net::TcpListener::bind(address)
                    .with_context(|| format!("{key}: cannot listen on {address}"))?;
            }
            Address::Unix(path) => {
                free(path).with_context(|| format!("{key}: cannot listen on {}", path.display()))?
            }
        }
    }
    Ok(())
}

/// Removes a socket that nobody answers on; makes sure that the folder is there.
fn free(path: &Path) -> anyhow::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            if !folder.is_dir() {
                bail!("folder {} does not exist", folder.display());
            }
        }
        Err(error) => return Err(error.into()),
        Ok(found) if !found.file_type().is_socket() => bail!("there is something else of that name"),
        Ok(_) if UnixStream::connect(path).is_ok() => bail!("another process listens there"),
        Ok(_) => std::fs::remove_file(path)?,
    }
    Ok(())
}

/// Adds addresses to a service; `mode` is that of unix sockets.
pub(super) fn open<A>(
    service: &mut Service<A>,
    addresses: &[Address],
    certificate: Option<&Certificate>,
    mode: u32,
) -> anyhow::Result<()> {
    for address in addresses {
        match address {
            Address::Unix(path) => {
                let path = path.to_str().context("the path of a socket is not UTF-8")?;
                service.add_uds(path, Some(Permissions::from_mode(mode)));
            }
            Address::Tcp(address) => match certificate {
                None => service.add_tcp(&address.to_string()),
                Some(certificate) => {
                    let mut settings = TlsSettings::intermediate("", "").context("TLS settings")?;
                    settings.set_cert_resolver(Arc::new(certificate.clone()));
                    service.add_tls_with_settings(&address.to_string(), None, settings);
                }
            },
        }
    }
    Ok(())
}
