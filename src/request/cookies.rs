//! Reading cookies out of any number of `Cookie` lines, without giving a doubled name the benefit of the doubt.
//! Pure.
//!
//! *Source:* RFC 6265 §5.4; RFC 9113 §8.2.3 (several `cookie` fields).

use http::header::{self, HeaderMap};

/// What was found under one cookie name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<'r> {
    Missing,
    One(&'r str),
    /// The name came more than once: nobody can say which one the browser meant.
    Doubled,
}

/// Every pair of every `Cookie` line, as `(name, value, whole pair)`; a pair without `=` has an empty value.
pub(crate) fn cookie_pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8], &[u8])> {
    headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).map(
        |pair| {
            let pair = pair.trim_ascii();
            match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => {
                    let (name, value) = pair.split_at(at);
                    (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii(), pair)
                }
                None => (pair, &pair[pair.len()..], pair),
            }
        },
    )
}

/// Finds one cookie by its name.
pub(crate) fn find_cookie<'r>(headers: &'r HeaderMap, name: &str) -> Found<'r> {
    let mut values = cookie_pairs(headers).filter(|(found, _, _)| *found == name.as_bytes());
    let Some((_, value, _)) = values.next() else { return Found::Missing };
    if values.next().is_some() {
        return Found::Doubled;
    }
    std::str::from_utf8(value).map_or(Found::Missing, Found::One)
}
