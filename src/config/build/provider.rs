//! Providers: where they are, who we are to them, what is asked and what is made of their answers.

mod client;
mod request;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::super::file::{self, File, Many, OrFalse, When};
use super::super::problem::{listed, suggestion};
use super::{Desk, claims, place};
use crate::config::ProviderParts;
use crate::enrolment::{Enrolments, Learn};
use crate::login::{Phones, first_level};
use crate::policy::Ladder;
use crate::provider::{
    Alg, ClientAuth, Discovery, Endpoints, Keep, PushUse, ResponseMode, Role, Settings, UserInfoUse,
};

pub(super) use self::request::names as request_names;

/// One deadline for token, keys and UserInfo together; Mobile ID's codes live as long.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// A provider, as far as routes must know it even when its settings are wrong.
pub(super) struct Known {
    pub(super) id: Arc<str>,
    pub(super) ladder: Ladder,
    /// Whether a login without `auth_time` is never fresh here, as far as the configuration tells.
    pub(super) may_never_be_fresh: bool,
    /// Whether it is told which phone must answer a login at level 4.
    pub(super) takes_phone: bool,
    settings: Option<Settings>,
    phones: Option<Phones>,
}

impl Known {
    /// The id of the key by which the provider knows us, where it is one that signs.
    pub(super) fn client_kid(&self) -> Option<&str> {
        match &self.settings.as_ref()?.client_auth {
            ClientAuth::PrivateKey(key) => Some(key.kid()),
            ClientAuth::Basic | ClientAuth::Post | ClientAuth::MutualTls(_) => None,
        }
    }

    /// The whole provider, if nothing is wrong with it.
    pub(super) fn built(self) -> Option<ProviderParts> {
        Some(ProviderParts { settings: self.settings?, ladder: self.ladder, phones: self.phones? })
    }
}

/// Builds every `[[provider]]`; `keep` are the raw claims that some route speaks of.
pub(super) fn providers(file: &File, keep: &BTreeSet<String>, desk: &mut Desk<'_>) -> Vec<Known> {
    let mut known: Vec<Known> = Vec::new();
    for (index, provider) in file.provider.iter().enumerate() {
        let key = format!("provider[{index}]");
        let is_good = super::check_id(&provider.id, &format!("{key}.id"), desk.report);
        if known.iter().any(|other| *other.id == *provider.id) && !provider.id.is_empty() {
            let message = format!("a second provider is called \"{}\"", provider.id);
            desk.report.problem(format!("{key}.id"), message, "give each an id of its own");
        }
        let settings = settings(file, provider, &key, keep, desk).filter(|_| is_good);
        let ladder = ladder(provider, &key, desk);
        known.push(Known {
            id: provider.id.as_str().into(),
            phones: phones(provider, &ladder, &key, desk),
            ladder,
            may_never_be_fresh: may_never_be_fresh(provider),
            takes_phone: provider.takes_phone(),
            settings,
        });
    }
    known
}

/// The time of a request counts only when `prompt=login` was pushed; whether it can be, the metadata may tell.
fn may_never_be_fresh(provider: &file::Provider) -> bool {
    let forbids = |name: &str| provider.forbid.iter().any(|forbidden| forbidden == name);
    forbids("max_age") && (provider.pushed_authorization == When::Never || forbids("prompt"))
}

fn userinfo(when: When) -> UserInfoUse {
    match when {
        When::Auto => UserInfoUse::Auto,
        When::Always => UserInfoUse::Always,
        When::Never => UserInfoUse::Never,
    }
}

fn pushed(when: When) -> PushUse {
    match when {
        When::Auto => PushUse::Auto,
        When::Always => PushUse::Always,
        When::Never => PushUse::Never,
    }
}

fn settings(
    file: &File,
    provider: &file::Provider,
    key: &str,
    keep: &BTreeSet<String>,
    desk: &mut Desk<'_>,
) -> Option<Settings> {
    let at = |name: &str| format!("{key}.{name}");
    let source = source(provider, key, desk);
    let client = client::client(provider, key, desk);
    let algs = algs(provider.id_token_alg.as_slice(), &at("id_token_alg"), desk);
    let request = request::request(provider, key, desk);
    let claims = claims::mapping(&provider.claims, keep, &at("claims"), desk.report);
    let ca_pem = roots(provider.ca_file.as_deref(), &at("ca_file"), desk);
    let proxy = provider.proxy.as_deref().map(|text| proxy(text, &at("proxy"), desk));
    if !provider.scopes.0.iter().any(|scope| scope == "openid") {
        let message = "\"openid\" is missing: without it the provider sends no ID token";
        desk.report.problem(at("scopes"), message, "such as [\"openid\", \"profile\"]");
    }
    let (issuer, discovery, endpoints) = source?;
    let client::Client { auth: client_auth, secret: client_secret } = client?;
    let mut keep = kept_tokens(file, provider);
    keep.id_token |= wants_id_token_hint(provider, &discovery, &endpoints);
    Some(Settings {
        id: provider.id.as_str().into(),
        role: Role::Login,
        display_name: provider.display_name.clone().unwrap_or_else(|| provider.id.clone()),
        domains: provider.domains.clone(),
        issuer,
        discovery,
        endpoints,
        client_id: provider.client_id.clone(),
        client_secret,
        client_auth,
        id_token_alg: algs?,
        scopes: provider.scopes.0.clone(),
        response_mode: match provider.response_mode {
            file::ResponseMode::Query => Some(ResponseMode::Query),
            file::ResponseMode::FormPost => Some(ResponseMode::FormPost),
            file::ResponseMode::None => None,
        },
        acr_values: provider.acr_values.as_ref().and_then(OrFalse::text).map(str::to_owned),
        acr_claim: Some(provider.acr_claim.clone()).filter(|name| !name.is_empty()),
        userinfo: userinfo(provider.userinfo),
        required_claims: provider.required_claims.clone(),
        pushed_authorization: pushed(provider.pushed_authorization),
        request: request?,
        forbid: provider.forbid.clone(),
        claims: claims?,
        keep,
        ca_pem: ca_pem?,
        proxy: super::if_written(proxy)?,
        timeout: DEADLINE,
    })
}

/// Whether a logout will send the ID token back as `id_token_hint` (OIDC RP-Initiated Logout §2).
fn wants_id_token_hint(provider: &file::Provider, discovery: &Discovery, endpoints: &Endpoints) -> bool {
    let may_have_endpoint = match discovery {
        // What the document says is known when it has come.
        Discovery::Url(_) => true,
        Discovery::Document(document) => document.get("end_session_endpoint").is_some(),
        Discovery::None => false,
    };
    let is_forbidden = provider.forbid.iter().any(|name| name == "id_token_hint");
    (may_have_endpoint || endpoints.end_session.is_some()) && !is_forbidden
}

/// Tokens that somebody will need again: the refresh token, and those that a route of this provider passes on.
fn kept_tokens(file: &File, provider: &file::Provider) -> Keep {
    let passes = |token: file::PassToken| {
        let takes = |ids: &Many<String>| ids.as_slice().contains(&provider.id);
        let mut routes = file.route.iter().filter(|route| route.pass_token == token);
        routes.any(|route| route.providers.as_ref().is_none_or(takes))
    };
    Keep {
        id_token: passes(file::PassToken::IdToken),
        access_token: passes(file::PassToken::AccessToken),
        refresh_token: provider.refresh == file::Refresh::Auto,
    }
}

/// Further authorities, PEM, each of them readable.
pub(super) fn roots(file: Option<&str>, key: &str, desk: &mut Desk<'_>) -> Option<Option<Vec<u8>>> {
    let Some(file) = file else { return Some(None) };
    desk.material.certificates(file, key, desk.report)?;
    desk.material.bytes(file, key, desk.report).map(Some)
}

/// Where metadata come from, and what they must say (OIDC Discovery §4).
fn source(
    provider: &file::Provider,
    key: &str,
    desk: &mut Desk<'_>,
) -> Option<(Option<String>, Discovery, Endpoints)> {
    let at = |name: &str| format!("{key}.{name}");
    let endpoints = endpoints(&provider.endpoints, key, desk);
    let issuer_url =
        provider.issuer.as_ref().map(|text| place::provider_url(text, &at("issuer"), desk.report));
    if issuer_url.as_ref().is_some_and(|url| url.as_ref().is_some_and(|url| url.query().is_some())) {
        desk.report.problem(
            at("issuer"),
            "has a query",
            "write `issuer` of the provider's discovery document",
        );
    }
    let discovery = match (&provider.discovery, &provider.issuer) {
        (Some(OrFalse::Off(_)), _) => {
            by_hand(provider, key, endpoints.as_ref(), desk).then_some(Discovery::None)
        }
        (Some(OrFalse::Text(text)), _) => discovery(text, &at("discovery"), desk),
        (None, Some(issuer)) => well_known(issuer),
        (None, None) => {
            let hint = "write `issuer`, as the provider's documentation gives it, or `discovery`";
            desk.report.problem(at("issuer"), "missing: nothing says where this provider is", hint);
            None
        }
    };
    if matches!(issuer_url, Some(None)) {
        return None;
    }
    Some((provider.issuer.clone(), discovery?, endpoints?))
}

/// Reads where metadata come from: an address, or a file.
pub(super) fn discovery(text: &str, key: &str, desk: &mut Desk<'_>) -> Option<Discovery> {
    match text.strip_prefix("file:") {
        Some(file) => document(file, key, desk),
        None => place::provider_url(text, key, desk.report).map(Discovery::Url),
    }
}

/// OIDC Discovery §4: the issuer, without a slash at its end, and the well-known path.
pub(super) fn well_known(issuer: &str) -> Option<Discovery> {
    let text = format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
    Url::parse(&text).ok().map(Discovery::Url)
}

fn endpoints(written: &file::ProviderEndpoints, key: &str, desk: &mut Desk<'_>) -> Option<Endpoints> {
    let mut good = true;
    let mut read = |name: &str, written: &Option<OrFalse>| {
        let text = written.as_ref().and_then(OrFalse::text)?;
        let url = place::provider_url(text, &format!("{key}.endpoints.{name}"), desk.report);
        good &= url.is_some();
        url
    };
    let endpoints = Endpoints {
        authorization: read("authorization", &written.authorization),
        token: read("token", &written.token),
        userinfo: read("userinfo", &written.userinfo),
        jwks: read("jwks", &written.jwks),
        end_session: read("end_session", &written.end_session),
        pushed_authorization: read("pushed_authorization", &written.pushed_authorization),
    };
    good.then_some(endpoints)
}

/// Without discovery everything that a login needs must be written.
fn by_hand(provider: &file::Provider, key: &str, endpoints: Option<&Endpoints>, desk: &mut Desk<'_>) -> bool {
    let Some(endpoints) = endpoints else { return false };
    let must_push = provider.pushed_authorization == When::Always;
    let needed = [
        ("issuer", provider.issuer.is_some()),
        ("endpoints.authorization", endpoints.authorization.is_some()),
        ("endpoints.token", endpoints.token.is_some()),
        ("endpoints.jwks", endpoints.jwks.is_some()),
        ("endpoints.pushed_authorization", !must_push || endpoints.pushed_authorization.is_some()),
    ];
    for (name, _) in needed.iter().filter(|(_, is_there)| !is_there) {
        let message = "missing: discovery = false, so that nothing else says it";
        desk.report.problem(format!("{key}.{name}"), message, "write it, or remove discovery = false");
    }
    needed.iter().all(|(_, is_there)| *is_there)
}

fn document(file: &str, key: &str, desk: &mut Desk<'_>) -> Option<Discovery> {
    let text = desk.material.text(file, key, desk.report)?;
    match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(value) if value.is_object() => Some(Discovery::Document(Box::new(value))),
        Ok(_) | Err(_) => {
            let message = format!("{file} is no discovery document");
            desk.report.problem(
                key,
                message,
                "save what the provider serves at /.well-known/openid-configuration",
            );
            None
        }
    }
}

/// Algorithms of signatures: never HMAC, never none.
pub(super) fn algs(written: &[String], key: &str, desk: &mut Desk<'_>) -> Option<Vec<Alg>> {
    if written.is_empty() {
        desk.report.problem(key, "no algorithm", format!("accepted: {}", listed(Alg::NAMES)));
    }
    let read = |name: &String| {
        let alg = Alg::parse(name);
        if alg.is_none() {
            let message = format!("\"{name}\" is not accepted; accepted: {}", listed(Alg::NAMES));
            let hint = match name.to_ascii_uppercase() {
                upper if upper.starts_with("HS") => {
                    "who can verify HMAC can forge it: ask the provider for RS256".to_owned()
                }
                upper if upper == "NONE" => "an unsigned token proves nothing".to_owned(),
                _ => suggestion(name, Alg::NAMES),
            };
            desk.report.problem(key, message, hint);
        }
        alg
    };
    let algs: Option<Vec<Alg>> = written.iter().map(read).collect();
    algs.filter(|algs| !algs.is_empty())
}

fn ladder(provider: &file::Provider, key: &str, desk: &mut Desk<'_>) -> Ladder {
    let ladder = Ladder { rungs: provider.acr_ladder.clone(), also: provider.acr_also.clone() };
    let mut seen = BTreeSet::new();
    for (index, rung) in ladder.rungs.iter().enumerate() {
        let own = format!("{key}.acr_ladder[{index}]");
        if rung.is_empty() {
            desk.report.problem(&own, "a rung without a value", "such as [[\"loa-2\"], [\"loa-3\"]]");
        }
        for value in rung {
            if value.is_empty() || value.contains(' ') {
                desk.report.problem(
                    &own,
                    format!("\"{value}\" cannot be a level"),
                    "levels are words without blanks",
                );
            } else if !seen.insert(value.as_str()) {
                desk.report.problem(
                    &own,
                    format!("\"{value}\" stands on the ladder twice"),
                    "keep one of them",
                );
            }
        }
    }
    if let Some(wish) = provider.acr_values.as_ref().and_then(OrFalse::text)
        && !ladder.rungs.is_empty()
        && !wish.split(' ').any(|wish| ladder.knows(wish))
    {
        let message = format!("\"{wish}\" is not on the provider's ladder");
        desk.report.warn("level-off-the-ladder", format!("{key}.acr_values"), message);
    }
    ladder
}

/// Where level 4 takes the phone from: a file, or, against all advice, the session itself.
fn phones(provider: &file::Provider, ladder: &Ladder, key: &str, desk: &mut Desk<'_>) -> Option<Phones> {
    let insecure = format!("{key}.insecure_level4_from_session");
    let Some(enrolment) = &provider.enrolment else {
        if provider.insecure_level4_from_session {
            let message =
                "level 4 compares the phone with what the same session said: a changed SIM is not noticed";
            desk.report.warn("insecure-level4", insecure, message);
            return Some(Phones::InsecureSession);
        }
        return Some(Phones::Unknown);
    };
    if provider.insecure_level4_from_session {
        desk.report.problem(
            insecure,
            "stands beside enrolment; accepted: one of them",
            "remove it and keep enrolment",
        );
        return None;
    }
    let learn = match enrolment.learn {
        file::Learn::Never => Learn::Never,
        file::Learn::First => Learn::First,
    };
    let path = desk.material.locate(&enrolment.file);
    if !ladder.rungs.is_empty() && first_level(ladder).is_none() {
        let message = "a person is first identified at \"mid_al3_any\", which the ladder lacks: that login asks for no level";
        desk.report.warn("enrolment-without-level-3", format!("{key}.acr_ladder"), message);
    }
    match Enrolments::open(&path, learn) {
        Ok(enrolments) => Some(Phones::Enrolled(Arc::new(enrolments))),
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            let hint = "a JSON file {\"people\": [{\"issuer\": …, \"subject\": …, \"sn\": …}]}, or one that is not there yet";
            desk.report.problem(format!("{key}.enrolment.file"), message, hint);
            None
        }
    }
}

/// Reads the address of a proxy for calls of ours.
pub(super) fn proxy(text: &str, key: &str, desk: &mut Desk<'_>) -> Option<Url> {
    let url =
        Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    if url.is_none() {
        desk.report.problem(
            key,
            "is no address of a proxy; accepted: http:// or https://",
            "such as \"http://egress:3128\"",
        );
    }
    url
}
