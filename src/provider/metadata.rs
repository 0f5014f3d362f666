//! What a provider publishes about itself, reduced to what we use.
//!
//! *Source:* OIDC Discovery §3, §4; RFC 8414; RFC 8705 §5; RFC 9126 §5; RFC 9207 §3.

use serde_json::{Map, Value};
use url::Url;

use super::http::Http;
use super::{Discovery, Failure, Role, Settings, json};

/// Bytes of a discovery document.
const LIMIT: usize = 256 * 1024;

/// The metadata in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) issuer: String,
    /// There wherever people sign in, as is the next one.
    pub(super) authorization: Option<Url>,
    pub(super) token: Option<Url>,
    pub(super) userinfo: Option<Url>,
    pub(super) jwks: Url,
    pub(super) pushed_authorization: Option<Url>,
    /// RFC 9126 §5: requests that were not pushed are refused.
    pub(super) requires_push: bool,
    pub(super) end_session: Option<Url>,
    /// OIDC Discovery §3: languages of its pages; empty where it does not say.
    pub(super) ui_locales: Vec<String>,
    /// RFC 9207 §3: `iss` comes with every authorization response.
    pub(super) promises_iss: bool,
}

impl Metadata {
    /// Those of an issuer at which nobody signs in.
    fn of_tokens(issuer: String, jwks: Url) -> Self {
        Self {
            issuer,
            authorization: None,
            token: None,
            userinfo: None,
            jwks,
            pushed_authorization: None,
            requires_push: false,
            end_session: None,
            ui_locales: Vec::new(),
            promises_iss: false,
        }
    }

    /// Where browsers are sent.
    ///
    /// # Errors
    /// Nobody signs in there.
    pub(super) fn authorization(&self) -> Result<&Url, Failure> {
        self.authorization.as_ref().ok_or(Failure::Metadata("endpoint-missing"))
    }

    /// Where codes and refresh tokens are redeemed.
    ///
    /// # Errors
    /// Nobody signs in there.
    pub(super) fn token(&self) -> Result<&Url, Failure> {
        self.token.as_ref().ok_or(Failure::Metadata("endpoint-missing"))
    }
}

/// Gets the metadata from where the configuration says.
pub(super) async fn fetch(settings: &Settings, http: &Http) -> Result<Metadata, Failure> {
    match &settings.discovery {
        Discovery::Url(url) => {
            let body = http.fetch("discovery", url, LIMIT).await?;
            let document =
                json::object(&body).ok_or(Failure::BadAnswer { step: "discovery", reason: "not-json" })?;
            read(settings, &document)
        }
        Discovery::Document(document) => {
            read(settings, document.as_object().ok_or(Failure::Metadata("not-an-object"))?)
        }
        Discovery::None => read(settings, &Map::new()),
    }
}

/// Reads a document; what we do not use may be as odd as it likes.
fn read(settings: &Settings, document: &Map<String, Value>) -> Result<Metadata, Failure> {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let issuer = match (&settings.issuer, text("issuer")) {
        // OIDC Discovery §4.3: exactly the expected one.
        (Some(expected), Some(found)) if expected != found => {
            return Err(Failure::Metadata("issuer-mismatch"));
        }
        (Some(issuer), _) => issuer.clone(),
        (None, Some(issuer)) => issuer.to_owned(),
        (None, None) => return Err(Failure::Metadata("issuer-missing")),
    };
    let endpoint = |configured: &Option<Url>, name: &str| match configured {
        Some(url) => Ok(Some(url.clone())),
        None => text(name).map(usable).transpose(),
    };
    // RFC 8705 §5: with a certificate we go to the hosts that ask for one.
    let aliases = document.get("mtls_endpoint_aliases").filter(|_| settings.is_mutual_tls());
    let ours = |configured: &Option<Url>, name: &str| match aliases
        .and_then(|aliases| aliases.get(name))
        .and_then(Value::as_str)
    {
        Some(alias) if configured.is_none() => usable(alias).map(Some),
        Some(_) | None => endpoint(configured, name),
    };
    let endpoints = &settings.endpoints;
    let needed = |url: Result<Option<Url>, Failure>| url?.ok_or(Failure::Metadata("endpoint-missing"));
    let jwks = needed(endpoint(&endpoints.jwks, "jwks_uri"))?;
    if settings.role == Role::Tokens {
        // RFC 8414 §2: an issuer that only hands out tokens need not have any of the rest.
        return Ok(Metadata::of_tokens(issuer, jwks));
    }
    if let Some(methods) = document.get("code_challenge_methods_supported").and_then(Value::as_array)
        && !methods.iter().any(|method| method == "S256")
    {
        return Err(Failure::Metadata("pkce-s256-unsupported"));
    }
    Ok(Metadata {
        issuer,
        authorization: Some(needed(endpoint(&endpoints.authorization, "authorization_endpoint"))?),
        token: Some(needed(ours(&endpoints.token, "token_endpoint"))?),
        userinfo: ours(&endpoints.userinfo, "userinfo_endpoint")?,
        jwks,
        pushed_authorization: ours(&endpoints.pushed_authorization, "pushed_authorization_request_endpoint")?,
        requires_push: document.get("require_pushed_authorization_requests") == Some(&Value::Bool(true)),
        // One that we must not send anybody to is as good as none: it is no reason to refuse logins.
        end_session: endpoint(&endpoints.end_session, "end_session_endpoint").unwrap_or_default(),
        ui_locales: strings(document.get("ui_locales_supported")),
        promises_iss: document.get("authorization_response_iss_parameter_supported")
            == Some(&Value::Bool(true)),
    })
}

/// The texts of a list; what is no list holds none.
fn strings(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// An endpoint that we may call: https, or plain http on this machine; never with a fragment.
fn usable(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).map_err(|_| Failure::Metadata("endpoint-malformed"))?;
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let good = url.scheme() == "https" || (url.scheme() == "http" && local);
    if good && url.fragment().is_none() { Ok(url) } else { Err(Failure::Metadata("endpoint-not-https")) }
}
