//! Sealing what we hand out and read back: authenticated encryption under keys that rotate.
//!
//! *Never:* what is inside.
//! *Source:* RFC 5116 (AEAD), RFC 5869 (HKDF), NIST SP 800-38D.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

/// Bytes of a key.
pub(crate) const KEY_LEN: usize = 32;
/// Bytes of a key's id, which stand before a sealed text so that the right key opens it at once.
const ID_LEN: usize = 4;

/// The gateway's keys: the first seals, all open.
pub(crate) struct Keys {
    masters: Vec<Zeroizing<[u8; KEY_LEN]>>,
}

/// What is wrong with a text of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("line {0}: not base64url of 32 bytes; write one with: midgate keygen")]
    Form(usize),
    #[error("line {0}: too few different bytes to be random; write one with: midgate keygen")]
    Weak(usize),
    #[error("no key in it; write one with: midgate keygen")]
    Empty,
}

/// Seals and opens for one purpose.
pub(crate) struct Sealer {
    keys: Vec<([u8; ID_LEN], LessSafeKey)>,
}

/// Makes and checks short authentication codes for one purpose.
pub(crate) struct Mac {
    keys: Vec<hmac::Key>,
}

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

impl Keys {
    /// Keys that live as long as the process.
    pub(crate) fn random() -> Self {
        Self { masters: vec![Zeroizing::new(random())] }
    }

    /// Parses a text with a base64url key of 32 bytes a line; blank lines and `#` comments are skipped.
    ///
    /// # Errors
    /// No key, or a line that is no good key.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyError> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let masters = keys.map(|(number, line)| parse_key(number, line)).collect::<Result<Vec<_>, _>>()?;
        if masters.is_empty() { Err(KeyError::Empty) } else { Ok(Self { masters }) }
    }

    /// A fresh key in its written form.
    pub(crate) fn generate() -> String {
        URL_SAFE_NO_PAD.encode(random::<KEY_LEN>())
    }

    /// A sealer whose boxes no other purpose opens.
    pub(crate) fn sealer(&self, purpose: &'static str) -> Sealer {
        let keys = self.masters.iter().filter_map(|master| {
            let id = derive(master, &[b"id", purpose.as_bytes()]);
            let key =
                UnboundKey::new(&AES_256_GCM, derive(master, &[b"seal", purpose.as_bytes()]).as_slice())
                    .ok()?;
            Some((id.first_chunk().copied()?, LessSafeKey::new(key)))
        });
        Sealer { keys: keys.collect() }
    }

    /// A maker of codes that no other purpose accepts.
    pub(crate) fn mac(&self, purpose: &'static str) -> Mac {
        let keys = self.masters.iter();
        let derive = |master| derive(master, &[b"mac", purpose.as_bytes()]);
        Mac {
            keys: keys.map(|master| hmac::Key::new(hmac::HMAC_SHA256, derive(master).as_slice())).collect(),
        }
    }
}

impl Sealer {
    /// Seals a text; `context` (a cookie's name) must be the same to open it.
    pub(crate) fn seal(&self, context: &str, plain: &[u8]) -> String {
        let (id, key) = self.keys.first().expect("keys are never empty");
        let nonce: [u8; NONCE_LEN] = random();
        let mut sealed = plain.to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context.as_bytes()),
            &mut sealed,
        )
        .expect("a text of this size can be sealed");
        URL_SAFE_NO_PAD.encode([id.as_slice(), &nonce, &sealed].concat())
    }

    /// Opens what [`Self::seal`] made with the same context; `None` for anything else.
    pub(crate) fn open(&self, context: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (id, rest) = bytes.split_first_chunk::<ID_LEN>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (_, key) = self.keys.iter().find(|(known, _)| known == id)?;
        let mut text = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key.open_in_place(nonce, Aad::from(context.as_bytes()), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

impl Mac {
    /// The code of a text, base64url.
    pub(crate) fn code(&self, text: &[u8]) -> String {
        let key = self.keys.first().expect("keys are never empty");
        URL_SAFE_NO_PAD.encode(hmac::sign(key, text))
    }

    /// Whether `code` is the text's, in constant time.
    pub(crate) fn verify(&self, text: &[u8], code: &str) -> bool {
        let Ok(code) = URL_SAFE_NO_PAD.decode(code) else { return false };
        self.keys.iter().any(|key| hmac::verify(key, text, &code).is_ok())
    }
}

/// Bytes from the operating system's generator.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

fn derive(master: &[u8; KEY_LEN], info: &[&[u8]]) -> Zeroizing<[u8; KEY_LEN]> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"midgate")
        .extract(master)
        .expand(info, Length)
        .and_then(|okm| okm.fill(key.as_mut_slice()))
        .expect("32 bytes are within HKDF's length");
    key
}

fn parse_key(number: usize, line: &str) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyError> {
    let bytes = URL_SAFE_NO_PAD.decode(line.trim_end_matches('=')).map_err(|_| KeyError::Form(number))?;
    let key: [u8; KEY_LEN] = bytes.try_into().map_err(|_| KeyError::Form(number))?;
    let mut seen = [false; 256];
    key.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    // 32 random bytes have fewer than 16 different values about once in 10^13 keys.
    let different = seen.iter().filter(|seen| **seen).count();
    if different < 16 { Err(KeyError::Weak(number)) } else { Ok(Zeroizing::new(key)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_opens_for_its_purpose_and_context_only() {
        let keys = Keys::random();
        let sealer = keys.sealer("login");
        let sealed = sealer.seal("cookie-a", b"text");
        assert_eq!(sealer.open("cookie-a", &sealed).as_deref(), Some(&b"text"[..]));
        assert_eq!(sealer.open("cookie-b", &sealed), None);
        assert_eq!(keys.sealer("session").open("cookie-a", &sealed), None);
        assert_eq!(Keys::random().sealer("login").open("cookie-a", &sealed), None);
        assert_ne!(sealer.seal("cookie-a", b"text"), sealed);
    }

    #[test]
    fn a_box_with_any_byte_changed_does_not_open() {
        let sealer = Keys::random().sealer("login");
        let sealed = sealer.seal("c", b"text");
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last letter's unused bits must be zero, so that there is one spelling only.
            assert_eq!(sealer.open("c", &changed), None, "{at}");
        }
        for junk in ["", "A", "====", "é", &"A".repeat(10_000)] {
            assert_eq!(sealer.open("c", junk), None);
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (Keys::generate(), Keys::generate());
        let before = Keys::parse(&old).unwrap();
        let after = Keys::parse(&format!("# rotated\n{new}\n\n{old}\n")).unwrap();
        let sealed = before.sealer("p").seal("c", b"text");
        assert!(after.sealer("p").open("c", &sealed).is_some());
        assert!(before.sealer("p").open("c", &after.sealer("p").seal("c", b"text")).is_none());
        let code = before.mac("csrf").code(b"id");
        assert!(after.mac("csrf").verify(b"id", &code));
        assert!(!after.mac("csrf").verify(b"other", &code));
        assert!(!after.mac("other").verify(b"id", &code));
    }

    #[test]
    fn weak_keys_are_refused() {
        let error = |text: &str| Keys::parse(text).err();
        assert_eq!(error(""), Some(KeyError::Empty));
        assert_eq!(error("short"), Some(KeyError::Form(1)));
        assert_eq!(error(&format!("#\n{}", "A".repeat(43))), Some(KeyError::Weak(2)));
    }
}
