//! A simulated OpenID provider in the manner of those that the gateway is made for, with faults to switch on.
//!
//! *Never:* anything of the gateway (I12).
//! *Source:* OIDC Core, RFC 6749, RFC 7636, RFC 9126, RFC 9207; the providers' published tables.

mod client;
mod endpoints;
mod level4;
mod logout;
mod machine;
mod manner;
mod par;
mod refresh;
mod scripted;
mod tokens;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::http::{Request, Server};
use super::jose::Key;

use self::par::Pushed;
use self::scripted::Script;

pub use self::client::{CERTIFICATE, Proof};
pub use self::logout::Forgery;
pub use self::manner::Manner;
pub use self::scripted::{Forge, Mint};

/// A provider to simulate.
#[derive(Debug, Clone)]
pub struct Settings {
    pub manner: Manner,
    /// `127.0.0.1` or `localhost`: the host in the issuer.
    pub host: String,
    /// 0: a free one.
    pub port: u16,
    pub client_id: String,
    pub client_secret: String,
    /// Whether a page asks the person; otherwise every login is approved at once.
    pub interactive: bool,
}

/// A running simulated provider, until it is dropped.
pub struct Simulated {
    shared: Arc<Shared>,
    server: Server,
}

/// What every endpoint shares.
struct Shared {
    settings: Settings,
    /// `http://host:port`.
    base: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    faults: BTreeSet<String>,
    /// For the faults `answer-error` and `par-error`: code and description.
    answer_error: (String, String),
    id_token: Map<String, Value>,
    userinfo: Map<String, Value>,
    calls: Calls,
    /// Logins that wait at the page.
    waiting: HashMap<String, BTreeMap<String, String>>,
    codes: HashMap<String, Grant>,
    access: HashMap<String, Grant>,
    refresh: refresh::Tokens,
    /// `expires_in` of token answers.
    expires_in: Option<Value>,
    keys: Vec<Key>,
    /// How the client proves itself.
    proof: Proof,
    /// `jti` of every assertion so far.
    assertions: BTreeSet<String>,
    /// Requests that were pushed and not used yet, by their `request_uri`.
    pushed: HashMap<String, Pushed>,
    /// Where clients with certificates are to go.
    tls_front: Option<String>,
    /// A P-256 key beside the others, as many providers publish one.
    ec_key: Option<Key>,
    /// ID tokens that were given out, byte for byte.
    issued: BTreeSet<String>,
    /// Origins of redirect URIs that logins came with.
    origins: BTreeSet<String>,
    /// The gateway's front-channel logout, where a page is to frame it.
    frontchannel: Option<String>,
    /// Logout tokens that were made.
    logouts: usize,
    /// Makes ID tokens in place of the usual ones.
    forge: Option<Forge>,
    /// Answers that were written, by endpoint.
    scripts: HashMap<&'static str, Script>,
}

/// An approved login.
#[derive(Debug, Clone)]
struct Grant {
    parameters: BTreeMap<String, String>,
    person: usize,
    at: Instant,
    /// When the person was authenticated, in Unix seconds.
    auth_time: u64,
    /// One login and everything that comes of its refresh tokens.
    family: usize,
}

/// How often each endpoint was called, and with what at last.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    pub discovery: usize,
    pub jwks: usize,
    pub authorize: usize,
    /// Codes and refresh tokens together.
    pub token: usize,
    pub refresh: usize,
    /// Refresh tokens that came although another had taken their place.
    pub reused: usize,
    pub userinfo: usize,
    pub end_session: usize,
    pub par: usize,
    /// Calls to any other path.
    pub unknown: usize,
    /// Parameters that the browser brought to the last authorization request, in order, doubled ones twice.
    pub front: Vec<(String, String)>,
    /// Parameters that counted: those of the browser, or those that were pushed.
    pub authorization: Vec<(String, String)>,
    /// The last pushed request.
    pub par_request: Request,
    /// The last token request.
    pub token_request: Request,
    /// The last UserInfo request.
    pub userinfo_request: Request,
    /// Parameters of the last request to end a session, in order.
    pub end_session_request: Vec<(String, String)>,
    /// `sid` and `sub` of the last ID token, where it had them.
    pub sid: String,
    pub sub: String,
    /// The last ID token.
    pub id_token: String,
}

impl Calls {
    /// A parameter of the last authorization request.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.authorization.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Id of the P-256 key that is always there.
const EC: &str = "ec";
/// A code of Mobile ID lives this long.
const CODE: Duration = Duration::from_secs(10);

impl Simulated {
    /// Starts a provider on loopback.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let state = State { keys: vec![Key::generate("first")], ..State::default() };
        let slot: Arc<Mutex<Option<Arc<Shared>>>> = Arc::new(Mutex::new(None));
        let inner = Arc::clone(&slot);
        let server = Server::start(
            settings.port,
            Arc::new(move |request| {
                let shared = inner.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Box::pin(async move {
                    match shared {
                        Some(shared) => endpoints::answer(&shared, request).await,
                        None => super::http::Response::new(503, "text/plain", "starting"),
                    }
                })
            }),
        )?;
        let base = format!("http://{}:{}", settings.host, server.port());
        let shared = Arc::new(Shared { settings, base, state: Mutex::new(state) });
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&shared));
        Ok(Self { shared, server })
    }

    /// The issuer, exactly as in its tokens.
    pub fn issuer(&self) -> String {
        self.shared.issuer()
    }

    /// Where its metadata are.
    pub fn discovery(&self) -> String {
        self.shared.discovery()
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Switches a fault on or off by its name.
    pub fn fault(&self, name: &str, on: bool) {
        self.shared.switch(name, on);
    }

    /// Switches every fault off and forgets patches.
    pub fn heal(&self) {
        let mut state = self.shared.lock();
        state.faults.clear();
        state.id_token.clear();
        state.userinfo.clear();
        state.expires_in = None;
        state.forge = None;
        state.scripts.clear();
    }

    /// Refuses every pushed request with this error.
    pub fn refuse_pushed(&self, error: &str, description: &str) {
        let mut state = self.shared.lock();
        state.answer_error = (error.to_owned(), description.to_owned());
        state.faults.insert("par-error".to_owned());
    }

    /// Answers every authorization request with this error.
    pub fn answer_error(&self, error: &str, description: &str) {
        let mut state = self.shared.lock();
        state.answer_error = (error.to_owned(), description.to_owned());
        state.faults.insert("answer-error".to_owned());
    }

    /// Claims of ID tokens to replace; `null` removes one.
    pub fn patch_id_token(&self, claims: Value) {
        self.shared.lock().id_token = claims.as_object().cloned().unwrap_or_default();
    }

    /// Claims of UserInfo to replace; `null` removes one.
    pub fn patch_userinfo(&self, claims: Value) {
        self.shared.lock().userinfo = claims.as_object().cloned().unwrap_or_default();
    }

    /// `expires_in` of token answers from now on, whatever JSON it is.
    pub fn expires_in(&self, value: Value) {
        self.shared.lock().expires_in = Some(value);
    }

    /// Signs with a new key under a new id from now on; the old one is gone.
    pub fn rotate_keys(&self) {
        let mut state = self.shared.lock();
        let number = state.calls.jwks;
        state.keys = vec![Key::generate(&format!("rotated-{number}"))];
    }

    /// Signs with a new key for this algorithm from now on: RS256, PS256, ES256 or EdDSA.
    pub fn sign_with(&self, alg: &'static str) {
        self.shared.lock().keys = vec![Key::of(alg, alg)];
    }

    /// Registers how the client proves itself.
    pub fn register(&self, proof: Proof) {
        self.shared.lock().proof = proof;
    }

    /// Names another address for clients with certificates (RFC 8705 §5).
    pub fn set_tls_front(&self, base: &str) {
        self.shared.lock().tls_front = Some(base.to_owned());
    }

    /// What was called so far.
    pub fn calls(&self) -> Calls {
        self.shared.lock().calls.clone()
    }

    /// Forgets what was called.
    pub fn forget_calls(&self) {
        self.shared.lock().calls = Calls::default();
    }

    /// Down: every connection is closed at once.
    pub fn stop(&self) {
        self.server.pause(true);
    }

    /// Up again, on the same port.
    pub fn start_again(&self) {
        self.server.pause(false);
    }
}

/// Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Key and name of everybody who has a phone here.
pub(super) fn people() -> impl Iterator<Item = (&'static str, String)> {
    manner::PEOPLE.iter().map(|person| (person.key, format!("{} {}", person.first, person.last)))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is half done between two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, fault: &str) -> bool {
        self.lock().faults.contains(fault)
    }

    fn switch(&self, name: &str, on: bool) {
        let mut state = self.lock();
        if on {
            state.faults.insert(name.to_owned());
        } else {
            state.faults.remove(name);
        }
    }
}

#[cfg(test)]
mod tests;
