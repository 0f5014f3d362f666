//! Logins under way, each in a sealed cookie of its own: two tabs never collide, and a restart loses nothing.
//!
//! *Source:* RFC 6265bis §5.6 (SameSite), §4.1.3 (`__Host-`); ARCHITECTURE I5.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, SameSite};
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::Login;
use crate::provider::Freshness;
use crate::request::{Found, cookie_pairs, find_cookie};
use crate::session::hash;

/// What the browser keeps of a login until the callback, unreadable to it.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct PendingLogin {
    #[serde(rename = "s")]
    pub(crate) state: String,
    #[serde(rename = "n")]
    pub(crate) nonce: String,
    #[serde(rename = "v")]
    pub(crate) verifier: String,
    #[serde(rename = "p")]
    pub(crate) provider: String,
    #[serde(rename = "o")]
    pub(crate) origin: String,
    #[serde(rename = "t")]
    pub(crate) target: String,
    /// Levels of which the login must come back with one.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) acr: Vec<String>,
    /// Seconds.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_age: Option<u64>,
    /// What tells when the person was authenticated.
    #[serde(rename = "f", default, skip_serializing_if = "is_usual")]
    pub(crate) freshness: Freshness,
    /// The user key of the person whose phone was told to the provider.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(crate) phone_of: Option<String>,
    /// Unix seconds.
    #[serde(rename = "b")]
    pub(crate) begun: u64,
}

fn is_usual(freshness: &Freshness) -> bool {
    *freshness == Freshness::default()
}

// I8: a pending login is all secrets.
impl std::fmt::Debug for PendingLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingLogin").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl PendingLogin {
    /// When the person was authenticated, in Unix seconds: by the ID token, else by what the request vouches for.
    pub(super) fn auth_time(&self, id_token: Option<u64>) -> Option<u64> {
        id_token.or(match self.freshness {
            Freshness::AuthTime => None,
            Freshness::Request => Some(self.begun),
        })
    }

    /// Whether a page demanded more than any login.
    pub(super) fn is_step_up(&self) -> bool {
        !self.acr.is_empty() || self.max_age.is_some()
    }

    /// Whether the login began too long before `now`, or after it.
    pub(crate) fn is_too_old(&self, timeout: Duration, now: u64) -> bool {
        now.saturating_sub(self.begun) >= timeout.as_secs() || self.begun > now.saturating_add(60)
    }
}

/// Browsers take 4096 bytes of name, value and attributes (RFC 6265 §6.1).
const LARGEST_VALUE: usize = 3800;

/// Parameter of the link on a page that asks whether to begin a login.
pub(crate) const WORD: &str = "go";

/// The login cookies of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jar<'r> {
    pub(crate) headers: &'r HeaderMap,
}

/// The part of a login cookie's name that belongs to one login; says nothing about its state.
fn login_id(state: &str) -> String {
    URL_SAFE_NO_PAD.encode(hash(state.as_bytes()).get(..9).unwrap_or_default())
}

impl Jar<'_> {
    /// Finds the pending login that belongs to a state.
    pub(super) fn find(self, state: &str, login: &Login) -> Option<PendingLogin> {
        let name = format!("{}{}", login.cookies.login_prefix, login_id(state));
        let mut found = cookie_pairs(self.headers).filter(|(known, _, _)| *known == name.as_bytes());
        let (_, value, _) = found.next()?;
        if found.next().is_some() {
            return None;
        }
        open(login, &name, value)
    }

    /// Whether the browser brought the cookie of the login with this state.
    pub(crate) fn has(self, state: &str, login: &Login) -> bool {
        self.find(state, login).is_some()
    }

    /// The cookies to set when a login begins: the new one, and deletions of those that are stale or too many.
    pub(super) fn add(self, pending: &PendingLogin, login: &Login, now: u64) -> Vec<String> {
        let mut known: Vec<(u64, String)> = Vec::new();
        let mut deletions = Vec::new();
        for (name, value, _) in cookie_pairs(self.headers) {
            let Some(name) =
                std::str::from_utf8(name).ok().filter(|n| n.starts_with(&login.cookies.login_prefix))
            else {
                continue;
            };
            match open(login, name, value).filter(|old| !old.is_too_old(login.settings.timeout, now)) {
                Some(old) => known.push((old.begun, name.to_owned())),
                None => deletions.push(name.to_owned()),
            }
        }
        // Oldest first; within one second in the browser's order, which is that of making (RFC 6265 §5.4).
        known.sort_by_key(|(begun, _)| *begun);
        let surplus = (known.len() + 1).saturating_sub(login.settings.pending.max(1));
        deletions.extend(known.into_iter().take(surplus).map(|(_, name)| name));
        let name = format!("{}{}", login.cookies.login_prefix, login_id(&pending.state));
        let seal = |pending: &PendingLogin| {
            serde_json::to_vec(pending).map(|json| login.sealer.seal(&name, &json)).unwrap_or_default()
        };
        let mut value = seal(pending);
        if value.len() > LARGEST_VALUE {
            // A target full of quotes doubles in JSON, and browsers drop what is larger than they take.
            value = seal(&PendingLogin { target: "/".to_owned(), ..pending.clone() });
        }
        let mut cookies: Vec<String> = deletions.iter().map(|name| login.delete_cookie(name)).collect();
        cookies.push(login.cookie(&name, &value, login.settings.timeout));
        cookies
    }
}

fn open(login: &Login, name: &str, value: &[u8]) -> Option<PendingLogin> {
    // A pending login holds at most a target of 2 KiB; what is longer need not be decoded.
    let value = std::str::from_utf8(value).ok().filter(|value| value.len() <= 8 * 1024)?;
    serde_json::from_slice(&login.sealer.open(name, value)?).ok()
}

impl Login {
    /// Deletes the cookie of the login with this state.
    pub(crate) fn forget(&self, state: &str) -> String {
        self.delete_cookie(&format!("{}{}", self.cookies.login_prefix, login_id(state)))
    }

    /// What a page that asks the person puts into its link, and the cookie by which the link is known again.
    ///
    /// Not every browser tells whose doing a request is (W3C Fetch Metadata), and none does over plain http.
    pub(crate) fn word(&self) -> (String, String) {
        let word = super::token();
        let cookie = self.cookie(&self.word_cookie(), &word, self.settings.timeout);
        (word, cookie)
    }

    /// Whether this browser was shown a page with this word; a login that begins deletes the cookie.
    pub(crate) fn knows_word(&self, word: &str, jar: Jar<'_>) -> bool {
        match find_cookie(jar.headers, &self.word_cookie()) {
            Found::One(known) => subtle::ConstantTimeEq::ct_eq(known.as_bytes(), word.as_bytes()).into(),
            Found::Missing | Found::Doubled => false,
        }
    }

    fn word_cookie(&self) -> String {
        format!("{}{WORD}", self.cookies.login_prefix)
    }

    fn delete_cookie(&self, name: &str) -> String {
        self.cookie(name, "", Duration::ZERO)
    }

    /// A cookie of this host alone: never with a Domain, and Lax, so that the provider's redirect back brings it along.
    pub(crate) fn cookie(&self, name: &str, value: &str, age: Duration) -> String {
        let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        Cookie::build((name, value))
            .path("/")
            .http_only(true)
            .secure(self.cookies.secure)
            .same_site(SameSite::Lax)
            .max_age(cookie::time::Duration::seconds(seconds))
            .build()
            .to_string()
    }
}
