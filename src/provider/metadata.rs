//! What a provider publishes about itself, reduced to what we use.
//!
//! *Source:* OIDC Discovery §3, §4; RFC 8414; RFC 9207 §3.

use serde_json::{Map, Value};
use url::Url;

use super::http::Http;
use super::{Discovery, Failure, Settings, json};

/// Bytes of a discovery document.
const LIMIT: usize = 256 * 1024;

/// The metadata in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) issuer: String,
    pub(super) authorization: Url,
    pub(super) token: Url,
    pub(super) userinfo: Option<Url>,
    pub(super) jwks: Url,
    /// OIDC Discovery §3: languages of its pages; empty where it does not say.
    pub(super) ui_locales: Vec<String>,
    /// RFC 9207 §3: `iss` comes with every authorization response.
    pub(super) promises_iss: bool,
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
    let endpoints = &settings.endpoints;
    let needed = |url: Result<Option<Url>, Failure>| url?.ok_or(Failure::Metadata("endpoint-missing"));
    if let Some(methods) = document.get("code_challenge_methods_supported").and_then(Value::as_array)
        && !methods.iter().any(|method| method == "S256")
    {
        return Err(Failure::Metadata("pkce-s256-unsupported"));
    }
    Ok(Metadata {
        issuer,
        authorization: needed(endpoint(&endpoints.authorization, "authorization_endpoint"))?,
        token: needed(endpoint(&endpoints.token, "token_endpoint"))?,
        userinfo: endpoint(&endpoints.userinfo, "userinfo_endpoint")?,
        jwks: needed(endpoint(&endpoints.jwks, "jwks_uri"))?,
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
