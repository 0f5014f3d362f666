//! One request as it goes up: what it may not carry is taken out, what the upstream can believe is put in.
//!
//! Runs on each attempt, after Pingora has dealt with hop-by-hop headers, so that no `Connection` line of a client's
//! can name one of ours away.
//! *Source:* README "What the application reads"; RFC 7239 and its older `X-Forwarded-*`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::Version;
use http::header::{self, HeaderValue};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::RequestHeader;

use super::Ctx;
use crate::admission::Passage;
use crate::headers::CookieChange;
use crate::request::host_of;
use crate::route::PathPattern;
use crate::upstream::HostHeader;

const FORWARDED_FOR: Bytes = Bytes::from_static(b"X-Forwarded-For");
const FORWARDED_PROTO: Bytes = Bytes::from_static(b"X-Forwarded-Proto");
const FORWARDED_HOST: Bytes = Bytes::from_static(b"X-Forwarded-Host");
const REQUEST_ID: Bytes = Bytes::from_static(b"X-Request-Id");

/// The target without scheme and authority, which `Host` agrees with (RFC 9112 §3.2.2).
pub(super) fn origin_form(target: &[u8]) -> &[u8] {
    let rest = [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
        target.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme))?;
        target.get(scheme.len()..)
    });
    match rest {
        None => target,
        Some(rest) => match rest.iter().position(|byte| matches!(byte, b'/' | b'?')) {
            Some(at) if rest.get(at) == Some(&b'/') => rest.get(at..).unwrap_or(b"/"),
            // `http://host?query` has no path to decide on.
            Some(_) => b"",
            None => b"/",
        },
    }
}

/// Rewrites a request for its upstream; `incoming` is the request as it came.
pub(super) fn rewrite(incoming: &RequestHeader, request: &mut RequestHeader, ctx: &Ctx) -> Result<()> {
    // I1: no permit, no upstream.
    let Some(passage) = &ctx.passage else { return Error::e_explain(ErrorType::InternalError, "no permit") };
    let forwarded_for = forwarded_for(request, ctx);
    let host = host_line(request)?;
    // I2, I3: what could be read as ours goes first …
    let changes = ctx.snapshot.site.contract.upward(&request.headers, ctx.peer_is_trusted);
    for name in &changes.remove {
        request.remove_header(name);
    }
    if incoming.version == Version::HTTP_2 && request.version == Version::HTTP_2 {
        end_hop(request)?;
    }
    if passage.route.fields.sets_authorization {
        request.remove_header(&header::AUTHORIZATION);
    }
    match changes.cookie {
        CookieChange::Keep => {}
        CookieChange::Remove => drop(request.remove_header(&header::COOKIE)),
        CookieChange::Replace(line) => request.insert_header(header::COOKIE, line)?,
    }
    // RFC 9112 §3.2.2: absolute form is for proxies; the decision was made on the path.
    let target = target(incoming, passage);
    if request.raw_path() != &*target {
        request.set_raw_path(&target)?;
    }
    if let Some(forwarded_for) = forwarded_for {
        request.insert_header(FORWARDED_FOR, forwarded_for)?;
    }
    set_origin(request, host.as_ref(), ctx)?;
    set_host(request, passage, ctx)?;
    if let Some(id) = ctx.request_id_value() {
        request.insert_header(REQUEST_ID, id.clone())?;
    }
    // … and ours are set last, each once.
    for (name, value) in passage.identity_headers().iter().chain(&passage.of_connection) {
        request.insert_header(name.clone(), value.clone())?;
    }
    if let Some((name, value)) = passage.assertion(&ctx.snapshot.site, ctx.now) {
        request.insert_header(name, value)?;
    }
    Ok(())
}

/// The host as the browser sent it.
///
/// Between two sides of HTTP/2 it stands in the target alone, which is rewritten below; Pingora makes an authority of
/// the line again.
fn host_line(request: &mut RequestHeader) -> Result<Option<HeaderValue>> {
    if let Some(line) = request.headers.get(header::HOST) {
        return Ok(Some(line.clone()));
    }
    let authority = request.uri.authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    let line = authority.and_then(std::result::Result::ok);
    if let Some(line) = &line {
        request.insert_header(header::HOST, line.clone())?;
    }
    Ok(line)
}

/// Takes out what ends at this hop; Pingora does so itself unless both sides speak HTTP/2 (RFC 9110 §7.6.1).
fn end_hop(request: &mut RequestHeader) -> Result<()> {
    for name in [header::TE, header::TRAILER, header::PROXY_AUTHORIZATION, header::PROXY_AUTHENTICATE] {
        request.remove_header(&name);
    }
    // Trailers pass from HTTP/2 to HTTP/2, and servers of gRPC insist on being told so (RFC 9110 §10.1.4).
    let kind = request.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if kind.get(..16).is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc")) {
        request.insert_header(header::TE, HeaderValue::from_static("trailers"))?;
    }
    Ok(())
}

/// A trusted peer's list with the peer at its end, or the peer alone.
fn forwarded_for(request: &RequestHeader, ctx: &Ctx) -> Option<HeaderValue> {
    let mut line = String::new();
    if ctx.peer_is_trusted {
        for part in request.headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok())
        {
            line.push_str(part.trim());
            line.push_str(", ");
        }
    }
    match ctx.peer {
        Some(IpAddr::V4(peer)) => push_v4(&mut line, peer),
        Some(IpAddr::V6(peer)) => write!(line, "{peer}").ok()?,
        None => line.truncate(line.trim_end_matches([',', ' ']).len()),
    }
    HeaderValue::try_from(line).ok().filter(|line| !line.is_empty())
}

/// Appends an address, as `Display` does and in a tenth of the time: nearly every request comes by here.
fn push_v4(line: &mut String, address: Ipv4Addr) {
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            line.push('.');
        }
        for (digit, from) in [(octet / 100, 100), (octet / 10 % 10, 10), (octet % 10, 0)] {
            if octet >= from {
                line.push(char::from(b'0' + digit));
            }
        }
    }
}

/// `X-Forwarded-Proto` and `-Host` are those of the own origin that was matched.
fn set_origin(request: &mut RequestHeader, host: Option<&HeaderValue>, ctx: &Ctx) -> Result<()> {
    let origins = &ctx.snapshot.site.table.origins;
    let scheme = if origins.scheme() == "https" { "https" } else { "http" };
    request.insert_header(FORWARDED_PROTO, HeaderValue::from_static(scheme))?;
    let Some(text) = host.and_then(|host| host.to_str().ok()) else { return Ok(()) };
    let Some(name) = host_of(text) else { return Ok(()) };
    match host.filter(|_| origins.is_authority(text, &name)) {
        Some(same) => request.insert_header(FORWARDED_HOST, same.clone()),
        None => request.insert_header(FORWARDED_HOST, origins.authority(&name)),
    }
}

fn set_host(request: &mut RequestHeader, passage: &Passage, ctx: &Ctx) -> Result<()> {
    let upstream = &passage.route.upstream;
    match &upstream.host_header {
        HostHeader::Keep => Ok(()),
        HostHeader::Name(name) => request.insert_header(header::HOST, name.as_str()),
        HostHeader::Upstream => match upstream.servers.get(ctx.way.server()) {
            Some(server) => request.insert_header(header::HOST, server.authority()),
            None => Ok(()),
        },
    }
}

/// The bytes that were decided on, less the route's prefix where it is to be cut.
fn target<'r>(incoming: &'r RequestHeader, passage: &Passage) -> Cow<'r, [u8]> {
    let target = origin_form(incoming.raw_path());
    let PathPattern::Prefix(prefix) = &passage.route.path else { return Cow::Borrowed(target) };
    if !passage.route.strip_prefix || prefix == "/" {
        return Cow::Borrowed(target);
    }
    // Counted in segments, since the prefix may be spelt with escapes.
    let segments = prefix.matches('/').count() - 1;
    let end_of_path = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(end_of_path);
    let cut = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').nth(segments).map(|(at, _)| at);
    let rest = cut.and_then(|at| path.get(at..)).unwrap_or_default();
    let rest = rest.iter().position(|byte| *byte != b'/').and_then(|at| rest.get(at..)).unwrap_or_default();
    Cow::Owned([b"/", rest, query].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn te_goes_on_for_grpc_and_ends_here_otherwise() {
        for (kind, te) in [("application/grpc+proto", Some("trailers")), ("application/json", None)] {
            let mut request = RequestHeader::build("POST", b"/", None).unwrap();
            for (name, value) in [("content-type", kind), ("te", "trailers"), ("trailer", "x")] {
                request.insert_header(name, value).unwrap();
            }
            request.insert_header("proxy-authorization", "Basic abc").unwrap();
            end_hop(&mut request).unwrap();
            assert_eq!(request.headers.get("te").map(HeaderValue::as_bytes), te.map(str::as_bytes), "{kind}");
            assert!(request.headers.get("trailer").is_none());
            assert!(request.headers.get("proxy-authorization").is_none());
        }
    }

    #[test]
    fn addresses_are_written_as_everybody_writes_them() {
        for octet in 0..=255 {
            let address = Ipv4Addr::new(octet, 0, 10, 255 - octet);
            let mut line = String::new();
            push_v4(&mut line, address);
            assert_eq!(line, address.to_string());
        }
    }
}
