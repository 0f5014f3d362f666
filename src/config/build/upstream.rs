//! Applications: those of `[[upstream]]`, and those that a route names by address.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;

use super::super::file::{self, UpstreamTls};
use super::super::problem::nearest;
use super::Desk;
use super::place::{Written, server, stays_here};
use crate::secret::SecretBytes;
use crate::upstream::{
    Balance, ClientCertificate, HealthCheck, HostHeader, MOST_SERVERS, Server, Timeouts, Tls, Upstream,
};

/// Every upstream by the word that routes use for it; those that cannot be used have none.
pub(super) type Upstreams = BTreeMap<String, Option<Arc<Upstream>>>;

/// Builds every `[[upstream]]`.
pub(super) fn upstreams(written: &[file::Upstream], desk: &mut Desk<'_>) -> Upstreams {
    let mut built = Upstreams::new();
    for (index, upstream) in written.iter().enumerate() {
        let key = format!("upstream[{index}]");
        if built.contains_key(&upstream.id) && !upstream.id.is_empty() {
            let message = format!("a second upstream is called \"{}\"", upstream.id);
            desk.report.problem(format!("{key}.id"), message, "give each an id of its own");
            continue;
        }
        let made = build(upstream, &key, desk).map(Arc::new);
        built.insert(upstream.id.clone(), made);
    }
    built
}

/// Finds what a route's `upstream` means: an id, or an address.
pub(super) fn find(
    text: &str,
    key: &str,
    upstreams: &mut Upstreams,
    desk: &mut Desk<'_>,
) -> Option<Arc<Upstream>> {
    if let Some(known) = upstreams.get(text) {
        return known.clone();
    }
    if !text.contains(':') {
        let known = upstreams.keys().map(String::as_str).filter(|id| !id.is_empty());
        let hint = match nearest(text, known) {
            Some(id) => format!("did you mean \"{id}\"?"),
            None => {
                "addresses are written \"http://host:port\", \"https://host:port\", \"h2c://host:port\" or \
                     \"unix:/path\""
                    .to_owned()
            }
        };
        desk.report.problem(key, format!("no [[upstream]] is called \"{text}\""), hint);
        return None;
    }
    let server = build_server(text, key, None, None, desk);
    let made = server.map(|server| {
        Arc::new(Upstream {
            id: text.to_owned(),
            servers: vec![server],
            balance: Balance::RoundRobin,
            health_check: None,
            timeouts: Timeouts::default(),
            host_header: HostHeader::Keep,
        })
    });
    upstreams.insert(text.to_owned(), made.clone());
    made
}

fn build(upstream: &file::Upstream, key: &str, desk: &mut Desk<'_>) -> Option<Upstream> {
    let client = client(upstream.tls.as_ref(), key, desk);
    let written = upstream.servers.as_slice();
    if written.is_empty() {
        let hint = "such as [\"https://10.0.0.5:8443\"]";
        desk.report.problem(format!("{key}.servers"), "no server", hint);
    }
    if written.len() > MOST_SERVERS {
        let message = format!("{} servers; accepted: at most {MOST_SERVERS}", written.len());
        let hint = "let a name stand for several addresses, or put a load balancer before some of them";
        desk.report.problem(format!("{key}.servers"), message, hint);
    }
    let server_key = |index| match upstream.servers.is_list() {
        true => format!("{key}.servers[{index}]"),
        false => format!("{key}.servers"),
    };
    let servers: Vec<_> = written
        .iter()
        .enumerate()
        .map(|(index, text)| {
            build_server(text, &server_key(index), upstream.tls.as_ref(), client.as_ref(), desk)
        })
        .collect();
    let servers: Vec<Server> = servers.into_iter().collect::<Option<_>>()?;
    if upstream.tls.is_some() && servers.iter().all(|server| server.tls.is_none()) {
        let message = "no server of this upstream is https, so that nothing would be verified";
        desk.report.problem(format!("{key}.tls"), message, "write https:// in servers, or remove tls");
    }
    let times = &upstream.timeouts;
    for (name, time) in
        [("connect", times.connect), ("read", times.read), ("write", times.write), ("idle", times.idle)]
    {
        super::positive(&format!("{key}.timeouts.{name}"), time, desk.report);
    }
    let timeouts =
        Timeouts { connect: times.connect.0, read: times.read.0, write: times.write.0, idle: times.idle.0 };
    let health_check = upstream.health_check.as_ref().map(|check| health_check(check, key, desk));
    let host_header = host_header(&upstream.host_header, key, desk)?;
    client?;
    Some(Upstream {
        id: upstream.id.clone(),
        servers,
        balance: match upstream.balance {
            file::Balance::RoundRobin => Balance::RoundRobin,
            file::Balance::LeastConnections => Balance::LeastConnections,
            file::Balance::Session => Balance::Session,
        },
        health_check: super::if_written(health_check)?,
        timeouts,
        host_header,
    })
}

fn health_check(check: &file::HealthCheck, key: &str, desk: &mut Desk<'_>) -> Option<HealthCheck> {
    let path = &check.path;
    // RFC 9110 §7.1: origin form, which has no fragment.
    let is_target = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !is_target {
        let message =
            format!("\"{path}\" is no path; accepted: / and what follows it, with escapes where needed");
        desk.report.problem(format!("{key}.health_check.path"), message, "such as \"/health\"");
    }
    let is_time = super::positive(&format!("{key}.health_check.interval"), check.interval, desk.report);
    (is_target && is_time).then(|| HealthCheck { path: path.clone(), interval: check.interval.0 })
}

/// What all servers of an upstream share: roots, and our own certificate.
struct Client {
    ca: Option<Arc<[Vec<u8>]>>,
    pair: Option<Arc<ClientCertificate>>,
}

fn client(tls: Option<&UpstreamTls>, key: &str, desk: &mut Desk<'_>) -> Option<Client> {
    let Some(tls) = tls else { return Some(Client { ca: None, pair: None }) };
    let mut good = true;
    let ca = tls.ca_file.as_ref().and_then(|file| {
        let found = desk.material.certificates(file, &format!("{key}.tls.ca_file"), desk.report);
        good &= found.is_some();
        found.map(Arc::from)
    });
    let pair = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(private)) => {
            let cert = desk.material.certificates(cert, &format!("{key}.tls.cert_file"), desk.report);
            let private = desk.material.private_key(private, &format!("{key}.tls.key_file"), desk.report);
            good &= cert.is_some() && private.is_some();
            cert.zip(private)
                .map(|(chain, private)| Arc::new(ClientCertificate { chain, key: der(&private) }))
        }
        (None, None) => None,
        _ => {
            let message = "cert_file and key_file go together; one is missing";
            desk.report.problem(format!("{key}.tls"), message, "write both, or neither");
            good = false;
            None
        }
    };
    good.then_some(Client { ca, pair })
}

fn der(key: &PrivateKeyDer<'_>) -> SecretBytes {
    SecretBytes::new(key.secret_der().to_vec())
}

fn build_server(
    text: &str,
    key: &str,
    tls: Option<&UpstreamTls>,
    client: Option<&Client>,
    desk: &mut Desk<'_>,
) -> Option<Server> {
    let Written { place, speech, name } = server(text, key, desk.report)?;
    let Some(host) = name else {
        if !stays_here(&place) {
            let message = format!(
                "{text} is plain http off this machine: whoever is on the way reads and writes identities"
            );
            desk.report.warn("plain-upstream", key, message);
        }
        return Some(Server { place, speech, tls: None });
    };
    let server_name = tls.and_then(|tls| tls.server_name.clone()).unwrap_or(host);
    if rustls::pki_types::ServerName::try_from(server_name.as_str()).is_err() {
        // An empty name would make Pingora verify nothing.
        let parent = key.split(".servers").next().unwrap_or(key);
        let message = format!("\"{server_name}\" is no name that a certificate can carry");
        desk.report.problem(format!("{parent}.tls.server_name"), message, "write the server's host name");
        return None;
    }
    let (ca, pair) = client.map(|client| (client.ca.clone(), client.pair.clone())).unwrap_or_default();
    Some(Server { place, speech, tls: Some(Tls { server_name, ca, client: pair }) })
}

fn host_header(text: &str, key: &str, desk: &mut Desk<'_>) -> Option<HostHeader> {
    match text {
        "keep" => Some(HostHeader::Keep),
        "upstream" => Some(HostHeader::Upstream),
        name => {
            let is_host = crate::request::host_of(name).is_some_and(|host| !host.is_empty());
            if !is_host {
                let message = format!("\"{name}\" is no host; accepted: keep, upstream, or a host name");
                desk.report.problem(format!("{key}.host_header"), message, "such as \"erp.internal\"");
            }
            is_host.then(|| HostHeader::Name(name.to_owned()))
        }
    }
}
