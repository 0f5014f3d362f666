//! Cookie lines, odd and random: ours go, all others stay byte for byte and in order.

use super::*;
use crate::request::Found;

#[test]
fn i3_any_cookie_line_loses_ours_and_nothing_else() {
    let words = [
        "midgate",
        "__Host-midgate",
        "__host-midgate",
        "__Secure-midgate",
        "midgate-login-",
        "midgate-choice",
        "midgate-logout",
        "midgate-other",
        "MIDGATE",
        "a",
        "b",
        "=",
        ";",
        "; ",
        " ",
        "\t",
        "\"",
        ",",
        "\n",
        "%",
        "%3b",
        "$Path",
        "é",
    ];
    let contract = contract();
    crate::fuzz::run("cookies", &words, |input| {
        let mut incoming = HeaderMap::new();
        for line in input.split(|byte| *byte == b'\n') {
            let Ok(value) = HeaderValue::from_bytes(line) else { return };
            incoming.append(header::COOKIE, value);
        }
        // By hand: what stands between semicolons, without the blanks around it.
        let pairs = input.split(|byte| matches!(byte, b';' | b'\n')).map(<[u8]>::trim_ascii);
        let pairs: Vec<&[u8]> = pairs.filter(|pair| !pair.is_empty()).collect();
        let name = |pair: &[u8]| pair.split(|byte| *byte == b'=').next().unwrap().trim_ascii().to_vec();
        let ours = |pair: &[u8]| {
            let name = String::from_utf8_lossy(&name(pair)).into_owned();
            let lower = name.to_ascii_lowercase();
            let cut = ["__host-", "__secure-"].iter().find(|prefix| lower.starts_with(**prefix));
            let bare = &name[cut.map_or(0, |prefix| prefix.len())..];
            ["midgate", "midgate-choice", "midgate-logout"].contains(&bare)
                || bare.starts_with("midgate-login-")
        };
        let others: Vec<&[u8]> = pairs.iter().copied().filter(|pair| !ours(pair)).collect();
        let single = !input.contains(&b'\n');
        match contract.cookies.without_ours(&incoming) {
            CookieChange::Keep => assert!(single && others.len() == pairs.len()),
            CookieChange::Remove => assert!(others.is_empty()),
            CookieChange::Replace(line) => assert_eq!(line.as_bytes(), others.join(&b"; "[..])),
        }
        let named: Vec<&[u8]> = pairs.iter().copied().filter(|pair| name(pair) == b"midgate").collect();
        let found = crate::request::find_cookie(&incoming, "midgate");
        match (named.len(), found) {
            (0, found) => assert_eq!(found, Found::Missing),
            (1, Found::One(value)) => {
                // Of blanks only those of ASCII are none of the value (RFC 6265 §5.2).
                let at = named[0].iter().position(|byte| *byte == b'=');
                assert_eq!(at.map_or(&[][..], |at| named[0][at + 1..].trim_ascii()), value.as_bytes());
            }
            // A value that is no text is no cookie of ours.
            (1, found) => assert!(found == Found::Missing && std::str::from_utf8(named[0]).is_err()),
            (_, found) => assert_eq!(found, Found::Doubled),
        }
    });
}
