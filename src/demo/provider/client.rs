//! Whether a request comes from the registered client: by secret, by signed assertion, or by certificate.
//!
//! *Source:* RFC 6749 §2.3.1; OIDC Core §9; RFC 7523 §3; RFC 8705 §2.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::Value;

use super::super::http::Request;
use super::{Shared, now};

/// How the client proves itself.
#[derive(Debug, Clone, Default)]
pub enum Proof {
    /// By the secret of the settings, in the header or in the body.
    #[default]
    Secret,
    /// By assertions that this public JWK verifies.
    Key(Value),
    /// By a certificate, whose SHA-256 the TLS front writes into `X-Client-Certificate`.
    Certificate(String),
}

/// The header in which a TLS front names the client's certificate.
pub const CERTIFICATE: &str = "X-Client-Certificate";

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// RFC 6749 §2.3: one method, never two.
pub(super) fn is_client(shared: &Shared, request: &Request, form: &BTreeMap<String, String>) -> bool {
    let proof = shared.lock().proof.clone();
    let has_secret = request.header("authorization").is_some() || form.contains_key("client_secret");
    let is_named = form.get("client_id").is_some_and(|id| *id == shared.settings.client_id);
    match proof {
        Proof::Secret => !form.contains_key("client_assertion") && has_right_secret(shared, request, form),
        Proof::Key(jwk) => {
            let find = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
            !has_secret
                && is_named
                && find("client_assertion_type") == ASSERTION
                && believes(shared, find("client_assertion"), &jwk).is_some()
        }
        Proof::Certificate(hash) => {
            !has_secret
                && is_named
                && !form.contains_key("client_assertion")
                && request.header(CERTIFICATE).is_some_and(|shown| shown == hash)
        }
    }
}

fn has_right_secret(shared: &Shared, request: &Request, form: &BTreeMap<String, String>) -> bool {
    let settings = &shared.settings;
    let basic = request.header("authorization").and_then(|value| {
        let text = String::from_utf8(STANDARD.decode(value.strip_prefix("Basic ")?).ok()?).ok()?;
        let (id, secret) = text.split_once(':')?;
        let decode = |text: &str| {
            form_urlencoded::parse(format!("x={text}").as_bytes()).next().map(|(_, v)| v.into_owned())
        };
        Some((decode(id)?, decode(secret)?))
    });
    let post = form
        .get("client_secret")
        .map(|secret| (form.get("client_id").cloned().unwrap_or_default(), secret.clone()));
    match (basic, post) {
        (Some((id, secret)), None) | (None, Some((id, secret))) => {
            id == settings.client_id && secret == settings.client_secret
        }
        (Some(_), Some(_)) | (None, None) => false,
    }
}

/// RFC 7523 §3, and each `jti` once.
fn believes(shared: &Shared, assertion: &str, jwk: &Value) -> Option<()> {
    let (signed, signature) = assertion.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let header: Value = serde_json::from_slice(&part(header)?).ok()?;
    let claims: Value = serde_json::from_slice(&part(payload)?).ok()?;
    let is_same = |name: &str| header.get(name).is_some_and(|found| Some(found) == jwk.get(name));
    (is_same("alg") && is_same("kid")).then_some(())?;
    let member = |name: &str| part(jwk.get(name)?.as_str()?);
    let (signed, signature) = (signed.as_bytes(), part(signature)?);
    match jwk.get("alg")?.as_str()? {
        "RS256" => RsaPublicKeyComponents { n: member("n")?, e: member("e")? }
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed, &signature)
            .ok()?,
        "ES256" => {
            let point = [vec![4], member("x")?, member("y")?].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, &signature).ok()?;
        }
        "EdDSA" => UnparsedPublicKey::new(&ED25519, member("x")?).verify(signed, &signature).ok()?,
        _ => return None,
    }
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let us = Some(shared.settings.client_id.as_str());
    let now = now();
    let time = |name: &str| claims.get(name).and_then(Value::as_u64);
    let is_timely = time("iat")? <= now + 5 && time("exp")? > now && time("exp")? <= now + 120;
    let is_ours = text("iss") == us && text("sub") == us && text("aud") == Some(&shared.issuer());
    let is_fresh = text("jti").is_some_and(|id| id.len() >= 22)
        && shared.lock().assertions.insert(text("jti").unwrap_or_default().to_owned());
    (is_timely && is_ours && is_fresh).then_some(())
}
