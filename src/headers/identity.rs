//! Identity headers of one route: templates, encodings, and the values made for one person.
//! Pure.
//!
//! *Source:* gateway.toml `[headers]`; RFC 9110 §5.5.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::Ready;
use crate::identity::{Identity, Template};
use crate::request::Certificate;
use crate::secret::Secret;

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

/// A token of the provider's that goes up as `Authorization: Bearer` (RFC 6750 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum PassToken {
    #[default]
    None,
    Access,
    Id,
}

/// All identity headers of a route; routes with equal fields share one `id`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    /// Index among the configuration's distinct mappings: a session keeps its ready headers by it.
    pub(crate) id: usize,
    pub(crate) fields: Vec<Field>,
    /// Those of them that speak of the connection's client certificate: made anew for each request.
    pub(crate) of_connection: Vec<Field>,
    /// The provider's token that goes along.
    pub(crate) pass_token: PassToken,
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
    pub(crate) fn new(id: usize, fields: Vec<Field>, pass_token: PassToken) -> Self {
        let sets_authorization = pass_token != PassToken::None
            || fields.iter().any(|field| field.name.eq_ignore_ascii_case("authorization"));
        let of_connection = fields.iter().filter(|field| field.is_of_connection()).cloned().collect();
        Self { id, fields, of_connection, pass_token, sets_authorization }
    }

    /// Makes the headers of one person; a field without a value is not there at all.
    pub(crate) fn render<'f>(&'f self, identity: &Identity, left: &mut Vec<Left<'f>>) -> Box<[Ready]> {
        let lasting = self.fields.iter().filter(|field| !field.is_of_connection());
        lasting.filter_map(|field| field.render(identity, None, left)).collect()
    }

    /// Makes those headers that hold for one connection only.
    pub(crate) fn render_of_connection<'f>(
        &'f self,
        identity: &Identity,
        certificate: Option<&Certificate>,
        left: &mut Vec<Left<'f>>,
    ) -> Vec<Ready> {
        self.of_connection.iter().filter_map(|field| field.render(identity, certificate, left)).collect()
    }
}

impl Field {
    fn is_of_connection(&self) -> bool {
        self.template.names().any(Certificate::is_named)
    }

    fn render<'f>(
        &'f self,
        identity: &Identity,
        certificate: Option<&Certificate>,
        left: &mut Vec<Left<'f>>,
    ) -> Option<Ready> {
        let text = self.template.render(&self.join, |name| match Certificate::is_named(name) {
            true => certificate.and_then(|certificate| certificate.find(name)).map(Cow::Borrowed),
            false => identity.find(name),
        })?;
        let value = self.encoding.encode(&text);
        if value.is_none() {
            left.push(Left(&self.name));
        }
        Some((Bytes::copy_from_slice(self.name.as_bytes()), value?))
    }
}

/// `Authorization` with a token; `None` when the token cannot stand in a header as one whole.
///
/// RFC 6750 §2.1 wants `b64token`; whatever else is visible and parts no list is taken, since providers do send it.
pub(crate) fn bearer(token: &Secret) -> Option<Ready> {
    let text = token.expose();
    let is_whole = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b','));
    if text.is_empty() || !is_whole || text.len() > LONGEST_VALUE {
        return None;
    }
    let mut value = HeaderValue::try_from(format!("Bearer {text}")).ok()?;
    value.set_sensitive(true);
    Some((Bytes::from_static(b"Authorization"), value))
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
