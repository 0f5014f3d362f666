//! What a provider's part of the configuration says, ready to use.
//! Pure.

use std::sync::Arc;
use std::time::Duration;

use openidconnect::core::CoreJwsSigningAlgorithm;
use serde_json::Value;
use url::Url;

use super::{ClientCertificate, RequestValue};
use crate::identity::Mapping;
use crate::secret::Secret;
use crate::signing::SigningKey;

/// One provider.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) id: Arc<str>,
    pub(crate) role: Role,
    pub(crate) display_name: String,
    /// Values of `domain_hint` that mean this provider.
    pub(crate) domains: Vec<String>,
    /// Compared byte for byte; unset: taken from the document at `discovery`.
    pub(crate) issuer: Option<String>,
    pub(crate) discovery: Discovery,
    /// Each wins over the document's.
    pub(crate) endpoints: Endpoints,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<Secret>,
    pub(crate) client_auth: ClientAuth,
    pub(crate) id_token_alg: Vec<Alg>,
    pub(crate) scopes: Vec<String>,
    /// Unset: not sent.
    pub(crate) response_mode: Option<ResponseMode>,
    /// The wish at a plain login.
    pub(crate) acr_values: Option<String>,
    /// The ID-token claim that holds the level; unset: the provider has none.
    pub(crate) acr_claim: Option<String>,
    pub(crate) userinfo: UserInfoUse,
    /// Gateway names or raw claims without which there is no login.
    pub(crate) required_claims: Vec<String>,
    /// Whether authorization requests go by PAR.
    pub(crate) pushed_authorization: PushUse,
    /// Further parameters of every authorization request.
    pub(crate) request: Vec<(String, RequestValue)>,
    /// Parameters that are never sent.
    pub(crate) forbid: Vec<String>,
    pub(crate) claims: Mapping,
    /// Which tokens a session keeps.
    pub(crate) keep: Keep,
    /// Further roots, PEM.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// For our calls to the provider.
    pub(crate) proxy: Option<Url>,
    /// One deadline for token, keys and UserInfo together.
    pub(crate) timeout: Duration,
}

/// What somebody comes from there with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A session: people sign in there.
    Login,
    /// An access token that is shown to us; of the metadata only issuer and keys are needed.
    Tokens,
}

/// Which tokens are kept after a login: none that nobody will need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) id_token: bool,
    pub(crate) access_token: bool,
    pub(crate) refresh_token: bool,
}

/// Where the metadata come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Discovery {
    Url(Url),
    /// A local file, already read.
    Document(Box<Value>),
    /// Every endpoint is configured.
    None,
}

/// Endpoints given by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Endpoints {
    pub(crate) authorization: Option<Url>,
    pub(crate) token: Option<Url>,
    pub(crate) userinfo: Option<Url>,
    pub(crate) jwks: Option<Url>,
    pub(crate) end_session: Option<Url>,
    pub(crate) pushed_authorization: Option<Url>,
}

/// How we prove who we are at the provider's endpoints (OIDC Core §9).
#[derive(Debug)]
pub(crate) enum ClientAuth {
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
    /// `private_key_jwt`.
    PrivateKey(Box<SigningKey>),
    /// `tls_client_auth` (RFC 8705 §2).
    MutualTls(ClientCertificate),
}

/// Whether authorization requests are pushed (RFC 9126).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushUse {
    /// Where the provider has an endpoint for it.
    Auto,
    /// No login goes any other way.
    Always,
    Never,
}

/// How the authorization response comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseMode {
    Query,
    FormPost,
}

/// Whether UserInfo is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserInfoUse {
    /// When there is an endpoint.
    Auto,
    Always,
    Never,
}

/// Signature algorithms that an ID token may be pinned to: never HMAC, never none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alg {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Alg {
    /// Every name, as RFC 7518 §3.1 and RFC 8037 §3.1 spell it.
    pub(crate) const NAMES: [&str; 9] =
        ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

    /// Reads a name exactly.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        const ALL: [Alg; 9] = [
            Alg::Rs256,
            Alg::Rs384,
            Alg::Rs512,
            Alg::Ps256,
            Alg::Ps384,
            Alg::Ps512,
            Alg::Es256,
            Alg::Es384,
            Alg::EdDsa,
        ];
        Self::NAMES.iter().position(|known| *known == name).and_then(|at| ALL.get(at).copied())
    }

    pub(super) fn core(self) -> CoreJwsSigningAlgorithm {
        match self {
            Self::Rs256 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
            Self::Rs384 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
            Self::Rs512 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
            Self::Ps256 => CoreJwsSigningAlgorithm::RsaSsaPssSha256,
            Self::Ps384 => CoreJwsSigningAlgorithm::RsaSsaPssSha384,
            Self::Ps512 => CoreJwsSigningAlgorithm::RsaSsaPssSha512,
            Self::Es256 => CoreJwsSigningAlgorithm::EcdsaP256Sha256,
            Self::Es384 => CoreJwsSigningAlgorithm::EcdsaP384Sha384,
            Self::EdDsa => CoreJwsSigningAlgorithm::EdDsa,
        }
    }
}

impl Settings {
    /// Whether metadata and keys of the one serve the other.
    pub(super) fn asks_the_same(&self, other: &Self) -> bool {
        self.role == other.role
            && self.issuer == other.issuer
            && self.discovery == other.discovery
            && self.endpoints == other.endpoints
            && self.is_mutual_tls() == other.is_mutual_tls()
    }

    /// Whether the provider's hosts for mutual TLS are ours to use (RFC 8705 §5).
    pub(super) fn is_mutual_tls(&self) -> bool {
        matches!(self.client_auth, ClientAuth::MutualTls(_))
    }

    /// Whether a `domain_hint` means this provider.
    pub(crate) fn is_hinted_at(&self, hint: &str) -> bool {
        self.domains.iter().any(|domain| domain.eq_ignore_ascii_case(hint))
    }

    /// Whether a parameter must never be sent.
    pub(crate) fn forbids(&self, parameter: &str) -> bool {
        self.forbid.iter().any(|forbidden| forbidden == parameter)
    }
}
