//! Keys and signatures of the simulated providers, good ones and bad ones.
//!
//! *Source:* RFC 7515, RFC 7517, RFC 7518 §3, RFC 8037.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Algorithm, SHA256, SHA512, digest};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
use rsa::pss::BlindedSigningKey;
use rsa::rand_core::OsRng;
use rsa::sha2::Sha256;
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{RsaPrivateKey, RsaPublicKey};
use serde_json::{Value, json};

/// A key with its id, for one algorithm.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) kid: String,
    pub(super) alg: &'static str,
    pair: Pair,
}

#[derive(Clone)]
enum Pair {
    Rsa(Box<RsaPrivateKey>),
    P256(Arc<EcdsaKeyPair>),
    Ed25519(Arc<Ed25519KeyPair>),
}

impl Key {
    /// A fresh RSA key of 2048 bits for RS256.
    pub(super) fn generate(kid: &str) -> Self {
        Self::of(kid, "RS256")
    }

    /// A fresh key for RS256, PS256, ES256 or EdDSA.
    pub(super) fn of(kid: &str, alg: &'static str) -> Self {
        let random = SystemRandom::new();
        let pair = match alg {
            "ES256" => {
                let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a P-256 key can be made");
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random);
                Pair::P256(Arc::new(pair.expect("it was just made")))
            }
            "EdDSA" => {
                let der = Ed25519KeyPair::generate_pkcs8(&random).expect("an Ed25519 key can be made");
                let pair = Ed25519KeyPair::from_pkcs8(der.as_ref());
                Pair::Ed25519(Arc::new(pair.expect("it was just made")))
            }
            _ => {
                let key = RsaPrivateKey::new(&mut OsRng, 2048).expect("an RSA key of 2048 bits can be made");
                Pair::Rsa(Box::new(key))
            }
        };
        Self { kid: kid.to_owned(), alg, pair }
    }

    /// The public half as a JWK.
    pub(super) fn jwk(&self, usage: &str) -> Value {
        let alg = if usage == "sig" { self.alg } else { "RSA-OAEP" };
        let mut jwk = match &self.pair {
            Pair::Rsa(key) => {
                let public = RsaPublicKey::from(&**key);
                json!({
                    "kty": "RSA", "n": base64(&public.n().to_bytes_be()), "e": base64(&public.e().to_bytes_be())
                })
            }
            Pair::P256(pair) => {
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": "P-256", "x": base64(x), "y": base64(y) })
            }
            Pair::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key().as_ref()) })
            }
        };
        for (name, value) in [("kid", self.kid.as_str()), ("use", usage), ("alg", alg)] {
            jwk[name] = json!(value);
        }
        jwk
    }

    /// The public half as PEM; empty for a key that is not RSA.
    pub(super) fn pem(&self) -> String {
        match &self.pair {
            Pair::Rsa(key) => RsaPublicKey::from(&**key)
                .to_public_key_pem(LineEnding::LF)
                .expect("a public key has a PEM form"),
            Pair::P256(_) | Pair::Ed25519(_) => String::new(),
        }
    }

    /// OIDC Core §3.1.3.6: with the hash of the algorithm, which for Ed25519 is SHA-512.
    pub(super) fn at_hash(&self, access_token: &str) -> String {
        let algorithm: &'static Algorithm = if self.alg == "EdDSA" { &SHA512 } else { &SHA256 };
        let hash = digest(algorithm, access_token.as_bytes());
        let half = hash.as_ref().len() / 2;
        base64(hash.as_ref().get(..half).unwrap_or_default())
    }

    fn sign(&self, text: &str) -> Vec<u8> {
        let text = text.as_bytes();
        match &self.pair {
            Pair::Rsa(key) if self.alg == "PS256" => {
                BlindedSigningKey::<Sha256>::new(RsaPrivateKey::clone(key))
                    .sign_with_rng(&mut OsRng, text)
                    .to_vec()
            }
            Pair::Rsa(key) => SigningKey::<Sha256>::new(RsaPrivateKey::clone(key)).sign(text).to_vec(),
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), text).expect("a good key signs");
                signature.as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(text).as_ref().to_vec(),
        }
    }
}

/// How a token is signed.
pub(super) enum Signing<'k> {
    /// As the key's algorithm says.
    Good(&'k Key),
    /// HMAC with these bytes.
    Hs256(Vec<u8>),
    /// No signature at all.
    None,
    /// A signature with one bit changed.
    Damaged(&'k Key),
    Empty,
}

/// A compact token of a header and a payload that is already JSON text.
pub(super) fn token(header: &Value, payload: &str, signing: &Signing<'_>) -> String {
    signed(header.to_string().as_bytes(), payload.as_bytes(), signing)
}

/// The same with an HMAC under these bytes.
pub(super) fn hs256(header: &[u8], payload: &[u8], key: &[u8]) -> String {
    signed(header, payload, &Signing::Hs256(key.to_vec()))
}

/// The same of any bytes.
pub(super) fn signed(header: &[u8], payload: &[u8], signing: &Signing<'_>) -> String {
    let signed = format!("{}.{}", base64(header), base64(payload));
    let signature = match signing {
        Signing::Good(key) => key.sign(&signed),
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
