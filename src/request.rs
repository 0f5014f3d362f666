//! The one canonical view of a request that routing, decision, log and forwarding share.
//! Pure.
//!
//! *Never:* what a route or a session is.
//! *Source:* RFC 9110, RFC 9112, RFC 3986; WHATWG Fetch metadata.

mod certificate;
mod cookies;
mod described;
mod forwarded;
mod kind;
mod path;
mod raw;

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName};
use http::{Method, request::Parts};

pub(crate) use self::certificate::Certificate;
pub(crate) use self::cookies::{Found, cookie_pairs, find_cookie};
pub(crate) use self::described::{Described, Manner, describe};
pub(crate) use self::forwarded::forwarded_client;
pub(crate) use self::kind::Kind;
pub(crate) use self::path::{Path, Quirks};
pub(crate) use self::raw::check_raw;

/// Why a request is refused before anything is decided; all are the client's fault and 400, but for the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The target is not in origin form, or holds bytes that no target may hold.
    Target,
    /// Two servers could read the path differently.
    AmbiguousPath,
    /// `Host` is missing, doubled, empty or not a host.
    Host,
    /// A header that must stand once stands twice.
    DoubledHeader,
    /// Another proxy describes no request, or more than one, or only a part of one.
    Description,
    /// Framing that leaves room for two readings.
    Framing,
    /// A method that no application behind a gateway may see.
    Method,
}

impl Malformed {
    /// The word for logs and programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Target => "bad-target",
            Self::AmbiguousPath => "ambiguous-path",
            Self::Host => "bad-host",
            Self::DoubledHeader => "doubled-header",
            Self::Description => "bad-description",
            Self::Framing => "bad-framing",
            Self::Method => "method-not-allowed",
        }
    }
}

/// What a request says, read once.
#[derive(Debug)]
pub(crate) struct View<'r> {
    pub(crate) method: &'r Method,
    /// Lower case, without port.
    pub(crate) host: Cow<'r, str>,
    pub(crate) path: Path<'r>,
    pub(crate) query: Option<&'r str>,
    pub(crate) headers: &'r HeaderMap,
}

/// Reads a request's head. `target` is the target as it stood on the wire, in origin form.
///
/// # Errors
/// Everything that is malformed, or that two servers could read differently.
pub(crate) fn read<'r>(head: &'r Parts, target: &'r [u8]) -> Result<View<'r>, Malformed> {
    check_method(&head.method)?;
    check_framing(&head.headers)?;
    check_scheme(head)?;
    let host = read_host(head)?;
    let target = std::str::from_utf8(target).map_err(|_| Malformed::Target)?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if query.is_some_and(|query| !query.bytes().all(path::is_target_byte)) {
        return Err(Malformed::Target);
    }
    Ok(View { method: &head.method, host, path: Path::read(path)?, query, headers: &head.headers })
}

impl View<'_> {
    /// Path and query as the visitor sent them.
    pub(crate) fn target(&self) -> String {
        match self.query {
            Some(query) => format!("{}?{query}", self.path.raw),
            None => self.path.raw.to_owned(),
        }
    }

    /// One header as text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn check_method(method: &Method) -> Result<(), Malformed> {
    // RFC 9110 §9.3.6, §9.3.8; a lower-case method is another method (§9.1), and a trap for servers that fold it.
    let known = matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::OPTIONS
            | Method::PATCH
    );
    let extension = || {
        let text = method.as_str();
        text.len() <= 32 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
    };
    let banned = || matches!(*method, Method::TRACE | Method::CONNECT) || method.as_str() == "TRACK";
    if known || (extension() && !banned()) { Ok(()) } else { Err(Malformed::Method) }
}

fn check_framing(headers: &HeaderMap) -> Result<(), Malformed> {
    // One walk: looking for what is mostly not there would hash each name on every request.
    let (mut authorizations, mut types, mut lengths, mut codings) = (0, 0, 0, 0);
    let mut well_formed = true;
    for (name, value) in headers {
        match *name {
            header::AUTHORIZATION => authorizations += 1,
            header::CONTENT_TYPE => types += 1,
            header::CONTENT_LENGTH => {
                let digits = value.as_bytes().iter().all(u8::is_ascii_digit);
                well_formed &= digits && (1..=18).contains(&value.len());
                lengths += 1;
            }
            header::TRANSFER_ENCODING => {
                well_formed &= value.as_bytes().eq_ignore_ascii_case(b"chunked");
                codings += 1;
            }
            _ => {}
        }
    }
    if authorizations > 1 || types > 1 {
        return Err(Malformed::DoubledHeader);
    }
    // RFC 9112 §6.3: a length that could be read in two ways.
    if well_formed && lengths + codings <= 1 { Ok(()) } else { Err(Malformed::Framing) }
}

/// RFC 9113 §8.3.1, RFC 9110 §4.2: a scheme in another spelling is one that another server may read otherwise.
fn check_scheme(head: &Parts) -> Result<(), Malformed> {
    match head.uri.scheme_str() {
        Some("http" | "https") | None => Ok(()),
        // In HTTP/1.1 only absolute form names one, in any case (RFC 9112 §3.2.2), and only the path of it is used.
        Some(_) if head.version < http::Version::HTTP_2 => Ok(()),
        Some(_) => Err(Malformed::Target),
    }
}

/// The host of a request: exactly one `Host`, or HTTP/2's authority; both only when they agree.
fn read_host(head: &Parts) -> Result<Cow<'_, str>, Malformed> {
    let mut lines = head.headers.get_all(header::HOST).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return Err(Malformed::DoubledHeader);
    }
    let line = line.map(|value| value.to_str().map_err(|_| Malformed::Host)).transpose()?;
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let text = match (line, authority) {
        (Some(line), Some(authority)) if !line.eq_ignore_ascii_case(authority) => {
            return Err(Malformed::Host);
        }
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => return Err(Malformed::Host),
    };
    host_of(text).ok_or(Malformed::Host)
}

/// No port at all, or one that can be.
fn is_port(digits: &str) -> bool {
    digits.is_empty() || digits.parse::<u16>().is_ok()
}

/// Host without port, lower case, one trailing dot cut; `None` when it is no host.
pub(crate) fn host_of(text: &str) -> Option<Cow<'_, str>> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 2;
            (text.get(..end)?, text.get(end..)?)
        }
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let port_is_good = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()) && is_port(digits));
    let host = host.strip_suffix('.').unwrap_or(host);
    let literal = host.starts_with('[');
    let good = |b: u8| {
        b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'_')
            || (literal && matches!(b, b':' | b'[' | b']'))
    };
    if !port_is_good || host.is_empty() || host.len() > 253 {
        return None;
    }
    let (mut lower, mut after_dot) = (true, false);
    for byte in host.bytes() {
        let dot = byte == b'.';
        if !good(byte) || (dot && after_dot) {
            return None;
        }
        lower &= !byte.is_ascii_uppercase();
        after_dot = dot;
    }
    Some(if lower { Cow::Borrowed(host) } else { Cow::Owned(host.to_ascii_lowercase()) })
}

#[cfg(test)]
mod tests;
