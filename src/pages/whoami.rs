//! What "who am I" shows: rows of labels and values, bounded and readable.
//! Pure.
//!
//! *Never:* tokens; only the identity that the session keeps.

use minijinja::{Value, context};

use crate::identity::{Identity, is_credential};

/// How many characters of a value are shown.
const SHOWN: usize = 200;
/// How many claims are shown.
const ROWS: usize = 100;

/// A session as its owner sees it; times are Unix seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WhoAmI<'a> {
    pub(crate) identity: &'a Identity,
    /// The provider's display name.
    pub(crate) provider: &'a str,
    pub(crate) created: u64,
    /// End of the lifetime.
    pub(crate) expires: u64,
    /// End when nothing is asked any more.
    pub(crate) idle_expires: u64,
    pub(crate) now: u64,
    /// The page that confirms the logout.
    pub(crate) logout: &'a str,
}

impl WhoAmI<'_> {
    /// The values of the template.
    pub(super) fn values(&self) -> Value {
        let identity = self.identity;
        let name = identity.find("name").and_then(|name| name.as_str().map(shown));
        let claims = identity.claims.iter().filter(|(name, value)| !is_credential(name, value)).take(ROWS);
        context! {
            name => name,
            provider => shown(self.provider),
            acr => identity.acr.as_deref().map(shown),
            amr => shown(&identity.amr.join(", ")),
            auth_time => identity.auth_time.map(|at| time(at, self.now)),
            created => time(self.created, self.now),
            expires => time(self.expires, self.now),
            idle_expires => time(self.idle_expires, self.now),
            user_key => shown(&identity.user_key),
            subject => shown(&identity.subject),
            issuer => shown(&identity.issuer),
            claims => claims.map(|(name, value)| row(name, value)).collect::<Vec<_>>(),
        }
    }
}

fn row(name: &str, value: &serde_json::Value) -> Value {
    context! { name => shown(name), value => shown(&plain(value)) }
}

/// A claim as people read it: lists joined, objects as `name: value`.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(", "),
        serde_json::Value::Object(map) => {
            map.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {
            value.to_string()
        }
    }
}

/// Bounds a value from outside; what is no text (controls, marks that turn the writing direction) becomes `U+FFFD`.
pub(super) fn shown(text: &str) -> String {
    let unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let mut characters = text.chars().map(|c| if unseen(c) { '\u{FFFD}' } else { c });
    let mut shown: String = characters.by_ref().take(SHOWN).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// A time for people and for `datetime`, with what is left of it.
fn time(at: u64, now: u64) -> Value {
    let (date, clock) = utc(at);
    let left = at.checked_sub(now).map(|seconds| span(seconds.div_ceil(60)));
    context! { text => format!("{date} {clock} UTC"), machine => format!("{date}T{clock}Z"), left => left }
}

/// Minutes as `7 h 42 min`, which reads alike in all our languages.
fn span(minutes: u64) -> String {
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// Date and time of day in UTC: `2026-11-24`, `15:22`.
///
/// *Source:* the Gregorian calendar by eras of 400 years, counted from 1 March of year 0.
fn utc(unix: u64) -> (String, String) {
    // A claim may hold any number; the year 9999 is late enough.
    let unix = unix.min(253_402_300_799);
    let days = unix / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let minutes = unix % 86_400 / 60;
    (format!("{year:04}-{month:02}-{day:02}"), format!("{:02}:{:02}", minutes / 60, minutes % 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        // date -u -d @N '+%F %R'
        let table = [
            (0, "1970-01-01", "00:00"),
            (951_782_399, "2000-02-28", "23:59"),
            (951_782_400, "2000-02-29", "00:00"),
            (1_795_533_720, "2026-11-24", "15:22"),
            (4_107_542_400, "2100-03-01", "00:00"),
            (u64::MAX, "9999-12-31", "23:59"),
        ];
        for (unix, date, clock) in table {
            assert_eq!(utc(unix), (date.to_owned(), clock.to_owned()), "{unix}");
        }
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(span(0), "0 min");
        assert_eq!(span(59), "59 min");
        assert_eq!(span(480), "8 h");
        assert_eq!(span(462), "7 h 42 min");
    }

    #[test]
    fn values_are_bounded_and_hold_no_controls() {
        assert_eq!(shown("Zoë Müller"), "Zoë Müller");
        assert_eq!(shown("a\u{202E}b\0c\n"), "a\u{FFFD}b\u{FFFD}c\u{FFFD}");
        assert_eq!(shown(&"é".repeat(300)).chars().count(), SHOWN + 1);
    }

    #[test]
    fn claims_are_plain() {
        assert_eq!(plain(&serde_json::json!(["a", 1, true])), "a, 1, true");
        assert_eq!(plain(&serde_json::json!({"a": "b", "c": [1, 2]})), "a: b, c: 1, 2");
    }
}
