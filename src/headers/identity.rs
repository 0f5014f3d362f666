//! Identity headers of one route: templates, encodings, and the values made for one person.
//! Pure.
//!
//! *Source:* gateway.toml `[headers]`; RFC 9110 §5.5.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::Ready;
use crate::identity::{Identity, Template};

/// How text that is not ASCII stands in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    #[default]
    Utf8,
    Latin1,
    Percent,
    Base64,
}

/// One header of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// As the operator spelt it.
    pub(crate) name: String,
    pub(crate) template: Template,
    pub(crate) encoding: Encoding,
    /// What stands between the elements of a list.
    pub(crate) join: String,
}

/// All identity headers of a route; routes with equal fields share one `id`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    /// Index among the configuration's distinct mappings: a session keeps its ready headers by it.
    pub(crate) id: usize,
    pub(crate) fields: Vec<Field>,
    /// Only a route that sets `Authorization` takes away what the client sent there.
    pub(crate) sets_authorization: bool,
}

/// A header that was left out though its claims are there: its value cannot be encoded as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left<'f>(pub(crate) &'f str);

/// Everything that must not stand bare in a percent-encoded value, the percent sign included.
const PERCENT: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'"').add(b',').add(b';').add(b'\\');

impl Fields {
    /// A mapping with its index.
    pub(crate) fn new(id: usize, fields: Vec<Field>) -> Self {
        let sets_authorization = fields.iter().any(|field| field.name.eq_ignore_ascii_case("authorization"));
        Self { id, fields, sets_authorization }
    }

    /// Makes the headers of one person; a field without a value is not there at all.
    pub(crate) fn render<'f>(&'f self, identity: &Identity, left: &mut Vec<Left<'f>>) -> Box<[Ready]> {
        let ready = self.fields.iter().filter_map(|field| {
            let text = field.template.render(&field.join, |name| identity.find(name))?;
            let value = field.encoding.encode(&text);
            if value.is_none() {
                left.push(Left(&field.name));
            }
            Some((Bytes::copy_from_slice(field.name.as_bytes()), value?))
        });
        ready.collect()
    }
}

impl Encoding {
    /// Encodes a text; `None` when it cannot stand in a header that way.
    fn encode(self, text: &str) -> Option<HeaderValue> {
        let value = match self {
            Self::Utf8 => visible(text).then(|| HeaderValue::from_bytes(text.as_bytes()).ok())?,
            Self::Latin1 => {
                let bytes =
                    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<_>>>()?;
                visible(text).then(|| HeaderValue::from_bytes(&bytes).ok())?
            }
            Self::Percent => HeaderValue::try_from(utf8_percent_encode(text, PERCENT).to_string()).ok(),
            Self::Base64 => HeaderValue::try_from(STANDARD.encode(text)).ok(),
        };
        value.filter(|value| value.len() <= LONGEST_VALUE)
    }
}

/// No control character, C1 included: what ends a line for one server is a letter for another.
fn visible(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// A header that is longer makes many servers refuse the whole request.
const LONGEST_VALUE: usize = 8 * 1024;
