//! The way in: what becomes of each request, as an ordered list of steps.
//!
//! *Never:* Pingora, or how bytes travel; `proxy` carries out what is said here.
//! *Source:* ARCHITECTURE "One request".

mod answers;
mod assertion;
mod audit;
mod auth;
mod bearer;
mod endpoints;
mod entrance;
mod logout;
mod policies;
mod provider_logout;
mod refresh;

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, StatusCode};

use crate::assertion::{Assertions, Published};
use crate::headers::{Contract, Ready, permitted};
use crate::login::Login;
use crate::pages::{Page, Pages};
use crate::policy::{Access, Ask, Decision, Known, Permit, Reason, decide};
use crate::reply::Reply;
use crate::request::{self, Certificate, Found as FoundCookie, Malformed, View, find_cookie};
use crate::route::{Found, Own, Route, Table};
use crate::seal::{Mac, Sealer};
use crate::session::{Session, SessionId, Sessions, Shape, Warm};

pub(crate) use self::answers::Caller;
pub(crate) use self::audit::AuditSubject;
pub(crate) use self::bearer::Bearers;
pub(crate) use self::endpoints::answer as answer_own;

/// One generation of the configuration, complete: what every request is held against.
pub(crate) struct Site {
    pub(crate) shape: Shape,
    pub(crate) table: Table,
    pub(crate) contract: Contract,
    /// Signs identities for applications, where `[assertion]` asks for it.
    pub(crate) assertions: Option<(Assertions, Published)>,
    pub(crate) login: Login,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) pages: Pages,
    /// Makes the anti-forgery value of the logout form.
    pub(crate) csrf: Mac,
    /// Seals where a browser goes on that signs out at the provider.
    pub(crate) returning: Sealer,
    /// Every provider, in the configuration's order.
    pub(crate) providers: Vec<Arc<str>>,
    /// Issuers of tokens of machines.
    pub(crate) bearers: Bearers,
    /// Cookies of applications that a logout deletes too.
    pub(crate) clear_cookies: Vec<String>,
    pub(crate) audit_subject: AuditSubject,
}

/// What becomes of a request.
pub(crate) enum Admitted {
    /// It goes to the route's upstream.
    Pass(Passage),
    /// It is for one of our own paths, and may have a body to read first.
    Own(Own),
    /// It is answered at once.
    Reply(Box<Reply>, Option<Arc<Route>>),
}

/// A request on its way to an upstream.
pub(crate) struct Passage {
    pub(crate) route: Arc<Route>,
    pub(crate) permit: Permit,
    /// The session whose identity goes along, with what it has ready.
    pub(crate) session: Option<(Arc<Session>, Arc<Warm>)>,
    /// Identity headers that speak of the connection too; mostly none.
    pub(crate) of_connection: Vec<Ready>,
}

/// A request's head, as it stood on the wire.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'r> {
    pub(crate) head: &'r Parts,
    /// The target in origin form, byte for byte.
    pub(crate) target: &'r [u8],
    pub(crate) request_id: &'r str,
    /// Unix seconds.
    pub(crate) now: u64,
    /// The verified client certificate of the connection.
    pub(crate) certificate: Option<&'r Certificate>,
    /// Whether the peer of the connection is one of `trusted_proxies`.
    pub(crate) peer_is_trusted: bool,
    /// Who the client is, after trusted proxies; none on a unix socket whose peer does not say.
    pub(crate) client: Option<IpAddr>,
}

/// Why a request on a route does not pass.
pub(crate) enum Refusal {
    /// A login would help; the session that is not enough, where there is one.
    Login { ask: Ask, session: Option<Arc<Session>> },
    /// No login helps.
    Forbid(Reason),
    /// The same for a machine, which is surely no person at a browser.
    Machine(Reason),
    /// A machine's token does not count; its answer.
    Token(Box<Reply>),
}

/// Decides what becomes of a request.
pub(crate) async fn admit(site: &Site, arrival: Arrival<'_>) -> Admitted {
    let caller = arrival.caller(site);
    // 1. One canonical view, or nothing is decided at all.
    let view = match request::read(arrival.head, arrival.target) {
        Ok(view) => view,
        Err(malformed) => {
            let reply = caller.refuse(&malformed_page(malformed));
            return Admitted::Reply(Box::new(reply), None);
        }
    };
    // 2. The route.
    let route = match site.table.find(&view.host, &view.path, view.method) {
        Found::Route(route) if route.upstream.is_somewhere() => route,
        Found::Own(Own::Auth) => {
            // Boxed, so that requests that are proxied do not carry its room along.
            let (reply, route) = Box::pin(auth::answer(site, arrival, &view)).await;
            return Admitted::Reply(Box::new(reply), route);
        }
        Found::Own(own) => return Admitted::Own(own),
        other => return Admitted::Reply(Box::new(no_route(&caller, &other)), None),
    };
    match decide_on(site, arrival, &view, route).await {
        Ok(passage) => Admitted::Pass(passage),
        Err(refusal) => {
            let reply = answers::refusal(&caller, &view, route, refusal).await;
            Admitted::Reply(Box::new(reply), Some(Arc::clone(route)))
        }
    }
}

/// Decides on a request on its route: the same for a request that is proxied and for one that is only described.
async fn decide_on(
    site: &Site,
    arrival: Arrival<'_>,
    view: &View<'_>,
    route: &Arc<Route>,
) -> Result<Passage, Refusal> {
    // 3., 4. The machine whose token is shown where the route takes them, else the session, unless the route is public.
    let mut machine = None;
    if !route.bearer.is_empty() {
        machine = bearer::machine(&arrival.caller(site), view, route).await.map_err(Refusal::Token)?;
    }
    let is_machine = machine.is_some();
    let session = match route.access {
        Access::Public => None,
        // A token that is shown is what the caller wants to be judged by: no cookie beside it counts.
        Access::Required | Access::Optional if is_machine => machine,
        Access::Required | Access::Optional => site.session(view, arrival.now).await,
    };
    if let Some(session) = &session {
        site.refresh_if_due(session, arrival.now);
    }
    // 5. The decision.
    let session = session.map(|session| {
        let warm = session.warm(site.shape);
        (session, warm)
    });
    let known = session.as_ref().map(|(session, warm)| {
        let standing = warm.standing(session, &route.requirement);
        Known {
            provider: &session.identity.provider,
            standing,
            auth_time: session.identity.auth_time,
            policy: site.ask_policies(route, (session, warm), standing, view, arrival),
        }
    });
    let certificate = arrival.certificate;
    let decision = decide(route.access, &route.requirement, known, certificate, arrival.now);
    match if is_machine { decision.without_login() } else { decision } {
        Decision::Permit(permit) => {
            let session = session.filter(|_| permit.identified());
            let held = session.as_ref().filter(|_| !route.fields.of_connection.is_empty());
            let of_connection = held.map(|(held, _)| held.headers_of_connection(&route.fields, certificate));
            let of_connection = of_connection.unwrap_or_default();
            Ok(Passage { route: Arc::clone(route), permit, session, of_connection })
        }
        Decision::Login(ask) => Err(Refusal::Login { ask, session: session.map(|(session, _)| session) }),
        Decision::Forbid(reason) if is_machine => Err(Refusal::Machine(reason)),
        Decision::Forbid(reason) => Err(Refusal::Forbid(reason)),
    }
}

impl Passage {
    /// The identity headers that go to the application: those of the route, when a session was permitted.
    pub(crate) fn identity_headers(&self) -> &[Ready] {
        let ready = self.session.as_ref().map(|(session, warm)| warm.ready(session, &self.route.fields));
        permitted(self.permit, ready.unwrap_or_default())
    }
}

impl Site {
    /// The live session that a request's cookie names. Everything that is no good id is simply no session.
    pub(crate) async fn session(&self, view: &View<'_>, now: u64) -> Option<Arc<Session>> {
        let FoundCookie::One(value) = find_cookie(view.headers, &self.contract.cookies.session) else {
            return None;
        };
        self.sessions.find(&SessionId::parse(value)?.key(), now).await
    }
}

impl<'r> Arrival<'r> {
    /// Who asks, for answers of our own.
    pub(crate) fn caller(self, site: &'r Site) -> Caller<'r> {
        Caller { site, head: self.head, request_id: self.request_id, now: self.now }
    }
}

/// Answers at a listener of plain http that only leads to https.
///
/// By 308 (RFC 9110 §15.4.9), which no client turns into another method, and for GET and HEAD only: whoever posts there
/// has already shown to everybody what it posts, and must learn of it.
pub(crate) fn to_https(site: &Site, arrival: Arrival<'_>) -> Reply {
    let caller = arrival.caller(site);
    let view = match request::read(arrival.head, arrival.target) {
        Ok(view) => view,
        Err(malformed) => return caller.refuse(&malformed_page(malformed)),
    };
    if let Found::UnknownHost = site.table.find(&view.host, &view.path, view.method) {
        return caller.refuse(&Page::UnknownHost);
    }
    if !matches!(*view.method, Method::GET | Method::HEAD) {
        return caller.refuse(&Page::MethodNotAllowed { allow: "GET, HEAD" });
    }
    let place = site.table.origins.of(&view.host) + &view.target();
    Reply::redirect(StatusCode::PERMANENT_REDIRECT, &place)
}

fn malformed_page(malformed: Malformed) -> Page<'static> {
    match malformed {
        // RFC 9110 §15.5.6: no path of ours takes the method.
        Malformed::Method => Page::MethodNotAllowed { allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" },
        Malformed::Target
        | Malformed::AmbiguousPath
        | Malformed::Host
        | Malformed::DoubledHeader
        | Malformed::Description
        | Malformed::Framing => Page::BadRequest { reason: malformed.word() },
    }
}

/// Answers a request that no route forwards.
fn no_route(caller: &Caller<'_>, found: &Found<'_>) -> Reply {
    let page = match found {
        // A route without an upstream answers at the authorization endpoint only; our own paths lead to no upstream.
        Found::Route(_) | Found::Own(_) | Found::Nothing => Page::NotFound,
        Found::MethodNotAllowed(allow) => Page::MethodNotAllowed { allow },
        Found::UnknownHost => Page::UnknownHost,
        Found::Ambiguous => malformed_page(Malformed::AmbiguousPath),
    };
    caller.refuse(&page)
}
