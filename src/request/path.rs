//! The path as it is decided on, and what in it two servers could read differently.
//! Pure.
//!
//! Letter case counts: `/ADMIN/` is not `/admin/`.
//! *Source:* RFC 3986 §2.3, §3.3, §6.2.2.

use std::borrow::Cow;

use super::Malformed;

/// Things in a path that some servers read in another way; a route may allow them by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Quirks(u8);

impl Quirks {
    pub(crate) const DOUBLE_SLASH: Self = Self(1);
    pub(crate) const ENCODED_SLASH: Self = Self(2);
    pub(crate) const ENCODED_BACKSLASH: Self = Self(4);
    /// Some servers cut parameters there, others read a letter: fine on any route, if both readings lie on it.
    pub(crate) const ENCODED_SEMICOLON: Self = Self(8);

    /// The quirk that `allow_in_path` calls by this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "//" => Some(Self::DOUBLE_SLASH),
            "%2f" => Some(Self::ENCODED_SLASH),
            "%5c" => Some(Self::ENCODED_BACKSLASH),
            _ => None,
        }
    }

    /// Both sets together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there is none.
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether each of these is among `allowed`.
    pub(crate) fn within(self, allowed: Self) -> bool {
        self.0 & !allowed.0 == 0
    }
}

/// A path that names one resource.
#[derive(Debug)]
pub(crate) struct Path<'r> {
    /// As it came and as it goes on, byte for byte.
    pub(crate) raw: &'r str,
    /// As routes are matched: unreserved letters decoded, other escapes in upper case, parameters cut off.
    pub(crate) matched: Cow<'r, str>,
    /// What only a route that allows it may pass on.
    pub(crate) quirks: Quirks,
}

/// Bytes that may stand in a request target (RFC 3986 §2): visible ASCII without `#`.
pub(super) fn is_target_byte(byte: u8) -> bool {
    (0x21..0x7f).contains(&byte) && byte != b'#'
}

impl<'r> Path<'r> {
    /// Reads a path.
    ///
    /// # Errors
    /// Dot segments in any encoding, control characters, broken or doubled escapes, overlong UTF-8, backslashes.
    pub(crate) fn read(raw: &'r str) -> Result<Self, Malformed> {
        if !raw.starts_with('/') || !raw.bytes().all(is_target_byte) {
            return Err(Malformed::Target);
        }
        if raw.contains('\\') {
            return Err(Malformed::AmbiguousPath);
        }
        let mut quirks = Quirks::default();
        let matched = if raw.contains(['%', ';']) {
            Cow::Owned(canonical(raw, &mut quirks)?)
        } else {
            Cow::Borrowed(raw)
        };
        let mut segments = matched.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            if is_dots(segment) {
                return Err(Malformed::AmbiguousPath);
            }
            if segment.is_empty() && segments.peek().is_some() {
                quirks = quirks.and(Quirks::DOUBLE_SLASH);
            }
        }
        Ok(Self { raw, matched, quirks })
    }

    /// The path with allowed quirks resolved as a lenient server would, to see that it lies on the same route.
    pub(crate) fn lenient(&self) -> String {
        let decoded = self.matched.replace("%2F", "/").replace("%5C", "/");
        let mut out = String::with_capacity(decoded.len());
        let mut ends_open = false;
        for segment in decoded.split('/') {
            // Some servers cut parameters at an encoded semicolon too.
            let name = segment.split("%3B").next().unwrap_or_default();
            ends_open = name.is_empty();
            if !ends_open {
                out.push('/');
                out.push_str(name);
            }
        }
        if ends_open {
            out.push('/');
        }
        out
    }

    /// Whether a lenient server would see a dot segment once the quirks are resolved.
    pub(crate) fn hides_dots(&self) -> bool {
        self.lenient().split('/').any(is_dots)
    }
}

fn is_dots(segment: &str) -> bool {
    segment == "." || segment == ".."
}

/// Decodes what is safe to decode and cuts parameters off, segment by segment.
fn canonical(raw: &str, quirks: &mut Quirks) -> Result<String, Malformed> {
    check_escapes(raw.as_bytes())?;
    let mut out = String::with_capacity(raw.len());
    for segment in raw.split('/').skip(1) {
        out.push('/');
        let start = out.len();
        let (name, parameters) = match segment.split_once(';') {
            Some((name, parameters)) => (name, Some(parameters)),
            None => (segment, None),
        };
        decode(name, &mut out, quirks);
        if let Some(parameters) = parameters {
            // Parameters are cut, so that nobody would look at where a slash hidden in them leads: no route allows it.
            let mut hidden = Quirks::default();
            decode(parameters, &mut String::new(), &mut hidden);
            if !hidden.within(Quirks::ENCODED_SEMICOLON) {
                return Err(Malformed::AmbiguousPath);
            }
        }
        let name = out.get(start..).unwrap_or_default();
        // Some servers cut at an encoded semicolon too.
        let bare = name.split("%3B").next().unwrap_or_default();
        let was_cut = parameters.is_some() || bare.len() != name.len();
        if was_cut && (bare.is_empty() || is_dots(bare)) {
            return Err(Malformed::AmbiguousPath);
        }
    }
    Ok(out)
}

/// Refuses escapes that are broken, that hide a control character, or that decode to another escape of weight.
fn check_escapes(raw: &[u8]) -> Result<(), Malformed> {
    let mut previous: Option<(usize, u8)> = None;
    for (at, _) in raw.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        let byte = escape_at(raw, at).ok_or(Malformed::Target)?;
        if byte < 0x20 || byte == 0x7f {
            return Err(Malformed::AmbiguousPath);
        }
        if byte == b'%' && decodes_to_weight(raw, at + 3) {
            return Err(Malformed::AmbiguousPath);
        }
        // Overlong UTF-8: a second spelling of a character (RFC 3629 §3).
        let after = previous.filter(|(end, _)| *end == at).map(|(_, byte)| byte);
        let overlong = match after {
            Some(0xc0 | 0xc1) => (0x80..0xc0).contains(&byte),
            Some(0xe0) => (0x80..0xa0).contains(&byte),
            Some(0xf0) => (0x80..0x90).contains(&byte),
            _ => false,
        };
        if overlong {
            return Err(Malformed::AmbiguousPath);
        }
        previous = Some((at + 3, byte));
    }
    Ok(())
}

fn escape_at(raw: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*raw.get(at)?).to_digit(16);
    u8::try_from(digit(at + 1)? * 16 + digit(at + 2)?).ok()
}

/// Whether what follows `%25` makes it an escape of `.`, `/`, `\`, `;`, `%` or a control character.
fn decodes_to_weight(raw: &[u8], at: usize) -> bool {
    let digit = |at: usize| raw.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (Some(high), Some(low)) = (digit(at), digit(at + 1)) else { return false };
    let byte = high * 16 + low;
    byte < 0x20 || [0x25, 0x2e, 0x2f, 0x3b, 0x5c, 0x7f].contains(&byte)
}

/// Appends `text` with unreserved letters decoded (RFC 3986 §6.2.2.2) and other escapes in upper case.
fn decode(text: &str, out: &mut String, quirks: &mut Quirks) {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let byte = escape_at(escape.as_bytes(), 0).unwrap_or_default();
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => {
                if byte == b'/' {
                    *quirks = quirks.and(Quirks::ENCODED_SLASH);
                } else if byte == b'\\' {
                    *quirks = quirks.and(Quirks::ENCODED_BACKSLASH);
                } else if byte == b';' {
                    *quirks = quirks.and(Quirks::ENCODED_SEMICOLON);
                }
                out.push_str(&escape.get(..3).unwrap_or_default().to_ascii_uppercase());
            }
        }
        rest = escape.get(3..).unwrap_or_default();
    }
    out.push_str(rest);
}
