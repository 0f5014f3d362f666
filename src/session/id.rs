//! A session's id, which only the browser knows, and the key that we keep instead.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::seal::random;

/// SHA-256 of something secret.
pub(crate) type Key = [u8; 32];

/// 32 random bytes, base64url in the cookie.
#[derive(Clone)]
pub(crate) struct SessionId(Zeroizing<[u8; 32]>);

impl SessionId {
    /// A fresh one from the operating system's generator.
    pub(crate) fn random() -> Self {
        Self(Zeroizing::new(random()))
    }

    /// Reads a cookie's value; anything but the one spelling of 32 bytes is no id.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        // The decoder wants room for a whole last group.
        let mut room = Zeroizing::new([0; 33]);
        if text.len() != 43 {
            return None;
        }
        let length = URL_SAFE_NO_PAD.decode_slice(text, room.as_mut_slice()).ok()?;
        bytes.copy_from_slice(room.get(..length)?.get(..32)?);
        Some(Self(bytes))
    }

    /// The cookie's value.
    pub(crate) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.as_slice())
    }

    /// What the cache is keyed by (I13).
    pub(crate) fn key(&self) -> Key {
        hash(self.0.as_slice())
    }
}

/// SHA-256.
pub(crate) fn hash(bytes: &[u8]) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, bytes).as_ref());
    key
}

/// A short name of a session for logs and people, of no use as a cookie.
pub(crate) fn reference(key: &Key) -> String {
    URL_SAFE_NO_PAD.encode(key.get(..9).unwrap_or_default())
}
