//! The view of a request over odd and random heads: no panic, and one reading of the path for every family of server.

use http::HeaderValue;
use http::header::HeaderName;

use super::*;

/// Parts of heads that have fooled somebody.
const WORDS: [&str; 56] = [
    "GET ",
    "POST ",
    "get ",
    "TRACE ",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "\r\n",
    "\n",
    "\r",
    "Host: app.test\r\n",
    "host: app.test.:443\r\n",
    "Host: [::1]\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 5, 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding : xchunked\r\n",
    "Authorization: a\r\n",
    " folded\r\n",
    "X",
    ": ",
    "/",
    "//",
    "/.",
    "/..",
    "/../",
    ".",
    "..",
    "..;",
    ";",
    ";a=b",
    ";/",
    "\\",
    "#",
    "?",
    "=",
    "%",
    "%2e",
    "%2E%2e",
    "%2f",
    "%2F",
    "%5c",
    "%25",
    "%252e",
    "%252f",
    "%3b",
    "%00",
    "%0d%0a",
    "%c0%ae",
    "%e0%80%ae",
    "%61dmin",
    "/admin/",
    "/public/",
    "a",
    "http://app.test",
    "*",
    "é",
];

#[test]
fn i11_any_head_is_read_without_panic_and_in_one_way() {
    crate::fuzz::run("request", &WORDS, |raw| {
        let Ok(target) = check_raw(raw) else { return };
        let Some(head) = parsed(raw) else { return };
        let Ok(view) = read(&head, target) else { return };
        assert_eq!(view.target().as_bytes(), target, "the target is kept byte for byte");
        assert!(!view.host.is_empty() && !view.host.contains([',', '@', '/', ' ']));
        one_reading(&view.path);
    });
}

#[test]
fn any_path_is_read_in_one_way() {
    crate::fuzz::run("request", &WORDS, |raw| {
        // Of a whole head only the target: most of what is random never gets that far in one.
        let raw = raw.split(|byte| byte.is_ascii_whitespace()).find(|word| word.starts_with(b"/"));
        let Some(Ok(raw)) = raw.map(std::str::from_utf8) else { return };
        if let Ok(path) = Path::read(raw.split('?').next().unwrap()) {
            one_reading(&path);
        }
    });
}

/// A head as a parser gives it; `None` where a parser would refuse.
fn parsed(raw: &[u8]) -> Option<http::request::Parts> {
    let text = raw.strip_prefix(b"\r\n").unwrap_or(raw);
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let method = Method::from_bytes(lines.next()?.split(|byte| *byte == b' ').next()?).ok()?;
    let mut head = Request::builder().method(method).uri("/").body(()).ok()?.into_parts().0;
    for line in lines.take_while(|line| !line.is_empty()) {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..at]).ok()?;
        head.headers.append(name, HeaderValue::from_bytes(line[at + 1..].trim_ascii()).ok()?);
    }
    Some(head)
}

/// What was decided on is where each family of server looks, or a quirk says which one would not.
fn one_reading(path: &Path<'_>) {
    let decided = decoded(path.matched.as_bytes());
    let raw = path.raw.as_bytes();
    assert!(!path.matched.split('/').any(is_dots), "{}", path.raw);
    if path.quirks.is_none() {
        assert_eq!(cut(&decoded(raw)), cut(&decided), "a server that decodes: {}", path.raw);
        assert_eq!(cut(&resolved(&decoded(raw))), cut(&decided), "one that resolves too: {}", path.raw);
        assert_eq!(
            resolved(&decoded(&cut(raw))),
            decided,
            "one that cuts parameters off first: {}",
            path.raw
        );
    } else if !path.hides_dots() {
        let lenient = cut(&decoded(path.lenient().as_bytes()));
        // A server that cuts after it has merged slashes may leave two again, and merge those.
        let merged = |path: Vec<u8>| resolved(&cut(&resolved(&slashed(path))));
        assert_eq!(merged(decoded(raw)), lenient, "resolved: {}", path.raw);
        assert_eq!(merged(decoded(&cut(raw))), lenient, "cut, then resolved: {}", path.raw);
    }
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// As WSGI's `PATH_INFO`: every escape decoded.
fn decoded(path: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(path).collect()
}

/// As servers on Windows read it.
fn slashed(path: Vec<u8>) -> Vec<u8> {
    path.into_iter().map(|byte| if byte == b'\\' { b'/' } else { byte }).collect()
}

/// As servlets do: each segment without its parameters.
fn cut(path: &[u8]) -> Vec<u8> {
    let segments: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').map(|s| s.split(|byte| *byte == b';').next().unwrap()).collect();
    segments.join(&b'/')
}

/// As nginx does: slashes merged, dot segments resolved.
fn resolved(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<&[u8]> = Vec::new();
    let mut ends_in_folder = true;
    for segment in path.split(|byte| *byte == b'/').skip(1) {
        ends_in_folder = segment.is_empty() || matches!(segment, b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(out.pop()),
            name => out.push(name),
        }
    }
    let mut whole = out.iter().flat_map(|segment| [b"/", *segment].concat()).collect::<Vec<u8>>();
    if ends_in_folder {
        whole.push(b'/');
    }
    whole
}

#[test]
fn any_forwarded_line_names_one_client() {
    let words = [
        "10.1.2.3",
        "10.255.0.1",
        "203.0.113.9",
        "198.51.100.7",
        ",",
        ", ",
        "\n",
        " ",
        "\t",
        "junk",
        "unknown",
        "_hidden",
        "::1",
        "[2001:db8::1]",
        "[2001:db8::1]:4711",
        "::ffff:10.1.2.3",
        ":80",
        "203.0.113.9:4711",
        "256.1.1.1",
        "[",
        "]",
        "0x7f.1",
        "127.1",
        "010.1.2.3",
        "\"",
        "=",
        "for=",
    ];
    crate::fuzz::run("forwarded", &words, |input| {
        let mut headers = HeaderMap::new();
        for line in input.split(|byte| *byte == b'\n') {
            let Ok(value) = HeaderValue::from_bytes(line) else { return };
            headers.append("x-forwarded-for", value);
        }
        let is_trusted = |address: &std::net::IpAddr| address.to_string().starts_with("10.");
        let client = forwarded_client(&headers, is_trusted);
        // Whatever stands further left was written by the client that was found: it changes nothing.
        let settled = client.is_some_and(|client| !is_trusted(&client));
        let mut spoofed = HeaderMap::new();
        spoofed.append("x-forwarded-for", HeaderValue::from_static("127.0.0.1, 10.9.9.9, junk"));
        spoofed.extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        for value in headers.get_all("x-forwarded-for") {
            spoofed.append("x-forwarded-for", value.clone());
        }
        if settled {
            assert_eq!(forwarded_client(&spoofed, is_trusted), client);
        }
        // It is one of the entries, written as an address, and all right of it are trusted.
        let Some(client) = client else { return };
        let text: Vec<&str> =
            headers.get_all("x-forwarded-for").iter().map(|v| v.to_str().unwrap_or("?")).collect();
        let text = text.join(",");
        let from_right: Vec<Option<std::net::IpAddr>> =
            text.rsplit(',').map(|entry| plain(entry.trim())).collect();
        let at = from_right.iter().position(|entry| *entry == Some(client)).expect("one of the entries");
        assert!(from_right[..at].iter().all(|entry| entry.as_ref().is_some_and(is_trusted)), "{text:?}");
    });
}

/// An entry as RFC 7239 §6 writes addresses.
fn plain(entry: &str) -> Option<std::net::IpAddr> {
    let alone = entry.parse::<std::net::IpAddr>().ok();
    let with_port = || entry.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    alone.or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}
