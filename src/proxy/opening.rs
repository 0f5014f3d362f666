//! How a connection begins: with a PROXY protocol header, or not.
//! Pure.
//!
//! *Source:* The PROXY protocol, versions 1 and 2 (haproxy.org, 2020/03/05).

use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// Too few to tell.
    Unfinished,
    /// No such header.
    Bare,
    /// A header of so many bytes, and where the connection comes from; `None`: from the peer itself.
    Header { length: usize, source: Option<SocketAddr> },
    /// The beginning of a header that is none.
    Broken,
}

/// The longest header that is read; those of version 1 have at most 107 bytes (§2.1), and nobody sends 4 KiB of
/// addresses and extensions.
pub(super) const LONGEST: usize = 4096;
const LONGEST_V1: usize = 107;

const V1: &[u8] = b"PROXY ";

/// Reads the first bytes of a connection.
pub(super) fn read(seen: &[u8]) -> Opening {
    let begins = |magic: &[u8]| seen.starts_with(magic) || magic.starts_with(seen);
    if begins(V1) {
        return if seen.len() < V1.len() { Opening::Unfinished } else { read_v1(seen) };
    }
    if begins(v2::PROTOCOL_PREFIX) {
        return if seen.len() < v2::PROTOCOL_PREFIX.len() { Opening::Unfinished } else { read_v2(seen) };
    }
    Opening::Bare
}

/// §2.1
fn read_v1(seen: &[u8]) -> Opening {
    let window = seen.get(..seen.len().min(LONGEST_V1)).unwrap_or_default();
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if seen.len() < LONGEST_V1 { Opening::Unfinished } else { Opening::Broken };
    };
    let length = end + 2;
    let Some(Ok(header)) = seen.get(..length).map(v1::Header::try_from) else { return Opening::Broken };
    let source = match header.addresses {
        v1::Addresses::Tcp4(found) => Some(SocketAddr::from((found.source_address, found.source_port))),
        v1::Addresses::Tcp6(found) => Some(SocketAddr::from((found.source_address, found.source_port))),
        v1::Addresses::Unknown => None,
    };
    Opening::Header { length, source: source.map(canonical) }
}

/// §2.2
fn read_v2(seen: &[u8]) -> Opening {
    let header = match v2::Header::try_from(seen) {
        Ok(header) => header,
        Err(v2::ParseError::Incomplete(_)) => return Opening::Unfinished,
        Err(v2::ParseError::Partial(_, needed)) if needed <= LONGEST => return Opening::Unfinished,
        Err(_) => return Opening::Broken,
    };
    let length = header.len();
    if length > LONGEST || header.tlvs().any(|found| found.is_err()) || !checksum_holds(&header) {
        return Opening::Broken;
    }
    let source = match (header.command, header.protocol, &header.addresses) {
        // Health checks of the proxy itself: the peer speaks for itself.
        (v2::Command::Local, _, _) => None,
        (v2::Command::Proxy, v2::Protocol::Datagram, _) => return Opening::Broken,
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv4(found)) => {
            Some(SocketAddr::from((found.source_address, found.source_port)))
        }
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv6(found)) => {
            Some(SocketAddr::from((found.source_address, found.source_port)))
        }
        (v2::Command::Proxy, _, _) => None,
    };
    Opening::Header { length, source: source.map(canonical) }
}

/// An IPv4 address in IPv6's clothes is that IPv4 address, or it would escape the rules for it.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(IpAddr::to_canonical(&address.ip()), address.port())
}

/// §2.2.4: a checksum that is there must hold; it is counted with its own place as zeros.
fn checksum_holds(header: &v2::Header<'_>) -> bool {
    const CRC32C: u8 = 3;
    let mut given = header.tlvs().flatten().filter(|found| found.kind == CRC32C);
    let Some(found) = given.next() else { return true };
    let bytes = header.as_bytes();
    let place = (16..bytes.len()).find(|at| {
        bytes
            .get(*at..at + 7)
            .is_some_and(|tlv| tlv.starts_with(&[CRC32C, 0, 4]) && tlv.ends_with(&found.value))
    });
    let (Some(place), None, 4) = (place, given.next(), found.value.len()) else { return false };
    let blanked = bytes.iter().enumerate().map(
        |(at, byte)| {
            if (place + 3..place + 7).contains(&at) { 0 } else { *byte }
        },
    );
    crc32c(blanked).to_be_bytes() == *found.value
}

/// RFC 3720 §12.1
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = v2::PROTOCOL_PREFIX.to_vec();
        header.extend([command, family]);
        header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        header.extend(rest);
        header
    }

    fn from(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    const FOUR: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x67, 1, 187];

    #[test]
    fn headers_of_both_versions_say_where_a_connection_comes_from() {
        let six = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0x12, 0x67, 1, 187]].concat();
        let mapped = [&[0; 10][..], &[255, 255, 203, 0, 113, 9], &[0; 16], &[0x12, 0x67, 1, 187]].concat();
        let extended = [&FOUR[..], &[4, 0, 2, 9, 9]].concat();
        for (bytes, source) in [
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n".to_vec(), from("203.0.113.9:4711")),
            (b"PROXY TCP6 2001:db8::1 ::1 4711 443\r\n".to_vec(), from("[2001:db8::1]:4711")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff:f:f ffff:f 65535 65535\r\n".to_vec(), None),
            (v2(0x21, 0x11, &FOUR), from("203.0.113.9:4711")),
            (v2(0x21, 0x11, &extended), from("203.0.113.9:4711")),
            (v2(0x21, 0x21, &six), from("[2001:db8::1]:4711")),
            (v2(0x21, 0x21, &mapped), from("203.0.113.9:4711")),
            (v2(0x20, 0x11, &FOUR), None),
            (v2(0x20, 0, &[]), None),
            (v2(0x21, 0, &[]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            let length = bytes.len();
            let whole = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read(&whole), Opening::Header { length, source }, "{bytes:?}");
            for cut in 0..length {
                assert_eq!(read(&bytes[..cut]), Opening::Unfinished, "{cut} of {bytes:?}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_header_is_none() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for broken in [
            b"PROXY TCP4 203.0.113.9 10.0.0.1 4711\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9  10.0.0.1 4711 443\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 ::1 4711 443\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 99999 443\r\n".to_vec(),
            b"PROXY UDP4 203.0.113.9 10.0.0.1 4711 443\r\n".to_vec(),
            long.into_bytes(),
            // Version, command, family, datagrams, too little for its addresses.
            v2(0x11, 0x11, &FOUR),
            v2(0x22, 0x11, &FOUR),
            v2(0x21, 0x41, &FOUR),
            v2(0x21, 0x12, &FOUR),
            v2(0x21, 0x11, &FOUR[..11]),
            // An extension that is longer than the header, and a checksum that does not hold.
            v2(0x21, 0x11, &[&FOUR[..], &[4, 0, 9, 9]].concat()),
            v2(0x21, 0x11, &[&FOUR[..], &[4]].concat()),
            v2(0x21, 0x11, &[&FOUR[..], &[3, 0, 4, 1, 2, 3, 4]].concat()),
            v2(0x21, 0x11, &[&FOUR[..], &[3, 0, 1, 1]].concat()),
            v2(0x21, 0x11, &[0; LONGEST]),
        ] {
            let whole = [&broken[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read(&whole), Opening::Broken, "{}", String::from_utf8_lossy(&broken));
        }
        for bare in
            [&b"GET / HTTP/1.1\r\n"[..], b"PROXZ", b"PRI * HTTP/2.0", b"POST", b"\r\n\r\nG", &[22, 3, 1]]
        {
            assert_eq!(read(bare), Opening::Bare, "{bare:?}");
        }
    }

    #[test]
    fn a_checksum_that_holds_is_good() {
        // RFC 3720 §B.4
        assert_eq!(crc32c([0; 32].into_iter()), 0x8a91_36aa);
        let blank = v2(0x21, 0x11, &[&FOUR[..], &[3, 0, 4, 0, 0, 0, 0]].concat());
        let sum = crc32c(blank.iter().copied()).to_be_bytes();
        let good = v2(0x21, 0x11, &[&FOUR[..], &[3, 0, 4], &sum].concat());
        assert!(matches!(read(&good), Opening::Header { source: Some(_), .. }));
    }

    proptest::proptest! {
        #[test]
        fn i11_no_opening_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = read(&bytes);
            let _ = read(&[&b"PROXY "[..], &bytes].concat());
            let _ = read(&[v2::PROTOCOL_PREFIX, &bytes].concat());
        }
    }
}
