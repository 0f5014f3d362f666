//! The running process: listeners, background work, signals, reload.
//!
//! *Never:* what a request means.
//! *Source:* README "Running it" (signals); Pingora's server life cycle.

mod caretaker;
mod certificates;
mod shutdown;
mod sockets;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use pingora_core::apps::http_app::HttpServer;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use pingora_core::services::background::GenBackgroundService;
use pingora_core::services::listening::Service;
use pingora_proxy::http_proxy;

use crate::admin::{AdminApp, HealthApp, Status};
use crate::admission::{Bearers, Site};
use crate::config::{Listen, Loaded, ProviderParts};
use crate::login::{Consumed, Door, Login, consumed};
use crate::provider::{BearerSettings, Provider, TokenIssuer};
use crate::proxy::{ATTEMPTS, Bounds, Doorkeeper, Edge, Gateway, Peers, Serves, Snapshot};
use crate::seal::Keys;
use crate::session::{Sessions, Shape};
use crate::telemetry::{RouteMeters, describe};

use self::caretaker::{Caretaker, Loading};
use self::certificates::Certificates;
use self::shutdown::Signals;

/// Why a configuration is loaded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// SIGHUP.
    Asked,
    /// A file that the configuration names has changed.
    FileChanged,
}

/// Loads the configuration anew.
pub(crate) trait Loader: Send {
    /// # Errors
    /// Every problem, ready to be logged.
    fn load(&mut self, cause: Cause) -> Result<Loaded, String>;
}

/// What outlives every generation of the configuration.
struct Shared {
    sessions: Arc<Sessions>,
    consumed: Consumed,
    /// Used when no `keys_file` is configured.
    own_keys: Keys,
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// A listener cannot be opened, or a provider's settings cannot be used.
pub(crate) fn run(mut loaded: Loaded, loader: Box<dyn Loader>) -> anyhow::Result<()> {
    let metrics = install_metrics()?;
    describe();
    let listen = loaded.listen.clone();
    let watched = std::mem::take(&mut loaded.watched);
    sockets::check(&listen)?;
    let shared = Shared {
        sessions: Arc::new(Sessions::new(loaded.session)),
        consumed: consumed(loaded.login.timeout),
        own_keys: Keys::random(),
    };
    let snapshot = assemble(loaded, &shared, 1, None)?;
    let current = Arc::new(ArcSwap::from_pointee(snapshot));
    let status = Arc::new(Status {
        current: Arc::clone(&current),
        metrics,
        listening: AtomicBool::new(false),
        draining: AtomicBool::new(false),
    });
    let certificates = listen.tls.as_ref().map(|tls| Certificates::new(&tls.certificates));
    let mut server = Server::new_with_opt_and_conf(None, server_conf(&listen));
    server.bootstrap();
    let conf = Arc::clone(&server.configuration);
    let (app, door) = edge(&conf, &current, &listen, Serves::Everything);
    let mut service = Service::new("edge".to_owned(), app);
    match listen.tls.as_ref().zip(certificates.as_ref()) {
        None => sockets::open(&mut service, &listen.address, 0o660)?,
        Some((tls, certificates)) => {
            sockets::open_tls(&mut service, &listen.address, tls, certificates, &door)?;
        }
    }
    service.threads = Some(listen.workers);
    server.add_service(service);
    if let Some(address) = listen.tls.as_ref().and_then(|tls| tls.redirect_http.as_ref()) {
        let (app, _) = edge(&conf, &current, &listen, Serves::Redirects);
        let mut service = Service::new("redirect".to_owned(), app);
        sockets::open(&mut service, std::slice::from_ref(address), 0o660)?;
        service.threads = Some(1);
        server.add_service(service);
    }
    if let Some(address) = &listen.health {
        let mut service =
            Service::new("health".to_owned(), HttpServer::new_app(HealthApp(Arc::clone(&status))));
        sockets::open(&mut service, std::slice::from_ref(address), 0o660)?;
        service.threads = Some(1);
        server.add_service(service);
    }
    if let Some(admin) = &listen.admin {
        let app = AdminApp { status: Arc::clone(&status), token: admin.token.clone() };
        let mut service = Service::new("admin".to_owned(), HttpServer::new_app(app));
        sockets::open(&mut service, std::slice::from_ref(&admin.address), 0o600)?;
        service.threads = Some(1);
        server.add_service(service);
    }
    let signals = Signals { status: Arc::clone(&status) };
    let loading = Mutex::new(Loading { loader, watched });
    let caretaker = Caretaker { status, shared, loading, certificates, listen };
    server.add_service(GenBackgroundService::new("caretaker".to_owned(), Arc::new(caretaker)));
    server.run(RunArgs { shutdown_signal: Box::new(signals) });
    Ok(())
}

/// The application of one listener, and its door: each counts its own connections.
fn edge(
    conf: &Arc<ServerConf>,
    current: &Arc<ArcSwap<Snapshot>>,
    listen: &Listen,
    serves: Serves,
) -> (Edge, Arc<Doorkeeper>) {
    let proxy = http_proxy(conf, Gateway { current: Arc::clone(current), serves });
    let door = Arc::new(Doorkeeper::new(Arc::clone(current), listen.connections, listen.header_timeout));
    let bounds = Bounds { h2c: listen.h2c, head: listen.header_timeout, idle: listen.idle };
    (Edge::new(proxy, Arc::clone(&door), bounds), door)
}

/// A first generation without a process around it, to be measured.
#[cfg(feature = "bench")]
pub(crate) fn first_generation(loaded: Loaded) -> anyhow::Result<Snapshot> {
    let shared = Shared {
        sessions: Arc::new(Sessions::new(loaded.session)),
        consumed: consumed(loaded.login.timeout),
        own_keys: Keys::random(),
    };
    assemble(loaded, &shared, 1, None)
}

/// Builds one generation; what the old one knew of unchanged providers is taken over.
fn assemble(
    loaded: Loaded,
    shared: &Shared,
    generation: u64,
    old: Option<&Snapshot>,
) -> anyhow::Result<Snapshot> {
    let mut doors = std::collections::HashMap::new();
    let providers = loaded.providers.iter().map(|parts| Arc::clone(&parts.settings.id)).collect();
    for ProviderParts { settings, ladder, phones } in loaded.providers {
        let id = Arc::clone(&settings.id);
        let provider =
            Provider::new(settings).map_err(|error| anyhow::anyhow!("provider \"{id}\": {error}"))?;
        if let Some(old) = old.and_then(|old| old.site.login.doors.get(&id)) {
            provider.adopt(&old.provider);
        }
        doors.insert(id, Door { provider: Arc::new(provider), ladder, phones });
    }
    let bearers = token_issuers(loaded.bearers, old)?;
    let keys = loaded.keys.as_ref().unwrap_or(&shared.own_keys);
    let login = Login {
        settings: loaded.login,
        doors,
        sealer: keys.sealer("login"),
        cookies: loaded.contract.cookies.clone(),
        callback: loaded.table.endpoints.callback.clone(),
        consumed: shared.consumed.clone(),
    };
    let mut meters: Vec<RouteMeters> = loaded.route_names.iter().map(|name| RouteMeters::new(name)).collect();
    meters.push(RouteMeters::new("none"));
    let site = Site {
        shape: Shape {
            generation,
            mappings: loaded.mappings,
            audiences: loaded.audiences,
            requirements: loaded.requirements,
            policies: loaded.policies,
        },
        table: loaded.table,
        contract: loaded.contract,
        assertions: loaded.assertions.map(|assertions| {
            let published = assertions.published();
            (assertions, published)
        }),
        login,
        sessions: Arc::clone(&shared.sessions),
        pages: loaded.pages,
        csrf: keys.mac("logout"),
        returning: keys.sealer("logout"),
        providers,
        bearers: Bearers::new(bearers),
        clear_cookies: loaded.clear_cookies,
        audit_subject: loaded.audit_subject,
    };
    let peers = Peers::new(&loaded.upstreams, generation, old.map(|old| &old.peers));
    Ok(Snapshot { site, edge: loaded.edge, peers, meters })
}

/// Issuers of tokens; tokens that the old generation has verified are verified anew.
fn token_issuers(settings: Vec<BearerSettings>, old: Option<&Snapshot>) -> anyhow::Result<Vec<TokenIssuer>> {
    let mut issuers = Vec::new();
    for settings in settings {
        let id = Arc::clone(&settings.id);
        let issuer =
            TokenIssuer::new(settings).map_err(|error| anyhow::anyhow!("bearer \"{id}\": {error}"))?;
        let mut before = old.into_iter().flat_map(|old| old.site.bearers.issuers());
        if let Some(old) = before.find(|old| *old.id() == id) {
            issuer.adopt(old);
        }
        issuers.push(issuer);
    }
    Ok(issuers)
}

fn install_metrics() -> anyhow::Result<metrics_exporter_prometheus::PrometheusHandle> {
    let buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &buckets)
        .context("metrics")?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).context("metrics are already set up")?;
    Ok(handle)
}

fn server_conf(listen: &Listen) -> ServerConf {
    ServerConf {
        threads: listen.workers,
        upstream_keepalive_pool_size: 512,
        max_retries: ATTEMPTS,
        // The signal handler waits for requests under way and ends the process itself.
        grace_period_seconds: Some(shutdown::LONGEST.as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}

/// How often expired sessions are swept.
const SWEEP: Duration = Duration::from_secs(1);
