//! Private keys that sign what we say, and their public halves for those who verify it.
//!
//! *Never:* what is said, or to whom.
//! *Source:* RFC 7515 §3.1, RFC 7517 §4, RFC 7518 §3.3, §3.4, §6; RFC 7638 (thumbprint); RFC 8037 §2, §3.1.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Map, Value, json};

/// A key pair with the algorithm that follows from its type.
pub(crate) struct SigningKey {
    pair: Pair,
    /// Members of the public JWK that make the thumbprint, and no others.
    public: Map<String, Value>,
    kid: String,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Reads the DER of a PKCS#8 key: RSA from 2048 bits, P-256 or Ed25519.
    ///
    /// # Errors
    /// It is another kind of key, or a broken one.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, &'static str> {
        let pair = if let Ok(rsa) = RsaKeyPair::from_pkcs8(der) {
            Pair::Rsa(rsa)
        } else if let Ok(p256) =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new())
        {
            Pair::P256(p256)
        } else if let Ok(ed25519) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            // OpenSSL leaves the public half out of the file, so that there is nothing to compare.
            Pair::Ed25519(ed25519)
        } else {
            return Err("it is no RSA key of 2048 to 4096 bits, no P-256 key and no Ed25519 key");
        };
        let public = pair.public();
        // RFC 7638 §3: the required members in lexicographic order, without blanks.
        let ordered: BTreeMap<&String, &Value> = public.iter().collect();
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, json!(ordered).to_string().as_bytes()));
        Ok(Self { pair, public, kid })
    }

    /// `alg`, which follows from the key and is never a choice at run time.
    pub(crate) fn alg(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// The RFC 7638 thumbprint.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as a JWK, complete for a registration form or a set of keys.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = self.public.clone();
        for (name, value) in [("kid", self.kid()), ("use", "sig"), ("alg", self.alg())] {
            jwk.insert(name.to_owned(), value.into());
        }
        Value::Object(jwk)
    }

    /// Signs claims, compact; `None` when the key cannot sign.
    ///
    /// `typ` keeps a statement of one kind from being taken for one of another (RFC 8725 §3.11).
    pub(crate) fn state(&self, typ: &str, claims: &Value) -> Option<String> {
        let header = json!({ "alg": self.alg(), "kid": self.kid, "typ": typ });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.sign(signed.as_bytes())?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Signs; `None` when the key cannot, which a checked key does not do.
    fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).ok()?;
                Some(signature)
            }
            Pair::P256(pair) => pair.sign(&random, text).ok().map(|signature| signature.as_ref().to_vec()),
            Pair::Ed25519(pair) => Some(pair.sign(text).as_ref().to_vec()),
        }
    }
}

impl Pair {
    fn public(&self) -> Map<String, Value> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = match self {
            Self::Rsa(pair) => {
                let PublicKeyComponents::<Vec<u8>> { n, e } = pair.public().into();
                json!({ "kty": "RSA", "n": text(&n), "e": text(&e) })
            }
            Self::P256(pair) => {
                // SEC 1 §2.3.3: 4, then both coordinates of 32 bytes.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
            }
            Self::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) })
            }
        };
        jwk.as_object().cloned().unwrap_or_default()
    }
}

// I8: a private key has no way into a log.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("alg", &self.alg()).field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn the_algorithm_follows_from_the_kind_of_key() {
        let random = SystemRandom::new();
        let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        for (der, alg, kty) in [(p256.as_ref(), "ES256", "EC"), (ed25519.as_ref(), "EdDSA", "OKP")] {
            let key = SigningKey::from_pkcs8(der).unwrap();
            let jwk = key.jwk();
            assert_eq!((key.alg(), &jwk["alg"], &jwk["kty"]), (alg, &json!(alg), &json!(kty)));
            assert_eq!((&jwk["kid"], &jwk["use"]), (&json!(key.kid()), &json!("sig")));
            assert!(jwk.get("d").is_none(), "the private half stays here: {jwk}");
            let signature = key.sign(b"text").unwrap();
            let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
            let good = match alg {
                "ES256" => {
                    let point = [vec![4], part("x"), part("y")].concat();
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(b"text", &signature)
                }
                _ => UnparsedPublicKey::new(&ED25519, part("x")).verify(b"text", &signature),
            };
            assert!(good.is_ok(), "{alg}");
            assert!(!format!("{key:?}").contains("pair"));
        }
        assert!(SigningKey::from_pkcs8(b"no key").is_err());
    }

    #[test]
    fn the_key_id_is_the_thumbprint_of_the_rfc() {
        // RFC 8037 Appendix A.3: the key, and its thumbprint.
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let key = SigningKey::from_pkcs8(&[&head[..], &seed].concat()).unwrap();
        assert_eq!(key.jwk()["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
