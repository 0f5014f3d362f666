//! The applications behind the gateway: where they are and how they are spoken to.
//! Pure.
//!
//! *Never:* Pingora's peers, or name resolution; `proxy` makes connections of this.

mod choice;

use std::sync::Arc;
use std::time::Duration;

use crate::secret::SecretBytes;

pub(crate) use self::choice::{Choice, digest, rendezvous};

/// One application, on one or more servers.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Id in the configuration, or the address.
    pub(crate) id: String,
    /// At most `MOST_SERVERS`; without any nothing is ever forwarded.
    pub(crate) servers: Vec<Server>,
    pub(crate) balance: Balance,
    pub(crate) health_check: Option<HealthCheck>,
    pub(crate) timeouts: Timeouts,
    pub(crate) host_header: HostHeader,
}

/// Servers of one upstream: a request notes in one word which of them it has tried.
pub(crate) const MOST_SERVERS: usize = 64;

/// How the server of a request is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest exchanges under way.
    LeastConnections,
    /// The same one for a session, or for a client without one, as long as it is there.
    Session,
}

/// How servers are asked whether they are well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HealthCheck {
    /// Path and query of the question.
    pub(crate) path: String,
    /// Between two questions, and at most for an answer.
    pub(crate) interval: Duration,
}

/// One address of an application.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) place: Place,
    /// Set for https.
    pub(crate) tls: Option<Tls>,
    pub(crate) speech: Speech,
}

/// Which HTTP a server is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Http1,
    /// HTTP/2 at once, without TLS (RFC 9113 §3.3).
    Http2,
    /// HTTP/2 or HTTP/1.1, as the server takes by ALPN (RFC 7301).
    Negotiated,
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
    /// What stands for the upstream of a route that forwards nothing.
    pub(crate) fn nowhere() -> Self {
        Self {
            id: String::new(),
            servers: Vec::new(),
            balance: Balance::RoundRobin,
            health_check: None,
            timeouts: Timeouts::default(),
            host_header: HostHeader::Keep,
        }
    }

    /// Whether there is a server at all.
    pub(crate) fn is_somewhere(&self) -> bool {
        !self.servers.is_empty()
    }
}

impl Server {
    /// How the server is written in the configuration, for people and metrics.
    pub(crate) fn address(&self) -> String {
        match (&self.place, self.speech) {
            (Place::Unix(_), _) => self.place.to_string(),
            (place, Speech::Http1) => format!("http://{place}"),
            (place, Speech::Http2) => format!("h2c://{place}"),
            (place, Speech::Negotiated) => format!("https://{place}"),
        }
    }

    /// `host:port` as it stands in a `Host` header.
    pub(crate) fn authority(&self) -> String {
        self.place.authority(self.tls.is_some())
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
    fn authority(&self, tls: bool) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Tcp { host, port } if *port == if tls { 443 } else { 80 } => host.clone(),
            Self::Tcp { host, port } => format!("{host}:{port}"),
        }
    }
}
