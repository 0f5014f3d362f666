//! A configuration that was loaded whole: settings in the terms of the modules that use them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;

use super::Watched;
use crate::admission::AuditSubject;
use crate::assertion::Assertions;
use crate::headers::Contract;
use crate::pages::Pages;
use crate::policy::Ladder;
use crate::route::Table;
use crate::seal::Keys;
use crate::secret::Secret;
use crate::telemetry::LogSettings;
use crate::upstream::Upstream;
use crate::{login, provider, proxy, session};

/// Everything that a gateway is made of; no string left to parse, no file left to read.
pub(crate) struct Loaded {
    pub(crate) listen: Listen,
    pub(crate) session: session::Settings,
    pub(crate) login: login::Settings,
    /// Unset: keys that live as long as the process.
    pub(crate) keys: Option<Keys>,
    /// In the configuration's order.
    pub(crate) providers: Vec<ProviderParts>,
    /// In the configuration's order, by which routes name them.
    pub(crate) bearers: Vec<provider::BearerSettings>,
    pub(crate) table: Table,
    /// Names of the routes by their indices, for the meters.
    pub(crate) route_names: Vec<String>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    /// How many distinct header mappings, audiences, requirements and policy files the routes have.
    pub(crate) mappings: usize,
    pub(crate) audiences: usize,
    pub(crate) requirements: usize,
    pub(crate) policies: usize,
    pub(crate) contract: Contract,
    pub(crate) assertions: Option<Assertions>,
    pub(crate) edge: proxy::Settings,
    pub(crate) pages: Pages,
    pub(crate) clear_cookies: Vec<String>,
    pub(crate) audit_subject: AuditSubject,
    /// Files whose change is to be noticed while the gateway runs.
    pub(crate) watched: Watched,
}

impl Loaded {
    /// What to register at every provider: the callback at each exact host.
    pub(crate) fn redirect_uris(&self) -> Vec<String> {
        self.at_own_origins(&self.table.endpoints.callback)
    }

    /// What to register as post-logout redirect URIs where the provider has an end-session endpoint.
    pub(crate) fn logged_out_uris(&self) -> Vec<String> {
        self.at_own_origins(&self.table.endpoints.logged_out)
    }

    /// What to register for logouts that the provider begins: one address of each kind is enough.
    pub(crate) fn provider_logout_uris(&self) -> [String; 2] {
        let origin = self.table.origins.of(self.table.origins.public_host());
        ["logout/backchannel", "logout/frontchannel"]
            .map(|name| format!("{origin}{}", self.table.endpoints.path(name)))
    }

    fn at_own_origins(&self, path: &str) -> Vec<String> {
        self.table.origins.exact().map(|origin| format!("{origin}{path}")).collect()
    }
}

/// What a login's door is made of.
pub(crate) struct ProviderParts {
    pub(crate) settings: provider::Settings,
    pub(crate) ladder: Ladder,
    pub(crate) phones: login::Phones,
}

/// What is fixed while the process runs, but for the certificate: sockets, threads, bounds, the shape of logs.
#[derive(Clone)]
pub(crate) struct Listen {
    pub(crate) address: Vec<Address>,
    pub(crate) health: Option<Address>,
    pub(crate) admin: Option<Admin>,
    /// Threads that serve requests; never 0.
    pub(crate) workers: usize,
    pub(crate) connections: usize,
    pub(crate) tls: Option<Tls>,
    /// Whether HTTP/2 without TLS is spoken.
    pub(crate) h2c: bool,
    pub(crate) idle: Duration,
    pub(crate) header_timeout: Duration,
    /// Most sessions at a time.
    pub(crate) capacity: u64,
    pub(crate) log: LogSettings,
}

impl Listen {
    /// Keys that differ and cannot change while the process runs.
    pub(crate) fn differences(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        let admin =
            |listen: &Self| listen.admin.as_ref().map(|admin| (admin.address.clone(), admin.token.clone()));
        // That TLS is turned on or off is told by itself.
        let tls = self.tls.as_ref().zip(other.tls.as_ref());
        let [differ_in_authorities, differ_in_redirect] = tls.map_or([false; 2], |(own, other)| {
            let known = |tls: &Tls| tls.client.as_ref().map(|client| client.known.clone());
            [known(own) != known(other), own.redirect_http != other.redirect_http]
        });
        [
            ("listen.address", self.address != other.address),
            ("listen.health", self.health != other.health),
            ("listen.admin", admin(self) != admin(other)),
            ("listen.workers", self.workers != other.workers),
            ("listen.h2c", self.h2c != other.h2c),
            ("listen.tls.client_ca_file", differ_in_authorities),
            ("listen.tls.redirect_http", differ_in_redirect),
            ("listen.limits.connections", self.connections != other.connections),
            ("listen.limits.header_timeout", self.header_timeout != other.header_timeout),
            ("listen.limits.idle", self.idle != other.idle),
            ("session.capacity", self.capacity != other.capacity),
            ("log", self.log != other.log),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
    }
}

/// TLS of the listeners for browsers.
#[derive(Clone)]
pub(crate) struct Tls {
    /// In the configuration's order; the first answers where no name fits. Never empty.
    pub(crate) certificates: Vec<NamedKey>,
    /// Who vouches for visitors' certificates, where they are asked for.
    pub(crate) client: Option<ClientAuthorities>,
    /// Where plain http is led to https.
    pub(crate) redirect_http: Option<Address>,
}

/// A certificate with its key, and the hosts that it is for: lower case, `*.` for any one label.
#[derive(Debug, Clone)]
pub(crate) struct NamedKey {
    pub(crate) names: Vec<String>,
    pub(crate) key: Arc<CertifiedKey>,
}

/// The authorities of client certificates.
#[derive(Clone)]
pub(crate) struct ClientAuthorities {
    /// Their certificates, as DER.
    pub(crate) known: Vec<Vec<u8>>,
    pub(crate) verifier: Arc<dyn ClientCertVerifier>,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// The listener for sessions.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    pub(crate) address: Address,
    /// Asked for over TCP.
    pub(crate) token: Option<Secret>,
}
