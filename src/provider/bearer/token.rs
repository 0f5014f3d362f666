//! Whether the claims of an access token are right, check by check.
//! Pure.
//!
//! *Source:* RFC 9068 §2, §4; RFC 7519 §4.1; RFC 8417 §2.2; RFC 9449 §6.1.

use serde_json::Value;

use super::super::Failure;
use super::super::id_token::{check_times, short_text};
use crate::identity::Claims;

/// What the header of an access token may call it (RFC 9068 §2.1); many issuers still say "JWT", or nothing.
pub(super) const TYPES: [&str; 3] = ["at+jwt", "application/at+jwt", "JWT"];

fn refuse<T>(reason: &'static str) -> Result<T, Failure> {
    Err(Failure::AccessToken(reason))
}

/// Checks every claim but the scopes; gives when the token ends, in Unix seconds.
///
/// # Errors
/// The first check that fails.
pub(super) fn check(claims: &Claims, issuer: &str, audience: &[String], now: u64) -> Result<u64, Failure> {
    if !is_from(claims, issuer) {
        return refuse("wrong-issuer");
    }
    if !is_for(claims, audience) {
        return refuse("wrong-audience");
    }
    check_times(claims, now)?;
    // RFC 9068 §4: before its end, to the second: what hangs on a token ends with it.
    let expires = claims.get("exp").and_then(Value::as_f64).map_or(0, |seconds| seconds as u64);
    if expires <= now {
        return refuse("expired");
    }
    if short_text(claims, "sub").is_none() {
        return refuse("bad-subject");
    }
    // RFC 8417 §2.2: a statement about something that happened, such as a logout; nobody comes with it.
    if claims.contains_key("events") {
        return refuse("not-an-access-token");
    }
    // RFC 9449 §6.1, RFC 8705 §3.1: whoever shows it must prove a key besides, which is not looked at here.
    if claims.contains_key("cnf") {
        return refuse("bound-to-a-key");
    }
    Ok(expires)
}

/// Byte for byte.
pub(super) fn is_from(claims: &Claims, issuer: &str) -> bool {
    claims.get("iss").and_then(Value::as_str) == Some(issuer)
}

/// Whether one of the token's audiences is one of ours.
pub(super) fn is_for(claims: &Claims, audience: &[String]) -> bool {
    let ours = |aud: &Value| aud.as_str().is_some_and(|aud| audience.iter().any(|own| own == aud));
    match claims.get("aud") {
        Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(ours),
        Some(one) => ours(one),
        None => false,
    }
}

/// Whether `scope` (RFC 9068 §2.2.3) and `scp`, each a text with blanks or a list, hold all that are needed.
pub(super) fn has_scopes(claims: &Claims, needed: &[String]) -> bool {
    let holds = |name: &str, wanted: &str| match claims.get(name) {
        Some(Value::String(text)) => text.split(' ').any(|scope| scope == wanted),
        Some(Value::Array(list)) => list.iter().any(|scope| scope == wanted),
        Some(_) | None => false,
    };
    needed.iter().all(|wanted| holds("scope", wanted) || holds("scp", wanted))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 2_000_000_000;

    /// The reason for which the good claims with these changes are refused; `null` removes.
    fn reason(changes: &Value) -> &'static str {
        let mut claims = json!({
            "iss": "https://op.test/", "aud": "api", "exp": NOW + 300, "iat": NOW, "sub": "batch-7"
        });
        let claims = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.remove(name)),
                value => drop(claims.insert(name.clone(), value.clone())),
            }
        }
        let audience = ["api".to_owned(), "https://api.test".to_owned()];
        check(claims, "https://op.test/", &audience, NOW).map_or_else(|failure| failure.reason(), |_| "good")
    }

    #[test]
    fn each_claim_of_an_access_token_is_checked_exactly() {
        let event = "http://schemas.openid.net/event/backchannel-logout";
        for (changes, expected) in [
            (json!({}), "good"),
            (json!({"aud": "https://api.test"}), "good"),
            (json!({"aud": ["other", "api"], "azp": "other"}), "good"),
            (json!({"iss": "https://op.test"}), "wrong-issuer"),
            (json!({"iss": "https://op.test/1"}), "wrong-issuer"),
            (json!({"iss": "HTTPS://op.test/"}), "wrong-issuer"),
            (json!({"iss": ["https://op.test/"]}), "wrong-issuer"),
            (json!({"iss": null}), "wrong-issuer"),
            (json!({"aud": null}), "wrong-audience"),
            (json!({"aud": []}), "wrong-audience"),
            (json!({"aud": [1]}), "wrong-audience"),
            (json!({"aud": ["api", 1]}), "wrong-audience"),
            (json!({"aud": "ap"}), "wrong-audience"),
            (json!({"aud": "api1"}), "wrong-audience"),
            (json!({"aud": "api https://api.test"}), "wrong-audience"),
            (json!({"aud": {"api": 1}}), "wrong-audience"),
            (json!({"exp": null}), "no-expiry"),
            (json!({"exp": NOW}), "expired"),
            (json!({"exp": NOW + 1}), "good"),
            (json!({"exp": NOW - 3600}), "expired"),
            (json!({"exp": "x"}), "bad-time"),
            (json!({"exp": -1}), "bad-time"),
            (json!({"exp": 1e300}), "bad-time"),
            (json!({"exp": 4_000_000_000.5}), "good"),
            (json!({"iat": null}), "bad-issue-time"),
            (json!({"iat": NOW + 61}), "bad-issue-time"),
            (json!({"iat": NOW + 60}), "good"),
            (json!({"nbf": NOW + 61}), "not-yet-valid"),
            (json!({"nbf": NOW}), "good"),
            (json!({"sub": null}), "bad-subject"),
            (json!({"sub": ""}), "bad-subject"),
            (json!({"sub": 7}), "bad-subject"),
            (json!({"sub": "s".repeat(300)}), "bad-subject"),
            (json!({"events": {event: {}}}), "not-an-access-token"),
            (json!({"cnf": {"jkt": "x"}}), "bound-to-a-key"),
        ] {
            assert_eq!(reason(&changes), expected, "{changes}");
        }
    }

    #[test]
    fn every_scope_is_needed_whole() {
        let needed = ["read".to_owned(), "write".to_owned()];
        for (claims, is_good) in [
            (json!({"scope": "read write"}), true),
            (json!({"scope": "write other read"}), true),
            (json!({"scp": ["read", "write"]}), true),
            (json!({"scp": "read write"}), true),
            (json!({"scope": "read", "scp": ["write"]}), true),
            (json!({"scope": ["read", "write"]}), true),
            (json!({"scope": "read"}), false),
            (json!({"scope": "read writer"}), false),
            (json!({"scope": "READ WRITE"}), false),
            (json!({"scp": ["read write"]}), false),
            (json!({"scope": {"read": 1, "write": 1}}), false),
            (json!({}), false),
        ] {
            let claims = claims.as_object().cloned().unwrap();
            assert_eq!(has_scopes(&claims, &needed), is_good, "{claims:?}");
        }
        assert!(has_scopes(&Claims::new(), &[]));
    }
}
