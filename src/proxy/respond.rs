//! Writing our own answers out, reading small bodies in, and tidying what upstreams answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::Ctx;
use crate::headers::Contract;
use crate::pages::error_json;
use crate::reply::Reply;
use crate::session::Holder;

/// Writes one of our answers; gives `true`, which tells Pingora that the request is answered.
pub(super) async fn write(session: &mut Session, ctx: &mut Ctx, reply: Reply) -> Result<bool> {
    ctx.status = reply.status.as_u16();
    if !reply.reason.is_empty() && ctx.reason.is_empty() {
        ctx.reason = reply.reason;
    }
    if reply.status == StatusCode::BAD_REQUEST {
        // RFC 9112 §9.6, §11.2: what follows a request that could be read in two ways may be a part of it.
        session.set_keepalive(None);
    }
    let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len() + 2))?;
    for (name, value) in &reply.headers {
        head.append_header(name, value)?;
    }
    promise_https(&mut head, ctx)?;
    // RFC 9110 §8.6: the length of a 304 would be that of the body which the client has.
    if reply.status != StatusCode::NOT_MODIFIED {
        // Without a length Pingora would have to close the connection.
        head.insert_header(header::CONTENT_LENGTH, reply.body.len())?;
    }
    let is_bare = session.req_header().method == Method::HEAD || reply.body.is_empty();
    session.write_response_header(Box::new(head), is_bare).await?;
    if !is_bare {
        session.write_response_body(Some(reply.body), true).await?;
    }
    Ok(true)
}

/// Tells browsers to come by https only from now on; an application's own word on that stands.
///
/// RFC 6797 §7.2: never over plain http, which is whatever came without TLS of ours.
pub(super) fn promise_https(response: &mut ResponseHeader, ctx: &Ctx) -> Result<()> {
    match &ctx.snapshot.edge.hsts {
        Some(hsts) if ctx.tls && !response.headers.contains_key(header::STRICT_TRANSPORT_SECURITY) => {
            response.insert_header(header::STRICT_TRANSPORT_SECURITY, hsts.clone())
        }
        Some(_) | None => Ok(()),
    }
}

/// Why a body was not read to its end.
pub(super) enum Unread {
    TooLarge,
    TooSlow,
}

/// Tells a sender who dawdles, and closes the connection: nobody waits there with a page open.
pub(super) async fn too_slow(session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
    session.set_keepalive(None);
    let reply = error_json(StatusCode::REQUEST_TIMEOUT, "request_timeout", "body-too-slow", ctx.request_id());
    write(session, ctx, reply).await
}

/// Reads a whole body of at most `most` bytes within `time`.
///
/// One deadline for the whole of it: Pingora's own counts each read anew, and HTTP/2 has none.
pub(super) async fn read_body(
    session: &mut Session,
    most: usize,
    time: Duration,
) -> Result<std::result::Result<Bytes, Unread>> {
    if matches!(session.req_header().method, Method::GET | Method::HEAD) {
        return Ok(Ok(Bytes::new()));
    }
    let length = session.req_header().headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > most) {
        return Ok(Err(Unread::TooLarge));
    }
    // RFC 9110 §10.1.1: whoever waits for our word gets it.
    if session.req_header().headers.contains_key(header::EXPECT) {
        session.downstream_session.write_continue_response().await?;
    }
    let read = async {
        let mut body = Vec::new();
        while let Some(chunk) = session.downstream_session.read_request_body().await? {
            if body.len() + chunk.len() > most {
                return Ok(Err(Unread::TooLarge));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Ok(Bytes::from(body)))
    };
    tokio::time::timeout(time, read).await.unwrap_or(Ok(Err(Unread::TooSlow)))
}

/// The status that an error of Pingora's means to the visitor; 0 when nobody is there to read it.
pub(super) fn status_of(error: &Error) -> u16 {
    match (error.etype(), error.esource()) {
        (ErrorType::HTTPStatus(status), _) => *status,
        (ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout, _) => 504,
        (ErrorType::ReadTimedout | ErrorType::WriteTimedout, ErrorSource::Upstream) => 504,
        (_, ErrorSource::Upstream) => 502,
        (
            ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed,
            ErrorSource::Downstream,
        ) => 0,
        (_, ErrorSource::Downstream) => 400,
        (etype, ErrorSource::Internal | ErrorSource::Unset) => match etype {
            ErrorType::ConnectError | ErrorType::ConnectRefused | ErrorType::ConnectNoRoute => 502,
            ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::SocketError => 502,
            _ => 500,
        },
    }
}

/// I3: takes out of an answer what only the gateway may say.
pub(super) fn keep_back(response: &mut ResponseHeader, contract: &Contract) -> Result<()> {
    let held: Vec<HeaderName> = response
        .headers
        .iter()
        .filter(|(name, value)| contract.keeps_back(name, value))
        .map(|(n, _)| n.clone())
        .collect();
    for name in held {
        let good = response.headers.get_all(&name).iter().filter(|value| !contract.keeps_back(&name, value));
        let good: Vec<HeaderValue> = good.cloned().collect();
        response.remove_header(&name);
        for value in good {
            response.append_header(name.clone(), value)?;
        }
    }
    Ok(())
}

/// Ends the session when the application's own logout went well (`logout` of the route).
pub(super) async fn end_session_on_logout(
    session: &Session,
    response: &mut ResponseHeader,
    ctx: &mut Ctx,
) -> Result<()> {
    let Some(passage) = &ctx.passage else { return Ok(()) };
    if passage.route.logout.is_empty()
        || response.status.is_informational()
        || response.status.is_client_error()
        || response.status.is_server_error()
    {
        return Ok(());
    }
    let head = session.req_header();
    let path = head.raw_path().split(|byte| *byte == b'?').next().unwrap_or_default();
    if !passage.route.logout.iter().any(|logout| logout.as_bytes() == path) || is_from_elsewhere(head, ctx) {
        return Ok(());
    }
    let Some((held, _)) = passage.session.as_ref().filter(|(held, _)| held.holder == Holder::Browser) else {
        return Ok(());
    };
    let snapshot = Arc::clone(&ctx.snapshot);
    snapshot.site.sessions.end(&held.key).await;
    snapshot.site.audit("logout", "ok", held, ctx.request_id());
    let cookie = HeaderValue::try_from(snapshot.site.deleted_session_cookie());
    if let Ok(cookie) = cookie {
        response.append_header(header::SET_COOKIE, cookie)?;
    }
    Ok(())
}

fn is_from_elsewhere(head: &http::request::Parts, ctx: &Ctx) -> bool {
    match head.headers.get("sec-fetch-site") {
        Some(site) => matches!(site.as_bytes(), b"cross-site" | b"same-site"),
        None => head.headers.get(header::ORIGIN).is_some_and(|origin| {
            !origin.to_str().is_ok_and(|origin| ctx.snapshot.site.table.origins.is_own_origin(origin))
        }),
    }
}
