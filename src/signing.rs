//! Private keys that sign what we say, and their public halves for those who verify it.
//!
//! *Never:* what is said, or to whom.
//! *Source:* RFC 7515 §3.1, RFC 7517 §4, RFC 7518 §3.3, §3.4, §6; RFC 7638 (thumbprint); RFC 8037 §2, §3.1.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
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

/// Keys whose private half everybody can read: of RFC 7517 Appendix A, RFC 7515 Appendix A.3, RFC 8037 Appendix A.1, and
/// of the debugger at jwt.io; by their thumbprints.
const PUBLISHED: [&str; 6] = [
    "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
    "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s",
    "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",
    "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    "19J8y7Zprt2-QKLjF2I5pVk0OELX6cY2AfaAv1LC_w8",
    "oGDmHqCJ7yzMkWEkrlZVHkvrHIyQwtlDmeq5ForUHeY",
];

const OTHER_KIND: &str = "it is no RSA key of 2048 to 4096 bits, no P-256 key and no Ed25519 key";

/// The kinds of key that can be made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fresh {
    P256,
    Ed25519,
}

impl Fresh {
    /// A fresh key as PKCS#8 PEM; `None` when the operating system gives no random bytes.
    pub(crate) fn pem(self) -> Option<String> {
        let random = SystemRandom::new();
        let der = match self {
            Self::P256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
            // Version 1 leaves the public half out: OpenSSL and with it most tools read no version 2.
            Self::Ed25519 => return Some(pem(&[&ED25519_PKCS8[..], &crate::seal::random::<32>()].concat())),
        };
        Some(pem(der.ok()?.as_ref()))
    }
}

/// What stands before the 32 bytes of an Ed25519 key in PKCS#8 (RFC 8410 §7).
const ED25519_PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// What stands before the octets of a P-256 key in PKCS#8 (RFC 5208 §5, RFC 5480 §2.1.1).
const P256_PKCS8: [u8; 24] = [
    2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1,
    7,
];

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", lines.join("\n"))
}

/// A P-256 key of its older form in the newer one; `None` when it is longer than such keys are.
fn wrapped(sec1: &[u8]) -> Option<Vec<u8>> {
    element(0x30, &[&P256_PKCS8[..], &element(4, sec1)?].concat())
}

/// An element of DER with its length in the one good form (X.690 §10.1).
fn element(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(content.len()).ok()?;
    let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
    Some([&head, content].concat())
}

/// Whether 32 bytes in a row hold fewer than 8 different values, which those of a random key never do.
fn is_monotonous(der: &[u8]) -> bool {
    der.windows(32).any(|window| {
        let mut seen = [false; 256];
        window.iter().for_each(|byte| seen[usize::from(*byte)] = true);
        seen.into_iter().filter(|seen| *seen).count() < 8
    })
}

impl SigningKey {
    /// Reads a key of any form that PEM files hold, and refuses what others could know.
    ///
    /// # Errors
    /// It is another kind of key, a broken one, no random one, or a published one.
    pub(crate) fn from_der(der: &PrivateKeyDer<'_>) -> Result<Self, &'static str> {
        if is_monotonous(der.secret_der()) {
            return Err("it has too few different bytes to be random");
        }
        let key = match der {
            PrivateKeyDer::Sec1(sec1) => {
                Self::from_pkcs8(&wrapped(sec1.secret_sec1_der()).unwrap_or_default())
            }
            PrivateKeyDer::Pkcs1(rsa) => RsaKeyPair::from_der(rsa.secret_pkcs1_der())
                .map(|rsa| Self::new(Pair::Rsa(rsa)))
                .map_err(|_| OTHER_KIND),
            other => Self::from_pkcs8(other.secret_der()),
        }?;
        if PUBLISHED.contains(&key.kid()) {
            return Err("it is the sample of a specification or of jwt.io, which everybody knows");
        }
        Ok(key)
    }

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
            return Err(OTHER_KIND);
        };
        Ok(Self::new(pair))
    }

    fn new(pair: Pair) -> Self {
        let public = pair.public();
        // RFC 7638 §3: the required members in lexicographic order, without blanks.
        let ordered: BTreeMap<&String, &Value> = public.iter().collect();
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, json!(ordered).to_string().as_bytes()));
        Self { pair, public, kid }
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

    fn read(pem: &str) -> Result<SigningKey, &'static str> {
        use rustls::pki_types::pem::PemObject as _;
        SigningKey::from_der(&PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap())
    }

    #[test]
    fn fresh_keys_are_read_again_and_no_two_are_alike() {
        for (fresh, alg) in [(Fresh::P256, "ES256"), (Fresh::Ed25519, "EdDSA")] {
            let (one, two) = (read(&fresh.pem().unwrap()).unwrap(), read(&fresh.pem().unwrap()).unwrap());
            assert_eq!((one.alg(), two.alg()), (alg, alg));
            assert_ne!(one.kid(), two.kid());
        }
    }

    #[test]
    fn a_p256_key_in_its_older_form_is_the_same_key() {
        let new =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let new = new.as_ref();
        // RFC 5208 §5: the older form is what the newer one holds in its octet string.
        let old = PrivateKeyDer::Sec1(new[29..].to_vec().into());
        let kid = SigningKey::from_pkcs8(new).unwrap().kid;
        assert_eq!(SigningKey::from_der(&old).unwrap().kid, kid);
        assert!(SigningKey::from_der(&PrivateKeyDer::Sec1(vec![0x30; 3].into())).is_err());
    }

    #[test]
    fn keys_that_others_could_know_are_refused() {
        // RFC 8037 Appendix A.1.
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let sample = pem(&[&ED25519_PKCS8[..], &seed].concat());
        assert!(read(&sample).unwrap_err().contains("sample"));
        let letter = pem(&[&ED25519_PKCS8[..], &[b'A'; 32]].concat());
        assert!(read(&letter).unwrap_err().contains("too few different bytes"));
    }
}
