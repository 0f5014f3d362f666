//! An issuer of access tokens, and whether a token that somebody shows is to be believed.
//!
//! To the gateway it is a provider at which nobody signs in: its metadata and keys are had and kept in the same way.
//! *Source:* RFC 9068 §4; RFC 8414; RFC 8725.

mod token;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::keys::KeySet;
use super::settings::Role;
use super::{
    Alg, ClientAuth, Discovery, Endpoints, Failure, Health, Keep, Provider, PushUse, Settings, UserInfoUse,
    id_token, person,
};
use crate::identity::{Claims, Identity, Mapping};

/// Bytes of a token; a header of that size is what most servers take.
const LIMIT: usize = 8 * 1024;
/// RFC 9068 §2.2.1: as in ID tokens.
const ACR: &str = "acr";
/// The longest time that a request waits for keys: an issuer that is slower is down.
const PATIENCE: Duration = Duration::from_secs(2);

/// One issuer, as the configuration describes it.
#[derive(Debug)]
pub(crate) struct BearerSettings {
    pub(crate) id: Arc<str>,
    /// Compared byte for byte.
    pub(crate) issuer: String,
    pub(crate) discovery: Discovery,
    /// A token must be for one of these; never empty.
    pub(crate) audience: Vec<String>,
    pub(crate) alg: Vec<Alg>,
    /// A token must carry all of these.
    pub(crate) scopes: Vec<String>,
    pub(crate) claims: Mapping,
    /// Further roots, PEM.
    pub(crate) ca_pem: Option<Vec<u8>>,
    /// For our calls to the issuer.
    pub(crate) proxy: Option<Url>,
    pub(crate) timeout: Duration,
}

impl BearerSettings {
    /// Whether the claims of a token hold every scope that is needed, for dry runs.
    pub(crate) fn has_scopes(&self, claims: &Claims) -> bool {
        token::has_scopes(claims, &self.scopes)
    }

    /// Whom a token with these claims speaks of, for dry runs.
    pub(crate) fn identity(&self, claims: &Claims) -> Identity {
        let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or(&self.issuer);
        person::identity(&self.id, issuer, Some(ACR), claims, |claims| self.claims.apply(claims, None))
    }

    /// What the calls to it and the mapping of its claims need to know.
    fn into_settings(self) -> Settings {
        Settings {
            display_name: self.id.to_string(),
            id: self.id,
            role: Role::Tokens,
            domains: Vec::new(),
            issuer: Some(self.issuer),
            discovery: self.discovery,
            endpoints: Endpoints::default(),
            client_id: String::new(),
            client_secret: None,
            client_auth: ClientAuth::Basic,
            id_token_alg: self.alg,
            scopes: self.scopes,
            response_mode: None,
            acr_values: None,
            acr_claim: Some(ACR.to_owned()),
            userinfo: UserInfoUse::Never,
            required_claims: Vec::new(),
            pushed_authorization: PushUse::Never,
            request: Vec::new(),
            forbid: Vec::new(),
            claims: self.claims,
            keep: Keep::default(),
            ca_pem: self.ca_pem,
            proxy: self.proxy,
            timeout: self.timeout,
        }
    }
}

/// An issuer of access tokens, for as long as its part of the configuration stays the same.
#[derive(Debug)]
pub(crate) struct TokenIssuer {
    provider: Arc<Provider>,
    audience: Vec<String>,
}

/// Whom a token that was verified speaks of, and until when.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) identity: Identity,
    /// Unix seconds.
    pub(crate) expires: u64,
}

/// Why a token does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenRefusal {
    /// It is not to be believed.
    Invalid(Failure),
    /// It is good, and not for this.
    Scope,
    /// Nobody can tell, since the issuer's keys cannot be had.
    Unavailable(Failure),
}

impl TokenRefusal {
    /// The word for logs, metrics and programs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(failure) | Self::Unavailable(failure) => failure.reason(),
            Self::Scope => "scope-missing",
        }
    }
}

impl From<Failure> for TokenRefusal {
    fn from(failure: Failure) -> Self {
        match failure {
            // The checks that all tokens share speak of ID tokens.
            Failure::IdToken(reason) | Failure::AccessToken(reason) => {
                Self::Invalid(Failure::AccessToken(reason))
            }
            other => Self::Unavailable(other),
        }
    }
}

/// What a token says of where it belongs, while nobody has verified it.
#[derive(Debug)]
pub(crate) struct Claimed(Claims);

impl Claimed {
    /// Reads a compact token.
    ///
    /// # Errors
    /// The reason: it is too large, or none at all, as opaque tokens are.
    pub(crate) fn read(compact: &str) -> Result<Self, &'static str> {
        if compact.len() > LIMIT {
            return Err("token-too-large");
        }
        id_token::unverified(compact).map(Self).ok_or("token-malformed")
    }
}

impl TokenIssuer {
    /// An issuer that has not been asked anything yet.
    ///
    /// # Errors
    /// `ca_file` or `proxy` cannot be used.
    pub(crate) fn new(mut settings: BearerSettings) -> Result<Self, String> {
        let audience = std::mem::take(&mut settings.audience);
        Ok(Self { provider: Arc::new(Provider::new(settings.into_settings())?), audience })
    }

    /// Its id in the configuration.
    pub(crate) fn id(&self) -> &Arc<str> {
        self.provider.id()
    }

    /// Scopes that a token must carry.
    pub(crate) fn scopes(&self) -> &[String] {
        &self.provider.settings.scopes
    }

    /// Whether tokens can be checked now.
    pub(crate) fn health(&self) -> Health {
        self.provider.health()
    }

    /// The provider underneath, to be kept warm.
    pub(crate) fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    /// Takes over what the issuer of the old configuration knew, if it is the same issuer.
    pub(crate) fn adopt(&self, old: &Self) {
        self.provider.adopt(&old.provider);
    }

    /// Asks for metadata and keys, for `check --online`.
    ///
    /// # Errors
    /// What keeps tokens from being checked.
    pub(crate) async fn probe(&self) -> Result<(), Failure> {
        self.provider.warm().await
    }

    /// Whether a token says that it is from here; several issuers of the configuration may share the name.
    pub(crate) fn is_named_by(&self, claimed: &Claimed) -> bool {
        token::is_from(&claimed.0, self.issuer())
    }

    /// Whether a token says that it is for us, as this issuer knows us.
    pub(crate) fn is_meant_by(&self, claimed: &Claimed) -> bool {
        token::is_for(&claimed.0, &self.audience)
    }

    /// Verifies a token at `now` (Unix seconds): what costs nothing first, then the signature, then what it is good for.
    ///
    /// # Errors
    /// The first check that fails.
    pub(crate) async fn verify(&self, compact: &str, now: u64) -> Result<Shown, TokenRefusal> {
        let token = id_token::parse_typed(compact, &self.provider.settings.id_token_alg, &token::TYPES)?;
        // Whoever sends rubbish costs no signature, and no look at the issuer's keys.
        let expires = token::check(token.unverified(), self.issuer(), &self.audience, now)?;
        let keys = self.keys_for(&token).await?;
        let claims = token.verify_signature(&keys)?;
        if !token::has_scopes(&claims, self.scopes()) {
            return Err(TokenRefusal::Scope);
        }
        Ok(Shown { identity: self.provider.settings.identity(self.issuer(), &claims, None), expires })
    }

    fn issuer(&self) -> &str {
        self.provider.settings.issuer.as_deref().unwrap_or_default()
    }

    /// Keys among which the token's may be; an unknown one is asked for anew, on a budget.
    async fn keys_for(&self, token: &id_token::Token<'_>) -> Result<Arc<KeySet>, Failure> {
        if let Some(keys) = self.provider.keys.load_full() {
            if token.has_key(&keys) {
                return Ok(keys);
            }
            // In a task of its own: who loses patience here does not end a fetch that all others need.
            let provider = Arc::clone(&self.provider);
            let refetch = tokio::spawn(async move { provider.refetch_keys().await });
            return match tokio::time::timeout(PATIENCE, refetch).await {
                Ok(Ok(keys)) => keys,
                Ok(Err(_)) | Err(_) => Err(Failure::NoAnswer("keys")),
            };
        }
        let first = async {
            self.provider.metadata().await?;
            self.provider.key_set().await
        };
        match tokio::time::timeout(PATIENCE, first).await {
            // The budget for unknown keys is used up, and there is none at all.
            Ok(Err(Failure::IdToken(_))) => Err(Failure::Cold("no-keys")),
            Ok(keys) => keys,
            Err(_) => Err(Failure::NoAnswer("keys")),
        }
    }
}
