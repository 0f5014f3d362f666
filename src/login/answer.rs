//! The authorization response as it arrives at the callback.
//! Pure.
//!
//! *Source:* RFC 6749 §4.1.2, RFC 9207 §2, OAuth 2.0 Form Post Response Mode.

use crate::provider::ProviderError;
use crate::secret::Secret;

/// What came back, each parameter at most once.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) state: String,
    pub(crate) iss: Option<String>,
    pub(crate) said: Said,
}

/// A code or an error, never both.
#[derive(Debug)]
pub(crate) enum Said {
    Code(Secret),
    Error(ProviderError),
}

/// A code, state or issuer longer than this is nobody's.
const LONGEST: usize = 4096;

/// The field that our own re-post page adds, so that it re-posts once only.
pub(crate) const AGAIN: &str = "midgate_again";

impl Answer {
    /// Reads a query or a form body; `None` for anything doubled, empty, oversized or contradictory.
    pub(crate) fn read(encoded: &[u8]) -> Option<Self> {
        let [mut code, mut state, mut iss, mut error, mut description] = [const { None::<String> }; 5];
        for (name, value) in form_urlencoded::parse(encoded) {
            let slot = match &*name {
                "code" => &mut code,
                "state" => &mut state,
                "iss" => &mut iss,
                "error" => &mut error,
                "error_description" => &mut description,
                // RFC 6749 §4.1.2: unrecognized parameters are ignored.
                _ => continue,
            };
            if slot.is_some() || value.len() > LONGEST {
                return None;
            }
            *slot = Some(value.into_owned());
        }
        let state = state.filter(|state| !state.is_empty())?;
        let said = match (code.filter(|code| !code.is_empty()), error) {
            (Some(code), None) => Said::Code(Secret::new(code)),
            (None, Some(error)) => Said::Error(ProviderError::read(&error, description.as_deref())),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        Some(Self { state, iss, said })
    }
}
