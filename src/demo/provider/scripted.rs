//! What a test writes itself: ID tokens of any shape, answers of any bytes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use super::super::http::{Body, Response};
use super::super::jose::{Key, Signing, base64, hs256, signed};
use super::{Shared, Simulated};

/// What an ID token is made from, and what a forger would need.
pub struct Mint {
    /// The header of a right one.
    pub header: Value,
    /// The claims of a right one, with all that was switched and patched.
    pub claims: Value,
    key: Key,
}

/// Makes an ID token.
pub type Forge = Arc<dyn Fn(&Mint) -> String + Send + Sync>;

/// An answer that is always the same.
#[derive(Clone)]
pub(super) enum Script {
    Fixed {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// Headers of JSON, then a blank now and then, for ever.
    Drip,
}

impl Mint {
    pub(super) fn new(header: Value, claims: Value, key: &Key) -> Self {
        Self { header, claims, key: key.clone() }
    }

    /// A token with a right signature of the published key, whatever it says.
    pub fn sign(&self, header: &Value, payload: impl AsRef<[u8]>) -> String {
        signed(header.to_string().as_bytes(), payload.as_ref(), &Signing::Good(&self.key))
    }

    /// The right claims under another header.
    pub fn with_header(&self, name: &str, value: Value) -> String {
        let mut header = self.header.clone();
        header[name] = value;
        self.sign(&header, self.claims.to_string())
    }

    /// The right header over other claims; a `null` stays one.
    pub fn with_claim(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims[name] = value;
        self.sign(&self.header, claims.to_string())
    }

    /// The right claims with an HMAC under these bytes, and the id of the published key.
    pub fn hs256(&self, key: &[u8]) -> String {
        let mut header = self.header.clone();
        header["alg"] = "HS256".into();
        hs256(header.to_string().as_bytes(), self.claims.to_string().as_bytes(), key)
    }

    /// The public key as everybody can have it.
    pub fn pem(&self) -> String {
        self.key.pem()
    }

    /// The same.
    pub fn jwk(&self) -> Value {
        self.key.jwk("sig")
    }

    /// A right token.
    pub fn right(&self) -> String {
        self.sign(&self.header, self.claims.to_string())
    }

    /// The same to be signed by another key under the same id.
    pub fn another(&self) -> Self {
        let key = Key::of(&self.key.kid, self.key.alg);
        Self { header: self.header.clone(), claims: self.claims.clone(), key }
    }

    /// base64url without padding.
    pub fn base64(bytes: &[u8]) -> String {
        base64(bytes)
    }
}

impl Simulated {
    /// Gives out ID tokens that this makes.
    pub fn forge(&self, forge: impl Fn(&Mint) -> String + Send + Sync + 'static) {
        self.shared.lock().forge = Some(Arc::new(forge));
    }

    /// Answers an endpoint (`token`, `userinfo`, `jwks`) with these bytes; its calls are counted all the same.
    pub fn answer(&self, endpoint: &'static str, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let script = Script::Fixed { status, headers: headers.collect(), body: body.to_vec() };
        self.shared.lock().scripts.insert(endpoint, script);
    }

    /// Never ends the answer of an endpoint.
    pub fn drip(&self, endpoint: &'static str) {
        self.shared.lock().scripts.insert(endpoint, Script::Drip);
    }
}

impl Shared {
    /// The answer that was written for an endpoint.
    pub(super) fn scripted(&self, endpoint: &str) -> Option<Response> {
        let script = self.lock().scripts.get(endpoint).cloned()?;
        Some(match script {
            Script::Fixed { status, headers, body } => Response { status, headers, body: Body::Full(body) },
            Script::Drip => Response {
                status: 200,
                headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
                body: Body::Chunks(blanks()),
            },
        })
    }
}

fn blanks() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        while sender.send(b" ".to_vec()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    receiver
}
