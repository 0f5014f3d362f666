//! The look that an operator may set: one accent colour, kept readable, and a logo.
//! Pure.
//!
//! *Source:* WCAG 2.2 §1.4.3 and §1.4.11, "relative luminance", "contrast ratio".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const WHITE: Colour = Colour(255, 255, 255);
const BLACK: Colour = Colour(0, 0, 0);
/// The card of the dark look, as in `style.css`.
const DARK_CARD: Colour = Colour(0x1a, 0x21, 0x2b);
/// Unless the operator says otherwise.
pub(super) const ACCENT: Colour = Colour(0x0f, 0x5c, 0xc0);
/// A logo stands in every page, so it must be small.
const LOGO_BYTES: usize = 64 * 1024;

/// An sRGB colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour(u8, u8, u8);

impl Colour {
    /// Reads `#rrggbb`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let digits =
            text.strip_prefix('#').filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
        Some(Self(red, green, blue))
    }

    fn hex(self) -> String {
        format!("#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }

    fn luminance(self) -> f64 {
        let linear = |channel: u8| match f64::from(channel) / 255.0 {
            c if c <= 0.04045 => c / 12.92,
            c => ((c + 0.055) / 1.055).powf(2.4),
        };
        0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2)
    }

    /// The contrast ratio, 1 to 21.
    fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Itself, or moved toward `target` as little as reaches `ratio` against `ground`.
    fn reach(self, ratio: f64, ground: Self, target: Self) -> Self {
        let mix = |a: u8, b: u8, part: u16| ((u16::from(a) * (32 - part) + u16::from(b) * part) / 32) as u8;
        (0..=32)
            .map(|p| Self(mix(self.0, target.0, p), mix(self.1, target.1, p), mix(self.2, target.2, p)))
            .find(|colour| colour.contrast(ground) >= ratio)
            .unwrap_or(target)
    }

    /// What can be read on this colour: black or white has at least 4.5 on every one.
    fn readable(self) -> Self {
        if self.contrast(WHITE) >= self.contrast(BLACK) { WHITE } else { BLACK }
    }
}

/// The custom properties that `style.css` builds on, for the light and the dark look.
pub(super) fn properties(accent: Colour) -> String {
    let set = |button: Colour, link: Colour| {
        format!(
            ":root{{--accent:{};--on-accent:{};--link:{}}}",
            button.hex(),
            button.readable().hex(),
            link.hex()
        )
    };
    let light = set(accent, accent.reach(4.5, WHITE, BLACK));
    let dark = set(accent.reach(3.0, DARK_CARD, WHITE), accent.reach(5.0, DARK_CARD, WHITE));
    format!("{light}@media (prefers-color-scheme:dark){{{dark}}}")
}

/// The `data:` URI of a logo; says what is wrong with one that cannot be shown.
pub(super) fn logo(bytes: &[u8]) -> Result<String, String> {
    if bytes.len() > LOGO_BYTES {
        return Err(format!("holds {} bytes, at most {LOGO_BYTES} are accepted", bytes.len()));
    }
    let kind = image_type(bytes).ok_or("is no SVG, PNG, JPEG, GIF or WebP image")?;
    Ok(format!("data:{kind};base64,{}", STANDARD.encode(bytes)))
}

/// The type by the first bytes; an SVG in `<img>` runs no script.
fn image_type(bytes: &[u8]) -> Option<&'static str> {
    let head = bytes.get(..512).unwrap_or(bytes);
    match head {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => String::from_utf8_lossy(head).contains("<svg").then_some("image/svg+xml"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_strictly() {
        assert_eq!(Colour::read("#0F5cc0"), Some(ACCENT));
        for wrong in ["", "red", "#fff", "#12345", "#1234567", "0f5cc0", "#+12345", "#ff0000;}", "#ééé"] {
            assert_eq!(Colour::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_accent_stays_readable() {
        for hex in ["#0f5cc0", "#ffff00", "#000000", "#ffffff", "#777777", "#ff0000", "#00ff00", "#12005e"] {
            let accent = Colour::read(hex).unwrap();
            let dark = accent.reach(3.0, DARK_CARD, WHITE);
            assert!(accent.contrast(accent.readable()) >= 4.5, "{hex}");
            assert!(dark.contrast(dark.readable()) >= 4.5, "{hex}");
            assert!(accent.reach(4.5, WHITE, BLACK).contrast(WHITE) >= 4.5, "{hex}");
            assert!(accent.reach(5.0, DARK_CARD, WHITE).contrast(DARK_CARD) >= 4.5, "{hex}");
        }
    }

    #[test]
    fn the_dark_card_is_that_of_the_style() {
        let line = format!("--card: {};", DARK_CARD.hex());
        assert!(include_str!("templates/style.css").contains(&line), "{line}");
    }

    #[test]
    fn a_logo_is_known_by_its_bytes() {
        assert!(logo(b"<?xml version='1.0'?><svg/>").unwrap().starts_with("data:image/svg+xml;base64,"));
        assert!(logo(b"\x89PNG\r\n\x1a\n").unwrap().starts_with("data:image/png;base64,"));
        assert!(logo(b"<script>").is_err());
        assert!(logo(&[0; LOGO_BYTES + 1]).unwrap_err().contains("65537"));
    }
}
