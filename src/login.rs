//! One login, from the first redirect to the session: what is asked, who may finish it, and once only.
//!
//! *Never:* routes, or how an answer looks. HTTP to the provider is `provider`'s.
//! *Source:* OIDC Core §3.1, RFC 6749 §10.12, RFC 7636, RFC 9207; ARCHITECTURE "One login".

mod answer;
mod given;
mod level4;
mod pending;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use url::Url;

use crate::enrolment::Enrolments;
use crate::headers::CookieNames;
use crate::identity::Identity;
use crate::policy::{Ask, Ladder, Reason, is_fresh};
use crate::provider::{
    Authorization, ENROLLED, Failure, Freshness, NotSent, Provider, ProviderError, Redemption,
};
use crate::seal::{Sealer, random};
use crate::session::{Fresh, Key, LoginTrace, Session, hash};

pub(crate) use self::answer::{AGAIN, Answer, Said};
pub(crate) use self::given::{CameFrom, Given};
pub(crate) use self::level4::{first_level, is_level4};
pub(crate) use self::pending::{Jar, PendingLogin, WORD};

use self::level4::Plan;

/// `[login]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// From the authorization request to the callback.
    pub(crate) timeout: Duration,
    /// Logins under way per browser.
    pub(crate) pending: usize,
}

/// A provider with what the login story must know of it.
pub(crate) struct Door {
    pub(crate) provider: Arc<Provider>,
    pub(crate) ladder: Ladder,
    pub(crate) phones: Phones,
}

/// Where a login at level 4 learns which phone must answer.
#[derive(Debug, Clone)]
pub(crate) enum Phones {
    /// Nowhere: what is asked for is all that is known.
    Unknown,
    /// From what each person enrolled.
    Enrolled(Arc<Enrolments>),
    /// From the very session that is to be raised, which proves nothing about the phone.
    InsecureSession,
}

/// Everything that logins need, for one configuration.
pub(crate) struct Login {
    pub(crate) settings: Settings,
    pub(crate) doors: HashMap<Arc<str>, Door>,
    pub(crate) sealer: Sealer,
    pub(crate) cookies: CookieNames,
    /// Path of the callback.
    pub(crate) callback: String,
    /// States that came back already (I5); shared by all configurations of the process.
    pub(crate) consumed: Consumed,
}

/// States that were used.
pub(crate) type Consumed = Cache<Key, ()>;

/// A set of consumed states that forgets them when their logins are too old anyway; a reload may lengthen that.
pub(crate) fn consumed(timeout: Duration) -> Consumed {
    let longest = timeout.max(Duration::from_secs(24 * 3600));
    // An admission policy would turn new states away when full.
    let policy = EvictionPolicy::lru();
    Cache::builder().max_capacity(1_000_000).eviction_policy(policy).time_to_live(longest).build()
}

/// Where a login starts from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    /// Origin of the request, such as `https://app.example.ch`: login, cookies and callback stay there.
    pub(crate) origin: &'a str,
    /// The page to return to.
    pub(crate) target: &'a str,
    /// The address of our own that begins this login again, for somebody who must first be known.
    pub(crate) again: &'a str,
    /// The languages that the visitor wants, the most wanted first.
    pub(crate) languages: &'a [&'a str],
    /// The language of our own pages for this visitor.
    pub(crate) language: &'a str,
    pub(crate) given: Given<'a>,
    /// Unix seconds.
    pub(crate) now: u64,
}

/// A login under way: where to send the browser, and the cookies to set and to delete.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) location: Url,
    pub(crate) set_cookies: Vec<String>,
}

/// A callback as it arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Return<'a> {
    pub(crate) origin: &'a str,
    pub(crate) answer: &'a Answer,
    /// The live session of the browser, if it has one.
    pub(crate) session: Option<&'a Session>,
    pub(crate) now: u64,
}

/// How a callback ended well.
#[derive(Debug)]
pub(crate) enum Finished {
    /// A new session is to be made; the browser goes on to `target`.
    SignedIn { fresh: Box<Fresh>, target: String },
    /// The same callback came before and made this browser's session.
    Again { target: String },
}

/// Why a login did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// State or cookie: nothing proves that this browser began the login, or it did so too long ago.
    #[error("login is stale: {0}")]
    Stale(&'static str),
    /// The provider or the person refused, in so many words.
    #[error("provider answered with an error: {}", .0.error)]
    Refused(ProviderError),
    /// A call to the provider, or a check of what it said, failed.
    #[error(transparent)]
    Provider(#[from] Failure),
    /// The level or the freshness asked for was not reached (I6).
    #[error("login came back weaker than asked: {}", .reason.word())]
    TooWeak { reason: Reason, wanted: String },
    /// The highest level needs a phone that is known, and this person's is not.
    #[error("nothing is enrolled for the person")]
    NotEnrolled { user_key: String },
    /// Another phone, or another person's, answered than the enrolled one.
    #[error("another phone answered than the enrolled one")]
    OtherPhone { user_key: String },
    /// What people enrolled cannot be read or written.
    #[error("enrolments: {0}")]
    Enrolments(std::io::Error),
}

impl From<NotSent> for LoginError {
    fn from(error: NotSent) -> Self {
        match error {
            NotSent::Refused(error) => Self::Refused(error),
            NotSent::Failed(failure) => Self::Provider(failure),
        }
    }
}

impl LoginError {
    /// The word for logs and metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Stale(reason) => reason,
            Self::Refused(error) => error.trouble.word(),
            Self::Provider(failure) => failure.reason(),
            Self::TooWeak { reason, .. } => reason.word(),
            Self::NotEnrolled { .. } => "not-enrolled",
            Self::OtherPhone { .. } => "other-phone",
            Self::Enrolments(_) => "enrolments-unreadable",
        }
    }
}

impl LoginError {
    /// The person whom the operator must look after.
    pub(crate) fn user_key(&self) -> Option<&str> {
        match self {
            Self::NotEnrolled { user_key } | Self::OtherPhone { user_key } => Some(user_key),
            Self::Stale(_) | Self::Refused(_) | Self::Provider(_) => None,
            Self::TooWeak { .. } | Self::Enrolments(_) => None,
        }
    }

    /// What the provider's support asks for.
    pub(crate) fn trace(&self) -> Option<&str> {
        match self {
            Self::Refused(error) => error.trace.as_deref(),
            Self::Stale(_) | Self::Provider(_) | Self::TooWeak { .. } => None,
            Self::NotEnrolled { .. } | Self::OtherPhone { .. } | Self::Enrolments(_) => None,
        }
    }
}

/// A failed login with what the page needs to offer another try.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: LoginError,
    /// The provider and the page asked for, where the login was known.
    pub(crate) login: Option<(Arc<str>, String)>,
}

impl From<LoginError> for Failed {
    fn from(error: LoginError) -> Self {
        Self { error, login: None }
    }
}

impl Login {
    /// Whether somebody else could have begun a login that makes a phone ring: the person is asked first.
    pub(crate) fn needs_a_word(&self, provider: &Provider, ask: &Ask, given: &Given<'_>) -> bool {
        given.from == CameFrom::Elsewhere && given.rings(provider.settings(), self.level_asked(provider, ask))
    }

    /// Begins a login at a provider; the pending login goes into a sealed cookie of its own.
    ///
    /// # Errors
    /// The provider cannot be asked: no metadata, or it refuses.
    pub(crate) async fn begin(
        &self,
        provider: &Provider,
        ask: &Ask,
        start: Start<'_>,
        jar: Jar<'_>,
    ) -> Result<Begun, LoginError> {
        let door = self.doors.get(provider.id());
        let wanted = self.acr_to_ask(provider.id(), &ask.acr);
        let signed_in = start.given.identity.filter(|identity| *identity.provider == **provider.id());
        let phones = door.map_or(&Phones::Unknown, |door| &door.phones);
        let plan = Plan::make(phones, self.level_asked(provider, ask), signed_in).await?;
        let (acr, target, levels) = match plan {
            Plan::AsAsked | Plan::WithPhone(_) => (wanted, start.target, ask.acr.clone()),
            // Back to where the login began, then as somebody who is known.
            Plan::IdentifyFirst => (door.and_then(|door| first_level(&door.ladder)), start.again, Vec::new()),
        };
        let phone = plan.phone();
        let mut pending = PendingLogin {
            state: token(),
            nonce: token(),
            verifier: token(),
            provider: provider.id().to_string(),
            origin: start.origin.to_owned(),
            target: target.to_owned(),
            acr: levels,
            max_age: ask.max_age.map(|age| age.as_secs()),
            freshness: Freshness::AuthTime,
            phone_of: signed_in.filter(|_| phone.is_some()).map(|identity| identity.user_key.to_string()),
            begun: start.now,
        };
        let sent = provider
            .authorization(&Authorization {
                redirect_uri: &self.redirect_uri(start.origin),
                state: &pending.state,
                nonce: &pending.nonce,
                // RFC 7636 §4.2.
                code_challenge: &URL_SAFE_NO_PAD.encode(hash(pending.verifier.as_bytes())),
                acr,
                fresh: ask.max_age.is_some(),
                max_age: ask.max_age,
                ui_locale: provider.locale(start.languages, start.language).as_deref(),
                domain_hint: None,
                dtbd: start.given.dtbd,
                find: &|name| match name.strip_prefix(ENROLLED) {
                    Some(field) => phone.and_then(|phone| phone.find(field)).map(Into::into),
                    None => start.given.find(provider.id(), name),
                },
                now: start.now,
            })
            .await?;
        pending.freshness = sent.freshness;
        Ok(Begun { location: sent.location, set_cookies: jar.add(&pending, self, start.now) })
    }

    /// Finishes a login: cheap checks first, then the network (I4).
    ///
    /// # Errors
    /// Everything that keeps the login from making a session; the page says which.
    pub(crate) async fn finish(&self, back: Return<'_>, jar: Jar<'_>) -> Result<Finished, Failed> {
        let state = back.answer.state.as_str();
        let trace = hash(state.as_bytes());
        if let Some(target) = repeated(back, &trace) {
            return Ok(Finished::Again { target });
        }
        let pending = jar.find(state, self).ok_or(LoginError::Stale("no-login-cookie"))?;
        self.check(&pending, back)?;
        let failed = |error: LoginError| Failed {
            error,
            login: Some((pending.provider.as_str().into(), pending.target.clone())),
        };
        let door = self.doors.get(pending.provider.as_str()).ok_or(LoginError::Stale("provider-is-gone"))?;
        // RFC 9207 §2.4: before the answer is acted on in any way.
        door.provider.check_answer_iss(back.answer.iss.as_deref()).map_err(|e| failed(e.into()))?;
        // I5: once, whatever comes of it.
        if !self.consumed.entry(trace).or_insert(()).is_fresh() {
            return Err(LoginError::Stale("state-was-used").into());
        }
        let code = match &back.answer.said {
            Said::Code(code) => code,
            Said::Error(error) => return Err(failed(LoginError::Refused(error.clone()))),
        };
        let mut verified = door
            .provider
            .redeem(&Redemption {
                code: code.expose(),
                redirect_uri: &self.redirect_uri(back.origin),
                code_verifier: &pending.verifier,
                nonce: &pending.nonce,
                now: back.now,
            })
            .await
            .map_err(|failure| failed(failure.into()))?;
        verified.identity.auth_time = pending.auth_time(verified.identity.auth_time);
        weaker(&pending, &door.ladder, &verified.identity, back.now).map_err(failed)?;
        level4::check(&door.phones, &pending, &door.ladder, &verified.identity, &verified.phone)
            .await
            .map_err(failed)?;
        let mut identity = verified.identity;
        if let Some(earlier) = back.session.filter(|_| pending.is_step_up()) {
            identity.inherit(&earlier.identity);
        }
        let until = back.now.saturating_add(self.settings.timeout.as_secs());
        let login = LoginTrace { state: trace, target: pending.target.as_str().into(), until };
        let sid = verified.sid.map(Into::into);
        let fresh =
            Box::new(Fresh { identity, sid, issued: verified.issued, login, tokens: verified.tokens });
        Ok(Finished::SignedIn { fresh, target: pending.target })
    }

    /// What can be said of a pending login without asking anybody.
    fn check(&self, pending: &PendingLogin, back: Return<'_>) -> Result<(), LoginError> {
        // The jar found the cookie by a hash of the state; the state itself is compared in constant time.
        let same_state: bool =
            subtle::ConstantTimeEq::ct_eq(pending.state.as_bytes(), back.answer.state.as_bytes()).into();
        if !same_state {
            return Err(LoginError::Stale("state-mismatch"));
        }
        if pending.origin != back.origin {
            return Err(LoginError::Stale("other-origin"));
        }
        if pending.is_too_old(self.settings.timeout, back.now) {
            return Err(LoginError::Stale("login-expired"));
        }
        Ok(())
    }

    /// The one value to ask for: the first that the provider's ladder knows.
    pub(crate) fn acr_to_ask<'a>(&self, provider: &str, wanted: &'a [String]) -> Option<&'a str> {
        let ladder = &self.doors.get(provider)?.ladder;
        ladder.first_known(wanted).or(wanted.first()).map(String::as_str)
    }

    /// The same, or the provider's own wish where the page wants nothing.
    fn level_asked<'a>(&self, provider: &'a Provider, ask: &'a Ask) -> Option<&'a str> {
        self.acr_to_ask(provider.id(), &ask.acr).or(provider.settings().acr_values.as_deref())
    }

    fn redirect_uri(&self, origin: &str) -> String {
        format!("{origin}{}", self.callback)
    }
}

/// The target of the login that made the browser's session, when this callback is that login's again.
fn repeated(back: Return<'_>, trace: &Key) -> Option<String> {
    let login = &back.session?.login;
    (login.state == *trace && back.now < login.until).then(|| login.target.to_string())
}

/// I6: a login that is weaker than asked ends in a page, never in a session or another login.
fn weaker(pending: &PendingLogin, ladder: &Ladder, identity: &Identity, now: u64) -> Result<(), LoginError> {
    let too_weak = |reason| {
        let wanted = pending.acr.first().cloned().unwrap_or_default();
        Err(LoginError::TooWeak { reason, wanted })
    };
    let granted = identity.acr.as_deref();
    let reached = |wanted: &String| granted.is_some_and(|granted| ladder.meets(wanted, granted));
    if !pending.acr.is_empty() && !pending.acr.iter().any(reached) {
        return too_weak(Reason::AcrNotMet);
    }
    match pending.max_age {
        Some(max_age) if !is_fresh(Duration::from_secs(max_age), identity.auth_time, now) => {
            too_weak(Reason::NotFresh)
        }
        _ => Ok(()),
    }
}

/// 256 random bits, URL-safe, 43 characters: state, nonce and PKCE verifier (RFC 7636 §4.1).
fn token() -> String {
    URL_SAFE_NO_PAD.encode(random::<32>())
}

#[cfg(test)]
mod tests;
