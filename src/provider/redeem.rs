//! From a code to a verified identity: one token request, the ID token, UserInfo once.
//!
//! *Source:* OIDC Core §3.1.3, §5.3; RFC 6749 §4.1.3, §2.3.1; RFC 6750 §2.1.

use std::time::{SystemTime, UNIX_EPOCH};

use form_urlencoded::{Serializer, byte_serialize};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use url::Url;

use super::id_token::{self, Expected};
use super::metadata::Metadata;
use super::{ClientAuth, Failure, Keep, Provider, UserInfoUse, json};
use crate::identity::{Claims, Identity, find_claim};
use crate::secret::Secret;
use crate::session;

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
    pub(crate) now: SystemTime,
}

/// Who came, verified.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) identity: Identity,
    /// The provider's session id.
    pub(crate) sid: Option<String>,
    /// What the settings ask to keep.
    pub(crate) tokens: Option<Box<session::Tokens>>,
}

/// The token endpoint's answer.
struct Tokens {
    access_token: Secret,
    id_token: Secret,
    refresh_token: Option<Secret>,
    /// Seconds.
    expires_in: Option<u64>,
}

impl Tokens {
    /// What of it the settings ask to keep; `now` is in Unix seconds.
    fn kept(self, keep: Keep, now: u64) -> Option<Box<session::Tokens>> {
        let refresh_token = self.refresh_token.filter(|_| keep.refresh_token);
        let kept = session::Tokens {
            id_token: keep.id_token.then_some(self.id_token),
            access_token: keep.access_token.then_some(self.access_token),
            expires: self.expires_in.map(|seconds| now.saturating_add(seconds)),
            refresh_token,
        };
        kept.kept()
    }
}

/// Carries a login to its end at the provider.
pub(super) async fn redeem(provider: &Provider, redemption: &Redemption<'_>) -> Result<Verified, Failure> {
    let metadata = provider.metadata().await?;
    let tokens = exchange(provider, &metadata, redemption).await?;
    let claims = verify(provider, &metadata, &tokens, redemption).await?;
    let userinfo = userinfo(provider, &metadata, &tokens, &claims).await?;
    let identity = provider.settings.identity(&metadata.issuer, &claims, userinfo.as_ref());
    required(provider, &identity, &claims, userinfo.as_ref())?;
    let tokens = tokens.kept(provider.settings.keep, unix(redemption.now));
    Ok(Verified { identity, sid: id_token::sid(&claims), tokens })
}

/// The token request: once, and never again, since a code lives once (RFC 6749 §4.1.2).
async fn exchange(
    provider: &Provider,
    metadata: &Metadata,
    redemption: &Redemption<'_>,
) -> Result<Tokens, Failure> {
    let request = token_request(provider, metadata, redemption);
    let answer = provider.http.send("token", request, LIMIT).await?;
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
        id_token: Secret::new(text("id_token").ok_or(bad("no-id-token"))?),
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

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn token_request(provider: &Provider, metadata: &Metadata, redemption: &Redemption<'_>) -> RequestBuilder {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", redemption.code)
        .append_pair("redirect_uri", redemption.redirect_uri)
        .append_pair("code_verifier", redemption.code_verifier);
    let request = authenticate(provider, provider.http.request(Method::POST, &metadata.token), &mut form);
    request
        .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
        .body(form.finish())
}

/// RFC 6749 §2.3.1: in the header with both halves form-urlencoded, or in the body; never both.
fn authenticate(
    provider: &Provider,
    request: RequestBuilder,
    form: &mut Serializer<'_, String>,
) -> RequestBuilder {
    let settings = &provider.settings;
    let secret = settings.client_secret.as_ref().map(Secret::expose);
    match (settings.client_auth, secret) {
        (ClientAuth::Basic, Some(secret)) => {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            request.basic_auth(encoded(&settings.client_id), Some(encoded(secret)))
        }
        (ClientAuth::Post, Some(secret)) => {
            form.append_pair("client_id", &settings.client_id).append_pair("client_secret", secret);
            request
        }
        // A public client says who it is and proves it by PKCE alone.
        (ClientAuth::Basic | ClientAuth::Post, None) => {
            form.append_pair("client_id", &settings.client_id);
            request
        }
    }
}

/// OIDC Core §3.1.3.7; an unknown key makes us ask for the keys again, at once.
async fn verify(
    provider: &Provider,
    metadata: &Metadata,
    tokens: &Tokens,
    redemption: &Redemption<'_>,
) -> Result<Claims, Failure> {
    let token = id_token::parse(tokens.id_token.expose(), &provider.settings.id_token_alg)?;
    let mut keys = provider.key_set().await?;
    if !token.has_key(&keys) {
        keys = provider.refetch_keys().await?;
    }
    let expected = Expected {
        issuer: &metadata.issuer,
        client_id: &provider.settings.client_id,
        nonce: redemption.nonce,
        access_token: tokens.access_token.expose(),
        now: unix(redemption.now),
    };
    token.verify(&keys, expected)
}

/// UserInfo, once, with the token in the header only; it counts only for the same subject (OIDC Core §5.3.2).
async fn userinfo(
    provider: &Provider,
    metadata: &Metadata,
    tokens: &Tokens,
    id_token: &Claims,
) -> Result<Option<Claims>, Failure> {
    let endpoint: &Url = match (provider.settings.userinfo, &metadata.userinfo) {
        (UserInfoUse::Never, _) | (UserInfoUse::Auto, None) => return Ok(None),
        (UserInfoUse::Always, None) => return Err(Failure::Metadata("no-userinfo-endpoint")),
        (UserInfoUse::Auto | UserInfoUse::Always, Some(endpoint)) => endpoint,
    };
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", tokens.access_token.expose()))
        .map_err(|_| Failure::BadAnswer { step: "token", reason: "no-access-token" })?;
    bearer.set_sensitive(true);
    let request = provider.http.request(Method::GET, endpoint).header(AUTHORIZATION, bearer);
    let answer = provider.http.send("userinfo", request, LIMIT).await?;
    if answer.status != StatusCode::OK {
        return Err(Failure::Status { step: "userinfo", status: answer.status.as_u16() });
    }
    if answer.is_jwt {
        return Err(Failure::UserInfo("userinfo-is-signed"));
    }
    let mut claims = json::object(&answer.body).ok_or(Failure::UserInfo("userinfo-not-json"))?;
    match (claims.get("sub"), id_token.get("sub")) {
        (Some(Value::String(theirs)), Some(Value::String(ours))) if theirs == ours => {}
        _ => return Err(Failure::UserInfo("userinfo-wrong-subject")),
    }
    provider.settings.keep_person_only(&mut claims);
    Ok(Some(claims))
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

/// An OAuth error code, bounded and printable (RFC 6749 §5.2).
fn oauth_word(error: &str) -> String {
    error.chars().filter(|c| c.is_ascii_graphic()).take(64).collect()
}
