//! The applications behind the gateway: where they are and how they are spoken to.
//! Pure.
//!
//! *Never:* Pingora's peers, or name resolution; `proxy` makes connections of this.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::secret::SecretBytes;

/// One application, on one or more servers.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Id in the configuration, or the address.
    pub(crate) id: String,
    pub(crate) servers: Vec<Server>,
    pub(crate) timeouts: Timeouts,
    pub(crate) host_header: HostHeader,
    next: AtomicUsize,
}

/// One address of an application.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) place: Place,
    /// Set for https.
    pub(crate) tls: Option<Tls>,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp { host: String, port: u16 },
    Unix(String),
}

/// How an https server proves itself.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    /// Name in SNI and in the certificate; never empty, since an empty one would verify nothing.
    pub(crate) server_name: String,
    /// Roots instead of the system's, as DER.
    pub(crate) ca: Option<Arc<[Vec<u8>]>>,
    /// What we show, for mutual TLS.
    pub(crate) client: Option<Arc<ClientCertificate>>,
}

/// A certificate chain and its private key, as DER.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: SecretBytes,
}

/// How long each step may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) read: Duration,
    pub(crate) write: Duration,
    pub(crate) idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self { connect: Duration::from_secs(5), read: minute, write: minute, idle: minute }
    }
}

/// The `Host` that an upstream sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum HostHeader {
    /// What the browser sent.
    #[default]
    Keep,
    /// The server's own name and port.
    Upstream,
    /// This one.
    Name(String),
}

impl Upstream {
    /// An upstream; without servers nothing is ever forwarded.
    pub(crate) fn new(id: String, servers: Vec<Server>, timeouts: Timeouts, host_header: HostHeader) -> Self {
        Self { id, servers, timeouts, host_header, next: AtomicUsize::new(0) }
    }

    /// What stands for the upstream of a route that forwards nothing.
    pub(crate) fn nowhere() -> Self {
        Self::new(String::new(), Vec::new(), Timeouts::default(), HostHeader::Keep)
    }

    /// Whether there is a server at all.
    pub(crate) fn is_somewhere(&self) -> bool {
        !self.servers.is_empty()
    }

    /// Takes this request's turn; a further attempt asks for the turn after it.
    pub(crate) fn turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The server whose turn it is.
    pub(crate) fn server(&self, turn: usize) -> Option<&Server> {
        self.servers.get(turn.checked_rem(self.servers.len())?)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl Place {
    /// `host:port` as it stands in a `Host` header; a socket has no name.
    pub(crate) fn authority(&self, tls: bool) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Tcp { host, port } if *port == if tls { 443 } else { 80 } => host.clone(),
            Self::Tcp { host, port } => format!("{host}:{port}"),
        }
    }
}
