//! The signed statement for an application: who somebody is, said to that application alone and for minutes.
//!
//! *Never:* whether a request may pass, or how the statement travels.
//! *Source:* RFC 7515, RFC 7517 §5, RFC 7519 §4.1, RFC 8725 §3.8 to §3.12; OIDC Core §2 (`acr`, `amr`, `auth_time`).

mod slot;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::HeaderValue;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::headers::Fields;
use crate::identity::{Identity, RESERVED, is_credential};
use crate::route::Audience;
use crate::seal::random;
use crate::signing::SigningKey;

pub(crate) use self::slot::{Made, Slot};

/// `typ`: nothing that looks at types takes this for an ID token, an access token or a logout token (RFC 8725 §3.11).
const TYPE: &str = "midgate-assertion+jwt";
/// Seconds that a statement holds, at most.
const LIFETIME: u64 = 300;
/// A statement that is longer makes many servers refuse the whole request.
const LONGEST: usize = 8 * 1024;

/// What signs statements for applications, and what verifies them.
#[derive(Debug)]
pub(crate) struct Assertions {
    /// The header that carries them, as the operator spelt it.
    pub(crate) header: Bytes,
    /// `iss`: the origin of `public_url`.
    pub(crate) issuer: String,
    pub(crate) signer: SigningKey,
    /// Keys that do not sign: not yet, or not any more.
    pub(crate) others: Vec<SigningKey>,
}

/// What is said of whom, to whom and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement<'s> {
    pub(crate) identity: &'s Identity,
    pub(crate) audience: &'s Audience,
    /// Only claims that the application's headers speak of are said.
    pub(crate) fields: &'s Fields,
    pub(crate) time: Time,
}

/// Unix seconds of a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    pub(crate) now: u64,
    /// When the session ends, whatever happens.
    pub(crate) expires: u64,
    /// When it ends if no other request comes.
    pub(crate) idle_expires: u64,
}

/// A set of public keys as it is published.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) body: Bytes,
    /// Changes with the body.
    pub(crate) etag: HeaderValue,
}

impl Time {
    /// `exp`: within minutes, and never after the session.
    fn exp(self) -> u64 {
        self.now.saturating_add(LIFETIME).min(self.expires).min(self.idle_expires)
    }

    /// From when on the next request has another statement made: two fifths of its life before its end, or never, when
    /// it ends with its session.
    fn renew_at(self) -> u64 {
        let exp = self.exp();
        let life = exp.saturating_sub(self.now);
        if exp == self.expires { exp } else { exp.saturating_sub(life * 2 / 5) }
    }
}

impl Assertions {
    /// The claims of a statement; `id` is its `jti`.
    pub(crate) fn claims(&self, statement: Statement<'_>, id: &str) -> Value {
        let Statement { identity, audience, fields, time } = statement;
        let names = fields.fields.iter().flat_map(|field| field.template.names());
        let named = names.filter(|name| !RESERVED.contains(name)).filter_map(|name| {
            // A provider's token is not for everybody who reads a statement.
            let value = identity.find(name).filter(|value| !is_credential(name, value))?;
            Some((name.to_owned(), value.into_owned()))
        });
        let mut claims: Map<String, Value> = named.collect();
        // Those who verify read these as ours, or as another kind of statement, whatever a provider means by them.
        for name in ["aud", "idp", "jti", "iat", "nbf", "exp", "azp", "nonce", "cnf", "events"] {
            claims.remove(name);
        }
        let mut set = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
        set("iss", json!(self.issuer));
        set("aud", json!(audience.text));
        set("sub", json!(identity.user_key));
        set("idp", json!(*identity.provider));
        set("jti", json!(id));
        set("iat", json!(time.now));
        set("exp", json!(time.exp()));
        for name in ["acr", "amr", "auth_time"] {
            if let Some(value) = identity.find(name) {
                set(name, value.into_owned());
            }
        }
        Value::Object(claims)
    }

    /// Signs a statement.
    pub(crate) fn make(&self, statement: Statement<'_>) -> Made {
        let claims = self.claims(statement, &URL_SAFE_NO_PAD.encode(random::<16>()));
        let signed = self.signer.state(TYPE, &claims).filter(|text| text.len() <= LONGEST);
        let value = signed.and_then(|text| HeaderValue::try_from(text).ok()).map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let Time { now, .. } = statement.time;
        Made { value, from: now, renew_at: statement.time.renew_at(), expires: statement.time.exp() }
    }

    /// Every key, the one that signs first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.signer).chain(&self.others)
    }

    /// The keys for those who verify: public members only (RFC 7517 §5).
    pub(crate) fn published(&self) -> Published {
        let keys: Vec<Value> = self.keys().map(SigningKey::jwk).collect();
        let body = json!({ "keys": keys }).to_string();
        let tag = URL_SAFE_NO_PAD.encode(digest(&SHA256, body.as_bytes()));
        let etag = HeaderValue::try_from(format!("\"{tag}\"")).expect("base64url stands in a header");
        Published { body: Bytes::from(body), etag }
    }
}

#[cfg(test)]
mod tests;
