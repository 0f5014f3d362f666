//! Every page that the gateway shows, with its status and its words for programs.
//! Pure.
//!
//! *Never:* how a page looks or what it says; `view` and `texts` know.
//! *Source:* RFC 9110 §15.

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

use crate::provider::Trouble;

use super::whoami::WhoAmI;

/// How an application behind the gateway is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// No connection, or an answer that is no HTTP: 502.
    BadAnswer,
    /// No server is healthy: 503.
    #[cfg_attr(not(test), expect(dead_code, reason = "upstreams have no health checks yet"))]
    NoServer,
    /// No answer in time: 504.
    NoAnswer,
}

/// One provider of the choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    /// As people know it.
    pub(crate) name: &'a str,
    pub(crate) href: &'a str,
    /// The person signed in there last time.
    pub(crate) is_last: bool,
}

/// A page with what it needs; paths and URLs are ones that the gateway made.
///
/// A `reason` is a word of a closed list, so that nothing from the network can stand in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Page<'a> {
    // The login.
    /// Several providers: the person says which.
    Choice {
        choices: &'a [Choice<'a>],
    },
    /// The provider answered with an error; `again` begins a new login.
    LoginFailed {
        trouble: Trouble,
        trace: Option<&'a str>,
        again: &'a str,
    },
    /// The provider's answer failed a check.
    ProviderBadAnswer {
        reason: &'static str,
        again: &'a str,
    },
    /// The provider gave no answer in time.
    ProviderNoAnswer {
        again: &'a str,
    },
    /// The provider cannot be asked: no metadata, no keys.
    ProviderUnavailable {
        again: &'a str,
    },
    /// State or cookie is missing, too old or used before.
    LoginStale {
        again: Option<&'a str>,
    },
    /// The login came back weaker than asked.
    TooWeak {
        wanted: &'a str,
        again: &'a str,
    },
    /// The highest level needs a phone that is known here, and this person's is not.
    NotEnrolled,
    /// A required claim is missing.
    MissingClaim {
        claim: &'a str,
        again: &'a str,
    },

    // Access.
    /// A form was posted without a session; `login` opens in a new tab.
    SignedOutForm {
        login: &'a str,
    },
    /// "Who am I" of nobody.
    NotSignedIn {
        login: &'a str,
    },
    /// The session is good, the requirement is not met; `logout` lets the person change.
    Forbidden {
        reason: &'static str,
        logout: Option<&'a str>,
    },
    NotFound,
    /// `allow` becomes the `Allow` header.
    MethodNotAllowed {
        allow: &'a str,
    },
    UnknownHost,
    BadRequest {
        reason: &'static str,
    },
    TooLarge,
    HeadersTooLarge,
    UpstreamDown {
        outage: Outage,
    },
    #[cfg_attr(not(test), expect(dead_code, reason = "the store in memory is never down"))]
    StoreDown,
    /// Our own fault.
    Broken,

    // The session.
    /// Posts `csrf`, and `rd` if there is one, to `action`.
    ConfirmLogout {
        action: &'a str,
        csrf: &'a str,
        rd: Option<&'a str>,
    },
    SignedOut {
        again: &'a str,
        provider_session_may_live: bool,
    },
    /// A logout that another site asked for; `logout` is the page that confirms.
    LogoutRefused {
        logout: &'a str,
    },
    WhoAmI(WhoAmI<'a>),
    /// Posts the same fields again from our own origin.
    Repost {
        action: &'a str,
        fields: &'a [(&'a str, &'a str)],
    },
}

impl Page<'_> {
    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::LoginFailed { trouble, .. } => trouble_status(*trouble),
            Self::ProviderBadAnswer { .. } => StatusCode::BAD_GATEWAY,
            Self::ProviderNoAnswer { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::ProviderUnavailable { .. } => StatusCode::BAD_GATEWAY,
            Self::LoginStale { .. } => StatusCode::BAD_REQUEST,
            Self::TooWeak { .. } | Self::NotEnrolled | Self::MissingClaim { .. } => StatusCode::FORBIDDEN,
            Self::SignedOutForm { .. } | Self::NotSignedIn { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
            Self::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UpstreamDown { outage } => match outage {
                Outage::BadAnswer => StatusCode::BAD_GATEWAY,
                Outage::NoServer => StatusCode::SERVICE_UNAVAILABLE,
                Outage::NoAnswer => StatusCode::GATEWAY_TIMEOUT,
            },
            Self::StoreDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            Self::LogoutRefused { .. } => StatusCode::FORBIDDEN,
            Self::ConfirmLogout { .. } | Self::SignedOut { .. } => StatusCode::OK,
            Self::WhoAmI(_) | Self::Repost { .. } | Self::Choice { .. } => StatusCode::OK,
        }
    }

    /// The header that this answer owes, if it owes one.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        // RFC 9110 §15.5.2: a 401 names a way in; §15.5.6: a 405 names the methods.
        if let Self::SignedOutForm { .. } | Self::NotSignedIn { .. } = self {
            return Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"midgate\"")));
        }
        if let Self::MethodNotAllowed { allow } = self {
            return Some((header::ALLOW, HeaderValue::try_from(*allow).ok()?));
        }
        matches!(self, Self::StoreDown).then(|| (header::RETRY_AFTER, HeaderValue::from_static("5")))
    }

    /// The `error` word for programs; none where nothing went wrong.
    pub(crate) fn error(&self) -> Option<&'static str> {
        match self {
            Self::LoginFailed { .. } | Self::LoginStale { .. } => Some("login_failed"),
            Self::TooWeak { .. } | Self::NotEnrolled | Self::MissingClaim { .. } => Some("login_failed"),
            Self::ProviderBadAnswer { .. } => Some("provider_failed"),
            Self::ProviderNoAnswer { .. } => Some("provider_failed"),
            Self::ProviderUnavailable { .. } => Some("provider_failed"),
            Self::SignedOutForm { .. } | Self::NotSignedIn { .. } => Some("login_required"),
            Self::Forbidden { .. } => Some("forbidden"),
            Self::NotFound => Some("not_found"),
            Self::MethodNotAllowed { .. } => Some("method_not_allowed"),
            Self::UnknownHost => Some("misdirected_request"),
            Self::BadRequest { .. } => Some("bad_request"),
            Self::TooLarge => Some("content_too_large"),
            Self::HeadersTooLarge => Some("headers_too_large"),
            Self::UpstreamDown { .. } => Some("upstream_failed"),
            Self::StoreDown => Some("store_unavailable"),
            Self::Broken => Some("internal_error"),
            Self::LogoutRefused { .. } => Some("logout_refused"),
            Self::ConfirmLogout { .. } | Self::SignedOut { .. } => None,
            Self::WhoAmI(_) | Self::Repost { .. } | Self::Choice { .. } => None,
        }
    }

    /// Why, as a word for programs and logs.
    pub(crate) fn reason(&self) -> &'static str {
        if let Self::ProviderBadAnswer { reason, .. } | Self::Forbidden { reason, .. } = self {
            return reason;
        }
        if let Self::BadRequest { reason } = self {
            return reason;
        }
        self.texts()
    }

    /// The section of the texts that speaks about this page.
    pub(super) fn texts(&self) -> &'static str {
        match self {
            Self::Choice { .. } => "choice",
            Self::LoginFailed { trouble, .. } => trouble_word(*trouble),
            Self::ProviderBadAnswer { .. } => "provider-bad-answer",
            Self::ProviderNoAnswer { .. } => "provider-no-answer",
            Self::ProviderUnavailable { .. } => "provider-unreachable",
            Self::LoginStale { .. } => "login-stale",
            Self::TooWeak { .. } => "too-weak",
            Self::NotEnrolled => "not-enrolled",
            Self::MissingClaim { .. } => "missing-claim",
            Self::SignedOutForm { .. } => "signed-out-form",
            Self::NotSignedIn { .. } => "not-signed-in",
            Self::Forbidden { .. } => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed { .. } => "method-not-allowed",
            Self::UnknownHost => "unknown-host",
            Self::BadRequest { .. } => "bad-request",
            Self::TooLarge => "too-large",
            Self::HeadersTooLarge => "headers-too-large",
            Self::UpstreamDown { outage } => match outage {
                Outage::BadAnswer | Outage::NoServer => "upstream-down",
                Outage::NoAnswer => "upstream-slow",
            },
            Self::StoreDown => "store-down",
            Self::Broken => "broken",
            Self::LogoutRefused { .. } => "logout-refused",
            Self::ConfirmLogout { .. } => "confirm-logout",
            Self::SignedOut { provider_session_may_live: false, .. } => "signed-out",
            Self::SignedOut { provider_session_may_live: true, .. } => "signed-out-here",
            Self::WhoAmI(_) => "session",
            Self::Repost { .. } => "repost",
        }
    }
}

/// A refusal by the person or the provider is 403; what the operator or the provider must mend is 502.
fn trouble_status(trouble: Trouble) -> StatusCode {
    match trouble {
        Trouble::Unavailable | Trouble::BadRequest | Trouble::NotAllowed => StatusCode::BAD_GATEWAY,
        Trouble::Rejected | Trouble::NoAnswer | Trouble::WrongNumber => StatusCode::FORBIDDEN,
        Trouble::ConsentRefused | Trouble::SerialMismatch => StatusCode::FORBIDDEN,
        Trouble::LocationFailed | Trouble::SimNeeded | Trouble::NoMethod => StatusCode::FORBIDDEN,
        Trouble::SmsCodeWrong | Trouble::AnotherRunning => StatusCode::FORBIDDEN,
        Trouble::PasskeyMismatch | Trouble::Refused => StatusCode::FORBIDDEN,
        Trouble::LoginRequired | Trouble::Unknown => StatusCode::FORBIDDEN,
    }
}

fn trouble_word(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Rejected => "rejected",
        Trouble::NoAnswer => "no-answer",
        Trouble::WrongNumber => "wrong-number",
        Trouble::ConsentRefused => "consent-refused",
        Trouble::SerialMismatch => "serial-mismatch",
        Trouble::LocationFailed => "location-failed",
        Trouble::SimNeeded => "sim-needed",
        Trouble::NoMethod => "no-method",
        Trouble::SmsCodeWrong => "sms-code-wrong",
        Trouble::AnotherRunning => "another-running",
        Trouble::PasskeyMismatch => "passkey-mismatch",
        Trouble::Refused => "refused",
        Trouble::LoginRequired => "provider-login-required",
        Trouble::Unavailable => "provider-unavailable",
        Trouble::BadRequest => "provider-bad-request",
        Trouble::NotAllowed => "provider-not-allowed",
        Trouble::Unknown => "unknown",
    }
}
