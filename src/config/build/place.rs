//! Addresses, hosts and paths as they are written, turned into what they mean.
//! Pure.
//!
//! *Source:* RFC 3986, RFC 6761 §6.3 (localhost), RFC 9110 §4.2.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use url::{Host, Url};

use super::super::Address;
use super::super::problem::Report;
use crate::request;
use crate::route::HostPattern;
use crate::upstream::{Place, Speech};

/// Reads `public_url`: https, or http on this machine; an origin and nothing else.
pub(super) fn public_url(text: &str, report: &mut Report) -> Option<Url> {
    const HINT: &str = "write what stands in the browser's address bar, such as \"https://app.example.ch\"";
    let fault = match Url::parse(text) {
        Err(_) => "is no URL",
        Ok(url) if !matches!(url.scheme(), "https" | "http") || url.host().is_none() => "is no web address",
        Ok(url) if url.scheme() == "http" && !is_loopback(&url) => {
            "is plain http; accepted: https, or http on localhost: cookies and identities would be readable on the way"
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => "holds a user name",
        Ok(url) if url.path() != "/" || url.query().is_some() || url.fragment().is_some() => {
            "has more than an origin"
        }
        Ok(url) => return Some(url),
    };
    report.problem("public_url", format!("\"{text}\" {fault}"), HINT);
    None
}

/// Whether a URL leads to this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Reads an address of a provider: https, or http on this machine.
pub(super) fn provider_url(text: &str, key: &str, report: &mut Report) -> Option<Url> {
    let fault = match Url::parse(text) {
        Err(_) => "is no URL",
        Ok(url) if !matches!(url.scheme(), "https" | "http") || url.host().is_none() => "is no web address",
        Ok(url) if url.scheme() == "http" && !is_loopback(&url) => {
            "is plain http; accepted: https, or http on localhost"
        }
        Ok(url) if url.fragment().is_some() => "has a fragment",
        Ok(url) if !url.username().is_empty() || url.password().is_some() => "holds a user name",
        Ok(url) => return Some(url),
    };
    report.problem(
        key,
        format!("\"{}\" {fault}", without_password(text)),
        "write it as the provider publishes it",
    );
    None
}

/// Reads where to listen: `host:port` or `unix:/path`.
pub(super) fn listener(text: &str, key: &str, report: &mut Report) -> Option<Address> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(path, text, key, report).map(|path| Address::Unix(PathBuf::from(path)));
    }
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let address =
        text.parse().ok().or(local.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
    if address.is_none() {
        let message =
            format!("\"{text}\" is no address; accepted: an IP address and port, or \"unix:/path\"");
        report.problem(key, message, "such as \"127.0.0.1:8080\", or \"0.0.0.0:8080\" for every network");
    }
    address.map(Address::Tcp)
}

/// An upstream's address as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) place: Place,
    pub(super) speech: Speech,
    /// The host's name to verify when it is https.
    pub(super) name: Option<String>,
}

/// Reads an upstream's address.
pub(super) fn server(text: &str, key: &str, report: &mut Report) -> Option<Written> {
    if let Some(path) = text.strip_prefix("unix:") {
        let place = Place::Unix(socket(path, text, key, report)?.to_owned());
        return Some(Written { place, speech: Speech::Http1, name: None });
    }
    // To the URL standard h2c is no scheme with a host to be read as that of http is.
    let prior_knowledge = text.strip_prefix("h2c://").map(|rest| format!("http://{rest}"));
    let fault = match Url::parse(prior_knowledge.as_deref().unwrap_or(text)) {
        Err(_) => "is no URL",
        Ok(url) if !matches!(url.scheme(), "http" | "https") => "is no address",
        Ok(url) if !url.username().is_empty() || url.password().is_some() => "holds a user name",
        Ok(url) if url.path() != "/" || url.query().is_some() || url.fragment().is_some() => {
            "has more than a host and a port: the path of the request goes up as it comes"
        }
        Ok(url) => match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) if port != 0 => {
                let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let (speech, name) = match (url.scheme(), &prior_knowledge) {
                    ("https", _) => (Speech::Negotiated, Some(bare)),
                    (_, Some(_)) => (Speech::Http2, None),
                    (_, None) => (Speech::Http1, None),
                };
                return Some(Written { place: Place::Tcp { host: host.to_owned(), port }, speech, name });
            }
            _ => "has no host or no port",
        },
    };
    const ACCEPTED: &str =
        "accepted: \"http://host:port\", \"https://host:port\", \"h2c://host:port\", \"unix:/path\"";
    report.problem(
        key,
        format!("\"{}\" {fault}; {ACCEPTED}", without_password(text)),
        "write scheme, host and port only",
    );
    None
}

/// Whether an upstream's plain http stays on this machine.
pub(super) fn stays_here(place: &Place) -> bool {
    match place {
        Place::Unix(_) => true,
        Place::Tcp { host, .. } => {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

fn socket<'t>(path: &'t str, text: &str, key: &str, report: &mut Report) -> Option<&'t str> {
    // sockaddr_un holds 108 bytes with its end.
    let good = path.starts_with('/') && !path.ends_with('/') && path.len() < 108;
    if !good {
        let message =
            format!("\"{text}\" is no socket; accepted: \"unix:\" and an absolute path of at most 107 bytes");
        report.problem(key, message, "such as \"unix:/run/midgate/admin.sock\"");
    }
    good.then_some(path)
}

/// Reads a route's host; `*.` at its beginning means every name below.
pub(super) fn host(text: &str, key: &str, report: &mut Report) -> Option<HostPattern> {
    let (name, is_wildcard) = match text.strip_prefix("*.") {
        Some(name) => (name, true),
        None => (text, false),
    };
    let parsed = Host::parse(name).ok().filter(|_| !name.contains('*') && !name.ends_with('.'));
    let pattern = match (parsed, is_wildcard) {
        (Some(Host::Domain(name)), true) if name.contains('.') || name == "localhost" => {
            Some(HostPattern::Suffix(format!(".{name}")))
        }
        (Some(host), false) => Some(HostPattern::Exact(host.to_string())),
        _ => None,
    };
    if pattern.is_none() {
        let message = format!(
            "\"{text}\" is no host; accepted: a name, an IP address, or \"*.\" and a name with a dot"
        );
        report.problem(key, message, "write it without scheme, port and path, such as \"app.example.ch\"");
    }
    pattern
}

/// Checks a path that requests are compared with; `false` when it was refused.
pub(super) fn path(text: &str, key: &str, report: &mut Report) -> bool {
    let read = request::Path::read(text);
    let fault = match &read {
        _ if text.contains('?') => "holds a query",
        _ if text.contains('*') => "holds a *: a path that ends with / covers everything below it",
        _ if !text.starts_with('/') => "does not begin with /",
        Err(_) => "is no path: it holds dot segments, spaces or letters that need escapes",
        Ok(read) if !read.quirks.is_none() => "can be read in two ways",
        Ok(read) if read.matched != text => {
            "is not written as it is compared: plain letters bare, escapes in upper case"
        }
        Ok(_) => return true,
    };
    let hint = match &read {
        Ok(read) if read.quirks.is_none() && !text.contains(['?', '*']) => {
            format!("write \"{}\"", read.matched)
        }
        _ => "such as \"/admin/\" for a part of the application, \"/status\" for one page".to_owned(),
    };
    report.problem(key, format!("\"{text}\" {fault}"), hint);
    false
}

/// A text that may be a URL with a password in it (I8).
fn without_password(text: &str) -> String {
    match text.split_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(read: impl Fn(&mut Report) -> bool) -> bool {
        let mut report = Report::default();
        let good = read(&mut report);
        assert_eq!(good, report.problems.is_empty());
        assert!(report.problems.iter().all(|problem| !problem.hint.is_empty()));
        !good
    }

    #[test]
    fn public_url_is_an_origin() {
        for text in [
            "https://app.example.ch",
            "https://app.example.ch:8443/",
            "http://localhost:8080",
            "http://[::1]",
            "http://a.localhost",
        ] {
            assert!(!refuses(|report| public_url(text, report).is_some()), "{text}");
        }
        for text in [
            "",
            "app.example.ch",
            "http://app.example.ch",
            "https://a.ch/x",
            "https://a.ch/?q",
            "https://u@a.ch",
            "ftp://a.ch",
            "http://127.0.0.1.example.ch",
        ] {
            assert!(refuses(|report| public_url(text, report).is_some()), "{text}");
        }
    }

    #[test]
    fn upstream_addresses_are_host_and_port() {
        for text in [
            "http://127.0.0.1:3000",
            "https://erp:8443/",
            "unix:/run/a.sock",
            "http://[::1]:80",
            "h2c://erp:50051",
            "h2c://[::1]",
        ] {
            assert!(!refuses(|report| server(text, "k", report).is_some()), "{text}");
        }
        for text in [
            "erp",
            "127.0.0.1:3000",
            "http://a/x",
            "http://a?q",
            "http://u:p@a",
            "unix:a",
            "unix:/a/",
            "ftp://a",
            "http://a:0",
            "h2c:a",
            "h2c://a/x",
            "h2://a:1",
            "grpc://a:1",
        ] {
            assert!(refuses(|report| server(text, "k", report).is_some()), "{text}");
        }
        let mut report = Report::default();
        let mut read = |text| server(text, "k", &mut report).unwrap();
        let place = |host: &str, port| Place::Tcp { host: host.into(), port };
        assert_eq!(
            read("https://10.0.0.5"),
            Written {
                place: place("10.0.0.5", 443),
                speech: Speech::Negotiated,
                name: Some("10.0.0.5".into())
            }
        );
        assert_eq!(
            read("h2c://ERP:50051"),
            Written { place: place("erp", 50051), speech: Speech::Http2, name: None }
        );
    }

    #[test]
    fn hosts_and_paths_are_written_as_they_are_compared() {
        for text in ["app.example.ch", "*.example.ch", "localhost", "*.localhost", "127.0.0.1"] {
            assert!(!refuses(|report| host(text, "k", report).is_some()), "{text}");
        }
        for text in ["", "*", "*.ch", "a.*.ch", "https://a.ch", "a.ch:8443", "a.ch/", "a.ch.", "*.127.0.0.1"]
        {
            assert!(refuses(|report| host(text, "k", report).is_some()), "{text}");
        }
        for text in ["/", "/admin/", "/a-b_c.d~e", "/%C3%A9/"] {
            assert!(!refuses(|report| path(text, "k", report)), "{text}");
        }
        for text in
            ["", "admin", "/a//b", "/a/../b", "/%61", "/%c3%a9", "/a?b", "/a*", "/é", "/a b", "/a;x=1/"]
        {
            assert!(refuses(|report| path(text, "k", report)), "{text}");
        }
    }

    #[test]
    fn listeners_are_addresses_or_sockets() {
        for text in ["127.0.0.1:8080", "[::]:80", "localhost:80", "unix:/run/m.sock"] {
            assert!(!refuses(|report| listener(text, "k", report).is_some()), "{text}");
        }
        for text in ["8080", ":8080", "example.ch:80", "unix:m.sock", "127.0.0.1"] {
            assert!(refuses(|report| listener(text, "k", report).is_some()), "{text}");
        }
    }
}
