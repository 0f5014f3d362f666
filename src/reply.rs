//! An answer that the gateway writes itself.
//! Pure.
//!
//! *Never:* Pingora's response type; `proxy` and `admin` write replies out.

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Status, headers and a whole body.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Why, as a word for the log; empty where nothing went wrong.
    pub(crate) reason: &'static str,
}

impl Reply {
    /// An empty answer; every answer of ours is for one person now, so nothing may keep it.
    pub(crate) fn new(status: StatusCode) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Self { status, headers, body: Bytes::new(), reason: "" }
    }

    /// A redirect; `location` is an absolute URL or a path that the gateway chose and checked.
    ///
    /// A location that cannot stand in a header becomes a plain 500 instead of a header with a line break.
    pub(crate) fn redirect(status: StatusCode, location: &str) -> Self {
        match HeaderValue::try_from(location) {
            Ok(location) => Self::new(status).with(header::LOCATION, location),
            Err(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// A JSON answer.
    pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Self {
        Self::new(status).body("application/json", value.to_string())
    }

    /// A plain text answer.
    pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self::new(status).body("text/plain; charset=utf-8", text.into())
    }

    /// Sets the body and its type.
    pub(crate) fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.with(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    /// Says why, for the log.
    pub(crate) fn because(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    /// Sets one header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds a header beside others of its name, `Set-Cookie` above all.
    pub(crate) fn and(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}
