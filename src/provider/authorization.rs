//! The authorization request.
//! Pure.
//!
//! *Source:* OIDC Core §3.1.2.1, RFC 6749 §4.1.1, RFC 7636 §4.3.

use std::time::Duration;

use url::Url;

use super::{ResponseMode, Settings};

/// What one login asks.
#[derive(Debug, Clone, Copy)]
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
}

/// The endpoint with our parameters, each once; the endpoint's own other parameters are kept.
pub(super) fn url(settings: &Settings, endpoint: &Url, request: &Authorization<'_>) -> Url {
    let ours = parameters(settings, request);
    let own: Vec<(String, String)> = endpoint
        .query_pairs()
        .into_owned()
        .filter(|(name, _)| !ours.iter().any(|(known, _)| known == name))
        .collect();
    let mut url = endpoint.clone();
    url.query_pairs_mut().clear().extend_pairs(own).extend_pairs(ours);
    url
}

fn parameters(settings: &Settings, request: &Authorization<'_>) -> Vec<(String, String)> {
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
    ]
    .map(|(name, value)| value.map(|value| (name.to_owned(), value.to_owned())));
    let mut all: Vec<(String, String)> = ours.into_iter().flatten().collect();
    for (name, value) in &settings.request {
        let value = match (name.as_str(), value.as_str()) {
            ("ui_locales", "auto") => request.ui_locale,
            (_, value) => Some(value),
        };
        if let Some(value) = value
            && !all.iter().any(|(known, _)| known == name)
        {
            all.push((name.clone(), value.to_owned()));
        }
    }
    all.retain(|(name, _)| !settings.forbids(name));
    all
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
