//! What can go wrong between us and a provider, by culprit.
//! Pure.

/// A call to a provider, or a check of its answer, that failed. Texts hold no token, code or claim value (I8).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// No answer in time.
    #[error("{0} request: timed out")]
    NoAnswer(&'static str),
    /// No connection.
    #[error("{0} request: no connection")]
    Unreachable(&'static str),
    /// An HTTP status that means no.
    #[error("{step} request: status {status}")]
    Status { step: &'static str, status: u16 },
    /// An answer that cannot be read, or is too large.
    #[error("{step} answer: {reason}")]
    BadAnswer { step: &'static str, reason: &'static str },
    /// The token endpoint said no in OAuth's own words.
    #[error("token request: refused with {0}")]
    TokenRefused(String),
    /// The provider does not believe that we are who we say we are, when a request is pushed.
    #[error("pushed authorization request: refused with {0}")]
    PushRefused(String),
    /// Our own key cannot sign.
    #[error("client assertion: the key cannot sign")]
    CannotSign,
    /// Metadata that we must not or cannot use.
    #[error("metadata: {0}")]
    Metadata(&'static str),
    /// The metadata were never had.
    #[error("provider is not known yet: {0}")]
    Cold(&'static str),
    /// The authorization response.
    #[error("authorization response: {0}")]
    Answer(&'static str),
    /// The ID token is not to be believed (OIDC Core §3.1.3.7).
    #[error("id token: {0}")]
    IdToken(&'static str),
    /// A logout token is not to be believed (OIDC Back-Channel Logout §2.6).
    #[error("logout token: {0}")]
    LogoutToken(&'static str),
    /// An access token that was shown to us is not to be believed (RFC 9068 §4).
    #[error("access token: {0}")]
    AccessToken(&'static str),
    /// UserInfo is not to be believed (OIDC Core §5.3).
    #[error("userinfo: {0}")]
    UserInfo(&'static str),
    /// A claim without which the operator wants no login.
    #[error("required claim \"{0}\" is missing")]
    MissingClaim(String),
}

impl Failure {
    /// The word for logs and metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoAnswer(_) => "provider-timeout",
            Self::Unreachable(_) => "provider-unreachable",
            Self::Status { .. } => "provider-status",
            Self::TokenRefused(_) => "token-request-refused",
            Self::PushRefused(_) => "pushed-request-refused",
            Self::CannotSign => "client-key-cannot-sign",
            Self::MissingClaim(_) => "missing-claim",
            Self::BadAnswer { reason, .. }
            | Self::Metadata(reason)
            | Self::Cold(reason)
            | Self::Answer(reason)
            | Self::IdToken(reason)
            | Self::LogoutToken(reason)
            | Self::AccessToken(reason)
            | Self::UserInfo(reason) => reason,
        }
    }
}
