//! Whether the claims of a logout token are right, check by check.
//! Pure.
//!
//! *Source:* OIDC Back-Channel Logout §2.4, §2.6.

use serde_json::Value;

use super::super::Failure;
use super::super::id_token::{check_audience, check_times, issued, short_text};
use crate::identity::Claims;
use crate::session::ProviderLogout;

/// What the header of a logout token may call it (§2.4); nothing is as good.
pub(super) const TYPES: [&str; 3] = ["logout+jwt", "application/logout+jwt", "JWT"];
/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn refuse<T>(reason: &'static str) -> Result<T, Failure> {
    Err(Failure::LogoutToken(reason))
}

/// Checks every claim, by the numbers of §2.6; the signature was verified before.
///
/// # Errors
/// The first check that fails.
pub(super) fn check(
    claims: &Claims,
    issuer: &str,
    client_id: &str,
    now: u64,
) -> Result<ProviderLogout, Failure> {
    // (4) as in ID tokens.
    if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
        return refuse("wrong-issuer");
    }
    check_audience(claims, client_id)?;
    check_times(claims, now)?;
    // (5) one that is there must be usable: half a name would end other sessions than were meant.
    let (subject, sid) = (text(claims, "sub")?, text(claims, "sid")?);
    if subject.is_none() && sid.is_none() {
        return refuse("no-subject-and-no-sid");
    }
    // (6) the value is an object.
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return refuse("no-logout-event");
    }
    // (7) so that no ID token can be taken for a logout token, nor the reverse.
    if claims.contains_key("nonce") {
        return refuse("nonce-in-logout-token");
    }
    // §2.4: required; whether it came before is for the caller to know (8).
    let Some(jti) = short_text(claims, "jti") else { return refuse("no-token-id") };
    let expires = claims.get("exp").and_then(Value::as_f64).map_or(now, |seconds| seconds as u64);
    Ok(ProviderLogout { issuer: issuer.to_owned(), subject, sid, jti, issued: issued(claims), expires })
}

fn text(claims: &Claims, name: &str) -> Result<Option<String>, Failure> {
    match (claims.get(name), short_text(claims, name)) {
        (None, _) => Ok(None),
        (Some(_), Some(text)) => Ok(Some(text)),
        (Some(_), None) => refuse("bad-subject-or-sid"),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::super::super::Alg;
    use super::super::super::id_token::{parse_typed, unverified};
    use super::super::super::keys::KeySet;
    use super::super::Addressee;
    use super::*;

    const NOW: u64 = 2_000_000_000;

    fn good() -> Value {
        json!({
            "iss": "https://op.test/", "aud": "us", "exp": NOW + 120, "iat": NOW, "jti": "1", "sub": "alice",
            "sid": "a b\"%;\\", "events": {EVENT: {}}, "ignored_claim": [1]
        })
    }

    /// The good claims with these changes; `null` removes.
    fn checked(changes: &Value) -> Result<ProviderLogout, Failure> {
        let mut claims = good().as_object().cloned().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.remove(name)),
                // An explicit null of the token's own.
                Value::String(text) if text == "NULL" => drop(claims.insert(name.clone(), Value::Null)),
                value => drop(claims.insert(name.clone(), value.clone())),
            }
        }
        check(&claims, "https://op.test/", "us", NOW)
    }

    #[test]
    fn each_claim_of_a_logout_token_is_checked_exactly() {
        for (changes, expected) in [
            (json!({}), "good"),
            (json!({"sub": null}), "good"),
            (json!({"sid": null}), "good"),
            (json!({"sid": "é".repeat(255)}), "good"),
            (json!({"aud": ["us"]}), "good"),
            (json!({"events": {EVENT: {"x": 1}, "https://other.test/event": 1}}), "good"),
            (json!({"iss": "https://op.test"}), "wrong-issuer"),
            (json!({"iss": "https://op.test/INVALID"}), "wrong-issuer"),
            (json!({"iss": null}), "wrong-issuer"),
            (json!({"aud": "usINVALID"}), "wrong-audience"),
            (json!({"aud": null}), "wrong-audience"),
            (json!({"aud": ["us", "other"]}), "wrong-authorized-party"),
            (json!({"exp": null}), "no-expiry"),
            (json!({"exp": NOW - 60}), "expired"),
            (json!({"iat": null}), "bad-issue-time"),
            (json!({"iat": NOW + 61}), "bad-issue-time"),
            (json!({"sub": null, "sid": null}), "no-subject-and-no-sid"),
            (json!({"sub": 7}), "bad-subject-or-sid"),
            (json!({"sub": ""}), "bad-subject-or-sid"),
            (json!({"sid": ["a"]}), "bad-subject-or-sid"),
            (json!({"sid": "é".repeat(256)}), "bad-subject-or-sid"),
            (json!({"events": null}), "no-logout-event"),
            (json!({"events": EVENT}), "no-logout-event"),
            (json!({"events": [EVENT]}), "no-logout-event"),
            (json!({"events": {EVENT: "x"}}), "no-logout-event"),
            (json!({"events": {"https://other.test/event": {}}}), "no-logout-event"),
            (json!({"nonce": "n"}), "nonce-in-logout-token"),
            (json!({"nonce": "NULL"}), "nonce-in-logout-token"),
            (json!({"jti": null}), "no-token-id"),
            (json!({"jti": ""}), "no-token-id"),
            (json!({"jti": 1}), "no-token-id"),
            (json!({"jti": "j".repeat(256)}), "no-token-id"),
        ] {
            let reason = checked(&changes).map_or_else(|failure| failure.reason(), |_| "good");
            assert_eq!(reason, expected, "{changes}");
        }
    }

    /// Header, claims and signature, a line each and not encoded yet; what has no lines is a compact token.
    fn compact(input: &[u8]) -> String {
        if !input.contains(&b'\n') {
            return String::from_utf8_lossy(input).into_owned();
        }
        let parts: Vec<String> =
            input.splitn(3, |byte| *byte == b'\n').map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
        if parts.len() == 2 { parts.join(".") + ".c2ln" } else { parts.join(".") }
    }

    #[test]
    fn i11_any_logout_token_is_refused_or_means_somebody() {
        let words = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\n",
            ".",
            "\\u0000",
            "null",
            "1e400",
            "-1",
            "7",
            "{}",
            "\"alg\":\"RS256\"",
            "\"alg\":\"none\"",
            "\"alg\":\"HS256\"",
            "\"typ\":\"logout+jwt\"",
            "\"crit\":[\"x\"]",
            "\"kid\":\"../x\"",
            "\"iss\":\"https://op.test/\"",
            "\"aud\":\"us\"",
            "\"aud\":[\"us\",1]",
            "\"exp\":2000000120",
            "\"iat\":2000000000",
            "\"nbf\":1e300",
            "\"jti\":\"1\"",
            "\"sub\":\"alice\"",
            "\"sid\":\"s\"",
            "\"nonce\":null",
            "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}",
            "\u{1F600}",
            "eyJhbGciOiJub25lIn0",
        ];
        let algs = [Alg::parse("RS256").unwrap()];
        crate::fuzz::run("logout-token", &words, |input| {
            let text = compact(input);
            let addressee = Addressee::read(&text);
            let Ok(token) = parse_typed(&text, &algs, &TYPES) else { return };
            assert_eq!(text.matches('.').count(), 2);
            // What was taken apart verifies with nobody's key, and its claims are those that were read.
            assert!(
                !token.has_key(&KeySet::default()) && token.verify_signature(&KeySet::default()).is_err()
            );
            let claims = unverified(&text).expect("they were parsed");
            assert!(addressee.is_none_or(|addressee| claims["iss"] == addressee.issuer));
            let Ok(logout) = check(&claims, "https://op.test/", "us", NOW) else { return };
            assert!(logout.subject.is_some() || logout.sid.is_some());
            for text in [logout.subject.as_deref(), logout.sid.as_deref(), Some(logout.jti.as_str())] {
                assert!(text.is_none_or(|text| (1..=255).contains(&text.chars().count())));
            }
            assert!(!claims.contains_key("nonce") && claims["iss"] == "https://op.test/");
            assert!(logout.issued <= NOW + 60 && logout.expires > NOW - 60);
        });
    }

    #[test]
    fn a_logout_token_says_whom_it_means() {
        let logout = checked(&json!({"iat": f64::from(2_000_000_000) - 0.5})).unwrap();
        assert_eq!(logout.subject.as_deref(), Some("alice"));
        assert_eq!(logout.sid.as_deref(), Some("a b\"%;\\"));
        assert_eq!((logout.issued, logout.expires, logout.jti.as_str()), (NOW - 1, NOW + 120, "1"));
    }
}
