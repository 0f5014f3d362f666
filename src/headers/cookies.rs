//! The gateway's cookies: their names, taken out on the way up and kept to ourselves on the way down.
//! Pure.
//!
//! *Source:* RFC 6265bis §4.1.3 (`__Host-`, `__Secure-`).

use http::header::{self, HeaderMap, HeaderValue};

use super::CookieChange;
use crate::request::cookie_pairs;

/// What our cookies are called at this origin.
#[derive(Debug, Clone)]
pub(crate) struct CookieNames {
    base: String,
    /// The session cookie.
    pub(crate) session: String,
    /// Where somebody signed in last.
    pub(crate) choice: String,
    /// What every login cookie's name starts with.
    pub(crate) login_prefix: String,
    /// The cookie of a logout that is under way at the provider.
    pub(crate) logout: String,
    /// Whether the browser must send them over https only.
    pub(crate) secure: bool,
    /// `session.cookie.domain`, for the cookies of session and logout only.
    pub(crate) domain: Option<String>,
}

impl CookieNames {
    /// Names for `base` (`session.cookie.name`) at an https or a plain http origin.
    pub(crate) fn new(base: &str, secure: bool, domain: Option<String>) -> Self {
        let (session_prefix, login_prefix) = match (secure, &domain) {
            (false, _) => ("", ""),
            (true, None) => ("__Host-", "__Host-"),
            (true, Some(_)) => ("__Secure-", "__Host-"),
        };
        Self {
            session: format!("{session_prefix}{base}"),
            choice: format!("{login_prefix}{base}-choice"),
            login_prefix: format!("{login_prefix}{base}-login-"),
            logout: format!("{session_prefix}{base}-logout"),
            base: base.to_owned(),
            secure,
            domain,
        }
    }

    /// Whether a cookie of this name is ours, whatever prefix it carries.
    pub(crate) fn is_ours(&self, name: &[u8]) -> bool {
        let bare = [&b"__Host-"[..], b"__Secure-"]
            .iter()
            .find_map(|prefix| {
                // Browsers compare the prefixes without regard to case (RFC 6265bis §5.5).
                name.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix))?;
                name.get(prefix.len()..)
            })
            .unwrap_or(name);
        let Some(rest) = bare.strip_prefix(self.base.as_bytes()) else { return false };
        rest.is_empty() || rest == b"-choice" || rest == b"-logout" || rest.starts_with(b"-login-")
    }

    /// Takes our cookies out; all others stay byte for byte and in order, on one line.
    pub(super) fn without_ours(&self, incoming: &HeaderMap) -> CookieChange {
        let mut lines = incoming.get_all(header::COOKIE).iter();
        let Some(first) = lines.next() else { return CookieChange::Keep };
        let single = lines.next().is_none();
        let is_other = |name: &[u8], pair: &[u8]| !pair.is_empty() && !self.is_ours(name);
        let (mut ours, mut others) = (false, false);
        for (name, _, pair) in cookie_pairs(incoming) {
            if is_other(name, pair) { others = true } else { ours |= !pair.is_empty() }
        }
        if single && !ours {
            return CookieChange::Keep;
        }
        if !others {
            return CookieChange::Remove;
        }
        let mut line = Vec::with_capacity(first.len());
        for (_, _, pair) in cookie_pairs(incoming).filter(|(name, _, pair)| is_other(name, pair)) {
            if !line.is_empty() {
                line.extend_from_slice(b"; ");
            }
            line.extend_from_slice(pair);
        }
        HeaderValue::from_bytes(&line).map_or(CookieChange::Remove, CookieChange::Replace)
    }

    /// Whether a `Set-Cookie` value sets one of ours.
    pub(super) fn is_set_by(&self, set_cookie: &[u8]) -> bool {
        let pair = set_cookie.split(|byte| *byte == b';').next().unwrap_or_default();
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        // A nameless cookie `=__Host-x=y` is sent back as `__Host-x=y` by some browsers.
        let nameless = name.is_empty().then(|| pair.get(1..).unwrap_or_default());
        let hidden =
            nameless.map(|rest| rest.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii());
        self.is_ours(name) || hidden.is_some_and(|name| self.is_ours(name))
    }
}
