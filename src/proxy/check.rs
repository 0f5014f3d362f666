//! Questions about a server's health: a request of our own at intervals, over the server's own TLS and timeouts.
//!
//! *Never:* anything of a visitor's: no identity, no session, no connection that requests use.
//! *Source:* README "Several servers".

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, Result};
use pingora_http::RequestHeader;
use tokio_util::sync::CancellationToken;

use super::ctx::reason_of;
use super::peers::Target;
use crate::upstream::HealthCheck;

/// Asks a server until it is told to stop; what it learns is in the server's standing.
pub(super) async fn watch(target: Arc<Target>, check: HealthCheck, host: String, stop: CancellationToken) {
    let mut due = tokio::time::interval(check.interval);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = due.tick() => {}
        }
        let answer = tokio::select! {
            () = stop.cancelled() => return,
            answer = tokio::time::timeout(check.interval, ask(&target, &check.path, &host)) => answer,
        };
        match answer {
            Ok(Ok(200..=399)) => target.standing.note_good_answer(),
            Ok(Ok(_)) => target.standing.note_bad_answer("health-status"),
            Ok(Err(error)) => target.standing.note_bad_answer(reason_of(&error)),
            Err(_) => target.standing.note_bad_answer("health-timeout"),
        }
    }
}

/// Asks once; gives the status of the answer.
pub(super) async fn ask(target: &Arc<Target>, path: &str, host: &str) -> Result<u16> {
    let mut peer = target.peer().await?;
    // One stream, so that nobody keeps the connection when it has been asked.
    peer.options.max_h2_streams = 1;
    let mut session = connect(&peer).await?;
    let mut request = RequestHeader::build("GET", path.as_bytes(), None)?;
    if session.as_http2().is_some() {
        let scheme = if peer.is_tls() { "https" } else { "http" };
        let uri = http::Uri::builder().scheme(scheme).authority(host).path_and_query(path).build();
        request.set_version(http::Version::HTTP_2);
        request.set_uri(uri.map_err(|_| Error::new_str("no address to ask for"))?);
    } else {
        request.insert_header(header::HOST, host)?;
        request.insert_header(header::CONNECTION, "close")?;
    }
    request.insert_header(header::USER_AGENT, concat!("midgate/", env!("CARGO_PKG_VERSION"), " health"))?;
    session.set_read_timeout(peer.options.read_timeout);
    session.set_write_timeout(peer.options.write_timeout);
    session.write_request_header(Box::new(request)).await.map_err(Error::into_up)?;
    session.finish_request_body().await.map_err(Error::into_up)?;
    session.read_response_header().await.map_err(Error::into_up)?;
    let status = session.response_header().map_or(0, |response| response.status.as_u16());
    session.shutdown().await;
    Ok(status)
}

/// Connects, TLS included; gives the name of what is spoken there.
pub(super) async fn greet(target: &Arc<Target>, patience: Duration) -> Result<&'static str> {
    let mut peer = target.peer().await?;
    peer.options.max_h2_streams = 1;
    peer.options.connection_timeout = Some(patience);
    peer.options.total_connection_timeout = Some(patience);
    let session = connect(&peer).await?;
    Ok(if session.as_http2().is_some() { "HTTP/2" } else { "HTTP/1.1" })
}

async fn connect(peer: &HttpPeer) -> Result<HttpSession> {
    /// Apart from the connector of the requests, whose pool these connections must not enter.
    static CONNECTOR: OnceLock<Connector> = OnceLock::new();
    let (session, _) = CONNECTOR
        .get_or_init(|| Connector::new(None))
        .get_http_session(peer)
        .await
        .map_err(Error::into_up)?;
    Ok(session)
}
