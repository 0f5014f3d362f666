//! Opening listeners, with errors that say which and why.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::services::listening::Service;

use super::certificates::{Certificates, Visitors};
use crate::config::{Address, Listen, Tls};
use crate::proxy::{Doorkeeper, Edge};

/// Tries every listener before the first one opens (I10): Pingora itself would end the process with a panic.
pub(super) fn check(listen: &Listen) -> anyhow::Result<()> {
    let admin = listen.admin.as_ref().map(|admin| &admin.address);
    let named = listen.address.iter().map(|address| ("listen.address", address));
    let redirect = listen.tls.as_ref().and_then(|tls| tls.redirect_http.as_ref());
    let others = [
        ("listen.health", listen.health.as_ref()),
        ("listen.admin", admin),
        ("listen.tls.redirect_http", redirect),
    ];
    // All of them at once, so that none takes another's place.
    let mut held = Vec::new();
    for (key, address) in named.chain(others.into_iter().filter_map(|(key, address)| Some((key, address?)))) {
        match address {
            Address::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address);
                held.push(listener.with_context(|| format!("{key}: cannot listen on {address}"))?);
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
pub(super) fn open<A>(service: &mut Service<A>, addresses: &[Address], mode: u32) -> anyhow::Result<()> {
    for address in addresses {
        match address {
            Address::Unix(path) => {
                let path = path.to_str().context("the path of a socket is not UTF-8")?;
                service.add_uds(path, Some(Permissions::from_mode(mode)));
            }
            Address::Tcp(address) => service.add_tcp(&address.to_string()),
        }
    }
    Ok(())
}

/// Adds the addresses for browsers: sockets as they are, TCP with TLS. Connections pass the door before their handshake.
pub(super) fn open_tls(
    service: &mut Service<Edge>,
    addresses: &[Address],
    tls: &Tls,
    certificates: &Certificates,
    door: &Arc<Doorkeeper>,
) -> anyhow::Result<()> {
    service.endpoints().set_pre_tls_callback(Arc::<Doorkeeper>::clone(door));
    for address in addresses {
        let Address::Tcp(tcp) = address else {
            open(service, std::slice::from_ref(address), 0o660)?;
            continue;
        };
        let mut settings = match &tls.client {
            None => TlsSettings::intermediate("", ""),
            Some(_) => TlsSettings::with_callbacks(Box::new(Visitors)),
        }
        .context("TLS settings")?;
        settings.enable_h2();
        settings.set_cert_resolver(Arc::new(certificates.clone()));
        if let Some(client) = &tls.client {
            settings.set_client_cert_verifier(Arc::clone(&client.verifier));
        }
        service.add_tls_with_settings(&tcp.to_string(), None, settings);
    }
    Ok(())
}
