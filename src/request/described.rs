//! A request that another proxy describes: one description, turned into the request's head as it would have come.
//! Pure.
//!
//! *Never:* who may describe. Headers are known by their exact names: `X_Forwarded_Uri` describes nothing.
//! *Source:* the manuals of nginx (`auth_request`), Traefik (ForwardAuth), Caddy (`forward_auth`) and Envoy (`ext_authz`
//! over HTTP).

use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

use super::Malformed;

/// What the other proxy makes of an answer that is no 2xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It reads status and headers, and answers in its own way: nginx.
    Status,
    /// It hands the answer on as it is: Traefik, Caddy, Envoy.
    Whole,
}

/// A described request, still to be read.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) manner: Manner,
    /// The head as it would have come: without the description, and without a body.
    pub(crate) head: Parts,
    /// The target in origin form, byte for byte.
    pub(crate) target: Vec<u8>,
    /// Whether the description names a method; else `head` says GET.
    pub(crate) names_method: bool,
}

const ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");
const ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What describes, and what belongs to the describing request alone.
const NOT_THE_VISITORS: [HeaderName; 9] = [
    ORIGINAL_URL,
    ORIGINAL_METHOD,
    FORWARDED_URI,
    FORWARDED_METHOD,
    FORWARDED_HOST,
    FORWARDED_PROTO,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::EXPECT,
];

/// Reads a description: `below` is what stands after the endpoint's own path, empty or beginning with a slash; `scheme`
/// is that of the own origins.
///
/// # Errors
/// No description, more than one, a part of one that is missing or doubled, or another scheme.
pub(crate) fn describe(head: &Parts, below: &str, scheme: &str) -> Result<Described, Malformed> {
    let url = (once(head, &ORIGINAL_URL)?, once(head, &ORIGINAL_METHOD)?);
    let forwarded = (once(head, &FORWARDED_URI)?, once(head, &FORWARDED_METHOD)?);
    let is_there = |(what, method): (Option<_>, Option<_>)| what.is_some() || method.is_some();
    match (is_there(url), is_there(forwarded), below) {
        (true, false, "") => {
            let bytes = url.0.ok_or(Malformed::Description)?.as_bytes();
            let (host, target) = split_url(bytes, scheme).ok_or(Malformed::Description)?;
            described(head, Manner::Status, method(url.1)?, Some(host), target)
        }
        (false, true, "") => {
            let [host, proto] = [once(head, &FORWARDED_HOST)?, once(head, &FORWARDED_PROTO)?]
                .map(|one| one.map(HeaderValue::as_bytes));
            if proto != Some(scheme.as_bytes()) {
                return Err(Malformed::Description);
            }
            let host = host.ok_or(Malformed::Description)?;
            let target = forwarded.0.ok_or(Malformed::Description)?.as_bytes();
            described(head, Manner::Whole, method(forwarded.1)?, Some(host), target)
        }
        (false, false, below) if !below.is_empty() => {
            described(head, Manner::Whole, Some(head.method.clone()), None, below.as_bytes())
        }
        _ => Err(Malformed::Description),
    }
}

/// A header that stands once at most.
fn once<'r>(head: &'r Parts, name: &HeaderName) -> Result<Option<&'r HeaderValue>, Malformed> {
    let mut lines = head.headers.get_all(name).iter();
    let line = lines.next();
    if lines.next().is_some() { Err(Malformed::DoubledHeader) } else { Ok(line) }
}

fn method(line: Option<&HeaderValue>) -> Result<Option<Method>, Malformed> {
    line.map(|line| Method::from_bytes(line.as_bytes()).map_err(|_| Malformed::Description)).transpose()
}

/// Authority and target of an absolute URL, byte for byte: a parser of URLs would tidy up what is to be judged.
fn split_url<'u>(url: &'u [u8], scheme: &str) -> Option<(&'u [u8], &'u [u8])> {
    let rest = url.strip_prefix(scheme.as_bytes())?.strip_prefix(b"://")?;
    Some(rest.split_at(rest.iter().position(|byte| *byte == b'/')?))
}

/// Without a host, the call's own is meant.
fn described(
    head: &Parts,
    manner: Manner,
    method: Option<Method>,
    host: Option<&[u8]>,
    target: &[u8],
) -> Result<Described, Malformed> {
    let mut made = http::Request::new(()).into_parts().0;
    made.version = head.version;
    made.headers = visitors(&head.headers);
    match host {
        Some(host) => {
            let host = HeaderValue::from_bytes(host).map_err(|_| Malformed::Host)?;
            made.headers.insert(header::HOST, host);
        }
        None => made.uri = head.uri.clone(),
    }
    let names_method = method.is_some();
    made.method = method.unwrap_or(Method::GET);
    Ok(Described { manner, head: made, target: target.to_vec(), names_method })
}

/// The headers that the visitor's own request had.
fn visitors(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in &NOT_THE_VISITORS {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request;

    fn head(method: &str, lines: &[(&str, &[u8])]) -> Parts {
        let mut head = http::Request::new(()).into_parts().0;
        head.method = Method::from_bytes(method.as_bytes()).unwrap();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            head.headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        head
    }

    /// How a description reads: manner, method, host, path and query, or why it does not.
    fn told(method: &str, lines: &[(&str, &[u8])], below: &str) -> String {
        let head = head(method, lines);
        let described = match describe(&head, below, "https") {
            Ok(described) => described,
            Err(malformed) => return malformed.word().to_owned(),
        };
        match request::read(&described.head, &described.target) {
            Ok(view) => {
                let named = if described.names_method { "" } else { "?" };
                format!("{:?} {named}{} {} {}", described.manner, view.method, view.host, view.target())
            }
            Err(malformed) => malformed.word().to_owned(),
        }
    }

    #[test]
    fn each_proxy_describes_in_its_own_way() {
        let url = ("x-original-url", &b"https://App.test:8443/a/b?c=/d"[..]);
        let uri = ("x-forwarded-uri", &b"/a/b?c=/d"[..]);
        let by = ("x-original-method", &b"POST"[..]);
        let fby = ("x-forwarded-method", &b"PUT"[..]);
        let host = ("x-forwarded-host", &b"app.test"[..]);
        let proto = ("x-forwarded-proto", &b"https"[..]);
        let own = ("host", &b"midgate.internal"[..]);
        for (lines, below, expected) in [
            (&[own, url, by][..], "", "Status POST app.test /a/b?c=/d"),
            (&[own, url], "", "Status ?GET app.test /a/b?c=/d"),
            // What a proxy adds anyway is no second description.
            (&[own, url, by, host, proto], "", "Status POST app.test /a/b?c=/d"),
            (&[own, uri, fby, host, proto], "", "Whole PUT app.test /a/b?c=/d"),
            (&[own, uri, host, proto], "", "Whole ?GET app.test /a/b?c=/d"),
            (&[own], "/a/b?c=/d", "Whole DELETE midgate.internal /a/b?c=/d"),
            (&[own, host, proto], "/", "Whole DELETE midgate.internal /"),
        ] {
            assert_eq!(told("DELETE", lines, below), expected, "{lines:?}");
        }
    }

    #[test]
    fn none_two_and_halves_are_no_description() {
        let (url, uri) = (("x-original-url", &b"https://app.test/"[..]), ("x-forwarded-uri", &b"/"[..]));
        let host = ("x-forwarded-host", &b"app.test"[..]);
        let proto = ("x-forwarded-proto", &b"https"[..]);
        let get = |name| (name, &b"GET"[..]);
        for (lines, below, expected) in [
            (&[][..], "", "bad-description"),
            (&[host, proto], "", "bad-description"),
            (&[get("x-original-method")], "", "bad-description"),
            (&[get("x-forwarded-method"), host, proto], "", "bad-description"),
            (&[uri, host], "", "bad-description"),
            (&[uri, proto], "", "bad-description"),
            (&[uri, host, ("x-forwarded-proto", b"http")], "", "bad-description"),
            (&[uri, host, ("x-forwarded-proto", b"https, http")], "", "bad-description"),
            (&[url, uri, host, proto], "", "bad-description"),
            (&[url, get("x-forwarded-method")], "", "bad-description"),
            (&[url], "/", "bad-description"),
            (&[uri, host, proto], "/", "bad-description"),
            (&[url, url], "", "doubled-header"),
            (&[url, get("x-original-method"), get("x-original-method")], "", "doubled-header"),
            (&[uri, uri, host, proto], "", "doubled-header"),
            (&[uri, host, host, proto], "", "doubled-header"),
            (&[uri, host, proto, proto], "", "doubled-header"),
            // Other spellings are not these headers.
            (&[("x_original_url", b"https://app.test/")], "", "bad-description"),
            (&[("x_forwarded_uri", b"/"), host, proto], "", "bad-description"),
        ] {
            assert_eq!(told("GET", lines, below), expected, "{lines:?} {below}");
        }
    }

    #[test]
    fn what_is_described_is_read_as_strictly_as_what_comes() {
        for (url, expected) in [
            (&b""[..], "bad-description"),
            (b"/admin/x", "bad-description"),
            (b"//evil.test/x", "bad-description"),
            (b"http://app.test/x", "bad-description"),
            (b"HTTPS://app.test/x", "bad-description"),
            (b"https:/app.test/x", "bad-description"),
            (b"https://app.test", "bad-description"),
            (b"https://app.test?/x", "bad-host"),
            (b"https:///x", "bad-host"),
            (b"https://app.test@evil.test/x", "bad-host"),
            (b"https://app.test\\@evil.test/x", "bad-host"),
            (b"https://app.test#/x", "bad-host"),
            (b"https://app.test, evil.test/x", "bad-host"),
            (b"https://app.test/x#/y", "bad-target"),
            (b"https://app.test/x?y#z", "bad-target"),
            (b"https://app.test/x y", "bad-target"),
            (b"https://app.test/x\ty", "bad-target"),
            (b"https://app.test/\xff\xfe", "bad-target"),
            (b"https://app.test/%zz", "bad-target"),
            (b"https://app.test/%00", "ambiguous-path"),
            (b"https://app.test/public/../admin/x", "ambiguous-path"),
            (b"https://app.test/public/%2e%2e/admin/x", "ambiguous-path"),
        ] {
            assert_eq!(told("GET", &[("x-original-url", url)], ""), expected, "{url:?}");
        }
        for (method, expected) in
            [("get", "method-not-allowed"), ("TRACE", "method-not-allowed"), ("", "bad-description")]
        {
            let lines =
                [("x-original-url", &b"https://app.test/"[..]), ("x-original-method", method.as_bytes())];
            assert_eq!(told("GET", &lines, ""), expected, "{method}");
        }
    }

    #[test]
    fn the_bodys_and_the_proxys_own_headers_are_not_the_visitors() {
        let lines = [
            ("host", &b"midgate"[..]),
            ("x-original-url", b"https://app.test/x"),
            ("x-original-method", b"POST"),
            ("x-forwarded-host", b"other.test"),
            ("content-length", b"5"),
            ("cookie", b"a=1"),
            ("cookie", b"b=2"),
            ("accept", b"text/html"),
        ];
        let described = describe(&head("GET", &lines), "", "https").unwrap();
        let mut left: Vec<_> =
            described.head.headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        left.sort_unstable();
        let kept = [("accept", "text/html"), ("cookie", "a=1"), ("cookie", "b=2"), ("host", "app.test")];
        assert_eq!(left, kept);
    }

    proptest! {
        #[test]
        fn i11_whatever_is_described_is_read_or_refused(url: Vec<u8>, uri: Vec<u8>, method: Vec<u8>, below in ".{0,20}") {
            let mut made = head("GET", &[("host", b"app.test")]);
            let mut add = |name: HeaderName, value: &[u8]| {
                if let Ok(value) = HeaderValue::from_bytes(value) { made.headers.append(name, value); }
            };
            add(ORIGINAL_URL, &[b"https://app.test/", &url[..]].concat());
            add(FORWARDED_METHOD, &method);
            let _ = describe(&made, &below, "https").map(|d| request::read(&d.head, &d.target).is_ok());
            made.headers.remove(ORIGINAL_URL);
            let mut add = |name: HeaderName, value: &[u8]| {
                if let Ok(value) = HeaderValue::from_bytes(value) { made.headers.append(name, value); }
            };
            add(FORWARDED_URI, &uri);
            add(FORWARDED_HOST, b"app.test");
            add(FORWARDED_PROTO, b"https");
            if let Ok(described) = describe(&made, "", "https")
                && let Ok(view) = request::read(&described.head, &described.target)
            {
                prop_assert_eq!(view.target().into_bytes(), uri);
            }
        }
    }
}
