//! UserInfo: asked once, plain or signed, and believed only for the subject of the ID token.
//!
//! *Source:* OIDC Core §5.3; RFC 6750 §2.1; RFC 7519 §4.1.

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::super::metadata::Metadata;
use super::super::{Failure, Provider, UserInfoUse, id_token, json};
use super::{LIMIT, keys_for};
use crate::identity::Claims;
use crate::policy::CLOCK_SKEW;
use crate::secret::Secret;

/// Who asks, and about whom.
#[derive(Clone, Copy)]
pub(super) struct Question<'q> {
    pub(super) access_token: &'q Secret,
    /// `sub` of the verified ID token.
    pub(super) subject: &'q str,
    /// Unix seconds.
    pub(super) now: u64,
}

/// Asks once, with the token in the header only; `None` where nobody is to be asked.
pub(super) async fn ask(
    provider: &Provider,
    metadata: &Metadata,
    question: Question<'_>,
) -> Result<Option<Claims>, Failure> {
    let endpoint: &Url = match (provider.settings.userinfo, &metadata.userinfo) {
        (UserInfoUse::Never, _) | (UserInfoUse::Auto, None) => return Ok(None),
        (UserInfoUse::Always, None) => return Err(Failure::Metadata("no-userinfo-endpoint")),
        (UserInfoUse::Auto | UserInfoUse::Always, Some(endpoint)) => endpoint,
    };
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", question.access_token.expose()))
        .map_err(|_| Failure::BadAnswer { step: "token", reason: "no-access-token" })?;
    bearer.set_sensitive(true);
    let accept = HeaderValue::from_static("application/json, application/jwt");
    let headers = HeaderMap::from_iter([(ACCEPT, accept), (AUTHORIZATION, bearer)]);
    let request = provider.http.request(Method::GET, endpoint).headers(headers);
    let answer = provider.http.send("userinfo", request, LIMIT).await?;
    if answer.status != StatusCode::OK {
        return Err(Failure::Status { step: "userinfo", status: answer.status.as_u16() });
    }
    let mut claims = if answer.is_jwt {
        signed(provider, metadata, &answer.body, question.now).await?
    } else {
        json::object(&answer.body).ok_or(Failure::UserInfo("userinfo-not-json"))?
    };
    // OIDC Core §5.3.2: of another subject nothing is used.
    if claims.get("sub").and_then(Value::as_str) != Some(question.subject) {
        return Err(Failure::UserInfo("userinfo-wrong-subject"));
    }
    provider.settings.keep_person_only(&mut claims);
    Ok(Some(claims))
}

/// A signed answer: the algorithms of the ID token, the provider's keys, its issuer, and us as audience.
async fn signed(provider: &Provider, metadata: &Metadata, body: &[u8], now: u64) -> Result<Claims, Failure> {
    let compact = std::str::from_utf8(body).map_err(|_| Failure::UserInfo("token-malformed"))?.trim_ascii();
    let claims = async {
        let token = id_token::parse(compact, &provider.settings.id_token_alg)?;
        let keys = keys_for(provider, &token).await?;
        token.verify_signature(&keys)
    };
    let claims = claims.await.map_err(of_userinfo)?;
    check(&claims, &metadata.issuer, &provider.settings.client_id, now)?;
    Ok(claims)
}

fn of_userinfo(failure: Failure) -> Failure {
    match failure {
        Failure::IdToken(reason) => Failure::UserInfo(reason),
        other => other,
    }
}

/// OIDC Core §5.3.2: `iss` and `aud` must be there; times count where they are.
fn check(claims: &Claims, issuer: &str, client_id: &str, now: u64) -> Result<(), Failure> {
    if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
        return Err(Failure::UserInfo("wrong-issuer"));
    }
    let is_for_us = match claims.get("aud") {
        Some(Value::String(aud)) => aud == client_id,
        Some(Value::Array(list)) => {
            list.iter().all(Value::is_string) && list.iter().any(|aud| aud == client_id)
        }
        _ => false,
    };
    if !is_for_us {
        return Err(Failure::UserInfo("wrong-audience"));
    }
    let (now, skew) = (now as f64, CLOCK_SKEW.as_secs_f64());
    // A time that is no number is never good.
    let holds = |name: &str, good: &dyn Fn(f64) -> bool| {
        claims.get(name).is_none_or(|value| value.as_f64().is_some_and(good))
    };
    if !holds("exp", &|exp| exp > now - skew) {
        return Err(Failure::UserInfo("expired"));
    }
    if !holds("nbf", &|nbf| nbf <= now + skew) {
        return Err(Failure::UserInfo("not-yet-valid"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_signed_answer_names_the_provider_and_us() {
        const NOW: u64 = 2_000_000_000;
        for (claims, reason) in [
            (json!({"iss": "https://op.test/", "aud": "us"}), "good"),
            (json!({"iss": "https://op.test/", "aud": ["other", "us"], "exp": NOW + 1, "nbf": NOW}), "good"),
            (json!({"aud": "us"}), "wrong-issuer"),
            (json!({"iss": "https://op.test", "aud": "us"}), "wrong-issuer"),
            (json!({"iss": "https://op.test/"}), "wrong-audience"),
            (json!({"iss": "https://op.test/", "aud": "us1"}), "wrong-audience"),
            (json!({"iss": "https://op.test/", "aud": ["us", 1]}), "wrong-audience"),
            (json!({"iss": "https://op.test/", "aud": "us", "exp": NOW - 61}), "expired"),
            (json!({"iss": "https://op.test/", "aud": "us", "exp": "x"}), "expired"),
            (json!({"iss": "https://op.test/", "aud": "us", "nbf": NOW + 61}), "not-yet-valid"),
        ] {
            let found = check(claims.as_object().unwrap(), "https://op.test/", "us", NOW);
            assert_eq!(found.err().map_or("good", |failure| failure.reason()), reason, "{claims}");
        }
    }
}
