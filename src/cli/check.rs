//! `midgate check`: everything that is wrong or open, and with `--online` whether the others answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{FAILED, FINE, WRONG, source};
use crate::config::{self, Findings, Loaded, Problem, ProviderParts, Purpose, Warning};
use crate::policy::Access;
use crate::provider::{BearerSettings, ClientAuth, Probe, Provider, PushUse, TokenIssuer};
use crate::proxy::Peers;
use crate::route::{KEYS_PATH, Table};

/// An upstream that takes longer to accept a connection is told as one that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked of the command.
pub(super) struct Wish {
    pub(super) online: bool,
    pub(super) print: bool,
    pub(super) json: bool,
}

/// Checks a configuration.
pub(super) fn check(path: &Path, wish: &Wish) -> i32 {
    let config::Reading { mut findings, effective, loaded } = source(path).read(Purpose::Look);
    let mut code = if findings.problems.is_empty() { FINE } else { WRONG };
    let registration = loaded.as_ref().map(Registration::of).unwrap_or_default();
    let mut answers = Vec::new();
    if let Some(loaded) = loaded.filter(|_| wish.online) {
        answers = ask_everybody(loaded, &mut findings);
        if !findings.problems.is_empty() {
            code = FAILED;
        }
    }
    if wish.print
        && let Some(effective) = effective
    {
        say!("{effective}");
    }
    if wish.json {
        say!("{:#}", serde_json::to_value(&findings).unwrap_or_default());
    } else {
        tell(path, &findings, &registration, &answers);
    }
    code
}

/// What to write into the forms of the providers, beside the redirect URIs, and into other proxies.
#[derive(Default)]
struct Registration {
    logged_out: Vec<String>,
    logouts: Vec<String>,
    /// The id of each provider that knows us by a key, and that key.
    keys: Vec<(Arc<str>, Value)>,
    /// The authorization endpoint, where some other proxy may ask there.
    auth: Option<String>,
    /// Routes that answer there only.
    only_auth: Vec<Arc<str>>,
    /// What applications must know that verify assertions, a line each.
    assertion: Vec<String>,
}

impl Registration {
    fn of(loaded: &Loaded) -> Self {
        let key = |parts: &ProviderParts| match &parts.settings.client_auth {
            ClientAuth::PrivateKey(key) => Some((Arc::clone(&parts.settings.id), key.jwk())),
            ClientAuth::Basic | ClientAuth::Post | ClientAuth::MutualTls(_) => None,
        };
        let keys = loaded.providers.iter().filter_map(key).collect();
        let answers = !loaded.edge.trusted.is_empty() || loaded.edge.trusts_unix;
        let routes = loaded.table.routes().filter(|route| !route.upstream.is_somewhere());
        let mut only_auth: Vec<_> = routes.map(|route| Arc::clone(&route.id)).collect();
        only_auth.sort_unstable();
        Self {
            logged_out: loaded.logged_out_uris(),
            logouts: loaded.provider_logout_uris().to_vec(),
            keys,
            auth: answers.then(|| loaded.table.endpoints.path("auth")),
            only_auth,
            assertion: assertion(loaded),
        }
    }
}

/// Who signs for whom; nothing without `[assertion]`.
fn assertion(loaded: &Loaded) -> Vec<String> {
    let Some(assertions) = &loaded.assertions else { return Vec::new() };
    let mut lines = vec![
        format!("header    {}", String::from_utf8_lossy(&assertions.header)),
        format!("issuer    {}", assertions.issuer),
        format!("keys      {}{KEYS_PATH}", assertions.issuer),
    ];
    for (index, key) in assertions.keys().enumerate() {
        let does = if index == 0 { "signs" } else { "is published" };
        lines.push(format!("key       {} {} {does}", key.alg(), key.kid()));
    }
    let mut routes: Vec<_> = loaded.table.routes().collect();
    routes.sort_by_key(|route| route.index);
    for route in routes {
        if let Some(audience) = &route.audience {
            lines.push(format!("audience  {} (route \"{}\")", audience.text, route.id));
        }
    }
    lines
}

fn tell(path: &Path, findings: &Findings, registration: &Registration, answers: &[String]) {
    for warning in &findings.warnings {
        say!("warning: {warning}");
    }
    for answer in answers {
        say!("{answer}");
    }
    if !findings.problems.is_empty() {
        eprint!("{}", config::render(path, &findings.problems));
        return;
    }
    say!("redirect URIs to register at every provider:");
    findings.redirect_uris.iter().for_each(|uri| say!("  {uri}"));
    say!("post-logout redirect URIs, where the provider asks for them:");
    registration.logged_out.iter().for_each(|uri| say!("  {uri}"));
    say!("back-channel and front-channel logout, where the provider has them:");
    registration.logouts.iter().for_each(|uri| say!("  {uri}"));
    for (id, jwk) in &registration.keys {
        say!("public key to register at provider \"{id}\":");
        say!("  {jwk}");
    }
    if let Some(auth) = &registration.auth {
        say!("authorization endpoint for the proxies in listen.trusted_proxies:");
        say!("  {auth}");
    }
    if !registration.only_auth.is_empty() {
        say!("routes that answer there only, since they have no upstream:");
        registration.only_auth.iter().for_each(|id| say!("  {id}"));
    }
    if !registration.assertion.is_empty() {
        say!("what applications verify the assertion by:");
        registration.assertion.iter().for_each(|line| say!("  {line}"));
    }
    say!("{}: fine", path.display());
}

/// Asks every provider and every server of every upstream; gives what they said.
fn ask_everybody(loaded: Loaded, findings: &mut Findings) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(ask_all(loaded, findings)),
        Err(error) => vec![format!("nobody was asked: {error}")],
    }
}

async fn ask_all(loaded: Loaded, findings: &mut Findings) -> Vec<String> {
    let mut answers = Vec::new();
    for (index, parts) in loaded.providers.into_iter().enumerate() {
        let settings = parts.settings;
        let (id, how) = (settings.id.clone(), settings.pushed_authorization);
        let takes_max_age = !settings.forbids("max_age");
        let probed = match Provider::new(settings) {
            Ok(provider) => provider.probe().await.map_err(|failure| failure.to_string()),
            Err(error) => Err(error),
        };
        match probed {
            Ok(probe) => {
                answers.push(told(&id, &probe));
                if how == PushUse::Never && probe.requires_push {
                    findings.warnings.push(refuses_addresses(index, &id));
                }
                if !takes_max_age && !probe.is_pushed {
                    warn_of_what_is_never_fresh(&loaded.table, &id, findings);
                }
            }
            Err(error) => findings.problems.push(Problem {
                key: format!("provider[{index}]"),
                line: None,
                message: format!("provider \"{id}\" cannot be used: {error}"),
                hint: "see that discovery, issuer and proxy are right, and that the provider can be reached from here".to_owned(),
            }),
        }
    }
    ask_issuers(loaded.bearers, &mut answers, findings).await;
    let origins = &loaded.table.origins;
    let host = origins.authority(origins.public_host());
    for (id, address, probed) in Peers::new(&loaded.upstreams, 0, None).probe(&host, PATIENCE).await {
        match probed {
            Ok(told) => answers.push(format!("upstream \"{id}\" at {address} {told}")),
            Err(error) => findings.problems.push(Problem {
                key: "upstream".to_owned(),
                line: None,
                message: format!("upstream \"{id}\" cannot be used at {address}: {error}"),
                hint:
                    "see that the application runs and listens there, and that tls and health_check are right"
                        .to_owned(),
            }),
        }
    }
    answers
}

/// Asks every issuer of tokens for metadata and keys.
async fn ask_issuers(bearers: Vec<BearerSettings>, answers: &mut Vec<String>, findings: &mut Findings) {
    for (index, settings) in bearers.into_iter().enumerate() {
        let (id, issuer) = (settings.id.clone(), settings.issuer.clone());
        let probed = match TokenIssuer::new(settings) {
            Ok(issuer) => issuer.probe().await.map_err(|failure| failure.to_string()),
            Err(error) => Err(error),
        };
        match probed {
            Ok(()) => answers.push(format!("bearer \"{id}\" answers; its issuer is {issuer}")),
            Err(error) => findings.problems.push(Problem {
                key: format!("bearer[{index}]"),
                line: None,
                message: format!("tokens of bearer \"{id}\" cannot be checked: {error}"),
                hint: "see that discovery, issuer and proxy are right, and that the issuer can be reached from here".to_owned(),
            }),
        }
    }
}

fn told(id: &str, probe: &Probe) -> String {
    let way = if probe.is_pushed { "; logins are pushed to it" } else { "" };
    format!("provider \"{id}\" answers; its issuer is {}{way}", probe.issuer)
}

fn refuses_addresses(index: usize, id: &str) -> Warning {
    let message = format!("provider \"{id}\" takes pushed authorization requests only: no login will work");
    Warning { name: "provider-wants-par", key: format!("provider[{index}].pushed_authorization"), message }
}

/// Routes whose freshness this provider can show by `auth_time` alone; what was said before is not said again.
fn warn_of_what_is_never_fresh(table: &Table, id: &Arc<str>, findings: &mut Findings) {
    let mut routes: Vec<_> = table
        .routes()
        .filter(|route| route.access == Access::Required && route.requirement.max_age.is_some())
        .filter(|route| route.requirement.providers.contains_key(id))
        .collect();
    routes.sort_by_key(|route| route.index);
    for route in routes {
        let warning = Warning::may_never_be_fresh(&format!("route[{}]", route.index), id);
        if !findings.warnings.contains(&warning) {
            findings.warnings.push(warning);
        }
    }
}
