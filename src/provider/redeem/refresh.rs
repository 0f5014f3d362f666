//! From a refresh token to new tokens and to what is true of the same person now.
//!
//! *Never:* a wider scope, or another person.
//! *Source:* RFC 6749 §6; OIDC Core §12; RFC 9700 §4.14.2 (rotation).

use std::sync::Arc;

use reqwest::StatusCode;

use super::userinfo::{self, Question};
use super::{LIMIT, Tokens, required, tokens, verify};
use crate::identity::{Claims, Identity};
use crate::provider::id_token::{self, Nonce};
use crate::provider::{Failure, Provider, Settings};
use crate::secret::Secret;
use crate::session::{self, Original, Refresh};

/// A refresh that did not succeed, by what it means to the session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefreshFailure {
    /// Nothing was said about the session: it goes on, and the refresh is tried again later.
    #[error("{0}")]
    Temporary(Failure),
    /// The provider does not stand by the login any more, or its answer is not to be believed.
    #[error("{0}")]
    Final(Failure),
}

impl RefreshFailure {
    /// The word for logs and metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Temporary(failure) | Self::Final(failure) => failure.reason(),
        }
    }
}

impl From<Failure> for RefreshFailure {
    fn from(failure: Failure) -> Self {
        let is_temporary = match &failure {
            Failure::NoAnswer(_)
            | Failure::Unreachable(_)
            | Failure::BadAnswer { .. }
            | Failure::Metadata(_)
            | Failure::CannotSign
            | Failure::Cold(_) => true,
            // RFC 6750 §3.1: a new access token that UserInfo refuses is worth nothing.
            Failure::Status { step, status } => !(*step == "userinfo" && matches!(status, 401 | 403)),
            // RFC 6749 §5.2 has no word for "later"; these are borrowed from §4.1.2.1.
            Failure::TokenRefused(error) => {
                matches!(error.as_str(), "server_error" | "temporarily_unavailable" | "slow_down")
            }
            // The key may be newer than what we could fetch so far.
            Failure::IdToken(reason) => *reason == "unknown-key",
            Failure::UserInfo(reason) => matches!(*reason, "userinfo-not-json" | "unknown-key"),
            Failure::Answer(_)
            | Failure::PushRefused(_)
            | Failure::LogoutToken(_)
            | Failure::AccessToken(_)
            | Failure::MissingClaim(_) => false,
        };
        if is_temporary { Self::Temporary(failure) } else { Self::Final(failure) }
    }
}

/// The token endpoint's answer, not yet believed.
pub(crate) struct Answered {
    tokens: Tokens,
}

impl Answered {
    /// The refresh token that takes the place of the one that was sent: that one is good for nothing any more.
    pub(crate) fn rotated(&self) -> Option<&Secret> {
        self.tokens.refresh_token.as_ref()
    }
}

/// The session that is refreshed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) tokens: &'a session::Tokens,
    pub(crate) refresh: &'a Refresh,
    /// Unix seconds.
    pub(crate) now: u64,
}

/// The same person, as the provider knows them now.
#[derive(Debug)]
pub(crate) struct Refreshed {
    pub(crate) identity: Identity,
    /// What the settings ask to keep.
    pub(crate) tokens: Option<Box<session::Tokens>>,
}

/// The refresh request, authenticated as at the login; `now` is in Unix seconds.
pub(in crate::provider) async fn send_refresh(
    provider: &Provider,
    token: &Secret,
    now: u64,
) -> Result<Answered, RefreshFailure> {
    let metadata = provider.metadata().await?;
    // RFC 6749 §6: without `scope` it is that of the login.
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let request = provider.post_as_client(&metadata, metadata.token()?, fields, now)?;
    let answer = provider.http.send("token", request, LIMIT).await?;
    // RFC 6585 §4: whatever is said with it, it is about now.
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Failure::Status { step: "token", status: 429 }.into());
    }
    Ok(Answered { tokens: tokens(&answer)? })
}

/// Believes an answer, or not; then asks UserInfo once with the new access token.
pub(in crate::provider) async fn confirm(
    provider: &Provider,
    answered: Answered,
    known: &Known<'_>,
) -> Result<Refreshed, RefreshFailure> {
    let (metadata, settings) = (provider.metadata().await?, &provider.settings);
    if *metadata.issuer != *known.identity.issuer {
        return Err(Failure::IdToken("wrong-issuer").into());
    }
    let tokens = answered.tokens;
    let id_token = match &tokens.id_token {
        None => None,
        Some(compact) => {
            let nonce = Nonce::IfAnyHashesTo(&known.refresh.original.nonce);
            let claims = verify(provider, &metadata, compact, &tokens.access_token, nonce, known.now).await?;
            check(&claims, known, &settings.client_id)?;
            Some(claims)
        }
    };
    let subject = &*known.identity.subject;
    let asked = Question { access_token: &tokens.access_token, subject, now: known.now };
    let userinfo = userinfo::ask(provider, &metadata, asked).await?;
    let said = match &id_token {
        Some(claims) => Arc::new(settings.remembered(claims)),
        None => Arc::clone(&known.refresh.said),
    };
    let fresh = settings.identity(&metadata.issuer, id_token.as_ref().unwrap_or(&said), userinfo.as_ref());
    let identity = match id_token {
        // OIDC Core §12.2: a refresh is no authentication, whatever its ID token says.
        Some(_) => Identity { auth_time: known.identity.auth_time, ..fresh },
        None => Identity { claims: fresh.claims, ..known.identity.clone() },
    };
    required(provider, &identity, id_token.as_ref().unwrap_or(&said), userinfo.as_ref())?;
    Ok(Refreshed { identity, tokens: kept(settings, tokens, said, known) })
}

/// OIDC Core §12.2: what must be as in the ID token of the login.
fn check(claims: &Claims, known: &Known<'_>, client_id: &str) -> Result<(), Failure> {
    if claims.get("sub").and_then(serde_json::Value::as_str) != Some(&*known.identity.subject) {
        return Err(Failure::IdToken("wrong-subject"));
    }
    let audiences = id_token::audiences_beside(claims, client_id);
    if !known.refresh.original.audiences.iter().all(|original| audiences.contains(original)) {
        return Err(Failure::IdToken("wrong-audience"));
    }
    match (id_token::auth_time(claims), known.identity.auth_time) {
        (Some(found), Some(original)) if found != original => Err(Failure::IdToken("wrong-auth-time")),
        _ => Ok(()),
    }
}

/// What of the answer the settings ask to keep; what did not come anew stays as it was.
fn kept(
    settings: &Settings,
    tokens: Tokens,
    said: Arc<Claims>,
    known: &Known<'_>,
) -> Option<Box<session::Tokens>> {
    let keep = settings.keep;
    let original: Arc<Original> = Arc::clone(&known.refresh.original);
    let kept = session::Tokens {
        id_token: tokens.id_token.or(known.tokens.id_token.clone()).filter(|_| keep.id_token),
        access_token: keep.access_token.then_some(tokens.access_token),
        expires: tokens.expires_in.map(|seconds| known.now.saturating_add(seconds)),
        refresh: keep.refresh_token.then(|| Refresh {
            token: tokens.refresh_token.unwrap_or_else(|| known.refresh.token.clone()),
            original,
            said,
        }),
    };
    kept.kept()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(error: &str) -> Failure {
        Failure::TokenRefused(error.to_owned())
    }

    #[test]
    fn what_says_nothing_of_the_session_is_temporary_and_a_refusal_is_final() {
        let status = |step, status| Failure::Status { step, status };
        for failure in [
            Failure::NoAnswer("token"),
            Failure::Unreachable("token"),
            Failure::BadAnswer { step: "token", reason: "not-json" },
            Failure::Cold("not-asked-yet"),
            status("token", 429),
            status("token", 404),
            status("token", 500),
            status("userinfo", 503),
            refused("temporarily_unavailable"),
            Failure::IdToken("unknown-key"),
            Failure::UserInfo("userinfo-not-json"),
        ] {
            assert!(matches!(failure.clone().into(), RefreshFailure::Temporary(_)), "{failure}");
        }
        for failure in [
            refused("invalid_grant"),
            refused("invalid_client"),
            refused("anything"),
            status("userinfo", 401),
            status("userinfo", 403),
            Failure::IdToken("bad-signature"),
            Failure::IdToken("wrong-subject"),
            Failure::UserInfo("userinfo-wrong-subject"),
            Failure::MissingClaim("sub".to_owned()),
        ] {
            assert!(matches!(failure.clone().into(), RefreshFailure::Final(_)), "{failure}");
        }
    }

    #[test]
    fn a_refreshed_id_token_is_of_the_same_person_for_the_same_audience_and_of_the_same_time() {
        let identity = Identity {
            provider: "op".into(),
            issuer: "https://op.test".into(),
            subject: "alice".into(),
            user_key: "key".into(),
            acr: None,
            amr: Box::default(),
            auth_time: Some(1000),
            claims: Claims::new(),
        };
        let refresh = Refresh {
            token: Secret::new("old"),
            original: Arc::new(Original { nonce: [0; 32], audiences: Box::new(["api".into()]) }),
            said: Arc::default(),
        };
        let tokens = session::Tokens::default();
        let known = Known { identity: &identity, tokens: &tokens, refresh: &refresh, now: 2000 };
        let reason = |claims: Value| match check(claims.as_object().unwrap(), &known, "us") {
            Ok(()) => "good",
            Err(failure) => failure.reason(),
        };
        for (claims, expected) in [
            (json!({"sub": "alice", "aud": ["us", "api"], "auth_time": 1000}), "good"),
            (json!({"sub": "alice", "aud": ["us", "api", "more"], "auth_time": 1000.5}), "good"),
            (json!({"sub": "alice", "aud": ["us", "api"]}), "good"),
            (json!({"sub": "bob", "aud": ["us", "api"]}), "wrong-subject"),
            (json!({"sub": 1, "aud": ["us", "api"]}), "wrong-subject"),
            (json!({"aud": ["us", "api"]}), "wrong-subject"),
            (json!({"sub": "alice", "aud": "us"}), "wrong-audience"),
            (json!({"sub": "alice", "aud": ["us", "other"]}), "wrong-audience"),
            (json!({"sub": "alice", "aud": ["us", "api"], "auth_time": 1001}), "wrong-auth-time"),
        ] {
            assert_eq!(reason(claims.clone()), expected, "{claims}");
        }
    }
}
