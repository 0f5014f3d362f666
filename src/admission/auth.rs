//! The authorization endpoint: another proxy describes a request, and the answer says whether it may pass.
//!
//! The described request gets the decision that it would get here. Our own paths are nobody's to authorize: the other
//! proxy sends them here.
//! *Source:* the manuals named in `request/described.rs`; RFC 6455 §10.2.

use std::sync::Arc;

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::answers::{self, Caller, refusal};
use super::{Arrival, Passage, Refusal, Site, decide_on, malformed_page, no_route};
use crate::headers::CookieChange;
use crate::pages::Page;
use crate::policy::Ask;
use crate::reply::Reply;
use crate::request::{self, Described, Kind, Manner, View, describe};
use crate::route::{Found, Route};

/// Where somebody signs in, for a proxy that answers in its own way.
const LOGIN: HeaderName = HeaderName::from_static("x-midgate-login");

/// Answers a request for the endpoint, and tells the route that was described.
pub(super) async fn answer(
    site: &Site,
    arrival: Arrival<'_>,
    view: &View<'_>,
) -> (Reply, Option<Arc<Route>>) {
    let caller = arrival.caller(site);
    // Only in its plain spelling: what follows is taken byte for byte.
    let target = view.target();
    let below = target.strip_prefix(site.table.endpoints.path("auth").as_str());
    let below = below.map(|rest| if rest.starts_with('?') { "" } else { rest });
    let Some(below) = below.filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
        return (caller.refuse(&Page::NotFound), None);
    };
    if !arrival.peer_is_trusted {
        return (caller.refuse(&Page::Forbidden { reason: "untrusted-peer", logout: None }), None);
    }
    let described = match describe(arrival.head, below, site.table.origins.scheme()) {
        Ok(described) => described,
        Err(malformed) => return (caller.refuse(&malformed_page(malformed)), None),
    };
    // The certificate of this connection is the other proxy's own, and says nothing of the visitor.
    let asked = Arrival { head: &described.head, target: &described.target, certificate: None, ..arrival };
    let (reply, route) = authorize(site, asked, &described).await;
    let reply = match described.manner {
        Manner::Status => as_status(reply),
        Manner::Whole => reply,
    };
    (reply, route)
}

/// The way of a request, but for what is done at its end.
async fn authorize(site: &Site, asked: Arrival<'_>, described: &Described) -> (Reply, Option<Arc<Route>>) {
    let caller = asked.caller(site);
    let view = match request::read(asked.head, asked.target) {
        Ok(view) => view,
        Err(malformed) => return (caller.refuse(&malformed_page(malformed)), None),
    };
    if !described.names_method && site.table.tells_methods_apart(&view.host, &view.path) {
        return (caller.refuse(&Page::Forbidden { reason: "method-missing", logout: None }), None);
    }
    let route = match site.table.find(&view.host, &view.path, view.method) {
        Found::Route(route) => route,
        other => return (no_route(&caller, &other), None),
    };
    let reply = match decide_on(site, asked, &view, route).await {
        Ok(passage) => match tunnel_refusal(site, &view, route) {
            Some(reason) => caller.refuse(&Page::Forbidden { reason, logout: None }),
            None => permitted(site, &passage, view.headers, asked.now),
        },
        Err(Refusal::Login { ask, .. }) if described.manner == Manner::Status => {
            let login = login_address(&caller, &view, Some(&ask));
            answers::login_required(&caller, &view, &ask).with(LOGIN, login)
        }
        Err(refused @ Refusal::Forbid(_)) if described.manner == Manner::Status => {
            let login = login_address(&caller, &view, None);
            refusal(&caller, &view, route, refused).await.with(LOGIN, login)
        }
        Err(refused) => absolute(site, &view, refusal(&caller, &view, route, refused).await),
    };
    (reply, Some(Arc::clone(route)))
}

/// Names every identity header of every route, so that whoever copies them overwrites the client's own; and the cookies
/// that are the application's.
fn permitted(site: &Site, passage: &Passage, incoming: &HeaderMap, now: u64) -> Reply {
    let empty = HeaderValue::from_static("");
    let mut reply = Reply::new(StatusCode::OK);
    for name in site.contract.identity.iter().chain(&site.contract.assertion) {
        reply = reply.with(name.clone(), empty.clone());
    }
    if passage.route.fields.sets_authorization {
        reply = reply.with(header::AUTHORIZATION, empty.clone());
    }
    let assertion = passage.assertion(site, now);
    for (name, value) in passage.identity_headers().iter().chain(&passage.of_connection).chain(&assertion) {
        if let Ok(name) = HeaderName::from_bytes(name) {
            reply = reply.with(name, value.clone());
        }
    }
    let cookie = match site.contract.upward(incoming, true).cookie {
        CookieChange::Keep => incoming.get(header::COOKIE).cloned().unwrap_or(empty),
        CookieChange::Remove => empty,
        CookieChange::Replace(line) => line,
    };
    reply.with(header::COOKIE, cookie)
}

/// Why a described upgrade must not go up. We are not between the two, so that it cannot be made a plain request.
fn tunnel_refusal(site: &Site, view: &View<'_>, route: &Route) -> Option<&'static str> {
    let is_socket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    let mut upgrades = view.headers.get_all(header::UPGRADE).iter();
    if upgrades.any(|value| !is_socket(value)) {
        return Some("upgrade-not-allowed");
    }
    // RFC 6455 §4.1: proxies take `Upgrade` off a call of their own, never the other headers of a handshake.
    let is_handshake = view
        .headers
        .keys()
        .any(|name| *name == header::UPGRADE || name.as_str().starts_with("sec-websocket-"))
        || view.headers.get("sec-fetch-mode").is_some_and(is_socket);
    if !is_handshake {
        return None;
    }
    if !route.websocket {
        return Some("websocket-not-allowed");
    }
    let is_own = |origin: &str| site.table.origins.is_own_origin(origin);
    (!view.header(&header::ORIGIN).is_some_and(is_own)).then_some("foreign-origin")
}

/// Where somebody signs in for the described page; with the page itself where a person opens it.
fn login_address(caller: &Caller<'_>, view: &View<'_>, ask: Option<&Ask>) -> HeaderValue {
    let origins = &caller.site.table.origins;
    // Redirect URIs are registered for exact hosts.
    let host = if origins.is_wildcard_only(&view.host) { origins.public_host() } else { &view.host };
    let login = match ask {
        Some(ask) if caller.kind() == Kind::Navigation => {
            let origin = origins.of(&view.host);
            let page = match origins.page_target(&view.host, &view.target()) {
                path if path.starts_with('/') => origin.clone() + &path,
                absolute => absolute,
            };
            // What the login would not take leads to the beginning.
            let page = if origins.read_target(host, &page).is_some() { page } else { origin + "/" };
            caller.login_path(ask.only_provider().map(|id| &**id), &page)
        }
        Some(_) | None => caller.site.table.endpoints.path("login"),
    };
    HeaderValue::try_from(origins.of(host) + &login).unwrap_or(HeaderValue::from_static("/"))
}

/// Some proxies resolve a `Location` against our own address before they hand it on.
fn absolute(site: &Site, view: &View<'_>, reply: Reply) -> Reply {
    let location = reply.headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    let path = location.filter(|location| location.starts_with('/'));
    let whole = path.and_then(|path| HeaderValue::try_from(site.table.origins.of(&view.host) + path).ok());
    match whole {
        Some(whole) => reply.with(header::LOCATION, whole),
        None => reply,
    }
}

/// The answer in the few statuses that nginx knows: all but these is an error of its own to it.
fn as_status(mut reply: Reply) -> Reply {
    let kept = [
        StatusCode::OK,
        StatusCode::UNAUTHORIZED,
        StatusCode::BAD_REQUEST,
        StatusCode::MISDIRECTED_REQUEST,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    if !kept.contains(&reply.status) {
        reply.status = StatusCode::FORBIDDEN;
        reply.headers.remove(header::ALLOW);
    }
    reply
}
