//! Machines that come with a token instead of a session, on routes that take them.
//!
//! *Source:* RFC 6750 §2.1, §3; RFC 9068.

use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use http::header::{self, HeaderValue};

use super::answers::Caller;
use crate::pages::error_json;
use crate::provider::{Claimed, Failure, TokenIssuer, TokenRefusal};
use crate::reply::Reply;
use crate::request::View;
use crate::route::Route;
use crate::session::{Key, Machines, Session, hash};
use crate::telemetry::{AUDIT, count_token};

/// Refusals that are noted one by one in each second; of the rest the next note gives the number.
const NOTED: u32 = 10;

/// Every issuer of tokens, in the configuration's order: routes name them by their indices.
pub(crate) struct Bearers {
    all: Vec<Bearer>,
    notes: Mutex<Notes>,
}

struct Bearer {
    issuer: TokenIssuer,
    machines: Machines,
}

#[derive(Default)]
struct Notes {
    /// Unix seconds.
    second: u64,
    noted: u32,
    left_out: u64,
}

impl Bearers {
    /// Issuers of one generation; no token has been verified yet.
    pub(crate) fn new(issuers: Vec<TokenIssuer>) -> Self {
        let bearer = |issuer| Bearer { issuer, machines: Machines::new() };
        Self { all: issuers.into_iter().map(bearer).collect(), notes: Mutex::default() }
    }

    /// The issuers.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &TokenIssuer> {
        self.all.iter().map(|bearer| &bearer.issuer)
    }

    /// Those whose tokens a route takes.
    fn taken(&self, route: &Route) -> impl Iterator<Item = &Bearer> {
        route.bearer.iter().filter_map(|index| self.all.get(*index))
    }

    /// The issuer that the token itself names; no two of a route take the same token.
    ///
    /// # Errors
    /// The reason, and the issuer where that much is known.
    fn find(&self, route: &Route, token: &str) -> Result<&Bearer, (Option<&Bearer>, &'static str)> {
        let claimed = Claimed::read(token).map_err(|reason| (None, reason))?;
        let named = || self.taken(route).filter(|bearer| bearer.issuer.is_named_by(&claimed));
        match (named().find(|bearer| bearer.issuer.is_meant_by(&claimed)), named().next()) {
            (Some(bearer), _) => Ok(bearer),
            (None, Some(other)) => Err((Some(other), "wrong-audience")),
            (None, None) => Err((None, "unknown-issuer")),
        }
    }

    /// Whether one more refusal is to be noted at `now` (Unix seconds), and how many were not since the last one.
    fn may_note(&self, now: u64) -> Option<u64> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.second != now {
            (notes.second, notes.noted) = (now, 0);
        }
        if notes.noted >= NOTED {
            notes.left_out += 1;
            return None;
        }
        notes.noted += 1;
        Some(std::mem::take(&mut notes.left_out))
    }
}

/// The machine whose token a request shows to a route that takes tokens; `None` where none is shown.
///
/// A token that was verified before costs a hash and a look at the memory of it.
///
/// # Errors
/// The answer to a token that does not count: whoever shows one is never asked to sign in.
pub(super) async fn machine(
    caller: &Caller<'_>,
    view: &View<'_>,
    route: &Route,
) -> Result<Option<Arc<Session>>, Box<Reply>> {
    let Some(token) = view.headers.get(header::AUTHORIZATION).and_then(token) else { return Ok(None) };
    let bearers = &caller.site.bearers;
    let key = hash(token.as_bytes());
    if let Some(machine) = bearers.taken(route).find_map(|bearer| bearer.machines.find(&key, caller.now)) {
        return Ok(Some(machine));
    }
    // On the heap, since nearly no request comes here: what it holds would make every request's state larger.
    Box::pin(verified(caller, token, key, bearers.find(route, token))).await.map(Some)
}

/// Verifies a token that was not seen before, by the issuer that it names, and remembers it.
async fn verified(
    caller: &Caller<'_>,
    token: &str,
    key: Key,
    found: Result<&Bearer, (Option<&Bearer>, &'static str)>,
) -> Result<Arc<Session>, Box<Reply>> {
    let invalid = |reason| TokenRefusal::Invalid(Failure::AccessToken(reason));
    let bearer = match found {
        Ok(bearer) => bearer,
        Err((bearer, reason)) => {
            return Err(Box::new(refused(caller, bearer.map(|b| &b.issuer), &invalid(reason))));
        }
    };
    match bearer.issuer.verify(token, caller.now).await {
        Ok(shown) => {
            count_token(bearer.issuer.id(), "ok");
            let machine = bearer.machines.keep(key, shown.identity, shown.expires, caller.now);
            caller.site.audit("bearer", "ok", &machine, caller.request_id);
            Ok(machine)
        }
        Err(refusal) => Err(Box::new(refused(caller, Some(&bearer.issuer), &refusal))),
    }
}

/// What follows the scheme `Bearer`, which is read in any case (RFC 9110 §11.1); other schemes are not for us.
fn token(value: &HeaderValue) -> Option<&str> {
    let bytes = value.as_bytes();
    let (scheme, rest) = bytes.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || rest.first().is_some_and(|byte| *byte != b' ') {
        return None;
    }
    // What is no text is no token either, and refused as such.
    Some(std::str::from_utf8(rest).unwrap_or_default().trim_start_matches(' '))
}

/// RFC 6750 §3.1, and 503 where nobody can tell.
fn refused(caller: &Caller<'_>, issuer: Option<&TokenIssuer>, refusal: &TokenRefusal) -> Reply {
    let (name, reason) = (issuer.map(|issuer| &**issuer.id()).unwrap_or_default(), refusal.reason());
    count_token(name, reason);
    if let Some(left_out) = caller.site.bearers.may_note(caller.now) {
        tracing::warn!(
            target: AUDIT, { audit.event = "bearer", audit.result = "refused", policy.reason = reason,
            provider.name = name, audit.left_out = left_out, request.id = caller.request_id }, "token refused");
    }
    let answer = |status, error: &str| error_json(status, error, reason, caller.request_id);
    match refusal {
        TokenRefusal::Invalid(_) => {
            const CHALLENGE: HeaderValue =
                HeaderValue::from_static("Bearer realm=\"midgate\", error=\"invalid_token\"");
            answer(StatusCode::UNAUTHORIZED, "invalid_token").with(header::WWW_AUTHENTICATE, CHALLENGE)
        }
        TokenRefusal::Scope => {
            let scopes = issuer.map(|issuer| issuer.scopes().join(" ")).unwrap_or_default();
            let challenge =
                format!("Bearer realm=\"midgate\", error=\"insufficient_scope\", scope=\"{scopes}\"");
            let reply = answer(StatusCode::FORBIDDEN, "insufficient_scope");
            match HeaderValue::try_from(challenge) {
                Ok(challenge) => reply.with(header::WWW_AUTHENTICATE, challenge),
                Err(_) => reply,
            }
        }
        TokenRefusal::Unavailable(_) => answer(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
            .with(header::RETRY_AFTER, HeaderValue::from_static("5")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_follows_its_scheme_and_other_schemes_are_not_for_us() {
        for (value, expected) in [
            ("Bearer abc", Some("abc")),
            ("bEARER   abc", Some("abc")),
            ("Bearer", Some("")),
            ("Bearer ", Some("")),
            ("Bearer a b", Some("a b")),
            ("Bearer a, Bearer b", Some("a, Bearer b")),
            ("Bearerabc", None),
            ("Bearer\tabc", None),
            ("Basic abc", None),
            ("DPoP abc", None),
            ("", None),
        ] {
            assert_eq!(token(&HeaderValue::from_static(value)), expected, "{value:?}");
        }
        let no_text = HeaderValue::from_bytes(b"Bearer \xff").unwrap();
        assert_eq!(token(&no_text), Some(""));
    }

    #[test]
    fn a_flood_of_refusals_is_noted_in_part_and_counted_whole() {
        let bearers = Bearers::new(Vec::new());
        let noted: Vec<_> = (0..100).map(|_| bearers.may_note(7)).collect();
        assert_eq!(noted.iter().flatten().count(), 10);
        assert_eq!((bearers.may_note(8), bearers.may_note(8)), (Some(90), Some(0)));
    }
}
