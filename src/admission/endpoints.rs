//! The gateway's own paths: which there are, login, callback, who am I.
//!
//! *Source:* OAuth 2.0 Form Post Response Mode; RFC 6749 §4.1.2.

use std::collections::HashMap;
use std::time::Duration;

use cookie::{Cookie, SameSite};
use http::header;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answers::{self, Caller, failed, note_failure, with_cookies, wrong_method};
use super::{Arrival, Site, assertion, entrance, logout, provider_logout};
use crate::identity::is_credential;
use crate::login::{AGAIN, Answer, Failed, Finished, Jar, LoginError, Return};
use crate::pages::{Page, WhoAmI};
use crate::reply::Reply;
use crate::request::{self, Kind, View};
use crate::route::Own;
use crate::telemetry::count_login;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// Fields of a callback that are posted again, at most.
const MOST_FIELDS: usize = 20;

/// Answers a request for an own path; `body` is the whole, bounded body.
pub(crate) async fn answer(site: &Site, arrival: Arrival<'_>, own: Own, body: &[u8]) -> Reply {
    let caller = arrival.caller(site);
    let view = match request::read(arrival.head, arrival.target) {
        Ok(view) => view,
        Err(malformed) => return caller.refuse(&Page::BadRequest { reason: malformed.word() }),
    };
    let reads = matches!(*view.method, Method::GET | Method::HEAD);
    match own {
        Own::Login if reads => entrance::login(&caller, &view).await,
        Own::Callback if reads => callback(&caller, &view, view.query.unwrap_or_default().as_bytes()).await,
        Own::Callback if *view.method == Method::POST => posted_callback(&caller, &view, body).await,
        Own::Logout if reads => logout::confirm(&caller, &view).await,
        Own::Logout if *view.method == Method::POST => logout::sign_out(&caller, &view, body).await,
        Own::LoggedOut if reads => logout::returned(&caller, &view),
        Own::BackchannelLogout if *view.method == Method::POST => {
            provider_logout::backchannel(&caller, &view, body).await
        }
        Own::FrontchannelLogout if reads => provider_logout::frontchannel(&caller, &view).await,
        Own::Session if reads => who_am_i(&caller, &view).await,
        Own::Keys if reads => assertion::keys(&caller, &view),
        Own::Callback | Own::Logout => wrong_method(&caller, "GET, HEAD, POST"),
        Own::BackchannelLogout => wrong_method(&caller, "POST"),
        Own::Login | Own::LoggedOut | Own::FrontchannelLogout | Own::Session | Own::Keys => {
            wrong_method(&caller, "GET, HEAD")
        }
        // The authorization endpoint was answered before: it has no body, and must know the peer.
        Own::Auth | Own::Unknown => caller.refuse(&Page::NotFound),
    }
}

/// A posted callback. A cross-site POST brings no SameSite=Lax cookie: our own page posts the same fields again,
/// once, from our own origin.
async fn posted_callback(caller: &Caller<'_>, view: &View<'_>, body: &[u8]) -> Reply {
    let bad = |reason| caller.refuse(&Page::BadRequest { reason });
    if view.query.is_some_and(|query| !query.is_empty()) {
        return bad("parameters-in-query-and-body");
    }
    if !is_form(view) {
        return bad("not-a-form");
    }
    let Some(answer) = Answer::read(body) else { return bad("bad-authorization-response") };
    let fields: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().take(MOST_FIELDS).collect();
    let is_second = fields.iter().any(|(name, _)| name == AGAIN);
    let jar = Jar { headers: view.headers };
    if !is_second && !jar.has(&answer.state, &caller.site.login) {
        let mut fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.push((AGAIN, "1"));
        return caller.page(&Page::Repost { action: &caller.site.login.callback, fields: &fields });
    }
    callback(caller, view, body).await
}

/// The authorization response, from a query or a form.
async fn callback(caller: &Caller<'_>, view: &View<'_>, encoded: &[u8]) -> Reply {
    let site = caller.site;
    let Some(answer) = Answer::read(encoded) else {
        return caller.refuse(&Page::BadRequest { reason: "bad-authorization-response" });
    };
    let origin = site.table.origins.of(&view.host);
    let old = site.session(view, caller.now).await;
    let back = Return { origin: &origin, answer: &answer, session: old.as_deref(), now: caller.now };
    match site.login.finish(back, Jar { headers: view.headers }).await {
        Ok(Finished::Again { target }) => Reply::redirect(StatusCode::SEE_OTHER, &target),
        Ok(Finished::SignedIn { fresh, target }) => {
            // A login always makes a new id, and the old session ends with it.
            let provider = fresh.identity.provider.clone();
            let Some((id, session)) = site.sessions.create(*fresh, caller.now).await else {
                let error = LoginError::Stale("ended-by-the-provider");
                return login_failed(caller, &answer, &Failed { error, login: Some((provider, target)) });
            };
            let mut cookies = vec![site.session_cookie(&id.text(), None), site.login.forget(&answer.state)];
            if let Some(old) = old {
                site.sessions.end(&old.key).await;
                if old.identity.user_key != session.identity.user_key {
                    cookies.extend(site.cleared_cookies());
                }
            }
            if site.providers.len() > 1 {
                cookies.push(site.choice_cookie(&session.identity.provider));
            }
            site.audit("login", "ok", &session, caller.request_id);
            count_login(&session.identity.provider, "ok");
            with_cookies(Reply::redirect(StatusCode::SEE_OTHER, &target), cookies)
        }
        Err(failure) => login_failed(caller, &answer, &failure),
    }
}

fn login_failed(caller: &Caller<'_>, answer: &Answer, failure: &Failed) -> Reply {
    let door =
        failure.login.as_ref().and_then(|(id, target)| Some((caller.site.login.doors.get(id)?, target)));
    note_failure(caller, door.map_or("", |(door, _)| &**door.provider.id()), &failure.error);
    let reply = failed(caller, &failure.error, door.map(|(door, target)| (&*door.provider, target.as_str())));
    // A callback that this browser's login does not belong to changes no cookie.
    match door {
        Some(_) => with_cookies(reply, vec![caller.site.login.forget(&answer.state)]),
        None => reply,
    }
}

async fn who_am_i(caller: &Caller<'_>, view: &View<'_>) -> Reply {
    let site = caller.site;
    let session = site.session(view, caller.now).await;
    let Some(session) = session else { return answers::not_signed_in(caller, view) };
    let idle_expires = session.idle_expires(site.sessions.idle()).min(session.expires);
    let identity = &session.identity;
    if caller.kind() == Kind::Navigation {
        let provider = site.login.doors.get(&identity.provider);
        let provider = provider.map_or(&*identity.provider, |door| &door.provider.settings().display_name);
        let logout = site.table.endpoints.path("logout");
        return caller.page(&Page::WhoAmI(WhoAmI {
            identity,
            provider,
            created: session.created,
            expires: session.expires,
            idle_expires,
            now: caller.now,
            logout: &logout,
        }));
    }
    let claims: HashMap<&String, &Value> =
        identity.claims.iter().filter(|(name, value)| !is_credential(name, value)).collect();
    let body = json!({
        "provider": *identity.provider, "user_key": identity.user_key, "sub": identity.subject,
        "iss": *identity.issuer, "acr": identity.acr, "amr": identity.amr, "auth_time": identity.auth_time,
        "claims": claims, "created": session.created, "expires": session.expires,
        "idle_expires": idle_expires
    });
    Reply::json(StatusCode::OK, &body)
}

impl Site {
    /// Deletes what applications remember of a person who is not here any more.
    pub(super) fn cleared_cookies(&self) -> impl Iterator<Item = String> {
        self.clear_cookies.iter().map(|name| format!("{name}=; Path=/; Max-Age=0"))
    }

    /// Remembers for a year at which provider somebody signed in last.
    fn choice_cookie(&self, provider: &str) -> String {
        self.login.cookie(&self.contract.cookies.choice, provider, YEAR)
    }

    /// Deletes the session cookie, with the attributes that it was set with.
    pub(crate) fn deleted_session_cookie(&self) -> String {
        self.session_cookie("", Some(0))
    }

    /// The session cookie with a value, or its deletion with the same attributes.
    fn session_cookie(&self, value: &str, max_age: Option<i64>) -> String {
        self.cookie(&self.contract.cookies.session, value, max_age)
    }

    /// A cookie that goes where the session's goes; `max_age` is in seconds.
    pub(super) fn cookie(&self, name: &str, value: &str, max_age: Option<i64>) -> String {
        let names = &self.contract.cookies;
        let mut cookie = Cookie::build((name, value))
            .path("/")
            .http_only(true)
            .secure(names.secure)
            .same_site(SameSite::Lax);
        if let Some(domain) = &names.domain {
            cookie = cookie.domain(domain.as_str());
        }
        if let Some(seconds) = max_age {
            cookie = cookie.max_age(cookie::time::Duration::seconds(seconds));
        }
        cookie.build().to_string()
    }
}

pub(super) fn is_form(view: &View<'_>) -> bool {
    view.header(&header::CONTENT_TYPE).is_some_and(|value| {
        let media = value.split(';').next().unwrap_or_default();
        media.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
    })
}

/// Parameters by name; `None` when one comes twice.
pub(super) fn parameters(encoded: &[u8]) -> Option<HashMap<String, String>> {
    let mut found = HashMap::new();
    for (name, value) in form_urlencoded::parse(encoded).into_owned() {
        if found.insert(name, value).is_some() {
            return None;
        }
    }
    Some(found)
}
