//! From verified claims to the identity that a session keeps.
//! Pure.
//!
//! *Source:* OIDC Core §2, §5.3.2, §5.6.2 (claims of other parties).

use std::sync::Arc;

use serde_json::Value;

use super::Settings;
use super::id_token::auth_time;
use crate::enrolment::Phone;
use crate::identity::{Claims, Identity, names, user_key};

/// Claims that only the ID token may make.
const PROTOCOL: [&str; 15] = [
    "sub",
    "iss",
    "aud",
    "azp",
    "exp",
    "iat",
    "nbf",
    "nonce",
    "at_hash",
    "acr",
    "amr",
    "auth_time",
    "sid",
    "_claim_names",
    "_claim_sources",
];

impl Settings {
    /// UserInfo speaks of the person, never of the authentication; claims of other parties are not ours to follow.
    pub(crate) fn keep_person_only(&self, userinfo: &mut Claims) {
        for name in PROTOCOL.into_iter().chain(self.acr_claim.as_deref()) {
            userinfo.remove(name);
        }
    }

    /// Claims of an ID token from which an identity may be made.
    pub(super) fn remembered(&self, id_token: &Claims) -> Claims {
        let is_read = |name: &str| {
            let mut required = self.required_claims.iter();
            self.claims.reads(name) || required.any(|required| names(required, name))
        };
        id_token.iter().filter(|(name, _)| is_read(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
    }

    /// The identity of somebody whose ID token and UserInfo were verified.
    pub(crate) fn identity(&self, issuer: &str, id_token: &Claims, userinfo: Option<&Claims>) -> Identity {
        let map = |id_token: &Claims| self.claims.apply(id_token, userinfo);
        identity(&self.id, issuer, self.acr_claim.as_deref(), id_token, map)
    }
}

/// An identity of a token's claims; the reserved names come from the token alone, the others as they are mapped.
pub(super) fn identity(
    provider: &Arc<str>,
    issuer: &str,
    acr_claim: Option<&str>,
    token: &Claims,
    map: impl FnOnce(&Claims) -> Claims,
) -> Identity {
    let text = |name: &str| token.get(name).and_then(Value::as_str);
    let subject = text("sub").unwrap_or_default();
    let amr = token.get("amr").and_then(Value::as_array);
    let amr = amr.into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect();
    Identity {
        provider: Arc::clone(provider),
        issuer: issuer.into(),
        subject: subject.into(),
        user_key: user_key(issuer, subject).into(),
        acr: acr_claim.and_then(text).filter(|acr| acr.len() <= 255).map(Into::into),
        amr,
        auth_time: auth_time(token),
        claims: map(token),
    }
}

/// What a login says of the phone that answered; UserInfo wins over the ID token.
pub(super) fn phone(id_token: &Claims, userinfo: Option<&Claims>) -> Phone {
    let find = |name: &str| userinfo.and_then(|claims| claims.get(name)).or_else(|| id_token.get(name));
    let text =
        |name: &str| find(name).and_then(Value::as_str).filter(|text| text.len() <= 255).map(str::to_owned);
    Phone {
        sn: text("mid_profile_serial"),
        keyring_id: text("mid_pk_keyringid"),
        phone_number: text("phone_number"),
    }
}
