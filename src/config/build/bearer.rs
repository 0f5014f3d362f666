//! Issuers of tokens of machines: where their keys are, and what a token must say.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::file::{self, File};
use super::provider::{DEADLINE, algs, discovery, proxy, roots, well_known};
use super::{Desk, claims, place};
use crate::provider::BearerSettings;

/// An issuer, as far as routes must know it even when its settings are wrong.
pub(super) struct KnownBearer {
    pub(super) id: Arc<str>,
    pub(super) asks_for_scopes: bool,
    /// The whole issuer, if nothing is wrong with it.
    pub(super) settings: Option<BearerSettings>,
}

impl KnownBearer {
    /// Whether one token could be for both: it would be a matter of chance whose it is.
    pub(super) fn takes_tokens_of(&self, other: &Self) -> bool {
        let (Some(own), Some(other)) = (&self.settings, &other.settings) else { return false };
        own.issuer == other.issuer && own.audience.iter().any(|audience| other.audience.contains(audience))
    }
}

/// Builds every `[[bearer]]`; `keep` are the raw claims that some route speaks of.
pub(super) fn bearers(file: &File, keep: &BTreeSet<String>, desk: &mut Desk<'_>) -> Vec<KnownBearer> {
    let mut known: Vec<KnownBearer> = Vec::new();
    for (index, bearer) in file.bearer.iter().enumerate() {
        let key = format!("bearer[{index}]");
        let id_key = format!("{key}.id");
        let is_good = super::check_id(&bearer.id, &id_key, desk.report);
        let taken_by = if known.iter().any(|other| *other.id == *bearer.id) {
            Some("bearer")
        } else if file.provider.iter().any(|provider| provider.id == bearer.id) {
            // The id stands for where an identity comes from, in headers, lists of people and logs.
            Some("provider")
        } else {
            None
        };
        if let Some(other) = taken_by.filter(|_| !bearer.id.is_empty()) {
            let message = format!("a {other} is called \"{}\" already", bearer.id);
            desk.report.problem(id_key, message, "give each an id of its own");
        }
        warn_of_id_tokens(file, bearer, &key, desk);
        known.push(KnownBearer {
            id: bearer.id.as_str().into(),
            asks_for_scopes: !bearer.scopes.0.is_empty(),
            settings: settings(file, bearer, &key, keep, desk).filter(|_| is_good),
        });
    }
    known
}

fn settings(
    file: &File,
    bearer: &file::Bearer,
    key: &str,
    keep: &BTreeSet<String>,
    desk: &mut Desk<'_>,
) -> Option<BearerSettings> {
    let at = |name: &str| format!("{key}.{name}");
    let is_issuer = issuer(file, &bearer.issuer, &at("issuer"), desk);
    let found = match &bearer.discovery {
        Some(text) => discovery(text, &at("discovery"), desk),
        None => well_known(&bearer.issuer),
    };
    let audience = bearer.audience.as_slice();
    let has_audience = !audience.is_empty() && audience.iter().all(|audience| !audience.is_empty());
    if !has_audience {
        let message = "empty: tokens that the issuer makes for others would count here";
        desk.report.problem(at("audience"), message, "write the name by which the issuer knows this gateway");
    }
    let has_scopes = scopes(&bearer.scopes.0, &at("scopes"), desk);
    let algs = algs(bearer.alg.as_slice(), &at("alg"), desk);
    let claims = claims::mapping(&bearer.claims, keep, &at("claims"), desk.report);
    let ca_pem = roots(bearer.ca_file.as_deref(), &at("ca_file"), desk);
    let proxy = bearer.proxy.as_deref().map(|text| proxy(text, &at("proxy"), desk));
    (is_issuer && has_audience && has_scopes).then_some(())?;
    Some(BearerSettings {
        id: bearer.id.as_str().into(),
        issuer: bearer.issuer.clone(),
        discovery: found?,
        audience: audience.to_vec(),
        alg: algs?,
        scopes: bearer.scopes.0.clone(),
        claims: claims?,
        ca_pem: ca_pem?,
        proxy: super::if_written(proxy)?,
        timeout: DEADLINE,
    })
}

/// An address as of a provider, and somebody else's than the gateway's own.
fn issuer(file: &File, text: &str, key: &str, desk: &mut Desk<'_>) -> bool {
    if text.is_empty() {
        desk.report.problem(key, "is empty", "write `iss` as it stands in the tokens");
        return false;
    }
    if text.trim_end_matches('/') == file.public_url.trim_end_matches('/') {
        let message = "is this gateway itself: what it says to applications would come back as a token";
        desk.report.problem(key, message, "write `iss` of whoever issues the tokens");
        return false;
    }
    place::provider_url(text, key, desk.report).is_some()
}

/// RFC 6749 §3.3: what can stand in a challenge as it is.
fn scopes(scopes: &[String], key: &str, desk: &mut Desk<'_>) -> bool {
    let is_good = |scope: &String| scope.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'));
    match scopes.iter().find(|scope| !is_good(scope)) {
        None => true,
        Some(bad) => {
            let message = format!("\"{}\" cannot be a scope", bad.escape_default());
            desk.report.problem(key, message, "scopes are visible ASCII without quotes and backslashes");
            false
        }
    }
}

/// An ID token is made for the client's id: with that as audience, whoever gets hold of one is its person.
fn warn_of_id_tokens(file: &File, bearer: &file::Bearer, key: &str, desk: &mut Desk<'_>) {
    let is_client = |provider: &&file::Provider| {
        provider.issuer.as_ref() == Some(&bearer.issuer)
            && bearer.audience.as_slice().contains(&provider.client_id)
    };
    if let Some(provider) = file.provider.iter().find(is_client) {
        let message = format!(
            "\"{}\" is client_id of provider \"{}\": its ID tokens would be taken too",
            provider.client_id, provider.id
        );
        desk.report.warn("bearer-takes-id-tokens", format!("{key}.audience"), message);
    }
}
