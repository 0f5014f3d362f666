//! The authorization request: what it asks, and how it travels.
//!
//! *Source:* OIDC Core §3.1.2.1, RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 9126.

mod push;
mod value;

use std::cell::Cell;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::metadata::Metadata;
use super::{Failure, Provider, ProviderError, ResponseMode, Settings};

use self::push::Need;

pub(crate) use self::value::RequestValue;

/// What one login asks.
#[derive(Clone, Copy)]
pub(crate) struct Authorization<'a> {
    pub(crate) redirect_uri: &'a str,
    pub(crate) state: &'a str,
    /// At most 43 characters.
    pub(crate) nonce: &'a str,
    /// S256, base64url.
    pub(crate) code_challenge: &'a str,
    /// The level that must be reached; wins over the provider's `acr_values`.
    pub(crate) acr: Option<&'a str>,
    /// The person must authenticate anew.
    pub(crate) fresh: bool,
    pub(crate) max_age: Option<Duration>,
    /// The visitor's language.
    pub(crate) ui_locale: Option<&'a str>,
    pub(crate) domain_hint: Option<&'a str>,
    /// The text that the phone shows; wins over the provider's `request.dtbd`.
    pub(crate) dtbd: Option<&'a str>,
    /// What the names in `[provider.request]` stand for.
    pub(crate) find: &'a (dyn Fn(&str) -> Option<Value> + Sync),
    /// Unix seconds.
    pub(crate) now: u64,
}

/// A request that is on its way.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Where to send the browser.
    pub(crate) location: Url,
    pub(crate) freshness: Freshness,
}

/// What tells when the person was authenticated, once they come back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Freshness {
    /// `auth_time` of the ID token, and nothing else.
    #[default]
    AuthTime,
    /// Without `auth_time` the time of the request counts: `prompt=login` was pushed to a provider that takes no
    /// `max_age`. In an address the person at the browser could have struck it out.
    Request,
}

/// Why a login could not be begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSent {
    /// The provider refused the pushed request as it would have refused it in the browser.
    #[error("pushed authorization request: refused with {}", .0.error)]
    Refused(ProviderError),
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Values of an enrolment, which must reach the provider as we send them.
pub(crate) const ENROLLED: &str = "enrolled.";

/// Sends the request on its way, by PAR or in the address.
pub(super) async fn send(
    provider: &Provider,
    metadata: &Metadata,
    request: &Authorization<'_>,
) -> Result<Sent, NotSent> {
    let settings = &provider.settings;
    let authorization = metadata.authorization()?;
    let (parameters, need) = parameters(settings, request);
    let Some(endpoint) = push::endpoint(settings.pushed_authorization, metadata, need)? else {
        let location = with_parameters(authorization, parameters);
        return Ok(Sent { location, freshness: Freshness::AuthTime });
    };
    let freshness = settings.freshness_when_pushed(&parameters);
    let request_uri = push::push(provider, metadata, endpoint, parameters, request.now).await?;
    // RFC 9126 §4: these two, and what belongs to the endpoint itself.
    let reference = [("client_id", &settings.client_id), ("request_uri", &request_uri)];
    let reference = reference.map(|(name, value)| (name.to_owned(), value.clone())).to_vec();
    Ok(Sent { location: with_parameters(authorization, reference), freshness })
}

/// What keeps every login from being begun, for `check --online`.
pub(super) fn obstacle(settings: &Settings, metadata: &Metadata) -> Result<(), Failure> {
    push::endpoint(settings.pushed_authorization, metadata, Need::Usual).map(drop)
}

/// Whether requests go by PAR.
pub(super) fn is_pushed(settings: &Settings, metadata: &Metadata) -> bool {
    matches!(push::endpoint(settings.pushed_authorization, metadata, Need::Usual), Ok(Some(_)))
}

/// The endpoint with our parameters, each once; the endpoint's own other parameters are kept.
pub(super) fn with_parameters(endpoint: &Url, ours: Vec<(String, String)>) -> Url {
    let own: Vec<(String, String)> = endpoint
        .query_pairs()
        .into_owned()
        .filter(|(name, _)| !ours.iter().any(|(known, _)| known == name))
        .collect();
    let mut url = endpoint.clone();
    url.query_pairs_mut().clear().extend_pairs(own).extend_pairs(ours);
    url
}

fn parameters(settings: &Settings, request: &Authorization<'_>) -> (Vec<(String, String)>, Need) {
    let mode = settings.response_mode.map(|mode| match mode {
        ResponseMode::Query => "query",
        ResponseMode::FormPost => "form_post",
    });
    let max_age = request.max_age.map(|age| age.as_secs().to_string());
    let ours = [
        ("response_type", Some("code")),
        ("client_id", Some(settings.client_id.as_str())),
        ("redirect_uri", Some(request.redirect_uri)),
        ("scope", Some(&*settings.scopes.join(" "))),
        ("state", Some(request.state)),
        ("nonce", Some(request.nonce)),
        ("code_challenge", Some(request.code_challenge)),
        ("code_challenge_method", Some("S256")),
        ("response_mode", mode),
        ("acr_values", request.acr.or(settings.acr_values.as_deref())),
        ("prompt", request.fresh.then_some("login")),
        ("max_age", max_age.as_deref()),
        ("domain_hint", request.domain_hint),
        ("dtbd", request.dtbd),
    ]
    .map(|(name, value)| value.map(|value| (name.to_owned(), value.to_owned())));
    let mut all: Vec<(String, String)> = ours.into_iter().flatten().collect();
    let need = Cell::new(Need::Usual);
    for (name, value) in &settings.request {
        if all.iter().any(|(known, _)| known == name) || settings.forbids(name) {
            continue;
        }
        let find = |name: &str| {
            let value = (request.find)(name);
            if value.is_some() && name.starts_with(ENROLLED) {
                // In an address the person at the browser could put another phone in its place.
                need.set(Need::Pushed);
            }
            value
        };
        if let Some(value) = value.render(request.ui_locale, &find) {
            all.push((name.clone(), value));
        }
    }
    all.retain(|(name, _)| !settings.forbids(name));
    (all, need.get())
}

impl Settings {
    /// What a pushed request with these parameters vouches for.
    fn freshness_when_pushed(&self, parameters: &[(String, String)]) -> Freshness {
        let asks_anew = |(name, value): &(String, String)| {
            name == "prompt" && value.split(' ').any(|prompt| prompt == "login")
        };
        if self.forbids("max_age") && parameters.iter().any(asks_anew) {
            Freshness::Request
        } else {
            Freshness::AuthTime
        }
    }
}

/// Of the languages that a provider speaks, the one that is wanted most: exactly, or by its first part (RFC 4647 §3.4).
pub(super) fn locale<'l>(spoken: &'l [String], wanted: &[&str], own: &'l str) -> Option<&'l str> {
    if spoken.is_empty() {
        return Some(own);
    }
    let first = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    let find = |fits: &dyn Fn(&str) -> bool| spoken.iter().map(String::as_str).find(|tag| fits(tag));
    wanted.iter().chain([&own]).find_map(|wish| {
        find(&|tag| tag.eq_ignore_ascii_case(wish)).or_else(|| find(&|tag| first(tag) == first(wish)))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_most_wanted_language_that_a_provider_speaks_is_asked_for() {
        for (spoken, wanted, locale) in [
            (&[][..], &["es", "de-CH"][..], Some("de")),
            (&["en", "de", "fr", "it"], &["de-CH", "fr"], Some("de")),
            (&["en", "es"], &["es-MX", "de"], Some("es")),
            (&["en-US", "fr-CH"], &["fr"], Some("fr-CH")),
            (&["fr-FR", "fr-CH"], &["fr-CH"], Some("fr-CH")),
            (&["de-CH"], &["rm"], Some("de-CH")),
            (&["ja"], &["rm"], None),
        ] {
            let spoken: Vec<String> = spoken.iter().map(|tag: &&str| (*tag).to_owned()).collect();
            assert_eq!(super::locale(&spoken, wanted, "de"), locale, "{spoken:?} {wanted:?}");
        }
    }
}
