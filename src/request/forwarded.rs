//! Who the client is when trusted proxies stand between: the first address from the right that is not theirs.
//! Pure.
//!
//! *Source:* RFC 7239 §7.4 on what can be believed, of the older `X-Forwarded-For`.

use std::net::IpAddr;

use http::header::HeaderMap;

/// Reads `X-Forwarded-For` from a trusted peer, all its lines as one list.
///
/// `None` without a line, or when what stands left of trusted addresses is no address: it is not to be believed.
pub(crate) fn forwarded_client(headers: &HeaderMap, is_trusted: impl Fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let entries = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
    let mut leftmost = None;
    for entry in entries {
        let address = address(entry.trim())?;
        leftmost = Some(address);
        if !is_trusted(&address) {
            break;
        }
    }
    leftmost
}

/// An address, with the port that some proxies add.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let parsed = bare.unwrap_or(text).parse().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    parsed.or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_client_is_the_first_untrusted_address_from_the_right() {
        let trusted: ipnet::IpNet = "10.0.0.0/8".parse().unwrap();
        for (lines, client) in [
            (&["10.1.2.3, 203.0.113.9"][..], Some("203.0.113.9")),
            (&["203.0.113.9, 10.1.2.3"], Some("203.0.113.9")),
            (&["198.51.100.1", "203.0.113.9, 10.1.2.3"], Some("203.0.113.9")),
            (&["junk, 203.0.113.9"], Some("203.0.113.9")),
            (&["203.0.113.9, junk"], None),
            (&["junk, 10.1.2.3"], None),
            (&["10.1.2.3"], Some("10.1.2.3")),
            (&["[2001:db8::1]:4711"], Some("2001:db8::1")),
            (&["[2001:db8::1]"], Some("2001:db8::1")),
            (&["[203.0.113.9]junk, 10.1.2.3"], None),
            (&["::ffff:203.0.113.9"], Some("203.0.113.9")),
            (&["203.0.113.9:4711"], Some("203.0.113.9")),
            (&[""], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", HeaderValue::from_static(line));
            }
            let found = forwarded_client(&headers, |address| trusted.contains(address));
            assert_eq!(found, client.map(|text| text.parse().unwrap()), "{lines:?}");
        }
    }
}
