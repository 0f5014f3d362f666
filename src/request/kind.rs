//! What sort of caller waits for the answer: a person who can be sent somewhere, or a program.
//! Pure.
//!
//! *Source:* W3C Fetch Metadata.

use http::Method;
use http::header::{self, HeaderMap};

/// How a refusal can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A person opens a page: can be redirected.
    Navigation,
    /// A person sent a form: can read a page, but a redirect would lose what was typed.
    PostedForm,
    /// Anything else: wants a status and JSON.
    Program,
}

impl Kind {
    /// Judges by method, `Sec-Fetch-*` and, where a browser sends none, `Accept`.
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let is =
            |name: &str, value: &str| headers.get(name).is_some_and(|v| v.as_bytes() == value.as_bytes());
        let has_metadata = headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"));
        let prefetch = ["purpose", "sec-purpose", "x-moz", "x-purpose"].iter().any(|name| {
            headers.get(*name).is_some_and(|v| {
                let value = v.as_bytes().to_ascii_lowercase();
                value.windows(8).any(|w| w == b"prefetch") || value.windows(7).any(|w| w == b"preview")
            })
        });
        let opens_page = if has_metadata {
            is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
        } else {
            accepts_html(headers)
        };
        if matches!(*method, Method::GET | Method::HEAD) {
            return if opens_page && !prefetch { Self::Navigation } else { Self::Program };
        }
        let posts_form = if has_metadata { is("sec-fetch-mode", "navigate") } else { accepts_html(headers) };
        if *method == Method::POST && posts_form { Self::PostedForm } else { Self::Program }
    }

    /// Whether a person will read the answer.
    pub(crate) fn is_person(self) -> bool {
        matches!(self, Self::Navigation | Self::PostedForm)
    }
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|range| {
            range.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/html"))
        })
}
