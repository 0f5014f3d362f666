//! Who we are to a provider, and how every request of ours to its endpoints proves it.
//!
//! *Source:* RFC 6749 §2.3.1; OIDC Core §9; RFC 7523 §2.2; RFC 8705 §2.

mod assertion;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use form_urlencoded::{Serializer, byte_serialize};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder};
use url::Url;

use super::metadata::Metadata;
use super::{ClientAuth, Failure, Provider};
use crate::seal::random;
use crate::secret::{Secret, SecretBytes};

/// Our certificate and its key, PEM: what `tls_client_auth` shows in the handshake.
#[derive(Debug, Clone)]
pub(crate) struct ClientCertificate {
    pub(crate) pem: SecretBytes,
}

/// A form for one of the provider's endpoints; each field once.
pub(super) type Fields = Vec<(String, String)>;

impl Provider {
    /// A POST of a form with which we prove who we are; `now` is in Unix seconds.
    ///
    /// # Errors
    /// Our key cannot sign.
    pub(super) fn post_as_client(
        &self,
        metadata: &Metadata,
        endpoint: &Url,
        mut fields: Fields,
        now: u64,
    ) -> Result<RequestBuilder, Failure> {
        let request = self.http.request(Method::POST, endpoint);
        let request = self.authenticate(metadata, request, &mut fields, now)?;
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        Ok(request
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(body))
    }

    /// RFC 6749 §2.3: one method of client authentication in a request, never two.
    fn authenticate(
        &self,
        metadata: &Metadata,
        request: RequestBuilder,
        fields: &mut Fields,
        now: u64,
    ) -> Result<RequestBuilder, Failure> {
        let settings = &self.settings;
        let id = settings.client_id.as_str();
        match (&settings.client_auth, settings.client_secret.as_ref().map(Secret::expose)) {
            // In the header, with both halves form-urlencoded.
            (ClientAuth::Basic, Some(secret)) => {
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                return Ok(request.basic_auth(encoded(id), Some(encoded(secret))));
            }
            (ClientAuth::Post, Some(secret)) => set(fields, "client_secret", secret),
            // A public client says who it is and proves it by PKCE alone.
            (ClientAuth::Basic | ClientAuth::Post, None) => {}
            (ClientAuth::PrivateKey(key), _) => {
                let statement = assertion::Statement {
                    client_id: id,
                    issuer: &metadata.issuer,
                    id: &URL_SAFE_NO_PAD.encode(random::<32>()),
                    now,
                };
                let signed = assertion::sign(key, statement).ok_or(Failure::CannotSign)?;
                set(fields, "client_assertion_type", assertion::TYPE);
                set(fields, "client_assertion", &signed);
            }
            // RFC 8705 §2: the proof is in the handshake.
            (ClientAuth::MutualTls(_), _) => {}
        }
        set(fields, "client_id", id);
        Ok(request)
    }
}

fn set(fields: &mut Fields, name: &str, value: &str) {
    fields.retain(|(known, _)| known != name);
    fields.push((name.to_owned(), value.to_owned()));
}
