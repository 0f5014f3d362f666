//! What an HTTP/1.1 parser mends or cuts away before anybody can object: one scan of the head as it was sent.
//! Pure.
//!
//! *Source:* RFC 9112 §2.2, §3.2, §5.1, §6.1.

use memchr::memchr;

use super::Malformed;

/// Checks the raw head of an HTTP/1.1 request and gives its target as it was sent.
///
/// # Errors
/// A bare line feed, bytes in the target that a parser would encode or cut, a length beside a transfer coding,
/// or a blank before a colon.
pub(crate) fn check_raw(head: &[u8]) -> Result<&[u8], Malformed> {
    // A leading empty line is allowed (RFC 9112 §2.2).
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let mut lines = lines(head);
    let request_line = lines.next().and_then(strip_cr).ok_or(Malformed::Framing)?;
    let target = target_of(request_line)?;
    let (mut length, mut coding) = (false, false);
    for line in lines {
        let Some(line) = strip_cr(line) else {
            // An empty line without its carriage return is as good as none.
            if line.is_empty() {
                continue;
            }
            return Err(Malformed::Framing);
        };
        let Some(first) = line.first() else { break };
        if matches!(first, b' ' | b'\t') || line.contains(&b'\r') {
            return Err(Malformed::Framing);
        }
        match first | 0x20 {
            b'c' => length |= is_named(line, b"content-length"),
            b't' => coding |= is_named(line, b"transfer-encoding"),
            _ => {}
        }
    }
    if length && coding { Err(Malformed::Framing) } else { Ok(target) }
}

/// What stands between line feeds.
fn lines(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = rest.split_at(memchr(b'\n', rest).unwrap_or(rest.len()));
        rest = after.get(1..).unwrap_or_default();
        Some(line)
    })
}

fn strip_cr(line: &[u8]) -> Option<&[u8]> {
    line.strip_suffix(b"\r")
}

fn is_named(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        && line.get(name.len()).is_some_and(|byte| matches!(byte, b':' | b' ' | b'\t'))
}

/// The middle of `METHOD SP target SP HTTP/1.x`, in origin form, or in absolute form for the caller to rewrite.
fn target_of(line: &[u8]) -> Result<&[u8], Malformed> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(_), Some(target), Some(_), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Malformed::Target);
    };
    if target.iter().all(|byte| super::path::is_target_byte(*byte)) {
        Ok(target)
    } else {
        Err(Malformed::Target)
    }
}
