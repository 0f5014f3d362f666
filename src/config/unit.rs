//! Durations and sizes as people write them: one whole number and one unit, `"30m"`, `"64KiB"`.
//! Pure.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The schema's `format` of a duration, by which the document's check knows one.
pub(super) const TIME: &str = "midgate-duration";
/// The schema's `format` of a size.
pub(super) const SIZE: &str = "midgate-size";
/// The schema's `format` of a size that may be `unlimited`.
pub(super) const LIMIT: &str = "midgate-limit";

/// What durations look like, for messages.
pub(super) const TIME_HINT: &str = "a whole number and one unit: ms, s, m, h, d, w or y, such as \"30m\"";
/// What sizes look like, for messages.
pub(super) const SIZE_HINT: &str = "a whole number and one unit: B, KiB, MiB or GiB, such as \"64KiB\"";

const TIMES: [(&str, u64); 7] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
    ("y", 31_536_000_000),
];
const SIZES: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A duration; a year is 365 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(crate) Duration);

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// A number of bytes, or `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<u64>);

/// A text that is no duration or size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    #[error("not a duration")]
    Time,
    #[error("not a size")]
    Size,
}

impl FromStr for Time {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let millis = scaled(text, &TIMES).ok_or(UnitError::Time)?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        scaled(text, &SIZES).map(Self).ok_or(UnitError::Size)
    }
}

impl FromStr for Limit {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text {
            "unlimited" => Ok(Self(None)),
            _ => text.parse().map(|Size(bytes)| Self(Some(bytes))),
        }
    }
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// Writes with the largest unit that leaves a whole number.
fn write(f: &mut fmt::Formatter<'_>, number: u64, units: &[(&str, u64)]) -> fmt::Result {
    let whole = |(_, scale): &&(&str, u64)| number != 0 && number.is_multiple_of(*scale);
    let (name, scale) = units.iter().rev().find(whole).or(units.first()).copied().unwrap_or(("", 1));
    write!(f, "{}{name}", number / scale)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Weeks and years are for reading: "365d" says more than "1y" only to few, "7d" more than "1w".
        let units = TIMES.get(..5).unwrap_or_default();
        match u64::try_from(self.0.as_millis()) {
            Ok(0) => f.write_str("0s"),
            Ok(millis) => write(f, millis, units),
            Err(_) => write!(f, "{}s", self.0.as_secs()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &SIZES)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => Size(bytes).fmt(f),
            None => f.write_str("unlimited"),
        }
    }
}

macro_rules! as_text {
    ($type:ident, $format:expr, $pattern:literal, $description:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string", "format": $format, "pattern": $pattern, "description": $description
                })
            }
        }
    };
}

as_text!(Time, TIME, "^[0-9]+(ms|s|m|h|d|w|y)$", "A duration.");
as_text!(Size, SIZE, "^[0-9]+(B|KiB|MiB|GiB)$", "A size.");
as_text!(Limit, LIMIT, "^([0-9]+(B|KiB|MiB|GiB)|unlimited)$", "A size, or \"unlimited\".");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis, shown) in [
            ("30m", 1_800_000, "30m"),
            ("90s", 90_000, "90s"),
            ("1500ms", 1500, "1500ms"),
            ("8h", 28_800_000, "8h"),
            ("1w", 604_800_000, "7d"),
            ("1y", 31_536_000_000, "365d"),
            ("0s", 0, "0s"),
        ] {
            let time: Time = text.parse().unwrap();
            assert_eq!((time.0.as_millis(), time.to_string().as_str()), (millis, shown), "{text}");
        }
        for text in ["", "30", "m", "30 m", "-1s", "1.5h", "1h30m", "30M", "99999999999999999999s", "５s"] {
            assert_eq!(text.parse::<Time>(), Err(UnitError::Time), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in
            [("64KiB", Some(65_536)), ("10MiB", Some(10_485_760)), ("5B", Some(5)), ("unlimited", None)]
        {
            let limit: Limit = text.parse().unwrap();
            assert_eq!((limit.0, limit.to_string().as_str()), (bytes, text));
        }
        for text in ["64", "64KB", "64k", "KiB", "-1B", "1.5MiB"] {
            assert_eq!(text.parse::<Limit>(), Err(UnitError::Size), "{text}");
        }
        assert_eq!("unlimited".parse::<Size>(), Err(UnitError::Size));
    }
}
