//! The way in for connections: how many there may be, in all and of one client, and where each comes from.
//!
//! *Source:* PROXY protocol §2; README "Limits".

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::listeners::PreTlsProcess;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora_core::protocols::l4::stream::Stream as Socket;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{Digest, GetProxyDigest as _, GetSocketDigest as _, SocketDigest, Stream};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;

use super::opening::{self, Opening};
use super::{Settings, Snapshot};

/// Who lets connections into a listener.
pub(crate) struct Doorkeeper {
    current: Arc<ArcSwap<Snapshot>>,
    /// Most connections at a time.
    most: usize,
    /// How long a PROXY header may take.
    patience: Duration,
    taken: Arc<Taken>,
}

/// One connection that was let in; its place is free again when the last part of it is gone.
#[derive(Debug)]
pub(super) struct Connection {
    /// Whether it has brought a request.
    has_begun: AtomicBool,
    /// Exchanges of HTTP/2 under way, also those that the client has given up.
    streams: AtomicUsize,
    misused: Notify,
    _place: Place,
    _of_client: Option<OfClient>,
}

/// Why a connection is closed at once.
#[derive(Debug, Clone, Copy)]
enum Closed {
    Full,
    FullOfClient,
    NoHeader,
    HeaderOfStranger,
    BrokenHeader,
}

impl Closed {
    fn word(self) -> &'static str {
        match self {
            Self::Full => "connections",
            Self::FullOfClient => "connections-per-client",
            Self::NoHeader => "no-proxy-header",
            Self::HeaderOfStranger => "proxy-header-of-stranger",
            Self::BrokenHeader => "broken-proxy-header",
        }
    }
}

impl Doorkeeper {
    pub(crate) fn new(current: Arc<ArcSwap<Snapshot>>, most: usize, patience: Duration) -> Self {
        Self { current, most, patience, taken: Arc::default() }
    }

    /// Lets a connection in, unless that was done before its TLS handshake; `None` when it is to be closed.
    pub(super) async fn admit(&self, stream: Stream) -> Option<Stream> {
        if stream.get_proxy_digest().is_some() {
            return Some(stream);
        }
        let mut socket = stream.into_any().downcast::<Socket>().ok()?;
        match self.check(&mut socket).await {
            Ok(()) => Some(socket),
            Err(closed) => {
                count(closed);
                None
            }
        }
    }

    async fn check(&self, socket: &mut Socket) -> std::result::Result<(), Closed> {
        let place = Taken::place(&self.taken, self.most).ok_or(Closed::Full)?;
        let snapshot = self.current.load_full();
        let edge = &snapshot.edge;
        let peer = socket.get_socket_digest().and_then(|digest| digest.peer_addr()?.as_inet().copied());
        let peer = peer.map(|peer| peer.ip().to_canonical());
        let mut of_client = self.place_of(peer, edge)?;
        if edge.proxy_protocol {
            let source = self.source(socket, edge.trusts(peer)).await?;
            if let Some(source) = source {
                of_client = self.place_of(Some(source.ip()), edge)?;
                let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
                let _ = digest.peer_addr.set(Some(PeerAddress::Inet(source)));
                socket.set_socket_digest(digest);
            }
        }
        let connection = Arc::new(Connection {
            has_begun: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            misused: Notify::new(),
            _place: place,
            _of_client: of_client,
        });
        // The one place of Pingora's that goes with a connection from before its TLS handshake to its last stream.
        let nothing = ResponseHeader::build(200, Some(0)).map_err(|_| Closed::Full)?;
        socket.set_proxy_digest(ProxyDigest::new(Box::new(nothing), Some(Box::new(connection))));
        Ok(())
    }

    /// A place of one client; proxies that are trusted, and unix sockets, stand for many.
    fn place_of(
        &self,
        address: Option<IpAddr>,
        edge: &Settings,
    ) -> std::result::Result<Option<OfClient>, Closed> {
        let Some(address) = address.filter(|_| edge.connections_per_client > 0 && !edge.trusts(address))
        else {
            return Ok(None);
        };
        let place = Taken::place_of(&self.taken, client_of(address), edge.connections_per_client);
        place.map(Some).ok_or(Closed::FullOfClient)
    }

    /// Reads the PROXY header that a trusted peer must begin with, and nobody else may.
    async fn source(
        &self,
        socket: &mut Socket,
        is_trusted: bool,
    ) -> std::result::Result<Option<SocketAddr>, Closed> {
        let mut seen = Vec::new();
        let read = async {
            let mut chunk = [0; 512];
            loop {
                match opening::read(&seen) {
                    Opening::Unfinished if seen.len() < opening::LONGEST => {}
                    opening => return Some(opening),
                }
                let length = socket.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
                seen.extend_from_slice(chunk.get(..length)?);
            }
        };
        let opening = tokio::time::timeout(self.patience, read).await.ok().flatten();
        match (opening, is_trusted) {
            (Some(Opening::Header { length, source }), true) => {
                socket.rewind(seen.get(length..).unwrap_or_default());
                Ok(source)
            }
            (Some(Opening::Bare), false) => {
                socket.rewind(&seen);
                Ok(None)
            }
            (Some(Opening::Bare) | None, _) => Err(Closed::NoHeader),
            (Some(Opening::Header { .. }), false) => Err(Closed::HeaderOfStranger),
            (Some(Opening::Broken | Opening::Unfinished), _) => Err(Closed::BrokenHeader),
        }
    }
}

#[async_trait]
impl PreTlsProcess for Doorkeeper {
    async fn process(&self, socket: &mut Socket) -> Result<()> {
        self.check(socket).await.or_else(|closed| {
            count(closed);
            Error::e_explain(ErrorType::ConnectionClosed, closed.word())
        })
    }
}

fn count(closed: Closed) {
    metrics::counter!("midgate_connections_refused_total", "reason" => closed.word()).increment(1);
}

/// The connection that an exchange came on.
pub(super) fn connection_of(digest: Option<&ProxyDigest>) -> Option<&Arc<Connection>> {
    digest?.user_data.as_ref()?.downcast_ref()
}

/// The same, of a session's digest.
pub(super) fn connection_in(digest: Option<&Digest>) -> Option<&Arc<Connection>> {
    connection_of(digest?.proxy_digest.as_deref())
}

impl Connection {
    /// Notes that a request is here.
    pub(super) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Counts one exchange of HTTP/2; `None` when there are too many, which ends the connection.
    ///
    /// Streams that the client has reset no longer count for HTTP/2, though their requests are still at work.
    pub(super) fn begin_stream(self: &Arc<Self>, most: usize) -> Option<OfConnection> {
        let before = self.streams.fetch_add(1, Ordering::Relaxed);
        let place = OfConnection(Arc::clone(self));
        if before >= most {
            self.misused.notify_one();
            return None;
        }
        Some(place)
    }

    /// Resolves when the connection is to be closed.
    pub(super) async fn misused(&self) {
        self.misused.notified().await;
    }
}

/// One exchange's place on its connection.
pub(super) struct OfConnection(Arc<Connection>);

impl Drop for OfConnection {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many connections there are.
#[derive(Debug, Default)]
struct Taken {
    all: AtomicUsize,
    clients: Mutex<HashMap<IpAddr, u32>>,
}

#[derive(Debug)]
struct Place(Arc<Taken>);

#[derive(Debug)]
struct OfClient(Arc<Taken>, IpAddr);

impl Taken {
    fn place(taken: &Arc<Self>, most: usize) -> Option<Place> {
        let before = taken.all.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(taken));
        (before < most).then_some(place)
    }

    fn place_of(taken: &Arc<Self>, client: IpAddr, most: u32) -> Option<OfClient> {
        let mut clients = taken.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let number = clients.entry(client).or_default();
        if *number >= most {
            return None;
        }
        *number += 1;
        Some(OfClient(Arc::clone(taken), client))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.all.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for OfClient {
    fn drop(&mut self) {
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = clients.get_mut(&self.1) {
            *number -= 1;
            if *number == 0 {
                clients.remove(&self.1);
            }
        }
    }
}

/// Whose address it is: whoever has one IPv6 address has its whole /64 (RFC 6177 §2).
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_client() {
        for (address, client) in [
            ("203.0.113.9", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ] {
            assert_eq!(client_of(address.parse().unwrap()), client.parse::<IpAddr>().unwrap(), "{address}");
        }
    }

    #[test]
    fn places_are_bounded_and_free_again() {
        let taken = Arc::default();
        let address = |last| IpAddr::from([203, 0, 113, last]);
        let (one, two) = (Taken::place_of(&taken, address(1), 2), Taken::place_of(&taken, address(1), 2));
        assert!(one.is_some() && two.is_some());
        assert!(Taken::place_of(&taken, address(1), 2).is_none());
        assert!(Taken::place_of(&taken, address(2), 2).is_some());
        drop(one);
        assert!(Taken::place_of(&taken, address(1), 2).is_some());
        drop(two);
        assert!(taken.clients.lock().unwrap().is_empty());
        let all = (Taken::place(&taken, 1), Taken::place(&taken, 1));
        assert!(all.0.is_some() && all.1.is_none());
        drop(all);
        assert_eq!(taken.all.load(Ordering::Relaxed), 0);
    }
}
