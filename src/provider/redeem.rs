//! From a code to a verified identity: one token request, the ID token, UserInfo once.
//!
//! *Source:* OIDC Core §3.1.3; RFC 6749 §4.1.3.

mod refresh;
mod userinfo;

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::Value;

use super::http::Answer;
use super::id_token::{self, Expected, Nonce};
use super::keys::KeySet;
use super::metadata::Metadata;
use super::{Failure, Provider, Settings, json, oauth_word, person};
use crate::enrolment::Phone;
use crate::identity::{Claims, Identity, find_claim};
use crate::secret::Secret;
use crate::session::{self, hash};

pub(crate) use self::refresh::{Answered, Known, RefreshFailure, Refreshed};
pub(super) use self::refresh::{confirm, send_refresh};
use self::userinfo::Question;

/// Bytes of a token answer, and of UserInfo.
const LIMIT: usize = 64 * 1024;

/// A code to exchange, with what the login remembers of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Redemption<'a> {
    pub(crate) code: &'a str,
    /// The same as in the authorization request.
    pub(crate) redirect_uri: &'a str,
    pub(crate) code_verifier: &'a str,
    pub(crate) nonce: &'a str,
    /// Unix seconds.
    pub(crate) now: u64,
}

/// Who came, verified.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) identity: Identity,
    /// The provider's session id.
    pub(crate) sid: Option<String>,
    /// When the ID token was issued, by the provider's clock, in Unix seconds.
    pub(crate) issued: u64,
    /// What the phone showed of itself.
    pub(crate) phone: Phone,
    /// What the settings ask to keep.
    pub(crate) tokens: Option<Box<session::Tokens>>,
}

/// The token endpoint's answer.
struct Tokens {
    access_token: Secret,
    /// Always there after a login, not always after a refresh.
    id_token: Option<Secret>,
    refresh_token: Option<Secret>,
    /// Seconds.
    expires_in: Option<u64>,
}

impl Tokens {
    /// What of it the settings ask to keep after a login; `now` is in Unix seconds.
    fn kept(
        self,
        settings: &Settings,
        claims: &Claims,
        nonce: &str,
        now: u64,
    ) -> Option<Box<session::Tokens>> {
        let keep = settings.keep;
        let refresh = self.refresh_token.filter(|_| keep.refresh_token).map(|token| session::Refresh {
            token,
            original: Arc::new(session::Original {
                nonce: hash(nonce.as_bytes()),
                audiences: id_token::audiences_beside(claims, &settings.client_id),
            }),
            said: Arc::new(settings.remembered(claims)),
        });
        let kept = session::Tokens {
            id_token: self.id_token.filter(|_| keep.id_token),
            access_token: keep.access_token.then_some(self.access_token),
            expires: self.expires_in.map(|seconds| now.saturating_add(seconds)),
            refresh,
        };
        kept.kept()
    }
}

/// Carries a login to its end at the provider.
pub(super) async fn redeem(provider: &Provider, redemption: &Redemption<'_>) -> Result<Verified, Failure> {
    let metadata = provider.metadata().await?;
    let now = redemption.now;
    let tokens = exchange(provider, &metadata, redemption).await?;
    let id_token =
        tokens.id_token.as_ref().ok_or(Failure::BadAnswer { step: "token", reason: "no-id-token" })?;
    let nonce = Nonce::Is(redemption.nonce);
    let claims = verify(provider, &metadata, id_token, &tokens.access_token, nonce, now).await?;
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    let asked = Question { access_token: &tokens.access_token, subject, now };
    let userinfo = userinfo::ask(provider, &metadata, asked).await?;
    let identity = provider.settings.identity(&metadata.issuer, &claims, userinfo.as_ref());
    required(provider, &identity, &claims, userinfo.as_ref())?;
    let tokens = tokens.kept(&provider.settings, &claims, redemption.nonce, now);
    let (sid, issued) = (id_token::short_text(&claims, "sid"), id_token::issued(&claims));
    let phone = person::phone(&claims, userinfo.as_ref());
    Ok(Verified { identity, sid, issued, phone, tokens })
}

/// The token request: once, and never again, since a code lives once (RFC 6749 §4.1.2).
async fn exchange(
    provider: &Provider,
    metadata: &Metadata,
    redemption: &Redemption<'_>,
) -> Result<Tokens, Failure> {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", redemption.code),
        ("redirect_uri", redemption.redirect_uri),
        ("code_verifier", redemption.code_verifier),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let request = provider.post_as_client(metadata, metadata.token()?, fields, redemption.now)?;
    let answer = provider.http.send("token", request, LIMIT).await?;
    tokens(&answer)
}

/// Reads the token endpoint's answer (RFC 6749 §5.1, §5.2).
fn tokens(answer: &Answer) -> Result<Tokens, Failure> {
    let document = json::object(&answer.body);
    if answer.status != StatusCode::OK {
        let error = document.as_ref().and_then(|document| document.get("error")).and_then(Value::as_str);
        return Err(match error {
            Some(error) if answer.status.is_client_error() => Failure::TokenRefused(oauth_word(error)),
            _ => Failure::Status { step: "token", status: answer.status.as_u16() },
        });
    }
    let bad = |reason| Failure::BadAnswer { step: "token", reason };
    let document = document.ok_or(bad("not-json"))?;
    let text = |name: &str| document.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    // RFC 6749 §5.1: in any case; `expires_in`, `scope` and the rest may be odd or missing.
    if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(bad("token-type"));
    }
    Ok(Tokens {
        access_token: Secret::new(text("access_token").ok_or(bad("no-access-token"))?),
        id_token: text("id_token").map(Secret::new),
        refresh_token: text("refresh_token").map(Secret::new),
        expires_in: document.get("expires_in").and_then(seconds),
    })
}

/// `expires_in` as a number, whole or not, or as a text; anything else says nothing.
fn seconds(value: &Value) -> Option<u64> {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    // A year is longer than any honest access token lives.
    (0.0..31_536_000.0).contains(&number).then_some(number as u64)
}

/// OIDC Core §3.1.3.7; an unknown key makes us ask for the keys again, at once.
async fn verify(
    provider: &Provider,
    metadata: &Metadata,
    compact: &Secret,
    access_token: &Secret,
    nonce: Nonce<'_>,
    now: u64,
) -> Result<Claims, Failure> {
    let token = id_token::parse(compact.expose(), &provider.settings.id_token_alg)?;
    let keys = keys_for(provider, &token).await?;
    let expected = Expected {
        issuer: &metadata.issuer,
        client_id: &provider.settings.client_id,
        nonce,
        access_token: access_token.expose(),
        now,
    };
    token.verify(&keys, expected)
}

/// The keys at hand, or fresh ones where none of them can have made the signature.
async fn keys_for(provider: &Provider, token: &id_token::Token<'_>) -> Result<Arc<KeySet>, Failure> {
    let keys = provider.key_set().await?;
    if token.has_key(&keys) { Ok(keys) } else { provider.refetch_keys().await }
}

fn required(
    provider: &Provider,
    identity: &Identity,
    claims: &Claims,
    userinfo: Option<&Claims>,
) -> Result<(), Failure> {
    let is_there = |name: &str| {
        identity.find(name).is_some()
            || find_claim(claims, name).is_some()
            || userinfo.is_some_and(|userinfo| find_claim(userinfo, name).is_some())
    };
    match provider.settings.required_claims.iter().find(|name| !is_there(name)) {
        Some(missing) => Err(Failure::MissingClaim(missing.clone())),
        None => Ok(()),
    }
}
