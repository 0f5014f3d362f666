//! A provider's signing keys, and when they are asked for again.
//!
//! *Source:* RFC 7517; OIDC Core §10.1.1 (rotation).

use std::sync::Mutex;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreJsonWebKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKey, JsonWebKeyAlgorithm, JsonWebKeyUse, JwsSigningAlgorithm};
use serde_json::Value;
use url::Url;

use super::http::Http;
use super::{Failure, Provider, json};

/// Bytes of a key set.
const LIMIT: usize = 256 * 1024;
/// Bytes of an RSA modulus; a shorter key can be broken.
const SHORTEST_RSA: usize = 2048 / 8;

/// Keys that may verify signatures.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<CoreJsonWebKey>,
}

/// When unknown key ids made us ask again: at most twice a minute.
#[derive(Debug, Default)]
pub(super) struct Refetches(Mutex<Vec<Instant>>);

impl Refetches {
    const MOST: usize = 2;
    const SPAN: Duration = Duration::from_secs(60);

    fn may_fetch(&self, now: Instant) -> bool {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|at| now.duration_since(*at) < Self::SPAN);
        let may = recent.len() < Self::MOST;
        if may {
            recent.push(now);
        }
        may
    }
}

/// Fetches the key set.
pub(super) async fn fetch(http: &Http, url: &Url) -> Result<KeySet, Failure> {
    let bad = |reason| Failure::BadAnswer { step: "keys", reason };
    let document = json::object(&http.fetch("keys", url, LIMIT).await?).ok_or(bad("not-json"))?;
    let keys = document.get("keys").and_then(Value::as_array).ok_or(bad("no-keys"))?;
    let keys: Vec<CoreJsonWebKey> = keys.iter().filter_map(usable).collect();
    if keys.is_empty() { Err(bad("no-keys")) } else { Ok(KeySet { keys }) }
}

/// Keys that we cannot or must not use are skipped, and never spoil the set.
fn usable(key: &Value) -> Option<CoreJsonWebKey> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    match text("kty")? {
        "RSA" => {
            let modulus = URL_SAFE_NO_PAD.decode(text("n")?.trim_end_matches('=')).ok()?;
            let bytes = modulus.iter().skip_while(|byte| **byte == 0).count();
            (bytes >= SHORTEST_RSA).then_some(())?;
        }
        "EC" | "OKP" => {}
        // Symmetric keys have no business in a public set.
        _ => return None,
    }
    let key: CoreJsonWebKey = serde_json::from_value(key.clone()).ok()?;
    key.key_use().is_none_or(JsonWebKeyUse::allows_signature).then_some(key)
}

impl KeySet {
    /// The keys that may have made a signature: by id, then type, use and algorithm.
    ///
    /// Without an id every fitting key is tried in turn.
    pub(super) fn fitting<'k>(
        &'k self,
        kid: Option<&'k str>,
        alg: &'k CoreJwsSigningAlgorithm,
    ) -> impl Iterator<Item = &'k CoreJsonWebKey> {
        self.keys.iter().filter(move |key| {
            let same_id = kid.is_none_or(|kid| key.key_id().is_some_and(|id| id.as_str() == kid));
            let same_alg = match key.signing_alg() {
                JsonWebKeyAlgorithm::Algorithm(own) => own == alg,
                JsonWebKeyAlgorithm::Unspecified => true,
                JsonWebKeyAlgorithm::Unsupported => false,
            };
            same_id && same_alg && alg.key_type().as_ref() == Some(key.key_type())
        })
    }
}

impl Provider {
    /// The keys at hand.
    pub(super) async fn key_set(&self) -> Result<Arc<KeySet>, Failure> {
        match self.keys.load_full() {
            Some(keys) => Ok(keys),
            None => self.refetch_keys().await,
        }
    }

    /// Fetches the keys again because one was unknown; repeats are limited, whoever asks.
    pub(super) async fn refetch_keys(&self) -> Result<Arc<KeySet>, Failure> {
        self.refetch_keys_within(&self.refetches).await
    }

    /// The same for logout tokens, which anybody can post: what they use up must not keep a login waiting.
    pub(super) async fn refetch_keys_for_logout(&self) -> Result<Arc<KeySet>, Failure> {
        self.refetch_keys_within(&self.logout_refetches).await
    }

    async fn refetch_keys_within(&self, refetches: &Refetches) -> Result<Arc<KeySet>, Failure> {
        let before = self.keys.load_full();
        let _one_at_a_time = self.fetching.lock().await;
        if let (Some(now), before) = (self.keys.load_full(), before)
            && before.is_none_or(|before| !Arc::ptr_eq(&before, &now))
        {
            // Somebody else fetched while we waited.
            return Ok(now);
        }
        let jwks = self.metadata.load().as_ref().map(|metadata| metadata.jwks.clone());
        let jwks = jwks.ok_or(Failure::Cold("no-metadata"))?;
        if !refetches.may_fetch(Instant::now()) {
            return Err(Failure::IdToken("unknown-key"));
        }
        let keys = Arc::new(fetch(&self.http, &jwks).await?);
        self.keys.store(Some(Arc::clone(&keys)));
        self.trouble.store(None);
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_that_must_not_verify_are_skipped() {
        let long = URL_SAFE_NO_PAD.encode([0xff; 256]);
        let short = URL_SAFE_NO_PAD.encode([0xff; 64]);
        for (key, good) in [
            (json!({"kty": "RSA", "n": long, "e": "AQAB"}), true),
            (json!({"kty": "RSA", "n": long, "e": "AQAB", "use": "sig", "kid": "a"}), true),
            (json!({"kty": "RSA", "n": long, "e": "AQAB", "use": "enc"}), false),
            (json!({"kty": "RSA", "n": short, "e": "AQAB"}), false),
            (json!({"kty": "oct", "k": "AAAA"}), false),
            (json!({"kty": "weird"}), false),
            (json!({"kty": 1}), false),
            (json!([]), false),
        ] {
            assert_eq!(usable(&key).is_some(), good, "{key}");
        }
    }

    #[test]
    fn an_unknown_key_is_asked_for_twice_a_minute() {
        let (refetches, start) = (Refetches::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let asked: Vec<bool> = [0, 1, 2, 59, 60, 61, 62].map(|s| refetches.may_fetch(at(s))).to_vec();
        assert_eq!(asked, [true, true, false, false, true, true, false]);
    }
}
