//! The text that a phone shows: how long it may be.
//! Pure.
//!
//! *Source:* Mobile ID's integration guide (`dtbd`); 3GPP TS 23.038 §6.2.1 (the GSM alphabet).

use super::super::problem::Report;

/// Characters of a text in the GSM alphabet.
const LONGEST: usize = 239;
/// UTF-16 units of any other text.
const LONGEST_OTHER: usize = 119;
/// The default alphabet and its extension, beside the letters and digits of ASCII.
const GSM: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà\u{c}^{}\\[~]|€";

/// Whether a text fits on a phone; `#SESSION#` and `#CLIENT#` stay as they are, since the provider replaces them.
pub(super) fn check(text: &str, key: &str, report: &mut Report) -> bool {
    let odd = text.chars().find(|c| !c.is_ascii_alphanumeric() && !GSM.contains(*c));
    let (length, longest) = match odd {
        None => (text.chars().count(), LONGEST),
        Some(_) => (text.encode_utf16().count(), LONGEST_OTHER),
    };
    if text.trim().is_empty() {
        report.problem(key, "is empty", "write what the phone shows, or remove it");
        return false;
    }
    if length > longest {
        let because = match odd {
            None => String::new(),
            Some(odd) => format!(" since \"{odd}\" is outside the GSM alphabet"),
        };
        let message = format!("{length} characters; accepted: at most {longest}{because}");
        report.problem(key, message, "shorten it: phones show no more");
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_long_as_phones_show() {
        for (text, good) in [
            ("x".repeat(239), true),
            ("x".repeat(240), false),
            ("é€{}".repeat(59) + "ä@Ω", true),
            ("ç".repeat(119), true),
            ("ç".repeat(120), false),
            ("x".repeat(119) + "ç", false),
            ("😀".repeat(60), false),
            ("Payroll: #CLIENT# #SESSION#".to_owned(), true),
            (" ".to_owned(), false),
        ] {
            let mut report = Report::default();
            assert_eq!(check(&text, "route[0].dtbd", &mut report), good, "{text}");
            assert_eq!(report.problems.is_empty(), good);
        }
        let mut report = Report::default();
        check(&"ç".repeat(120), "route[0].dtbd", &mut report);
        assert!(report.problems[0].message.contains("119 since \"ç\""), "{}", report.problems[0].message);
    }
}
