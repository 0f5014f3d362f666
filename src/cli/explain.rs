//! A dry run: the same rules as for a request, on what somebody writes down.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, bail};
use http::Method;
use serde_json::{Map, Value, json};
use url::Url;

use super::{FINE, WRONG, look};
use crate::assertion::{Statement, Time};
use crate::clock::unix_now;
use crate::config::Loaded;
use crate::headers::{PassToken, permitted};
use crate::identity::Identity;
use crate::policy::{Access, Cause, Decision, Facts, Known, PolicyFile, Verdict, decide};
use crate::request::{Path as RequestPath, host_of};
use crate::route::{Found, Route};

/// What a provider said, written down.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    provider: String,
    #[serde(default)]
    id_token: Map<String, Value>,
    #[serde(default)]
    userinfo: Option<Map<String, Value>>,
}

/// The request that is asked about.
pub(super) struct Question<'q> {
    pub(super) url: &'q str,
    pub(super) method: &'q str,
    pub(super) claims: Option<&'q Path>,
    pub(super) client: Option<IpAddr>,
}

/// Explains one request.
pub(super) fn explain(config: &Path, question: &Question<'_>, as_json: bool) -> i32 {
    let loaded = match look(config) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    match answer(&loaded, question) {
        Ok(value) if as_json => say!("{value:#}"),
        Ok(value) => print_text(&value),
        Err(error) => {
            eprintln!("midgate: {error:#}");
            return WRONG;
        }
    }
    FINE
}

fn answer(loaded: &Loaded, question: &Question<'_>) -> anyhow::Result<Value> {
    let method = Method::from_bytes(question.method.as_bytes()).context("--method")?;
    let (host, path) = split(question.url)?;
    let shown = question.claims.map(|file| shown(loaded, file)).transpose()?;
    let none = |decision: &str, reason: &str| json!({ "route": null, "requires": null, "decision": decision, "reason": reason, "headers": {} });
    let Ok(read) = RequestPath::read(&path) else { return Ok(none("forbid", "ambiguous-path")) };
    let route = match loaded.table.find(&host, &read, &method) {
        Found::Route(route) => route,
        Found::Own(_) => return Ok(none("permit", "own-path")),
        Found::Nothing => return Ok(none("forbid", "not-found")),
        Found::MethodNotAllowed(_) => return Ok(none("forbid", "method-not-allowed")),
        Found::UnknownHost => return Ok(none("forbid", "unknown-host")),
        Found::Ambiguous => return Ok(none("forbid", "ambiguous-path")),
    };
    let now = unix_now();
    let shown = shown.filter(|shown| shown.counts_at(route));
    let machine = shown.as_ref().and_then(|shown| shown.bearer);
    if machine.is_some_and(|machine| !machine.has_scopes) {
        let mut answer = none("forbid", "scope-missing");
        (answer["route"], answer["requires"]) = (json!(&*route.id), requires(loaded, route));
        return Ok(answer);
    }
    let identity = shown.map(|shown| shown.identity);
    let verdict = identity.as_ref().zip(route.requirement.policy.as_deref()).map(|(identity, file)| {
        let facts = Facts {
            method: &method,
            host: &host,
            path: &read.matched,
            route: &route.id,
            client: question.client,
            certificate: None,
            auth_time: identity.auth_time,
            now,
        };
        judge(file, identity, &read, &facts)
    });
    let known = identity.as_ref().map(|identity| Known {
        provider: &identity.provider,
        standing: route.requirement.standing(identity),
        auth_time: identity.auth_time,
        policy: verdict.as_ref().map(|verdict| verdict.cause),
    });
    let mut left = Vec::new();
    let decision = decide(route.access, &route.requirement, known, None, now);
    let decision = if machine.is_some() { decision.without_login() } else { decision };
    let (decision, reason, headers) = match decision {
        Decision::Permit(permit) => {
            let ready = identity.as_ref().map(|identity| route.fields.render(identity, &mut left));
            let ready = ready.unwrap_or_default();
            let mut headers: Map<String, Value> = permitted(permit, &ready)
                .iter()
                .map(|(name, value)| (lossy(name), Value::from(lossy(value.as_bytes()))))
                .collect();
            if let Some(token) = passed_token(route).filter(|_| permit.identified()) {
                headers.insert("Authorization".to_owned(), Value::from(format!("Bearer [{token}]")));
            }
            let identity = identity.as_ref().filter(|_| permit.identified());
            headers.extend(identity.and_then(|identity| assertion(loaded, route, identity, now)));
            ("permit", if permit.identified() { "met" } else { access_word(route.access) }, headers)
        }
        Decision::Login(ask) => ("login", ask.reason.word(), Map::new()),
        Decision::Forbid(reason) => ("forbid", reason.word(), Map::new()),
    };
    let left: Vec<&str> = left.iter().map(|left| left.0).collect();
    Ok(json!({
        "route": &*route.id, "requires": requires(loaded, route), "decision": decision, "reason": reason, "headers": headers,
        "left_out": left,
        "policy": verdict.map(|verdict| json!({
            "verdict": verdict.cause.word(), "rules": verdict.by, "failed": verdict.failed
        })),
    }))
}

/// The same as for a request: where a lenient server would read another path, that one is judged too.
fn judge<'f>(
    file: &'f PolicyFile,
    identity: &Identity,
    path: &RequestPath<'_>,
    facts: &Facts<'_>,
) -> Verdict<'f> {
    let principal = file.principal(identity);
    let verdict = file.judge(principal.as_ref(), facts);
    if verdict.cause != Cause::Permitted || path.quirks.is_none() {
        return verdict;
    }
    file.judge(principal.as_ref(), &Facts { path: &path.lenient(), ..*facts })
}

/// Host and path as a browser would send them: the path is not tidied up, so that odd ones can be asked about.
fn split(url: &str) -> anyhow::Result<(String, String)> {
    let parsed = Url::parse(url).with_context(|| format!("--url \"{url}\""))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        bail!("--url \"{url}\": write an http or https URL");
    }
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let host = host_of(authority).with_context(|| format!("--url \"{url}\": no host"))?.into_owned();
    let path = target.split(['?', '#']).next().unwrap_or_default();
    Ok((host, if path.is_empty() { "/".to_owned() } else { path.to_owned() }))
}

/// Who is supposed to come.
struct Shown {
    identity: Identity,
    bearer: Option<Machine>,
}

impl Shown {
    /// A token counts only where the route names its issuer.
    fn counts_at(&self, route: &Route) -> bool {
        self.bearer.is_none_or(|machine| route.bearer.contains(&machine.index))
    }
}

/// Index of the issuer whose token is supposed to come, and whether that carries what the issuer's must.
#[derive(Clone, Copy)]
struct Machine {
    index: usize,
    has_scopes: bool,
}

fn shown(loaded: &Loaded, file: &Path) -> anyhow::Result<Shown> {
    let text = std::fs::read(file).with_context(|| format!("--claims {}", file.display()))?;
    let said: Said = serde_json::from_slice(&text).with_context(|| format!("--claims {}", file.display()))?;
    if let Some(index) = loaded.bearers.iter().position(|bearer| *bearer.id == *said.provider)
        && let Some(bearer) = loaded.bearers.get(index)
    {
        let machine = Machine { index, has_scopes: bearer.has_scopes(&said.id_token) };
        return Ok(Shown { identity: bearer.identity(&said.id_token), bearer: Some(machine) });
    }
    let mut settings = loaded.providers.iter().map(|parts| &parts.settings);
    let Some(settings) = settings.find(|settings| *settings.id == *said.provider) else {
        bail!("--claims: provider \"{}\" is not configured", said.provider);
    };
    let issuer = said.id_token.get("iss").and_then(Value::as_str).or(settings.issuer.as_deref());
    let issuer =
        issuer.context("--claims: write iss into id_token: only the provider itself tells its issuer")?;
    let mut userinfo = said.userinfo;
    if let Some(userinfo) = &mut userinfo {
        settings.keep_person_only(userinfo);
    }
    Ok(Shown { identity: settings.identity(issuer, &said.id_token, userinfo.as_ref()), bearer: None })
}

fn requires(loaded: &Loaded, route: &Route) -> Value {
    let requirement = &route.requirement;
    let mut providers: Vec<&str> = requirement.order.iter().map(|id| &**id).collect();
    providers.sort_unstable();
    let bearer = route.bearer.iter().filter_map(|index| loaded.bearers.get(*index));
    json!({
        "access": access_word(route.access),
        "providers": providers,
        "bearer": bearer.map(|bearer| &*bearer.id).collect::<Vec<_>>(),
        "acr": requirement.acr,
        "max_age": requirement.max_age.map(|age| age.as_secs()),
        "claims": requirement.claims.iter().chain(&requirement.certificate).map(|rule| rule.name()).collect::<Vec<_>>(),
        "allow_file": requirement.allow.is_some(),
        "forwarded": route.upstream.is_somewhere(),
        "policy_file": requirement.policy.as_ref().map(|file| &file.name),
    })
}

/// Which token would go along, if the provider sent one; never the token itself (I8).
fn passed_token(route: &Route) -> Option<&'static str> {
    match route.fields.pass_token {
        PassToken::None => None,
        PassToken::Access => Some("access_token"),
        PassToken::Id => Some("id_token"),
    }
}

/// The assertion's header with what it would say, unsigned: what is signed here could be used elsewhere.
fn assertion(loaded: &Loaded, route: &Route, identity: &Identity, now: u64) -> Option<(String, Value)> {
    let assertions = loaded.assertions.as_ref()?;
    // As at the first request of a session.
    let idle_expires = now.saturating_add(loaded.session.idle.as_secs());
    let expires = now.saturating_add(loaded.session.lifetime.as_secs());
    let time = Time { now, expires, idle_expires };
    let audience = route.audience.as_ref()?;
    let claims =
        assertions.claims(Statement { identity, audience, fields: &route.fields, time }, "[new each time]");
    let text =
        format!("[{} of key {}, not signed here] {claims}", assertions.signer.alg(), assertions.signer.kid());
    Some((lossy(&assertions.header), Value::from(text)))
}

fn access_word(access: Access) -> &'static str {
    match access {
        Access::Required => "required",
        Access::Optional => "optional",
        Access::Public => "public",
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn print_text(value: &Value) {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("none").to_owned();
    say!("route     {}", text("route"));
    say!("requires  {}", value.get("requires").unwrap_or(&Value::Null));
    say!("decision  {} ({})", text("decision"), text("reason"));
    if value.pointer("/requires/forwarded") == Some(&Value::Bool(false)) {
        say!("upstream  none: asked about at the authorization endpoint only, else 404");
    }
    if let Some(policy) = value.get("policy").filter(|policy| !policy.is_null()) {
        let names = |key: &str| {
            let names = policy.get(key).and_then(Value::as_array).into_iter().flatten();
            names.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        };
        let verdict = policy.get("verdict").and_then(Value::as_str).unwrap_or_default();
        say!(
            "policy    {verdict}: {}",
            Some(names("rules")).filter(|n| !n.is_empty()).unwrap_or("none".into())
        );
        if !names("failed").is_empty() {
            say!("failed    {}", names("failed"));
        }
    }
    for (name, value) in value.get("headers").and_then(Value::as_object).into_iter().flatten() {
        say!("header    {name}: {}", value.as_str().unwrap_or_default());
    }
    for name in value.get("left_out").and_then(Value::as_array).into_iter().flatten() {
        say!("left out  {}: its value cannot be encoded as configured", name.as_str().unwrap_or_default());
    }
}
