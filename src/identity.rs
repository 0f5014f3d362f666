//! Who a person is: what a provider said, verified, mapped to the gateway's names and kept.
//! Pure.
//!
//! *Never:* where the claims came from over the network, or where the identity goes.
//! *Source:* OIDC Core §2, §5.1, §5.7.

mod mapping;
mod template;

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

pub(crate) use self::mapping::{Mapping, Source};
pub(crate) use self::template::{Template, TemplateError};

/// Claims by name, as JSON.
pub(crate) type Claims = serde_json::Map<String, Value>;

/// Names that templates and requirements read from the identity itself, never from a mapped claim.
///
/// The last two are of the connection's client certificate (`request::Certificate`): no session knows them.
pub(crate) const RESERVED: [&str; 9] = [
    "sub",
    "iss",
    "acr",
    "amr",
    "auth_time",
    "provider",
    "user_key",
    "client_cert_subject",
    "client_cert_sha256",
];

/// A verified person at one provider, as a session keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Id of the provider in the configuration.
    pub(crate) provider: Arc<str>,
    /// `iss` of the ID token.
    pub(crate) issuer: Arc<str>,
    /// `sub` of the ID token.
    pub(crate) subject: Box<str>,
    /// Stable key made of issuer and subject, see [`user_key`].
    pub(crate) user_key: Box<str>,
    /// The level of assurance, from the ID token's level claim.
    pub(crate) acr: Option<Box<str>>,
    /// Authentication methods of the ID token.
    pub(crate) amr: Box<[Box<str>]>,
    /// When the person was authenticated, in Unix seconds, from the ID token.
    pub(crate) auth_time: Option<u64>,
    /// Gateway names, and raw claims that the configuration names.
    pub(crate) claims: Claims,
}

impl Identity {
    /// Looks up a name of a template or requirement: reserved names first, then kept claims.
    pub(crate) fn find(&self, name: &str) -> Option<Cow<'_, Value>> {
        let text = |s: &str| Some(Cow::Owned(Value::String(s.to_owned())));
        match name {
            "sub" => text(&self.subject),
            "iss" => text(&self.issuer),
            "provider" => text(&self.provider),
            "user_key" => text(&self.user_key),
            "acr" => self.acr.as_deref().and_then(text),
            "auth_time" => self.auth_time.map(|t| Cow::Owned(Value::from(t))),
            "amr" if self.amr.is_empty() => None,
            "amr" => {
                Some(Cow::Owned(Value::from(self.amr.iter().map(|m| m.to_string()).collect::<Vec<_>>())))
            }
            _ => find_claim(&self.claims, name).map(Cow::Borrowed),
        }
    }
}

impl Identity {
    /// Keeps what an earlier login of the same person said and this one did not; another person leaves nothing.
    ///
    /// That a value was verified holds for that value only (`email_verified` of OIDC Core §5.1).
    pub(crate) fn inherit(&mut self, earlier: &Self) {
        if self.user_key != earlier.user_key {
            return;
        }
        let is_same =
            |name: &str| self.claims.get(name).is_none_or(|own| earlier.claims.get(name) == Some(own));
        let holds = |name: &str| name.strip_suffix("_verified").is_none_or(is_same);
        let kept: Vec<_> = earlier.claims.iter().filter(|(name, _)| holds(name)).collect();
        for (name, value) in kept {
            self.claims.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Finds a claim by its literal name, else by a path of names joined with dots (`address.locality`).
///
/// The literal name wins, since claim names such as `https://example.com/groups` hold dots. `null` is
/// the same as missing (OIDC Core §5.3.2).
pub(crate) fn find_claim<'c>(claims: &'c Claims, name: &str) -> Option<&'c Value> {
    let found = claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |value, key| value.as_object()?.get(key))
    })?;
    (!found.is_null()).then_some(found)
}

/// Whether looking up `wanted` with [`find_claim`] may lead to the claim `name`.
pub(crate) fn names(wanted: &str, name: &str) -> bool {
    wanted == name || wanted.split_once('.').is_some_and(|(first, _)| first == name)
}

/// Whether a claim is a credential rather than a fact about somebody: a header may carry it, no page shows it.
///
/// Azure AD B2C hands tokens of the provider behind it through as `idp_access_token`.
pub(crate) fn is_credential(name: &str, value: &Value) -> bool {
    name.to_ascii_lowercase().ends_with("token") || value.to_string().contains("\"eyJ")
}

/// The stable key of a person: base64url without padding of SHA-256(issuer, one zero byte, subject).
pub(crate) fn user_key(issuer: &str, subject: &str) -> String {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    hash.update(issuer.as_bytes());
    hash.update(&[0]);
    hash.update(subject.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_key_is_the_hash_of_issuer_zero_subject() {
        // printf 'https://op.test\0alice' | openssl dgst -sha256 -binary | basenc --base64url
        assert_eq!(user_key("https://op.test", "alice").len(), 43);
        assert_ne!(user_key("https://op.test", "alice"), user_key("https://op.testa", "lice"));
    }

    #[test]
    fn tokens_among_the_claims_are_known_by_name_or_shape() {
        use serde_json::json;
        for (name, value, expected) in [
            ("idp_access_token", json!("opaque"), true),
            ("accessToken", json!("opaque"), true),
            ("other", json!("eyJhbGciOi"), true),
            ("other", json!({"deep": ["eyJhbGciOi"]}), true),
            ("name", json!("Zoë"), false),
            ("tokens_left", json!(3), false),
        ] {
            assert_eq!(is_credential(name, &value), expected, "{name} {value}");
        }
    }

    #[test]
    fn a_nested_claim_is_found_by_its_path_and_a_literal_name_wins() {
        let claims: Claims = serde_json::from_value(serde_json::json!({
            "address": {"locality": "Zürich", "none": null}, "a.b": 1, "a": {"b": 2}
        }))
        .unwrap();
        assert_eq!(find_claim(&claims, "address.locality"), Some(&Value::from("Zürich")));
        assert_eq!(find_claim(&claims, "a.b"), Some(&Value::from(1)));
        assert_eq!(find_claim(&claims, "address.none"), None);
        assert_eq!(find_claim(&claims, "address.locality.x"), None);
    }
}
