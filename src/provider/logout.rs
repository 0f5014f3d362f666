//! Logouts that a provider has part in: where a browser signs out there, and what its own logout tokens say.
//!
//! *Source:* OIDC RP-Initiated Logout §2; OIDC Back-Channel Logout §2.4, §2.6; OIDC Front-Channel Logout §3.

mod token;

use serde_json::Value;
use url::Url;

use super::authorization::with_parameters;
use super::{Failure, Provider, Settings, id_token};
use crate::session::ProviderLogout;

/// Bytes of a URL that every browser, and every proxy on the way, still takes.
const LONGEST_URL: usize = 6 * 1024;

/// One logout at the provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndSession<'a> {
    /// An ID token of the session, byte for byte.
    pub(crate) id_token: Option<&'a str>,
    /// Where the browser comes back to, as registered.
    pub(crate) back_to: &'a str,
    pub(crate) state: &'a str,
}

/// Whom a logout token says that it is from and for; not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addressee {
    pub(crate) issuer: String,
    audience: Vec<String>,
}

impl Addressee {
    /// Reads a compact token; `None` for anything that names no issuer.
    pub(crate) fn read(compact: &str) -> Option<Self> {
        let claims = id_token::unverified(compact)?;
        let issuer = claims.get("iss")?.as_str()?.to_owned();
        let audience = match claims.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        Some(Self { issuer, audience })
    }

    /// Whether the token is for us as this provider knows us; several providers may share one issuer.
    pub(crate) fn is_client_of(&self, provider: &Provider) -> bool {
        self.audience.contains(&provider.settings.client_id)
    }
}

impl Provider {
    /// Where to send the browser to sign out at the provider; `None` where there is no such place.
    ///
    /// A provider whose metadata have not come yet has none: a logout never waits for the network.
    pub(crate) fn end_session(&self, request: EndSession<'_>) -> Option<Url> {
        let endpoint = self.end_session_endpoint()?;
        let whole = end_session_url(&self.settings, &endpoint, request);
        // RP-Initiated Logout §2: the hint is recommended only, and `client_id` says who we are without it.
        let is_long = whole.as_str().len() > LONGEST_URL && request.id_token.is_some();
        Some(if is_long {
            end_session_url(&self.settings, &endpoint, EndSession { id_token: None, ..request })
        } else {
            whole
        })
    }

    /// Origin of the end-session endpoint, to which a posted logout is redirected.
    pub(crate) fn end_session_origin(&self) -> Option<String> {
        self.end_session_endpoint().map(|url| url.origin().ascii_serialization())
    }

    /// Origins that show pages of the provider, which may frame our front-channel logout.
    pub(crate) fn page_origins(&self) -> Vec<String> {
        let issuer = self.issuer().and_then(|issuer| Url::parse(&issuer).ok());
        let issuer = issuer.map(|url| url.origin().ascii_serialization());
        let origins = [issuer, self.authorization_origin(), self.end_session_origin()];
        let mut origins: Vec<String> = origins.into_iter().flatten().collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }

    /// Verifies a logout token; an unknown key makes us ask for the keys again.
    ///
    /// # Errors
    /// The first check that fails, or keys that cannot be had.
    pub(crate) async fn verify_logout(&self, compact: &str, now: u64) -> Result<ProviderLogout, Failure> {
        let verified = async {
            let metadata = self.metadata().await?;
            let token = id_token::parse_typed(compact, &self.settings.id_token_alg, &token::TYPES)?;
            let mut keys = self.key_set().await?;
            if !token.has_key(&keys) {
                keys = self.refetch_keys_for_logout().await?;
            }
            token::check(&token.verify_signature(&keys)?, &metadata.issuer, &self.settings.client_id, now)
        };
        let verified = tokio::time::timeout(self.settings.timeout, verified).await;
        verified.unwrap_or(Err(Failure::NoAnswer("keys"))).map_err(|failure| match failure {
            Failure::IdToken(reason) => Failure::LogoutToken(reason),
            other => other,
        })
    }

    fn end_session_endpoint(&self) -> Option<Url> {
        let known = || self.metadata.load().as_ref().and_then(|metadata| metadata.end_session.clone());
        self.settings.endpoints.end_session.clone().or_else(known)
    }
}

/// The endpoint with what this logout says, less what the provider must not be sent.
fn end_session_url(settings: &Settings, endpoint: &Url, request: EndSession<'_>) -> Url {
    let ours = [
        ("id_token_hint", request.id_token),
        ("client_id", Some(settings.client_id.as_str())),
        ("post_logout_redirect_uri", Some(request.back_to)),
        ("state", Some(request.state)),
    ];
    let ours = ours.into_iter().filter(|(name, _)| !settings.forbids(name));
    let ours = ours.filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    with_parameters(endpoint, ours.collect())
}
