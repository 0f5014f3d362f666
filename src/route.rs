//! Which route a request belongs to: host and path first, the longest path wins, then the method.
//! Pure.
//!
//! *Never:* whether the request may pass.
//! *Source:* gateway.toml `[[route]]`; RFC 9110 §15.5.6 (405), §15.5.20 (421).

mod origin;

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use crate::headers::Fields;
use crate::policy::{Access, Requirement};
use crate::request::{Path, Quirks};
use crate::upstream::Upstream;

pub(crate) use self::origin::Origins;

/// One route, compiled.
#[derive(Debug)]
pub(crate) struct Route {
    /// For logs, metrics and `explain`.
    pub(crate) id: Arc<str>,
    /// Index among the configuration's routes.
    pub(crate) index: usize,
    pub(crate) host: HostPattern,
    pub(crate) path: PathPattern,
    /// Methods that this route takes; empty for all.
    pub(crate) methods: Vec<Method>,
    /// [`Upstream::nowhere`] where the route answers at the authorization endpoint only.
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) access: Access,
    pub(crate) requirement: Arc<Requirement>,
    pub(crate) fields: Arc<Fields>,
    /// Indices among the configuration's issuers of tokens: those whose tokens are taken beside sessions.
    pub(crate) bearer: Vec<usize>,
    pub(crate) websocket: bool,
    pub(crate) strip_prefix: bool,
    pub(crate) allow_in_path: Quirks,
    /// Exact paths whose good answer ends the session.
    pub(crate) logout: Vec<String>,
    /// The text that the phone shows at a login for this route.
    pub(crate) dtbd: Option<String>,
    /// For whom identities are signed; none where they are not.
    pub(crate) audience: Option<Audience>,
}

/// Who a signed identity is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Audience {
    /// Index among the configuration's distinct pairs of audience and mapping: a session keeps its statements by it.
    pub(crate) id: usize,
    /// `aud`.
    pub(crate) text: Box<str>,
}

/// Where the keys of signed identities are published; outside the prefix, as RFC 8615 wants it.
pub(crate) const KEYS_PATH: &str = "/.well-known/midgate/jwks.json";

/// A route's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostPattern {
    Exact(String),
    /// `.example.ch` of `*.example.ch`: one or more labels before it.
    Suffix(String),
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// A route's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathPattern {
    Exact(String),
    /// Ends with a slash; matches on segment borders, without its slash too.
    Prefix(String),
}

/// A path of the gateway's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    Login,
    Callback,
    Logout,
    LoggedOut,
    BackchannelLogout,
    FrontchannelLogout,
    Session,
    /// The authorization endpoint, and everything below it.
    Auth,
    /// The public keys of signed identities.
    Keys,
    Unknown,
}

/// What a host and a path lead to.
#[derive(Debug)]
pub(crate) enum Found<'t> {
    Route(&'t Arc<Route>),
    Own(Own),
    Nothing,
    /// The methods that would be taken, for `Allow`.
    MethodNotAllowed(String),
    UnknownHost,
    /// The path can be read in two ways and the route does not allow it.
    Ambiguous,
}

/// The gateway's own paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoints {
    /// Without a slash at its end.
    pub(crate) prefix: String,
    pub(crate) callback: String,
    pub(crate) logged_out: String,
}

/// Every route of a configuration.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) endpoints: Endpoints,
    pub(crate) origins: Origins,
    exact: HashMap<String, Paths>,
    /// Longest suffix first.
    suffixes: Vec<(String, Paths)>,
}

/// The routes of one host: exact paths first, then the longest prefix; routes of one path stand together.
type Paths = Vec<(PathPattern, Vec<Arc<Route>>)>;

impl PathPattern {
    /// The path as it is written in the configuration.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
        }
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(text) => text == path,
            Self::Prefix(text) => path.starts_with(text.as_str()) || text.strip_suffix('/') == Some(path),
        }
    }

    fn rank(&self) -> (bool, std::cmp::Reverse<usize>) {
        (matches!(self, Self::Prefix(_)), std::cmp::Reverse(self.text().len()))
    }
}

impl Table {
    /// Sorts the routes into a table.
    pub(crate) fn new(
        endpoints: Endpoints,
        origins: Origins,
        routes: impl IntoIterator<Item = Arc<Route>>,
    ) -> Self {
        let mut exact: HashMap<String, Paths> = HashMap::new();
        let mut suffixes: HashMap<String, Paths> = HashMap::new();
        for route in routes {
            let paths = match &route.host {
                HostPattern::Exact(host) => exact.entry(host.clone()).or_default(),
                HostPattern::Suffix(suffix) => suffixes.entry(suffix.clone()).or_default(),
            };
            match paths.iter_mut().find(|(pattern, _)| *pattern == route.path) {
                Some((_, same)) => same.push(route),
                None => paths.push((route.path.clone(), vec![route])),
            }
        }
        // The host of public_url answers on the gateway's own paths even where no route names it.
        exact.entry(origins.public_host().to_owned()).or_default();
        for paths in exact.values_mut().chain(suffixes.values_mut()) {
            paths.sort_by_key(|(pattern, _)| pattern.rank());
            for (_, same) in paths {
                // A route that names methods comes before one that takes all.
                same.sort_by_key(|route| route.methods.is_empty());
            }
        }
        let mut suffixes: Vec<_> = suffixes.into_iter().collect();
        suffixes.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        Self { endpoints, origins, exact, suffixes }
    }

    /// Finds what a request is for; `host` is lower case and without port.
    pub(crate) fn find(&self, host: &str, path: &Path<'_>, method: &Method) -> Found<'_> {
        let Some(paths) = self.paths_of(host) else {
            // Another proxy calls us by whatever name it knows.
            return if self.is_auth(path) { Found::Own(Own::Auth) } else { Found::UnknownHost };
        };
        if path.quirks.is_none() {
            return self.find_plain(paths, &path.matched, method);
        }
        if self.is_auth(path) {
            // What stands below is a path of another request, which its own route judges.
            return Found::Own(Own::Auth);
        }
        // The route that a strict and a lenient reader find must be the same, and must allow the spelling.
        let lenient = path.lenient();
        let found = (self.find_plain(paths, &path.matched, method), self.find_plain(paths, &lenient, method));
        match found {
            (Found::Route(strict), Found::Route(loose))
                if strict.index == loose.index
                    && path.quirks.within(strict.allow_in_path.and(Quirks::ENCODED_SEMICOLON))
                    && !path.hides_dots() =>
            {
                Found::Route(strict)
            }
            _ => Found::Ambiguous,
        }
    }

    /// Whether the method decides which route a host and a path lead to, or whether there is one.
    pub(crate) fn tells_methods_apart(&self, host: &str, path: &Path<'_>) -> bool {
        let paths = self.paths_of(host).into_iter().flatten();
        let mut fitting = paths.filter(|(pattern, _)| pattern.matches(&path.matched));
        fitting.next().is_some_and(|(_, same)| same.iter().any(|route| !route.methods.is_empty()))
    }

    fn is_auth(&self, path: &Path<'_>) -> bool {
        self.endpoints.find(&path.matched) == Some(Own::Auth)
    }

    /// Every route, in no particular order.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let suffixes = self.suffixes.iter().map(|(_, paths)| paths);
        self.exact.values().chain(suffixes).flatten().flat_map(|(_, same)| same)
    }

    fn paths_of(&self, host: &str) -> Option<&Paths> {
        self.exact.get(host).or_else(|| {
            let fits = |suffix: &str| host.len() > suffix.len() && host.ends_with(suffix);
            self.suffixes.iter().find(|(suffix, _)| fits(suffix)).map(|(_, paths)| paths)
        })
    }

    fn find_plain<'t>(&'t self, paths: &'t Paths, path: &str, method: &Method) -> Found<'t> {
        if let Some(own) = self.endpoints.find(path) {
            return Found::Own(own);
        }
        let Some((_, same)) = paths.iter().find(|(pattern, _)| pattern.matches(path)) else {
            return Found::Nothing;
        };
        match same.iter().find(|route| route.takes(method)) {
            Some(route) => Found::Route(route),
            None => Found::MethodNotAllowed(allow(same)),
        }
    }
}

impl Route {
    fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty()
            || self.methods.contains(method)
            || (*method == Method::HEAD && self.methods.contains(&Method::GET))
    }
}

impl Endpoints {
    /// The path of one endpoint below the prefix.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    fn find(&self, path: &str) -> Option<Own> {
        if path == self.callback {
            return Some(Own::Callback);
        }
        if path == self.logged_out {
            return Some(Own::LoggedOut);
        }
        if path == KEYS_PATH {
            return Some(Own::Keys);
        }
        let rest = path.strip_prefix(self.prefix.as_str())?;
        match rest {
            "/login" => Some(Own::Login),
            "/logout" => Some(Own::Logout),
            "/logout/backchannel" => Some(Own::BackchannelLogout),
            "/logout/frontchannel" => Some(Own::FrontchannelLogout),
            "/session" => Some(Own::Session),
            "/auth" => Some(Own::Auth),
            _ if rest.starts_with("/auth/") => Some(Own::Auth),
            "" => Some(Own::Unknown),
            _ => rest.starts_with('/').then_some(Own::Unknown),
        }
    }
}

fn allow(same: &[Arc<Route>]) -> String {
    let mut methods: Vec<&str> = same.iter().flat_map(|route| &route.methods).map(Method::as_str).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
}

#[cfg(test)]
mod tests;
