//! The servers of every upstream: which one a request goes to, and what became of it.

mod target;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pingora_core::upstreams::peer::{H1UpgradePolicy, HttpPeer};
use pingora_core::{Error, ErrorType, Result};
use tokio_util::sync::CancellationToken;

use super::check;
use super::standing::Standing;
use crate::clock::unix_now;
use crate::upstream::{Balance, Choice, HealthCheck, HostHeader, Server, Upstream, digest, rendezvous};

pub(super) use self::target::Target;

/// Attempts of one request, whatever the reason: Pingora counts those on reused connections too.
pub(crate) const ATTEMPTS: usize = 16;

/// The peers of every upstream of a configuration.
pub(crate) struct Peers {
    groups: Vec<Group>,
    /// Places in `groups` by the upstream's id.
    by_id: HashMap<String, usize>,
}

/// One upstream.
struct Group {
    id: String,
    balance: Balance,
    health_check: Option<HealthCheck>,
    host_header: HostHeader,
    targets: Vec<Arc<Target>>,
    next: AtomicUsize,
}

/// One request's way to a server of its upstream.
#[derive(Default)]
pub(crate) struct Way {
    group: usize,
    choice: Choice,
    /// By what the request stays with its server.
    key: u64,
    /// The address that is tried.
    address: usize,
    busy: Option<Busy>,
}

impl Way {
    /// The place of the server in its upstream's list.
    pub(super) fn server(&self) -> usize {
        self.choice.server
    }
}

/// An exchange that counts as one under way at its server, until it is dropped.
struct Busy(Arc<Target>);

impl Busy {
    fn at(target: &Arc<Target>) -> Self {
        target.busy.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(target))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Peers {
    /// Peers for these upstreams; `generation` keeps connections of another configuration apart, of which `old` is what
    /// it knew of its servers.
    pub(crate) fn new<'u>(
        upstreams: impl IntoIterator<Item = &'u Arc<Upstream>>,
        generation: u64,
        old: Option<&Self>,
    ) -> Self {
        let mut group = generation << 32;
        let mut target = |upstream: &Upstream, server: &Server| {
            group += 1;
            let standing = standing(upstream, server, old);
            if upstream.health_check.is_none() {
                standing.forget_answers();
            }
            Arc::new(Target::new(server, upstream.timeouts, group, standing))
        };
        let groups: Vec<Group> = upstreams
            .into_iter()
            .map(|upstream| Group {
                id: upstream.id.clone(),
                balance: upstream.balance,
                health_check: upstream.health_check.clone(),
                host_header: upstream.host_header.clone(),
                targets: upstream.servers.iter().map(|server| target(upstream, server)).collect(),
                next: AtomicUsize::new(0),
            })
            .collect();
        let by_id = groups.iter().enumerate().map(|(at, group)| (group.id.clone(), at)).collect();
        let peers = Self { groups, by_id };
        for old in old.into_iter().flat_map(Self::targets) {
            if !peers.targets().any(|target| Arc::ptr_eq(&target.standing, &old.standing)) {
                old.standing.retire();
            }
        }
        peers
    }

    fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.groups.iter().flat_map(|group| &group.targets)
    }

    /// Asks the servers that want it about their health until told to stop; `host` is what browsers send.
    pub(crate) fn watch(&self, host: &str, stop: &CancellationToken) {
        for group in &self.groups {
            let Some(health_check) = &group.health_check else { continue };
            for target in &group.targets {
                let host = target.host(&group.host_header, host);
                tokio::spawn(check::watch(Arc::clone(target), health_check.clone(), host, stop.clone()));
            }
        }
    }

    /// Tries every server once, for somebody who wants to know: upstream, server, and what came of it.
    pub(crate) async fn probe(
        &self,
        host: &str,
        patience: Duration,
    ) -> Vec<(String, String, Result<String, String>)> {
        let mut told = Vec::new();
        for group in &self.groups {
            for target in &group.targets {
                let probed = group.probe(target, host, patience).await.map_err(|error| error.to_string());
                told.push((group.id.clone(), target.standing.server.clone(), probed));
            }
        }
        told
    }

    /// The upstreams with servers out of use, and those servers.
    pub(crate) fn down(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.groups.iter().filter_map(|group| {
            let down = group.targets.iter().filter(|target| !target.standing.is_up());
            let down: Vec<&str> = down.map(|target| target.standing.server.as_str()).collect();
            (!down.is_empty()).then_some((group.id.as_str(), down))
        })
    }

    /// The ids of all upstreams.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| group.id.as_str())
    }

    /// Begins a request's way. `key` gives by what it stays with a server, if there is something.
    pub(super) fn begin(&self, upstream: &Upstream, key: impl FnOnce() -> Option<u64>) -> Way {
        let at = self.by_id.get(&upstream.id).copied().unwrap_or(usize::MAX);
        let Some(group) = self.groups.get(at).filter(|group| group.targets.len() > 1) else {
            return Way { group: at, ..Way::default() };
        };
        let turn = group.next.fetch_add(1, Ordering::Relaxed);
        let key = match group.balance {
            Balance::Session => key().unwrap_or_else(|| digest(&turn.to_be_bytes())),
            Balance::RoundRobin | Balance::LeastConnections => 0,
        };
        Way { group: at, choice: Choice::new(turn), key, ..Way::default() }
    }

    fn target(&self, way: &Way) -> Option<&Arc<Target>> {
        self.groups.get(way.group)?.targets.get(way.choice.server)
    }

    /// How many addresses a request may try: all that are known of all servers.
    pub(super) fn places(&self, way: &Way) -> usize {
        let group = self.groups.get(way.group);
        group.map_or(0, |group| group.targets.iter().map(|target| target.addresses()).sum())
    }

    /// Notes that a new connection stands.
    pub(super) fn note_connection(&self, way: &Way) {
        if let Some(target) = self.target(way) {
            target.standing.note_connection();
        }
    }

    /// Notes that no connection came about.
    pub(super) fn note_failure(&self, way: &Way) {
        if let Some(target) = self.target(way) {
            target.standing.note_failure(unix_now());
            let next = way.address.wrapping_add(1);
            let _ = target.good.compare_exchange(way.address, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The peer of the next attempt, at `now` in Unix seconds; a server whose name cannot be looked up passes on.
    pub(super) async fn choose(&self, way: &mut Way, now: u64, upgrade: bool) -> Result<Box<HttpPeer>> {
        let none = || Error::explain(ErrorType::InternalError, "upstream without servers");
        let group = self.groups.get(way.group).ok_or_else(none)?;
        let mut result = Err(none());
        for _ in 0..group.targets.len() {
            way.busy = None;
            let Some(target) = group.targets.get(group.next_server(way, now)) else { break };
            target.standing.note_attempt(now);
            way.address = target.good.load(Ordering::Relaxed);
            result = target.peer().await;
            if result.is_ok() {
                way.busy = (group.balance == Balance::LeastConnections).then(|| Busy::at(target));
                break;
            }
            self.note_failure(way);
        }
        let mut peer = Box::new(result?);
        if upgrade {
            // A tunnel may be silent for long; it ends with its session.
            peer.options.read_timeout = None;
            peer.options.http_upstream_request_policy.h1_upgrade = H1UpgradePolicy::WebSocketOnly;
            // RFC 9113 §8.6: HTTP/2 has no upgrade.
            peer.options.set_http_version(1, 1);
        }
        Ok(peer)
    }
}

impl Group {
    fn next_server(&self, way: &mut Way, now: u64) -> usize {
        let targets = self.targets.as_slice();
        let (key, balance) = (way.key, self.balance);
        if targets.len() < 2 {
            return 0;
        }
        let takes = |at: usize| targets.get(at).is_some_and(|target| target.standing.takes(now));
        way.choice.next(targets.len(), takes, |at| match (balance, targets.get(at)) {
            (Balance::RoundRobin, _) | (_, None) => 0,
            (Balance::LeastConnections, Some(target)) => target.busy.load(Ordering::Relaxed) as u64,
            (Balance::Session, Some(target)) => rendezvous(key, target.name),
        })
    }

    async fn probe(&self, target: &Arc<Target>, host: &str, patience: Duration) -> Result<String> {
        let spoken = check::greet(target, patience).await?;
        let Some(health_check) = &self.health_check else {
            return Ok(format!("accepts connections and speaks {spoken}"));
        };
        let host = target.host(&self.host_header, host);
        match tokio::time::timeout(patience, check::ask(target, &health_check.path, &host)).await {
            Ok(Ok(status @ 200..=399)) => {
                Ok(format!("speaks {spoken} and is well: {} is {status}", health_check.path))
            }
            Ok(Ok(status)) => Error::e_explain(
                ErrorType::HTTPStatus(status),
                format!("is not well: {} is {status}", health_check.path),
            ),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                Error::e_explain(ErrorType::ReadTimedout, format!("no answer at {}", health_check.path))
            }
        }
    }
}

/// What is known of a server: what was known before, or nothing.
fn standing(upstream: &Upstream, server: &Server, old: Option<&Peers>) -> Arc<Standing> {
    let address = server.address();
    let known = old.and_then(|old| {
        old.targets().map(|target| &target.standing).find(|known| known.is_of(&upstream.id, &address))
    });
    known.map_or_else(|| Arc::new(Standing::new(&upstream.id, address)), Arc::clone)
}
