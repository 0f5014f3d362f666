//! Access tokens of machines, as an authorization server signs them: right ones, and wrong in every way.
//!
//! *Source:* RFC 9068 §2.

use serde_json::{Value, json};

use super::super::jose::{Key, Signing, token};
use super::logout::{Forgery, signed};
use super::tokens::merged;
use super::{EC, Simulated, now};

impl Simulated {
    /// An access token of the machine `batch-7` for the audience `api`, with these claims changed; `null` removes one.
    pub fn access_token(&self, changes: Value, forgery: Forgery) -> String {
        let claims = merged(self.machine(), &changes).to_string();
        let (key, ec) = self.pair();
        signed(&claims, "at+jwt", forgery, &key, &ec, &self.shared.settings.client_secret)
    }

    /// The same with members of the header changed and any payload, well signed.
    pub fn odd_access_token(&self, header: Value, payload: Option<&str>) -> String {
        let (key, _) = self.pair();
        let header = merged(json!({ "alg": "RS256", "kid": key.kid, "typ": "at+jwt" }), &header);
        let good = self.machine().to_string();
        token(&header, payload.unwrap_or(&good), &Signing::Good(&key))
    }

    fn machine(&self) -> Value {
        let now = now();
        json!({
            "iss": self.issuer(), "sub": "batch-7", "client_id": "batch-7", "aud": "api", "iat": now,
            "exp": now + 300, "jti": format!("token {now}"), "scope": "read write"
        })
    }

    fn pair(&self) -> (Key, Key) {
        let mut state = self.shared.lock();
        let ec = state.ec_key.get_or_insert_with(|| Key::of(EC, "ES256")).clone();
        (state.keys.first().cloned().unwrap_or_else(|| Key::generate("none")), ec)
    }
}
