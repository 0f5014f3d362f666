//! The four languages of our own pages, and the choice among them.
//! Pure.
//!
//! *Never:* texts; this is only about which language.
//! *Source:* RFC 9110 §12.5.4 (Accept-Language), §12.4.2 (weights), RFC 4647 §3.4 (look-up).

/// How many language ranges of a request are read; browsers send fewer than ten.
const RANGES: usize = 32;

/// A language that our pages speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    En,
    De,
    Fr,
    It,
}

impl Language {
    pub(crate) const ALL: [Self; 4] = [Self::En, Self::De, Self::Fr, Self::It];

    /// Chooses by the `Accept-Language` of a request: the heaviest range that we speak, else English.
    pub(crate) fn choose(accept_language: Option<&str>) -> Self {
        Self::wanted(accept_language).into_iter().find_map(Self::read).unwrap_or(Self::En)
    }

    /// The tags of an `Accept-Language`, the most wanted first; those that nobody wants are left out.
    pub(crate) fn wanted(accept_language: Option<&str>) -> Vec<&str> {
        let ranges = accept_language.unwrap_or_default().split(',').take(RANGES);
        let mut ranges: Vec<(u16, &str)> =
            ranges.filter_map(read_range).filter(|(weight, _)| *weight > 0).collect();
        // Stable: of equals the first stays first.
        ranges.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        ranges.into_iter().map(|(_, tag)| tag).collect()
    }

    /// The tag for `ui_locales`, `<html lang>` and `Content-Language`.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Fr => "fr",
            Self::It => "it",
        }
    }

    /// Reads a tag such as `de-CH`; only its first part counts.
    fn read(tag: &str) -> Option<Self> {
        let first = tag.split('-').next().unwrap_or_default();
        // Swiss German is written as German; "anything" is served in English.
        match first.to_ascii_lowercase().as_str() {
            "en" | "*" => Some(Self::En),
            "de" | "gsw" => Some(Self::De),
            "fr" => Some(Self::Fr),
            "it" => Some(Self::It),
            _ => None,
        }
    }
}

/// Reads one range with its weight in thousandths; a range that we cannot read is passed over.
fn read_range(range: &str) -> Option<(u16, &str)> {
    let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
    let tag = tag.trim();
    if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'*') {
        return None;
    }
    let (name, value) = weight.split_once('=')?;
    let value: f32 = value.trim().parse().ok()?;
    let valid = name.trim().eq_ignore_ascii_case("q") && (0.0..=1.0).contains(&value);
    valid.then_some(((value * 1000.0) as u16, tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_known_language_is_chosen() {
        let table = [
            (None, Language::En),
            (Some(""), Language::En),
            (Some("*"), Language::En),
            (Some("de-CH,de;q=0.9"), Language::De),
            (Some("gsw-CH, en;q=0.5"), Language::De),
            (Some("fr;q=0.3, it;q=0.8"), Language::It),
            (Some("fr;q=0.8, it;q=0.8"), Language::Fr),
            (Some("FR-ch"), Language::Fr),
            (Some("es, pt-BR;q=0.9, it-CH;q=0.2"), Language::It),
            (Some("*, fr;q=0.5"), Language::En),
            (Some("de;q=0, fr;q=0.1"), Language::Fr),
            (Some("de;q=0"), Language::En),
            (Some("de ; Q = 0.7 , en;q=0.6"), Language::De),
        ];
        for (header, language) in table {
            assert_eq!(Language::choose(header), language, "{header:?}");
        }
    }

    #[test]
    fn junk_is_english() {
        let long = "de;q=2,".repeat(1_500);
        let late = format!("{}de", "x,".repeat(5_000));
        for junk in
            [";;;,,,=", "de;q=abc", "de;q=NaN", "de;q=-1", "de;q=inf", "deutsch", "\u{1F600}", &long, &late]
        {
            assert_eq!(Language::choose(Some(junk)), Language::En, "{junk:.40}");
        }
    }
}
