//! Keys and signatures of the simulated providers, good ones and bad ones.
//!
//! *Source:* RFC 7515, RFC 7517, RFC 7518 §3.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
use rsa::rand_core::OsRng;
use rsa::sha2::Sha256;
use rsa::signature::{SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{RsaPrivateKey, RsaPublicKey};
use serde_json::{Value, json};

/// An RSA key with its id.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) kid: String,
    key: RsaPrivateKey,
}

impl Key {
    /// A fresh key of 2048 bits.
    pub(super) fn generate(kid: &str) -> Self {
        let key = RsaPrivateKey::new(&mut OsRng, 2048).expect("an RSA key of 2048 bits can be made");
        Self { kid: kid.to_owned(), key }
    }

    /// The public half as a JWK.
    pub(super) fn jwk(&self, usage: &str) -> Value {
        let public = RsaPublicKey::from(&self.key);
        json!({
            "kty": "RSA", "use": usage, "kid": self.kid, "alg": if usage == "sig" { "RS256" } else { "RSA-OAEP" },
            "n": base64(&public.n().to_bytes_be()), "e": base64(&public.e().to_bytes_be())
        })
    }

    /// The public half as PEM.
    pub(super) fn pem(&self) -> String {
        RsaPublicKey::from(&self.key).to_public_key_pem(LineEnding::LF).expect("a public key has a PEM form")
    }

    /// RS256 over a text.
    fn sign(&self, text: &str) -> Vec<u8> {
        SigningKey::<Sha256>::new(self.key.clone()).sign(text.as_bytes()).to_vec()
    }
}

/// A P-256 key beside the RSA keys, as many providers publish one.
#[derive(Clone)]
pub(super) struct EcKey(Vec<u8>);

impl EcKey {
    /// The id under which it is published.
    pub(super) const KID: &str = "ec";

    pub(super) fn generate() -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Self(pkcs8.expect("a P-256 key can be made").as_ref().to_vec())
    }

    /// The public half as a JWK.
    pub(super) fn jwk(&self) -> Value {
        // RFC 5480 §2.2: a mark, then both coordinates.
        let pair = self.pair();
        let (x, y) = pair.public_key().as_ref().get(1..).unwrap_or_default().split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "kid": Self::KID, "alg": "ES256",
            "x": base64(x), "y": base64(y)
        })
    }

    fn pair(&self) -> EcdsaKeyPair {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.0, &SystemRandom::new())
            .expect("it was made here")
    }

    /// ES256 over a text.
    fn sign(&self, text: &str) -> Vec<u8> {
        let signature = self.pair().sign(&SystemRandom::new(), text.as_bytes());
        signature.expect("a text can be signed").as_ref().to_vec()
    }
}

/// How a token is signed.
pub(super) enum Signing<'k> {
    Rs256(&'k Key),
    Es256(&'k EcKey),
    /// HMAC with these bytes.
    Hs256(Vec<u8>),
    /// No signature at all.
    None,
    /// A signature with one bit changed.
    Damaged(&'k Key),
    Empty,
}

/// A compact token of a header and a payload that are already JSON text.
pub(super) fn token(header: &Value, payload: &str, signing: &Signing<'_>) -> String {
    let signed = format!("{}.{}", base64(header.to_string().as_bytes()), base64(payload.as_bytes()));
    let signature = match signing {
        Signing::Rs256(key) => key.sign(&signed),
        Signing::Es256(key) => key.sign(&signed),
        Signing::Hs256(secret) => {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes()).as_ref().to_vec()
        }
        Signing::None | Signing::Empty => Vec::new(),
        Signing::Damaged(key) => {
            let mut signature = key.sign(&signed);
            if let Some(byte) = signature.get_mut(20) {
                *byte ^= 1;
            }
            signature
        }
    };
    format!("{signed}.{}", base64(&signature))
}

/// base64url without padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// SHA-256, base64url: PKCE's S256, and pairwise subjects.
pub(super) fn sha256(text: &str) -> String {
    base64(digest(&SHA256, text.as_bytes()).as_ref())
}

/// OIDC Core §3.1.3.6.
pub(super) fn at_hash(access_token: &str) -> String {
    base64(digest(&SHA256, access_token.as_bytes()).as_ref().get(..16).unwrap_or_default())
}
