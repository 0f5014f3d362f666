//! The header contract: which headers an upstream can believe, and which of ours nobody else may touch.
//! Pure.
//!
//! *Never:* why a request was permitted. Pingora's header types; `proxy` applies what is said here.
//! *Source:* README "What the application reads"; RFC 9110 §5.1, §7.6.1; RFC 6265bis §4.1.3.

mod cookies;
mod identity;
mod strip;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::policy::Permit;

pub(crate) use self::cookies::CookieNames;
pub(crate) use self::identity::{Encoding, Field, Fields, Left, PassToken, bearer};
pub(crate) use self::strip::{DEFAULT_STRIP, Strip, fold};

/// A header ready to insert: the name as the operator spelt it, and its value.
pub(crate) type Ready = (Bytes, HeaderValue);

/// What every upstream is told beside the identity.
#[derive(Debug)]
pub(crate) struct Contract {
    pub(crate) strip: Strip,
    pub(crate) cookies: CookieNames,
    /// Every identity header of every route but `Authorization`, which clients may use on the others.
    pub(crate) identity: Vec<HeaderName>,
    /// The header of signed identities, where there are any.
    pub(crate) assertion: Option<HeaderName>,
}

/// What to do to one request before it goes up.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Names to remove, whatever their values.
    pub(crate) remove: Vec<HeaderName>,
    /// What becomes of the `Cookie` lines.
    pub(crate) cookie: CookieChange,
}

/// What becomes of the `Cookie` lines of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CookieChange {
    Keep,
    Remove,
    /// One line instead of all.
    Replace(HeaderValue),
}

impl Contract {
    /// Says what to remove before identity headers are set; runs on every attempt, on every route (I2, I3).
    pub(crate) fn upward(&self, incoming: &HeaderMap, peer_is_trusted: bool) -> Changes {
        let remove =
            incoming.keys().filter(|name| self.strip.removes(name, peer_is_trusted)).cloned().collect();
        Changes { remove, cookie: self.cookies.without_ours(incoming) }
    }

    /// Whether a header of an upstream's answer must not reach the browser.
    pub(crate) fn keeps_back(&self, name: &HeaderName, value: &HeaderValue) -> bool {
        if *name == header::SET_COOKIE {
            // I3: only the gateway sets the gateway's cookies.
            return self.cookies.is_set_by(value.as_bytes());
        }
        name.as_str().starts_with("x-midgate-") || self.assertion.as_ref() == Some(name)
    }
}

/// The identity headers that a permit lets go up; none without an identity.
pub(crate) fn permitted(permit: Permit, ready: &[Ready]) -> &[Ready] {
    if permit.identified() { ready } else { &[] }
}

/// Headers of answers that always end at this hop (RFC 9110 §7.6.1); framing headers are Pingora's.
static ALWAYS: [HeaderName; 4] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authentication-info"),
];

/// Hop-by-hop headers of an answer: those above, and what its `Connection` names.
pub(crate) fn hop_by_hop(response: &HeaderMap) -> Vec<HeaderName> {
    let nominated = response
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        // Nearly every answer says so; it is one of those above already.
        .filter(|name| !name.eq_ignore_ascii_case("keep-alive"))
        .filter_map(|name| HeaderName::try_from(name).ok())
        .filter(|name| !matches!(*name, header::UPGRADE | header::CONNECTION | header::TRANSFER_ENCODING))
        .filter(|name| *name != header::CONTENT_LENGTH)
        .filter(|name| response.contains_key(name));
    nominated.chain(response.keys().filter(|name| ALWAYS.contains(name)).cloned()).collect()
}

#[cfg(test)]
mod tests;
