//! Pingora's peers for our upstreams: made once, names looked up aside from the requests.
//!
//! *Source:* Pingora's own constructor looks names up on the request's thread and panics when it cannot.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use pingora_core::upstreams::peer::{H1UpgradePolicy, HttpPeer};
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};
use pingora_core::{Error, ErrorType, Result};

use crate::upstream::{Place, Server, Timeouts, Tls, Upstream};

/// How long a looked-up address is used before it is looked up again.
const FRESH: Duration = Duration::from_secs(30);

/// The peers of every upstream of a configuration, by the upstream's id.
pub(crate) struct Peers {
    upstreams: HashMap<String, Vec<Arc<Target>>>,
}

/// One server.
struct Target {
    server: Server,
    timeouts: Timeouts,
    group: u64,
    found: ArcSwapOption<Found>,
    looking: AtomicBool,
    /// The address that answered last, where the first did not.
    good: AtomicUsize,
}

struct Found {
    peers: Vec<HttpPeer>,
    at: Instant,
    /// Looked up, so that it must be looked up again.
    by_name: bool,
}

impl Peers {
    /// Peers for these upstreams; `generation` keeps connections of another configuration apart.
    pub(crate) fn new<'u>(upstreams: impl IntoIterator<Item = &'u Arc<Upstream>>, generation: u64) -> Self {
        let mut group = generation << 32;
        let mut target = |upstream: &Upstream, server: &Server| {
            group += 1;
            let (server, timeouts) = (server.clone(), upstream.timeouts);
            let (found, looking) = (ArcSwapOption::empty(), AtomicBool::new(false));
            Arc::new(Target { server, timeouts, group, found, looking, good: AtomicUsize::new(0) })
        };
        let upstreams = upstreams
            .into_iter()
            .map(|upstream| {
                let targets = upstream.servers.iter().map(|server| target(upstream, server)).collect();
                (upstream.id.clone(), targets)
            })
            .collect();
        Self { upstreams }
    }

    fn targets(&self, upstream: &Upstream) -> &[Arc<Target>] {
        self.upstreams.get(&upstream.id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Where a request begins: the servers take turns, and a server alone begins with the address that answered last.
    pub(crate) fn turn(&self, upstream: &Upstream) -> usize {
        match self.targets(upstream) {
            [only] => only.good.load(Ordering::Relaxed),
            _ => upstream.turn(),
        }
    }

    /// Notes that a connection stands after others failed.
    pub(crate) fn note_good(&self, upstream: &Upstream, turn: usize) {
        if let [only] = self.targets(upstream) {
            only.good.store(turn, Ordering::Relaxed);
        }
    }

    /// How many addresses a request may try: all that are known of all servers.
    pub(crate) fn places(&self, upstream: &Upstream) -> usize {
        let known = |target: &Arc<Target>| target.found.load().as_ref().map_or(1, |found| found.peers.len());
        self.targets(upstream).iter().map(known).sum()
    }

    /// The peer whose turn it is; a server whose name cannot be looked up passes its turn on.
    pub(crate) async fn choose(
        &self,
        upstream: &Upstream,
        turn: &mut usize,
        upgrade: bool,
    ) -> Result<Box<HttpPeer>> {
        let targets = self.targets(upstream);
        let mut result = Error::e_explain(ErrorType::InternalError, "upstream without servers");
        for _ in 0..targets.len() {
            let index = turn.checked_rem(targets.len()).unwrap_or_default();
            let Some(target) = targets.get(index) else { break };
            // Each round over the servers takes the next address of each.
            result = target.peer(*turn / targets.len()).await;
            if result.is_ok() {
                break;
            }
            *turn = turn.wrapping_add(1);
        }
        let mut peer = Box::new(result?);
        if upgrade {
            // A tunnel may be silent for long; it ends with its session.
            peer.options.read_timeout = None;
            peer.options.http_upstream_request_policy.h1_upgrade = H1UpgradePolicy::WebSocketOnly;
        }
        Ok(peer)
    }
}

impl Target {
    async fn peer(self: &Arc<Self>, round: usize) -> Result<HttpPeer> {
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
        let index = round.checked_rem(found.peers.len()).unwrap_or_default();
        let none = || Error::explain(ErrorType::ConnectError, "name has no address");
        found.peers.get(index).cloned().ok_or_else(none)
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
