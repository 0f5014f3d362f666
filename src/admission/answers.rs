//! Answers in the form that the caller can use: a redirect, a page, or JSON.
//!
//! *Source:* RFC 9470 §3 (step-up challenge); RFC 6750 §3.

use std::collections::BTreeMap;

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use serde_json::json;

use super::{Refusal, Site};
use crate::login::{CameFrom, Given, Jar, LoginError, Start, WORD};
use crate::pages::{Language, Page, Visit, error_json};
use crate::policy::{Ask, Reason};
use crate::provider::{Failure, Provider, Trouble};
use crate::reply::Reply;
use crate::request::{Kind, View};
use crate::route::Route;
use crate::session::Session;
use crate::telemetry::{AUDIT, count_login};

/// An address of our own that a login cookie has room for.
const LONGEST_AGAIN: usize = 2048;
/// Seconds after a login in which the page that it led to counts as the next step of it.
const NEXT_STEP: u64 = 60;

/// Who waits for an answer of ours.
pub(crate) struct Caller<'r> {
    pub(crate) site: &'r Site,
    pub(crate) head: &'r Parts,
    pub(crate) request_id: &'r str,
    /// Unix seconds.
    pub(crate) now: u64,
}

impl Caller<'_> {
    pub(super) fn kind(&self) -> Kind {
        Kind::of(&self.head.method, &self.head.headers)
    }

    pub(super) fn language(&self) -> Language {
        let header = self.head.headers.get(header::ACCEPT_LANGUAGE);
        Language::choose(header.and_then(|value| value.to_str().ok()))
    }

    /// Whose doing a request for `target` is (W3C Fetch Metadata); a browser that does not tell is not believed.
    ///
    /// What comes back from a provider is another site's doing to the browser, but when the login of a moment ago was
    /// to lead just there, it is a step of ours.
    pub(super) fn came_from(&self, session: Option<&Session>, target: &str) -> CameFrom {
        let site = text(self.head, &HeaderName::from_static("sec-fetch-site"));
        let is_next_step = session.is_some_and(|session| {
            *session.login.target == *target && self.now.saturating_sub(session.created) < NEXT_STEP
        });
        match site {
            Some("same-origin" | "none") => CameFrom::Here,
            _ if is_next_step => CameFrom::Here,
            Some(_) | None => CameFrom::Elsewhere,
        }
    }

    /// A page for people.
    pub(crate) fn page(&self, page: &Page<'_>) -> Reply {
        self.page_leading_to(page, Vec::new())
    }

    /// A page whose form leads, by redirects, to these origins too.
    pub(super) fn page_leading_to(&self, page: &Page<'_>, mut form_action: Vec<String>) -> Reply {
        // Browsers apply `form-action` to the redirects that answer a posted form: to a login, and to a logout.
        let providers = self.site.login.doors.values().map(|door| &door.provider);
        form_action
            .extend(providers.flat_map(|p| [p.authorization_origin(), p.end_session_origin()]).flatten());
        form_action.sort_unstable();
        form_action.dedup();
        let visit = Visit {
            language: self.language(),
            request_id: self.request_id,
            home: "/",
            form_action: &form_action,
        };
        self.site.pages.render(page, &visit)
    }

    /// A page for people, JSON with the same status and headers for programs.
    pub(crate) fn refuse(&self, page: &Page<'_>) -> Reply {
        if self.kind().is_person() {
            return self.page(page);
        }
        self.refuse_program(page)
    }

    /// JSON for whoever is surely a program.
    pub(super) fn refuse_program(&self, page: &Page<'_>) -> Reply {
        let error = page.error().unwrap_or("error");
        let mut reply = error_json(page.status(), error, page.reason(), self.request_id);
        if let Page::MethodNotAllowed { allow } = page
            && let Ok(allow) = HeaderValue::try_from(*allow)
        {
            reply = reply.with(header::ALLOW, allow);
        }
        if let Page::StoreDown = page {
            reply = reply.with(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        reply
    }

    /// The path that begins a login, with what it should lead to.
    pub(super) fn login_path(&self, provider: Option<&str>, target: &str) -> String {
        self.login_path_with(provider, target, &BTreeMap::new())
    }

    /// The same with further parameters, which never replace those two.
    pub(super) fn login_path_with(
        &self,
        provider: Option<&str>,
        target: &str,
        more: &BTreeMap<&str, String>,
    ) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("rd", target);
        if let Some(provider) = provider {
            query.append_pair("provider", provider);
        }
        query.extend_pairs(more.iter().filter(|(name, _)| !["rd", "provider"].contains(*name)));
        format!("{}?{}", self.site.table.endpoints.path("login"), query.finish())
    }
}

/// Answers a request that does not pass.
pub(super) async fn refusal(caller: &Caller<'_>, view: &View<'_>, route: &Route, refusal: Refusal) -> Reply {
    match refusal {
        Refusal::Forbid(reason) => {
            let logout = caller.site.table.endpoints.path("logout");
            caller.refuse(&Page::Forbidden { reason: reason.word(), logout: Some(&logout) })
        }
        Refusal::Machine(reason) => {
            caller.refuse_program(&Page::Forbidden { reason: reason.word(), logout: None })
        }
        Refusal::Token(reply) => *reply,
        Refusal::Login { ask, session } => {
            let session = session.as_deref();
            let given = Given {
                dtbd: route.dtbd.as_deref(),
                identity: session.map(|session| &session.identity),
                query: None,
                from: caller.came_from(session, &view.target()),
            };
            login_needed(caller, view, &ask, given).await
        }
    }
}

/// Answers a request that a login would help.
async fn login_needed(caller: &Caller<'_>, view: &View<'_>, ask: &Ask, given: Given<'_>) -> Reply {
    match caller.kind() {
        Kind::Navigation => {
            let target = caller.site.table.origins.page_target(&view.host, &view.target());
            begin(caller, &view.host, ask, &target, given).await
        }
        Kind::PostedForm => {
            // The page that holds the form, not the address that it posts to, is where somebody goes on.
            let referer = view.header(&header::REFERER);
            let target = referer.and_then(|page| caller.site.table.origins.read_target(&view.host, page));
            let login = caller.login_path(None, target.as_deref().unwrap_or("/"));
            caller.page(&Page::SignedOutForm { login: &login }).with(header::WWW_AUTHENTICATE, challenge(ask))
        }
        Kind::Program => login_required(caller, view, ask),
    }
}

/// "Who am I" without a session: 401, with a way to sign in for people.
pub(super) fn not_signed_in(caller: &Caller<'_>, view: &View<'_>) -> Reply {
    let ask = Ask { reason: Reason::NoSession, providers: Vec::new(), acr: Vec::new(), max_age: None };
    match caller.kind() {
        Kind::Navigation | Kind::PostedForm => {
            let login = caller.login_path(None, &view.target());
            caller.page(&Page::NotSignedIn { login: &login })
        }
        Kind::Program => login_required(caller, view, &ask),
    }
}

pub(super) fn login_required(caller: &Caller<'_>, view: &View<'_>, ask: &Ask) -> Reply {
    let origin = caller.site.table.origins.of(&view.host);
    let login_url = format!("{origin}{}", caller.site.table.endpoints.path("login"));
    let mut body =
        json!({ "error": error_word(ask), "login_url": login_url, "request_id": caller.request_id });
    if is_step_up(ask) {
        body["acr_values"] = json!(ask.acr.join(" "));
        body["max_age"] = json!(ask.max_age.map(|age| age.as_secs()));
    }
    Reply::json(StatusCode::UNAUTHORIZED, &body)
        .with(header::WWW_AUTHENTICATE, challenge(ask))
        .because(ask.reason.word())
}

/// Begins a login and sends the browser to the provider, or says why it cannot be begun.
pub(super) async fn begin(
    caller: &Caller<'_>,
    host: &str,
    ask: &Ask,
    target: &str,
    given: Given<'_>,
) -> Reply {
    let site = caller.site;
    let origins = &site.table.origins;
    if origins.is_wildcard_only(host) {
        // Redirect URIs are registered for exact hosts: the login runs on public_url's.
        let page = if target.starts_with('/') { origins.of(host) + target } else { target.to_owned() };
        // What the other host would not take is left out here.
        let page =
            origins.read_target(origins.public_host(), &page).unwrap_or_else(|| origins.of(host) + "/");
        let only = ask.only_provider();
        let door = only.and_then(|id| site.login.doors.get(id));
        let mut more = door.map(|door| given.carried(door.provider.settings())).unwrap_or_default();
        more.extend(given.level());
        let login = caller.login_path_with(only.map(|id| &**id), &page, &more);
        return Reply::redirect(StatusCode::FOUND, &format!("{}{login}", origins.of(origins.public_host())));
    }
    let Some(door) = ask.only_provider().and_then(|id| site.login.doors.get(id)) else {
        // Which one is the person's to say.
        let choice = caller.login_path(None, target);
        return Reply::redirect(StatusCode::FOUND, &choice).because(ask.reason.word());
    };
    let wanted = site.login.acr_to_ask(door.provider.id(), &ask.acr);
    let mut more = given.carried(door.provider.settings());
    more.extend(wanted.map(|acr| ("acr", acr.to_owned())));
    let again = caller.login_path_with(Some(door.provider.id()), target, &more);
    if site.login.needs_a_word(&door.provider, ask, &given) {
        let (word, cookie) = site.login.word();
        more.insert(WORD, word);
        let login = caller.login_path_with(Some(door.provider.id()), target, &more);
        let page = caller.page(&Page::BeginLogin { login: &login }).because("begun-elsewhere");
        return with_cookies(page, vec![cookie]);
    }
    let origin = origins.of(host);
    let languages = Language::wanted(text(caller.head, &header::ACCEPT_LANGUAGE));
    let start = Start {
        origin: &origin,
        target,
        // A target that is long already says enough: its route asks for the level once more.
        again: if again.len() <= LONGEST_AGAIN { &again } else { target },
        languages: &languages,
        language: caller.language().tag(),
        given,
        now: caller.now,
    };
    let jar = Jar { headers: &caller.head.headers };
    match site.login.begin(&door.provider, ask, start, jar).await {
        Ok(begun) => {
            tracing::debug!(
                login.step = "begun", provider.name = %door.provider.id(), request.id = caller.request_id,
                policy.reason = ask.reason.word(), "login begun"
            );
            let reply = Reply::redirect(StatusCode::FOUND, begun.location.as_str());
            with_cookies(reply, begun.set_cookies).because(ask.reason.word())
        }
        Err(error) => {
            note_failure(caller, door.provider.id(), &error);
            failed(caller, &error, Some((&door.provider, target)))
        }
    }
}

/// Notes a login that failed; the provider is empty where it is not known.
pub(super) fn note_failure(caller: &Caller<'_>, provider: &str, error: &LoginError) {
    let trace = error.trace().unwrap_or_default();
    tracing::warn!(
        target: AUDIT, { audit.event = "login", audit.result = "failed", policy.reason = error.reason(),
        audit.subject = caller.site.audit_subject.of_key(error.user_key()),
        provider.name = provider, provider.trace = trace, request.id = caller.request_id,
        error.message = %error }, "login failed");
    count_login(provider, error.reason());
}

/// The page of a login that failed, with a way to try again where it is known what was wanted.
pub(super) fn failed(caller: &Caller<'_>, error: &LoginError, login: Option<(&Provider, &str)>) -> Reply {
    let again = match login {
        Some((provider, target)) => caller.login_path(Some(provider.id()), target),
        None => caller.login_path(None, "/"),
    };
    let again = again.as_str();
    match error {
        LoginError::Stale(_) => caller.refuse(&Page::LoginStale { again: Some(again) }),
        LoginError::Refused(error) => {
            caller.refuse(&Page::LoginFailed { trouble: error.trouble, trace: error.trace.as_deref(), again })
        }
        LoginError::TooWeak { wanted, .. } => caller.refuse(&Page::TooWeak { wanted, again }),
        LoginError::NotEnrolled { .. } => caller.refuse(&Page::NotEnrolled),
        LoginError::OtherPhone { .. } => {
            caller.refuse(&Page::LoginFailed { trouble: Trouble::SerialMismatch, trace: None, again })
        }
        LoginError::Enrolments(_) => caller.refuse(&Page::Broken),
        LoginError::Provider(failure) => caller.refuse(&provider_page(failure, again)),
    }
}

/// Adds cookies to an answer.
pub(super) fn with_cookies(mut reply: Reply, cookies: Vec<String>) -> Reply {
    for cookie in cookies {
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            reply = reply.and(header::SET_COOKIE, cookie);
        }
    }
    reply
}

fn is_step_up(ask: &Ask) -> bool {
    matches!(ask.reason, Reason::AcrNotMet | Reason::NotFresh)
}

fn error_word(ask: &Ask) -> &'static str {
    if is_step_up(ask) { "insufficient_user_authentication" } else { "login_required" }
}

/// RFC 9470 §3 where a session is there and too weak, else RFC 6750 §3 with the realm alone.
fn challenge(ask: &Ask) -> HeaderValue {
    let mut text = "Bearer realm=\"midgate\"".to_owned();
    if is_step_up(ask) {
        text.push_str(", error=\"insufficient_user_authentication\"");
        if !ask.acr.is_empty() {
            text.push_str(&format!(", acr_values=\"{}\"", ask.acr.join(" ")));
        }
        if let Some(max_age) = ask.max_age {
            text.push_str(&format!(", max_age=\"{}\"", max_age.as_secs()));
        }
    }
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer realm=\"midgate\""))
}

/// `Allow` of an own path.
pub(super) fn wrong_method(caller: &Caller<'_>, allow: &str) -> Reply {
    caller.refuse(&Page::MethodNotAllowed { allow })
}

/// One header, for own answers.
pub(super) fn text<'h>(head: &'h Parts, name: &HeaderName) -> Option<&'h str> {
    head.headers.get(name).and_then(|value| value.to_str().ok())
}

/// The page of a fault between us and the provider.
fn provider_page<'a>(failure: &'a Failure, again: &'a str) -> Page<'a> {
    match failure {
        Failure::NoAnswer(_) => Page::ProviderNoAnswer { again },
        Failure::Unreachable(_) | Failure::Metadata(_) | Failure::Cold(_) => {
            Page::ProviderUnavailable { again }
        }
        // Out of order is not the same as not to be believed.
        Failure::Status { status: 500.., .. } => Page::ProviderUnavailable { again },
        Failure::MissingClaim(claim) => Page::MissingClaim { claim, again },
        Failure::Status { .. }
        | Failure::BadAnswer { .. }
        | Failure::TokenRefused(_)
        | Failure::PushRefused(_)
        | Failure::CannotSign
        | Failure::Answer(_)
        | Failure::IdToken(_)
        | Failure::LogoutToken(_)
        | Failure::AccessToken(_)
        | Failure::UserInfo(_) => Page::ProviderBadAnswer { reason: failure.reason(), again },
    }
}
