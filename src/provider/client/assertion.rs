//! The client assertion: a short statement, signed by us, that this request comes from us.
//! Pure.
//!
//! *Source:* OIDC Core §9 (`private_key_jwt`), RFC 7523 §2.2, §3.

use serde_json::json;

use crate::signing::SigningKey;

/// `client_assertion_type`.
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Seconds that an assertion lives.
const LIFETIME: u64 = 60;

/// What an assertion says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statement<'s> {
    pub(super) client_id: &'s str,
    /// The provider's issuer, as one plain string: an endpoint's address as audience could be one that another provider
    /// made up, who would then hold an assertion for this one.
    pub(super) issuer: &'s str,
    /// Fresh and unguessable.
    pub(super) id: &'s str,
    /// Unix seconds.
    pub(super) now: u64,
}

/// Signs an assertion, compact; `None` when the key cannot sign.
pub(super) fn sign(key: &SigningKey, statement: Statement<'_>) -> Option<String> {
    let claims = json!({
        "iss": statement.client_id, "sub": statement.client_id, "aud": statement.issuer, "jti": statement.id,
        "iat": statement.now, "exp": statement.now.saturating_add(LIFETIME)
    });
    key.state("JWT", &claims)
}
