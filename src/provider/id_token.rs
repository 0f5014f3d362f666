//! Whether an ID token is to be believed, check by check.
//! Pure.
//!
//! The claims are checked here over signatures verified by `openidconnect`'s keys, since its own verifier fails the
//! whole answer on one odd standard claim and knows neither `azp` nor `nbf`.
//! *Source:* OIDC Core §2, §3.1.3.6, §3.1.3.7; RFC 7515; RFC 7519 §4.1.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::JsonWebKey;
use openidconnect::core::{CoreJsonWebKey, CoreJwsSigningAlgorithm};
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::keys::KeySet;
use super::{Alg, Failure, json};
use crate::identity::Claims;
use crate::policy::CLOCK_SKEW;
use crate::session::{Key, hash};

/// Bytes of a compact token.
const LIMIT: usize = 32 * 1024;
/// Characters of `kid`, `sub` and `sid`.
const LONGEST: usize = 255;
/// Unix seconds that no honest time reaches.
const END_OF_TIME: f64 = 1e11;

/// A token that was taken apart, not yet believed.
pub(super) struct Token<'t> {
    pub(super) alg: CoreJwsSigningAlgorithm,
    pub(super) kid: Option<String>,
    signed: &'t str,
    signature: Vec<u8>,
    claims: Claims,
}

/// What the claims are held against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'e> {
    pub(super) issuer: &'e str,
    pub(super) client_id: &'e str,
    pub(super) nonce: Nonce<'e>,
    pub(super) access_token: &'e str,
    /// Unix seconds.
    pub(super) now: u64,
}

/// Which nonce an ID token must hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Nonce<'e> {
    /// OIDC Core §3.1.3.7 (11): this one.
    Is(&'e str),
    /// OIDC Core §12.2: none, or the one whose SHA-256 this is.
    IfAnyHashesTo(&'e Key),
}

fn refuse<T>(reason: &'static str) -> Result<T, Failure> {
    Err(Failure::IdToken(reason))
}

/// What the header of an ID token may call it (RFC 7519 §5.1).
const TYPES: [&str; 2] = ["JWT", "application/jwt"];

/// Takes a compact ID token apart; its algorithm must be one of those that are pinned.
///
/// # Errors
/// Anything but a plain, signed, three-part token.
pub(super) fn parse<'t>(compact: &'t str, algs: &[Alg]) -> Result<Token<'t>, Failure> {
    parse_typed(compact, algs, &TYPES)
}

/// The same for a token whose header calls it one of these types, in any case, or nothing.
///
/// # Errors
/// Anything but a plain, signed, three-part token of such a type.
pub(super) fn parse_typed<'t>(compact: &'t str, algs: &[Alg], types: &[&str]) -> Result<Token<'t>, Failure> {
    if compact.len() > LIMIT {
        return refuse("token-too-large");
    }
    let mut parts = compact.split('.');
    let (Some(head), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return refuse("token-malformed");
    };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Failure::IdToken("token-malformed"));
    let header = json::object(&decode(head)?).ok_or(Failure::IdToken("token-malformed"))?;
    // RFC 7515 §4.1.11: an extension that must be understood is not; encryption and compression are not asked for.
    if ["crit", "enc", "zip", "b64"].iter().any(|name| header.contains_key(*name)) {
        return refuse("token-header");
    }
    let text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= LONGEST => Ok(Some(text.clone())),
        Some(_) => refuse("token-header"),
    };
    // OIDC Core §3.1.3.7 (7): the algorithm is the registered one, never the token's choice.
    let alg = text("alg")?.and_then(|name| Alg::parse(&name)).filter(|alg| algs.contains(alg));
    let Some(alg) = alg else { return refuse("algorithm-not-allowed") };
    if text("typ")?.is_some_and(|typ| !types.iter().any(|known| typ.eq_ignore_ascii_case(known))) {
        return refuse("token-header");
    }
    // Keys that the token itself brings along (jwk, jku, x5c, x5u) are never looked at.
    let signed = compact.get(..head.len() + 1 + payload.len()).unwrap_or_default();
    let claims = json::object(&decode(payload)?).ok_or(Failure::IdToken("token-malformed"))?;
    Ok(Token { alg: alg.core(), kid: text("kid")?, signed, signature: decode(signature)?, claims })
}

impl<'t> Token<'t> {
    /// Whether a key of the set may have made the signature at all.
    pub(super) fn has_key(&self, keys: &KeySet) -> bool {
        keys.fitting(self.kid.as_deref(), &self.alg).next().is_some()
    }

    /// Verifies the signature (OIDC Core §3.1.3.7 (6)), then every claim.
    ///
    /// # Errors
    /// The first check that fails.
    pub(super) fn verify(self, keys: &KeySet, expected: Expected<'_>) -> Result<Claims, Failure> {
        let key = self.signer(keys)?;
        let hash = key.hash_bytes(expected.access_token.as_bytes(), &self.alg);
        check_at_hash(&self.claims, hash.ok())?;
        check(&self.claims, expected)?;
        Ok(self.claims)
    }

    /// What it says, while nobody has verified it: good for refusing it, and for nothing else.
    pub(super) fn unverified(&self) -> &Claims {
        &self.claims
    }

    /// Verifies the signature alone; no claim has been looked at.
    ///
    /// # Errors
    /// No key of the set made it.
    pub(super) fn verify_signature(self, keys: &KeySet) -> Result<Claims, Failure> {
        self.signer(keys)?;
        Ok(self.claims)
    }

    fn signer<'s>(&'s self, keys: &'s KeySet) -> Result<&'s CoreJsonWebKey, Failure> {
        let good = |key: &&CoreJsonWebKey| {
            key.verify_signature(&self.alg, self.signed.as_bytes(), &self.signature).is_ok()
        };
        let mut fitting = keys.fitting(self.kid.as_deref(), &self.alg).peekable();
        if fitting.peek().is_none() {
            return refuse("unknown-key");
        }
        fitting.find(good).ok_or(Failure::IdToken("bad-signature"))
    }
}

/// The claims of a token that nobody has verified: good for nothing but finding out whom to ask.
pub(super) fn unverified(compact: &str) -> Option<Claims> {
    let payload = compact.split('.').nth(1).filter(|_| compact.len() <= LIMIT)?;
    json::object(&URL_SAFE_NO_PAD.decode(payload).ok()?)
}

/// Every claim that OIDC Core §3.1.3.7 speaks of, by its numbers.
fn check(claims: &Claims, expected: Expected<'_>) -> Result<(), Failure> {
    // (2) byte for byte.
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return refuse("wrong-issuer");
    }
    check_audience(claims, expected.client_id)?;
    check_times(claims, expected.now)?;
    // (11) the whole value, in constant time.
    let nonce = claims.get("nonce");
    let text = nonce.and_then(Value::as_str).unwrap_or_default().as_bytes();
    let is_right: bool = match expected.nonce {
        Nonce::Is(expected) => text.ct_eq(expected.as_bytes()).into(),
        Nonce::IfAnyHashesTo(hashed) => nonce.is_none() || bool::from(hash(text).ct_eq(hashed)),
    };
    if !is_right {
        return refuse("wrong-nonce");
    }
    // OIDC Core §2: at most 255 ASCII characters; we take any text of that size.
    match claims.get("sub") {
        Some(Value::String(sub)) if !sub.is_empty() && sub.len() <= LONGEST => Ok(()),
        _ => refuse("bad-subject"),
    }
}

/// (3) to (5): we are the audience; others beside us need `azp`, which must be us wherever it stands.
pub(super) fn check_audience(claims: &Claims, client_id: &str) -> Result<(), Failure> {
    let several = match claims.get("aud") {
        Some(Value::String(aud)) if aud == client_id => false,
        Some(Value::Array(list))
            if list.iter().all(Value::is_string) && list.iter().any(|aud| aud == client_id) =>
        {
            list.len() > 1
        }
        _ => return refuse("wrong-audience"),
    };
    match claims.get("azp") {
        None if !several => Ok(()),
        Some(azp) if azp == client_id => Ok(()),
        _ => refuse("wrong-authorized-party"),
    }
}

/// (9), (10), and RFC 7519 §4.1.5: integers or floats, also past 2038.
pub(super) fn check_times(claims: &Claims, now: u64) -> Result<(), Failure> {
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) if (0.0..END_OF_TIME).contains(&seconds) => Ok(Some(seconds)),
            _ => refuse("bad-time"),
        },
    };
    let (now, skew) = (now as f64, CLOCK_SKEW.as_secs_f64());
    match time("exp")? {
        Some(exp) if exp > now - skew => {}
        Some(_) => return refuse("expired"),
        None => return refuse("no-expiry"),
    }
    match time("iat")? {
        Some(iat) if iat <= now + skew => {}
        _ => return refuse("bad-issue-time"),
    }
    if time("nbf")?.is_some_and(|nbf| nbf > now + skew) {
        return refuse("not-yet-valid");
    }
    // A time of authentication that has not come yet, or is no time, vouches for nothing.
    if time("auth_time")?.is_some_and(|at| at > now + skew) {
        return refuse("bad-auth-time");
    }
    Ok(())
}

/// OIDC Core §3.1.3.6: the left half of the access token's hash, whole and exact, where it is present.
fn check_at_hash(claims: &Claims, hash: Option<Vec<u8>>) -> Result<(), Failure> {
    let Some(found) = claims.get("at_hash") else { return Ok(()) };
    let half =
        hash.as_deref().and_then(|hash| hash.get(..hash.len() / 2)).map(|half| URL_SAFE_NO_PAD.encode(half));
    match (found.as_str(), half) {
        (Some(found), Some(half)) if bool::from(found.as_bytes().ct_eq(half.as_bytes())) => Ok(()),
        _ => refuse("wrong-at-hash"),
    }
}

/// Everybody whom a token is for beside us.
pub(super) fn audiences_beside(claims: &Claims, client_id: &str) -> Box<[Box<str>]> {
    let list = claims.get("aud").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    list.filter(|audience| *audience != client_id).map(Into::into).collect()
}

/// `auth_time` in whole seconds.
pub(super) fn auth_time(claims: &Claims) -> Option<u64> {
    // Checked to be a sane, non-negative number.
    claims.get("auth_time").and_then(Value::as_f64).map(|seconds| seconds as u64)
}

/// `iat` in whole seconds.
pub(super) fn issued(claims: &Claims) -> u64 {
    // Checked to be there, and to be a sane, non-negative number.
    claims.get("iat").and_then(Value::as_f64).map_or(0, |seconds| seconds as u64)
}

/// A text of 1 to 255 characters of any kind, such as `sid` (OIDC Front-Channel Logout §3).
pub(super) fn short_text(claims: &Claims, name: &str) -> Option<String> {
    let text = claims.get(name)?.as_str()?;
    (!text.is_empty() && text.chars().count() <= LONGEST).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 2_000_000_000;

    fn expected() -> Expected<'static> {
        Expected {
            issuer: "https://op.test/",
            client_id: "us",
            nonce: Nonce::Is("n0nce"),
            access_token: "at",
            now: NOW,
        }
    }

    fn good() -> Value {
        json!({
            "iss": "https://op.test/", "aud": "us", "exp": NOW + 300, "iat": NOW, "nonce": "n0nce", "sub": "alice"
        })
    }

    /// The reason for which the good claims with these changes are refused; `null` removes.
    fn reason(changes: Value) -> &'static str {
        let mut claims = good().as_object().cloned().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.remove(name);
            } else {
                claims.insert(name.clone(), value.clone());
            }
        }
        match check(&claims, expected()) {
            Ok(()) => "good",
            Err(failure) => failure.reason(),
        }
    }

    #[test]
    fn each_claim_is_checked_exactly() {
        for (changes, expected) in [
            (json!({}), "good"),
            (json!({"iss": "https://op.test"}), "wrong-issuer"),
            (json!({"iss": "https://op.test/1"}), "wrong-issuer"),
            (json!({"iss": null}), "wrong-issuer"),
            (json!({"aud": ["us"]}), "good"),
            (json!({"aud": ["us", "other"]}), "wrong-authorized-party"),
            (json!({"aud": ["us", "other"], "azp": "us"}), "good"),
            (json!({"azp": "other"}), "wrong-authorized-party"),
            (json!({"azp": "us"}), "good"),
            (json!({"aud": "us1"}), "wrong-audience"),
            (json!({"aud": "u"}), "wrong-audience"),
            (json!({"aud": []}), "wrong-audience"),
            (json!({"aud": [1]}), "wrong-audience"),
            (json!({"aud": ["us", 1]}), "wrong-audience"),
            (json!({"aud": null}), "wrong-audience"),
            (json!({"exp": null}), "no-expiry"),
            (json!({"exp": NOW - 59}), "good"),
            (json!({"exp": NOW - 60}), "expired"),
            (json!({"exp": "x"}), "bad-time"),
            (json!({"exp": -1}), "bad-time"),
            (json!({"exp": 1e300}), "bad-time"),
            (json!({"exp": 4_000_000_000.5}), "good"),
            (json!({"iat": null}), "bad-issue-time"),
            (json!({"iat": NOW + 60}), "good"),
            (json!({"iat": NOW + 61}), "bad-issue-time"),
            (json!({"nbf": NOW + 61}), "not-yet-valid"),
            (json!({"auth_time": NOW + 61}), "bad-auth-time"),
            (json!({"auth_time": "now"}), "bad-time"),
            (json!({"nonce": null}), "wrong-nonce"),
            (json!({"nonce": "n0nce1"}), "wrong-nonce"),
            (json!({"nonce": "n0nc"}), "wrong-nonce"),
            (json!({"sub": null}), "bad-subject"),
            (json!({"sub": ""}), "bad-subject"),
            (json!({"sub": 1}), "bad-subject"),
            (json!({"sub": "x".repeat(300)}), "bad-subject"),
        ] {
            assert_eq!(reason(changes.clone()), expected, "{changes}");
        }
    }

    #[test]
    fn a_refreshed_token_needs_no_nonce_but_takes_no_other() {
        let original = hash(b"n0nce");
        let expected = Expected { nonce: Nonce::IfAnyHashesTo(&original), ..expected() };
        for (nonce, is_good) in [
            (None, true),
            (Some(json!("n0nce")), true),
            (Some(json!("other")), false),
            (Some(json!(1)), false),
        ] {
            let mut claims = good().as_object().cloned().unwrap();
            claims.remove("nonce");
            claims.extend(nonce.clone().map(|nonce| ("nonce".to_owned(), nonce)));
            assert_eq!(check(&claims, expected).is_ok(), is_good, "{nonce:?}");
        }
    }

    #[test]
    fn at_hash_is_the_whole_left_half() {
        let hash = vec![7; 32];
        let half = URL_SAFE_NO_PAD.encode([7; 16]);
        for (found, good) in [
            (json!(half), true),
            (json!(format!("{half}A")), false),
            (json!(half[..10]), false),
            (json!(""), false),
            (json!(1), false),
        ] {
            let claims = json!({ "at_hash": found }).as_object().cloned().unwrap();
            assert_eq!(check_at_hash(&claims, Some(hash.clone())).is_ok(), good, "{found}");
        }
    }

    #[test]
    fn a_token_is_three_parts_of_the_pinned_algorithm() {
        let token = |header: Value| {
            let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!("{}.{}.{}", part(header), part(json!({})), "AAAA")
        };
        let result = |compact: &str| parse(compact, &[Alg::Rs256]).map(|_| ()).map_err(|f| f.reason());
        assert_eq!(result(&token(json!({"alg": "RS256", "kid": "a", "typ": "JWT"}))), Ok(()));
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "None"}),
            json!({"alg": "nOnE"}),
            json!({"alg": "HS256"}),
            json!({"alg": "PS256"}),
            json!({"alg": "ES256K"}),
            json!({}),
        ] {
            assert_eq!(result(&token(header.clone())), Err("algorithm-not-allowed"), "{header}");
        }
        for header in [
            json!({"alg": "RS256", "crit": ["x"]}),
            json!({"alg": "RS256", "enc": "A128GCM"}),
            json!({"alg": "RS256", "zip": "DEF"}),
            json!({"alg": "RS256", "kid": ["a"]}),
            json!({"alg": "RS256", "kid": "a".repeat(300)}),
            json!({"alg": "RS256", "typ": "at+jwt"}),
            json!({"alg": ["RS256"]}),
        ] {
            assert_eq!(result(&token(header.clone())), Err("token-header"), "{header}");
        }
        let good = token(json!({"alg": "RS256"}));
        for bad in ["", "a.b", &format!("{good}.x"), &format!("{good}.x.y"), "!.!.!"] {
            assert_eq!(result(bad), Err("token-malformed"), "{bad}");
        }
    }
}
