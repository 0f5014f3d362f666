//! Signing out: the question, the end of the session here, the way to the provider and back.
//!
//! *Source:* OIDC RP-Initiated Logout §2, §3; OWASP Cross-Site Request Forgery Prevention.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::{self, HeaderName};
use url::Url;

use super::answers::{Caller, text, with_cookies};
use super::endpoints::{is_form, parameters};
use crate::pages::Page;
use crate::provider::EndSession;
use crate::reply::Reply;
use crate::request::{Found, View, find_cookie};
use crate::seal::random;
use crate::secret::Secret;
use crate::session::Session;

/// Seconds that a browser may stay at the provider before it is forgotten where it wanted to go.
const AWAY: i64 = 900;

/// `GET logout`: asks, and ends nothing.
pub(super) async fn confirm(caller: &Caller<'_>, view: &View<'_>) -> Reply {
    let site = caller.site;
    let Some(session) = site.session(view, caller.now).await else { return signed_out_here(caller) };
    let parameters = parameters(view.query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let rd = parameters.get("rd").and_then(|rd| site.table.origins.read_target(&view.host, rd));
    let action = site.table.endpoints.path("logout");
    let csrf = site.csrf.code(&session.key);
    // The way back may lead over the host that is registered, and on to another own one.
    let origins = &site.table.origins;
    let mut onward: Vec<String> = rd.as_deref().and_then(origin_of).into_iter().collect();
    if origins.is_wildcard_only(&view.host) {
        onward.push(origins.of(origins.public_host()));
    }
    let page = Page::ConfirmLogout { action: &action, csrf: &csrf, rd: rd.as_deref() };
    caller.page_leading_to(&page, onward)
}

/// `POST logout`: with our token, or from an own origin by what the browser itself says.
pub(super) async fn sign_out(caller: &Caller<'_>, view: &View<'_>, body: &[u8]) -> Reply {
    let site = caller.site;
    let session = site.session(view, caller.now).await;
    let form = if is_form(view) { parameters(body).unwrap_or_default() } else { HashMap::new() };
    let has_token = session
        .as_ref()
        .is_some_and(|session| form.get("csrf").is_some_and(|csrf| site.csrf.verify(&session.key, csrf)));
    if !has_token && !is_same_origin(caller, view) {
        return caller.refuse(&Page::LogoutRefused { logout: &site.table.endpoints.path("logout") });
    }
    let query = parameters(view.query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let target = match query.get("rd").or(form.get("rd")) {
        None => None,
        Some(rd) => match site.table.origins.read_target(&view.host, rd) {
            Some(target) => Some(target),
            None => return caller.refuse(&Page::BadRequest { reason: "foreign-return-target" }),
        },
    };
    let mut cookies = vec![site.deleted_session_cookie()];
    cookies.extend(site.cleared_cookies());
    // RP-Initiated Logout §2: the own session ends before the browser leaves.
    let leave = match session {
        Some(session) => {
            site.sessions.end(&session.key).await;
            site.audit("logout", "ok", &session, caller.request_id);
            leave(caller, &view.host, &session, target.as_deref())
        }
        None => None,
    };
    let location = match leave {
        Some(Leave { location, cookie }) => {
            cookies.push(cookie);
            location.into()
        }
        None => target.unwrap_or_else(|| site.table.endpoints.logged_out.clone()),
    };
    with_cookies(Reply::redirect(StatusCode::SEE_OTHER, &location), cookies)
}

/// The way to the provider, and what our browser brings back from there.
struct Leave {
    location: Url,
    cookie: String,
}

/// Where to sign out at the provider of a session; `None` where it has no place for that.
fn leave(caller: &Caller<'_>, host: &str, session: &Session, target: Option<&str>) -> Option<Leave> {
    let site = caller.site;
    let origins = &site.table.origins;
    let door = site.login.doors.get(&session.identity.provider)?;
    let state = URL_SAFE_NO_PAD.encode(random::<32>());
    // Post-logout redirect URIs are registered for exact hosts.
    let from_wildcard = origins.is_wildcard_only(host);
    let origin = origins.of(if from_wildcard { origins.public_host() } else { host });
    let id_token = session.tokens.as_ref().and_then(|tokens| tokens.id_token.as_ref());
    let location = door.provider.end_session(EndSession {
        id_token: id_token.map(Secret::expose),
        back_to: &format!("{origin}{}", site.table.endpoints.logged_out),
        state: &state,
    })?;
    let target = match target {
        Some(path) if from_wildcard && path.starts_with('/') => format!("{}{path}", origins.of(host)),
        Some(target) => target.to_owned(),
        None => String::new(),
    };
    let name = &site.contract.cookies.logout;
    let sealed = site.returning.seal(&context(name, &state), target.as_bytes());
    Some(Leave { location, cookie: site.cookie(name, &sealed, Some(AWAY)) })
}

/// `GET logged-out`: the return from the provider, and the signed-out page for everybody else.
///
/// The cookie opens with our own state only (RP-Initiated Logout §3); any other state, or none, changes nothing.
pub(super) fn returned(caller: &Caller<'_>, view: &View<'_>) -> Reply {
    let site = caller.site;
    let Some(target) = target_of(caller, view) else { return signed_out_here(caller) };
    let forgotten = vec![site.cookie(&site.contract.cookies.logout, "", Some(0))];
    // The configuration may have changed while the browser was away.
    let reply = match site.table.origins.read_target(&view.host, &target).filter(|_| !target.is_empty()) {
        Some(target) => Reply::redirect(StatusCode::SEE_OTHER, &target),
        None => caller.page(&Page::SignedOut { again: "/", provider_session_may_live: false }),
    };
    with_cookies(reply, forgotten)
}

/// Where a browser wanted to go that comes back with our state and our cookie; empty for nowhere.
fn target_of(caller: &Caller<'_>, view: &View<'_>) -> Option<String> {
    let site = caller.site;
    let name = &site.contract.cookies.logout;
    let query = parameters(view.query?.as_bytes())?;
    let Found::One(sealed) = find_cookie(view.headers, name) else { return None };
    String::from_utf8(site.returning.open(&context(name, query.get("state")?), sealed)?).ok()
}

/// What the cookie of a logout is sealed with: it opens for the state that it was made for, and for no other.
fn context(name: &str, state: &str) -> String {
    format!("{name} {state}")
}

fn signed_out_here(caller: &Caller<'_>) -> Reply {
    caller.page(&Page::SignedOut { again: "/", provider_session_may_live: true })
}

/// The origin of a target that is kept absolute, as those on another own host are.
fn origin_of(target: &str) -> Option<String> {
    Url::parse(target).ok().map(|url| url.origin().ascii_serialization())
}

/// Whether the browser itself says that a page of an own origin sent this.
fn is_same_origin(caller: &Caller<'_>, view: &View<'_>) -> bool {
    match text(caller.head, &HeaderName::from_static("sec-fetch-site")) {
        Some(site) => site == "same-origin",
        None => view.header(&header::ORIGIN).is_some_and(|origin| {
            origin == caller.site.table.origins.of(&view.host)
                && caller.site.table.origins.is_own_origin(origin)
        }),
    }
}
