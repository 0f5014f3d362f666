//! One server: its peers for Pingora, and its name looked up aside from the requests.
//!
//! *Source:* Pingora's own constructor looks names up on the request's thread and panics when it cannot.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use pingora_core::upstreams::peer::{H1UpgradePolicy, HttpPeer};
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};
use pingora_core::{Error, ErrorType, Result};

use crate::proxy::standing::Standing;
use crate::upstream::{HostHeader, Place, Server, Speech, Timeouts, Tls, digest};

/// How long a looked-up address is used before it is looked up again.
const FRESH: Duration = Duration::from_secs(30);

/// Exchanges at a time on one HTTP/2 connection: what servers commonly take (RFC 9113 §6.5.2).
const STREAMS: usize = 100;

/// Bytes of one answer that may wait for a slow reader.
const STREAM_WINDOW: u32 = 512 * 1024;

/// So large that slow readers on all other streams never hold up a quick one.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * (STREAMS as u32 + 1);

/// One server.
pub(in crate::proxy) struct Target {
    server: Server,
    timeouts: Timeouts,
    group: u64,
    /// What the server is called where sessions are dealt out.
    pub(super) name: u64,
    found: ArcSwapOption<Found>,
    looking: AtomicBool,
    /// The address to begin with: one that failed passes its place on to the next.
    pub(super) good: AtomicUsize,
    /// Exchanges under way, where they count.
    pub(super) busy: AtomicUsize,
    pub(in crate::proxy) standing: Arc<Standing>,
}

struct Found {
    peers: Vec<HttpPeer>,
    at: Instant,
    /// Looked up, so that it must be looked up again.
    by_name: bool,
}

impl Target {
    /// A server whose name is not looked up yet; connections are shared within `group` only.
    pub(super) fn new(server: &Server, timeouts: Timeouts, group: u64, standing: Arc<Standing>) -> Self {
        Self {
            server: server.clone(),
            timeouts,
            group,
            name: digest(standing.server.as_bytes()),
            found: ArcSwapOption::empty(),
            looking: AtomicBool::new(false),
            good: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            standing,
        }
    }

    pub(in crate::proxy) async fn peer(self: &Arc<Self>) -> Result<HttpPeer> {
        let known = self.found.load_full();
        let found = match known {
            Some(found) => {
                if found.by_name && found.at.elapsed() > FRESH {
                    self.refresh();
                }
                found
            }
            None => self.look_up().await?,
        };
        let index = self.good.load(Ordering::Relaxed).checked_rem(found.peers.len()).unwrap_or_default();
        let none = || Error::explain(ErrorType::ConnectError, "name has no address");
        found.peers.get(index).cloned().ok_or_else(none)
    }

    /// How many addresses are known of it, or may become known.
    pub(super) fn addresses(&self) -> usize {
        self.found.load().as_ref().map_or(1, |found| found.peers.len())
    }

    /// The `Host` for a request of our own; `kept` is what browsers send.
    pub(super) fn host(&self, how: &HostHeader, kept: &str) -> String {
        match how {
            HostHeader::Keep => kept.to_owned(),
            HostHeader::Upstream => self.server.authority(),
            HostHeader::Name(name) => name.clone(),
        }
    }

    /// Looks the name up again while the requests go on with what is known.
    fn refresh(self: &Arc<Self>) {
        if !self.looking.swap(true, Ordering::AcqRel) {
            let target = Arc::clone(self);
            tokio::spawn(async move {
                if target.look_up().await.is_err() {
                    tracing::warn!(upstream.address = ?target.server.place, "upstream name cannot be looked up");
                }
                target.looking.store(false, Ordering::Release);
            });
        }
    }

    async fn look_up(&self) -> Result<Arc<Found>> {
        let (addresses, by_name) = match &self.server.place {
            Place::Unix(_) => (Vec::new(), false),
            Place::Tcp { host, port } => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let look =
                    tokio::time::timeout(self.timeouts.connect, tokio::net::lookup_host((bare, *port))).await;
                let addresses: Vec<SocketAddr> = match look {
                    Ok(Ok(addresses)) => addresses.collect(),
                    Ok(Err(_)) => {
                        return Error::e_explain(ErrorType::ConnectError, "name cannot be looked up");
                    }
                    Err(_) => {
                        return Err(Error::explain(ErrorType::ConnectTimedout, "name look-up timed out"));
                    }
                };
                (addresses, bare.parse::<std::net::IpAddr>().is_err())
            }
        };
        let peers = self.peers(&addresses)?;
        let found = Arc::new(Found { peers, at: Instant::now(), by_name });
        self.found.store(Some(Arc::clone(&found)));
        Ok(found)
    }

    fn peers(&self, addresses: &[SocketAddr]) -> Result<Vec<HttpPeer>> {
        let tls = self.server.tls.as_ref();
        let name = tls.map(|tls| tls.server_name.clone()).unwrap_or_default();
        let mut peers = match &self.server.place {
            Place::Unix(path) => vec![HttpPeer::new_uds(path, tls.is_some(), name)?],
            Place::Tcp { .. } => {
                let peer = |address: &SocketAddr| HttpPeer::new(*address, tls.is_some(), name.clone());
                addresses.iter().map(peer).collect()
            }
        };
        for peer in &mut peers {
            self.settle(peer);
        }
        Ok(peers)
    }

    fn settle(&self, peer: &mut HttpPeer) {
        // Pingora's key for reused connections knows nothing of roots and client certificates.
        peer.group_key = self.group;
        let timeouts = self.timeouts;
        peer.options.connection_timeout = Some(timeouts.connect);
        peer.options.total_connection_timeout = Some(timeouts.connect);
        peer.options.read_timeout = Some(timeouts.read);
        peer.options.write_timeout = Some(timeouts.write);
        peer.options.idle_timeout = Some(timeouts.idle);
        peer.options.http_upstream_request_policy.h1_upgrade = H1UpgradePolicy::Deny;
        match self.server.speech {
            Speech::Http1 => peer.options.set_http_version(1, 1),
            Speech::Http2 => peer.options.set_http_version(2, 2),
            Speech::Negotiated => peer.options.set_http_version(2, 1),
        }
        peer.options.max_h2_streams = STREAMS;
        peer.options.h2_stream_window_size = Some(STREAM_WINDOW);
        peer.options.h2_connection_window_size = Some(CONNECTION_WINDOW);
        if let Some(Tls { ca, client, .. }) = &self.server.tls {
            let wrap = |certificates: &Arc<[Vec<u8>]>| {
                certificates.iter().map(|der| WrappedX509::new(der.clone(), parse_x509)).collect::<Box<[_]>>()
            };
            peer.options.ca = ca.as_ref().map(|ca| Arc::from(wrap(ca)));
            peer.client_cert_key = client
                .as_ref()
                .map(|pair| Arc::new(CertKey::new(pair.chain.clone(), pair.key.expose().to_vec())));
        }
    }
}
