//! Routes: what leads where, who may go there, and what the application is told.

use std::collections::HashSet;
use std::sync::Arc;

use http::Method;
use url::Url;

use super::super::file::{self, File, Many};
use super::super::problem::{Warning, suggestion};
use super::bearer::KnownBearer;
use super::headers::HeaderSets;
use super::policies::Policies;
use super::provider::Known;
use super::upstream::Upstreams;
use super::{Desk, assertion, dtbd, place, require, session, upstream};
use crate::headers::{CookieNames, Field, Fields, PassToken, fold};
use crate::login::is_level4;
use crate::policy::{Access, Requirement};
use crate::request::Quirks;
use crate::route::{Audience, HostPattern, Origins, PathPattern, Route};
use crate::upstream::Upstream;

/// What routes stand in.
#[derive(Clone, Copy)]
pub(super) struct Site<'s> {
    pub(super) public: Option<&'s Url>,
    pub(super) cookies: Option<&'s CookieNames>,
    pub(super) providers: &'s [Known],
    pub(super) bearers: &'s [KnownBearer],
    /// Whether some other proxy may ask at the authorization endpoint.
    pub(super) trusts_a_proxy: bool,
    /// Whether identities are signed.
    pub(super) asserts: bool,
    pub(super) policies: &'s Policies,
}

/// Every route, built.
pub(super) struct Routes {
    pub(super) origins: Origins,
    pub(super) routes: Vec<Arc<Route>>,
    pub(super) names: Vec<String>,
    pub(super) upstreams: Vec<Arc<Upstream>>,
    pub(super) mappings: usize,
    pub(super) audiences: usize,
    pub(super) requirements: usize,
}

/// Builds every `[[route]]`; `None` when one of them, or the origin that they stand on, could not be built.
pub(super) fn routes(
    file: &File,
    site: Site<'_>,
    sets: &HeaderSets,
    mut upstreams: Upstreams,
    desk: &mut Desk<'_>,
) -> Option<Routes> {
    if file.route.is_empty() {
        desk.report.problem(
            "route",
            "no [[route]]: nothing leads anywhere",
            "such as [[route]] with upstream = \"http://127.0.0.1:3000\"",
        );
    }
    let needs_login = |route: &file::Route| route.access != file::Access::Public;
    if file.provider.is_empty() && file.route.iter().any(needs_login) {
        let hint =
            "such as [[provider]] with id, preset and client_id; or access = \"public\" on every route";
        desk.report.problem("provider", "no [[provider]]: nobody could sign in", hint);
    }
    let mut pool = Pool::default();
    let mut routes: Vec<Option<Arc<Route>>> = Vec::new();
    let mut seen = Seen::default();
    for (index, written) in file.route.iter().enumerate() {
        let key = format!("route[{index}]");
        let mut draft = Draft { written, key: &key, site, desk };
        let upstream = draft.upstream(&mut upstreams);
        let fields = pool.fields(sets.of(index), draft.pass_token(sets.of(index)));
        let route = draft.build(index, upstream, fields, &mut pool);
        if let Some(route) = &route {
            seen.check(written, route, &key, desk);
        }
        routes.push(route.map(Arc::new));
    }
    let routes: Vec<Arc<Route>> = routes.into_iter().collect::<Option<_>>()?;
    let origins = origins(site.public?, &routes);
    Some(Routes {
        origins,
        names: routes.iter().map(|route| route.id.to_string()).collect(),
        upstreams: upstreams.into_values().flatten().collect(),
        mappings: pool.fields.len(),
        audiences: pool.audiences.len(),
        requirements: pool.requirements.len(),
        routes,
    })
}

fn origins(public: &Url, routes: &[Arc<Route>]) -> Origins {
    let (mut hosts, mut suffixes) = (Vec::new(), Vec::new());
    for route in routes {
        match &route.host {
            HostPattern::Exact(host) => hosts.push(host.clone()),
            HostPattern::Suffix(suffix) => suffixes.push(suffix.clone()),
        }
    }
    for list in [&mut hosts, &mut suffixes] {
        list.sort_unstable();
        list.dedup();
    }
    Origins::new(public.clone(), hosts, suffixes)
}

/// Equal mappings and requirements are kept once: a session has them ready by their index.
#[derive(Default)]
struct Pool {
    fields: Vec<Arc<Fields>>,
    /// Each with the index of its mapping, which says what is stated.
    audiences: Vec<(String, usize)>,
    requirements: Vec<Arc<Requirement>>,
}

impl Pool {
    fn fields(&mut self, fields: &[Field], pass_token: PassToken) -> Arc<Fields> {
        let is_same = |known: &&Arc<Fields>| known.fields == fields && known.pass_token == pass_token;
        if let Some(known) = self.fields.iter().find(is_same) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(Fields::new(self.fields.len(), fields.to_vec(), pass_token));
        self.fields.push(Arc::clone(&fresh));
        fresh
    }

    fn audience(&mut self, text: String, fields: &Fields) -> Audience {
        let pair = (text, fields.id);
        let id = self.audiences.iter().position(|known| *known == pair).unwrap_or_else(|| {
            self.audiences.push(pair.clone());
            self.audiences.len() - 1
        });
        Audience { id, text: pair.0.into() }
    }

    fn requirement(&mut self, mut requirement: Requirement) -> Arc<Requirement> {
        let same = |known: &&Arc<Requirement>| {
            requirement.id = known.id;
            ***known == requirement
        };
        if let Some(known) = self.requirements.iter().find(same) {
            return Arc::clone(known);
        }
        requirement.id = self.requirements.len();
        let fresh = Arc::new(requirement);
        self.requirements.push(Arc::clone(&fresh));
        fresh
    }
}

/// What was written so far, to notice what is written twice.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    /// Host, path, and each method; none for all.
    places: HashSet<(String, String, Option<Method>)>,
}

impl Seen {
    fn check(&mut self, written: &file::Route, route: &Route, key: &str, desk: &mut Desk<'_>) {
        if written.id.is_some() && !self.ids.insert(route.id.to_string()) {
            let message = format!("a second route is called \"{}\"", route.id);
            desk.report.problem(format!("{key}.id"), message, "give each an id of its own");
        }
        let host = route.host.to_string();
        let methods: Vec<Option<Method>> = match route.methods.as_slice() {
            [] => vec![None],
            methods => methods.iter().cloned().map(Some).collect(),
        };
        for method in methods {
            let place = (host.clone(), route.path.text().to_owned(), method);
            if !self.places.insert(place.clone()) {
                let (host, path, method) = place;
                let method = method.map_or_else(String::new, |method| format!("{method} "));
                let message = format!("a second route for {method}{host}{path}");
                desk.report.problem(
                    format!("{key}.path"),
                    message,
                    "tell them apart by host, path or methods",
                );
                return;
            }
        }
    }
}

/// One route while it is read.
struct Draft<'d, 'k> {
    written: &'d file::Route,
    key: &'d str,
    site: Site<'d>,
    desk: &'d mut Desk<'k>,
}

impl<'d> Draft<'d, '_> {
    fn build(
        &mut self,
        index: usize,
        upstream: Option<Arc<Upstream>>,
        fields: Arc<Fields>,
        pool: &mut Pool,
    ) -> Option<Route> {
        let host = self.host();
        let path = self.path();
        let methods = self.methods();
        let access = match self.written.access {
            file::Access::Required => Access::Required,
            file::Access::Optional => Access::Optional,
            file::Access::Public => Access::Public,
        };
        let bearer = self.bearer(access);
        let requirement = self.requirement(access, bearer.as_deref().unwrap_or_default());
        let allow_in_path = self.allow_in_path();
        let logout = self.logout(access);
        let dtbd = self.dtbd(access);
        let id = self.id(host.as_ref());
        let audience =
            assertion::audience(self.written, id.as_deref(), self.site.asserts, self.key, self.desk.report);
        self.warn_of_what_is_open(access, requirement.as_ref(), bearer.as_deref().unwrap_or_default());
        Some(Route {
            id: id?.into(),
            index,
            host: host?,
            path: path?,
            methods: methods?,
            upstream: upstream?,
            access,
            requirement: pool.requirement(requirement?),
            audience: audience?.map(|text| pool.audience(text, &fields)),
            fields,
            bearer: bearer?,
            websocket: self.written.websocket,
            strip_prefix: self.written.strip_prefix,
            allow_in_path: allow_in_path?,
            logout: logout?,
            dtbd: dtbd?,
        })
    }

    fn at(&self, name: &str) -> String {
        format!("{}.{name}", self.key)
    }

    fn problem(&mut self, name: &str, message: impl Into<String>, hint: impl Into<String>) {
        let key = self.at(name);
        self.desk.report.problem(key, message, hint);
    }

    fn id(&mut self, host: Option<&HostPattern>) -> Option<String> {
        match &self.written.id {
            Some(id) => {
                let key = self.at("id");
                if id.is_empty() {
                    self.problem("id", "is empty", "remove it, or write a name");
                }
                (super::check_id(id, &key, self.desk.report) && !id.is_empty()).then(|| id.clone())
            }
            None => Some(format!("{}{}", host?, self.written.path)),
        }
    }

    /// Sessions must reach every host of a domain cookie, and a wildcard needs one.
    fn host(&mut self) -> Option<HostPattern> {
        let domain = self.site.cookies.and_then(|cookies| cookies.domain.clone());
        let Some(text) = &self.written.host else {
            return self.site.public.and_then(Url::host_str).map(|host| HostPattern::Exact(host.to_owned()));
        };
        let key = self.at("host");
        let host = place::host(text, &key, self.desk.report)?;
        let bare = match &host {
            HostPattern::Exact(host) => host.as_str(),
            HostPattern::Suffix(suffix) => suffix.trim_start_matches('.'),
        };
        match (&host, &domain) {
            // The domain itself may be what is wrong, and then that is said.
            (HostPattern::Suffix(_), None) if self.site.cookies.is_some() => {
                let hint = format!("write [session.cookie] with domain = \"{bare}\"");
                self.problem(
                    "host",
                    "a wildcard needs session.cookie.domain: its hosts share one session",
                    hint,
                );
                None
            }
            (_, Some(domain)) if !session::lies_under(bare, domain) => {
                let message = format!(
                    "\"{text}\" does not lie under session.cookie.domain \"{domain}\": no session would reach it"
                );
                self.problem("host", message, "run another gateway for it, or leave the domain empty");
                None
            }
            _ => Some(host),
        }
    }

    fn path(&mut self) -> Option<PathPattern> {
        let key = self.at("path");
        let text = &self.written.path;
        if !place::path(text, &key, self.desk.report) {
            return None;
        }
        if self.written.strip_prefix && !text.ends_with('/') {
            self.problem(
                "strip_prefix",
                format!("\"{text}\" is one exact path, which leaves nothing"),
                "end the path with /",
            );
        }
        Some(if text.ends_with('/') {
            PathPattern::Prefix(text.clone())
        } else {
            PathPattern::Exact(text.clone())
        })
    }

    /// The token that goes along: in a header that nothing else of the route sets.
    fn pass_token(&mut self, fields: &[Field]) -> PassToken {
        let pass_token = match self.written.pass_token {
            file::PassToken::None => return PassToken::None,
            file::PassToken::AccessToken => PassToken::Access,
            file::PassToken::IdToken => PassToken::Id,
        };
        if fields.iter().any(|field| fold(&field.name) == "authorization") {
            let message =
                "the token goes up as Authorization, which [headers] or the route's headers set too";
            self.problem(
                "pass_token",
                message,
                "remove one of the two, or write headers = { Authorization = false }",
            );
        }
        pass_token
    }

    fn methods(&mut self) -> Option<Vec<Method>> {
        let written = self.written.methods.as_ref().map(Many::as_slice).unwrap_or_default();
        if self.written.methods.is_some() && written.is_empty() {
            self.problem(
                "methods",
                "takes no method at all",
                "remove it for all of them, or write [\"GET\", \"POST\"]",
            );
            return None;
        }
        let mut methods: Vec<Method> = Vec::new();
        for text in written {
            let is_good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
            let banned = ["TRACE", "TRACK", "CONNECT"].contains(&text.as_str());
            let Some(method) = Method::from_bytes(text.as_bytes()).ok().filter(|_| is_good && !banned) else {
                let message = format!("\"{text}\" is no method that is ever let through");
                self.problem("methods", message, "methods are written in capitals, such as \"GET\"");
                return None;
            };
            methods.push(method);
        }
        Some(methods)
    }

    fn upstream(&mut self, upstreams: &mut Upstreams) -> Option<Arc<Upstream>> {
        let Some(text) = &self.written.upstream else {
            if !self.site.trusts_a_proxy {
                let message = "missing, and no proxy in listen.trusted_proxies may ask for the route instead";
                let hint =
                    "such as \"http://127.0.0.1:3000\"; or name the proxy that asks at the auth endpoint";
                self.problem("upstream", message, hint);
                return None;
            }
            return Some(self.nowhere());
        };
        upstream::find(text, &self.at("upstream"), upstreams, self.desk)
    }

    /// Indices of the issuers whose tokens are taken.
    fn bearer(&mut self, access: Access) -> Option<Vec<usize>> {
        let written = self.written.bearer.as_ref().map(Many::as_slice).unwrap_or_default();
        if access == Access::Public && !written.is_empty() {
            let hint = "remove it, or write access = \"required\"";
            self.problem("bearer", "access = \"public\" never looks at a token", hint);
            return None;
        }
        let all = self.site.bearers;
        let mut found = Vec::new();
        for id in written {
            match all.iter().position(|known| *known.id == **id) {
                Some(index) if found.contains(&index) => {}
                Some(index) => {
                    let twin = all.get(index).and_then(|known| {
                        let mut others = found.iter().filter_map(|other| all.get(*other));
                        others.find(|other| other.takes_tokens_of(known))
                    });
                    if let Some(twin) = twin {
                        let message =
                            format!("\"{}\" and \"{id}\" have issuer and audience in common", twin.id);
                        self.problem("bearer", message, "keep one, or give each an audience of its own");
                        return None;
                    }
                    found.push(index);
                }
                None => {
                    let hint = suggestion(id, all.iter().map(|known| &*known.id));
                    self.problem("bearer", format!("no [[bearer]] is called \"{id}\""), hint);
                    return None;
                }
            }
        }
        Some(found)
    }

    /// A route that answers at the authorization endpoint only: what it would do to a request that passes is not done.
    fn nowhere(&mut self) -> Arc<Upstream> {
        for (name, is_written) in
            [("logout", !self.written.logout.is_empty()), ("strip_prefix", self.written.strip_prefix)]
        {
            if is_written {
                let message = "has no effect: without an upstream, no request and no answer comes by here";
                self.desk.report.warn("nothing-to-forward", self.at(name), message.to_owned());
            }
        }
        Arc::new(Upstream::nowhere())
    }

    fn requirement(&mut self, access: Access, bearer: &[usize]) -> Option<Requirement> {
        if access == Access::Public {
            for (name, is_written) in [
                ("require", self.written.require.is_some()),
                ("providers", self.written.providers.is_some()),
                ("pass_token", self.written.pass_token != file::PassToken::None),
            ] {
                if is_written {
                    let hint = "remove it, or write access = \"required\"";
                    self.problem(name, "access = \"public\" never looks at a session", hint);
                }
            }
            return Some(Requirement::default());
        }
        let providers = self.providers()?;
        let bearers = bearer.iter().filter_map(|index| self.site.bearers.get(*index));
        let bearers: Vec<Arc<str>> = bearers.map(|known| Arc::clone(&known.id)).collect();
        let require = self.written.require.as_ref();
        let policy = require.and_then(|require| require.policy_file.as_ref());
        // A file that is wrong is told already.
        let policy = policy.map(|file| self.site.policies.get(file).and_then(Clone::clone));
        let policy = super::if_written(policy);
        let requirement = require::requirement(require, &providers, &bearers, self.key, self.desk)?;
        Some(Requirement { policy: policy?, ..requirement })
    }

    fn providers(&mut self) -> Option<Vec<&'d Known>> {
        let all = self.site.providers;
        let found: Vec<&Known> = match &self.written.providers {
            None => all.iter().collect(),
            Some(ids) => {
                if ids.as_slice().is_empty() {
                    self.problem(
                        "providers",
                        "takes no provider at all",
                        "remove it for all of them, or write ids",
                    );
                }
                let mut found = Vec::new();
                for id in ids.as_slice() {
                    match all.iter().find(|known| *known.id == **id) {
                        Some(known) => found.push(known),
                        None => {
                            let hint = suggestion(id, all.iter().map(|known| &*known.id));
                            self.problem("providers", format!("no [[provider]] is called \"{id}\""), hint);
                            return None;
                        }
                    }
                }
                found
            }
        };
        (!found.is_empty()).then_some(found)
    }

    fn allow_in_path(&mut self) -> Option<Quirks> {
        let mut quirks = Quirks::default();
        for name in &self.written.allow_in_path {
            match Quirks::named(name) {
                Some(quirk) => quirks = quirks.and(quirk),
                None => {
                    let message = format!("\"{name}\" cannot be allowed; accepted: \"//\", \"%2f\", \"%5c\"");
                    self.problem(
                        "allow_in_path",
                        message,
                        "dot segments and control characters are never let through",
                    );
                    return None;
                }
            }
        }
        Some(quirks)
    }

    fn logout(&mut self, access: Access) -> Option<Vec<String>> {
        let mut good = true;
        for (index, path) in self.written.logout.iter().enumerate() {
            let key = format!("{}[{index}]", self.at("logout"));
            good &= place::path(path, &key, self.desk.report);
        }
        if access == Access::Public && !self.written.logout.is_empty() {
            let message = "access = \"public\" never looks at a session, so that none would end";
            self.problem("logout", message, "write access = \"optional\"");
        }
        good.then(|| self.written.logout.clone())
    }

    fn dtbd(&mut self, access: Access) -> Option<Option<String>> {
        let Some(text) = &self.written.dtbd else { return Some(None) };
        if access == Access::Public {
            self.problem("dtbd", "access = \"public\" never leads to a login", "remove it");
        }
        dtbd::check(text, &self.at("dtbd"), self.desk.report).then(|| Some(text.clone()))
    }

    fn warn_of_what_is_open(&mut self, access: Access, requirement: Option<&Requirement>, bearer: &[usize]) {
        if access == Access::Public && self.written.path == "/" {
            let message = "everything below \"/\" that no other route names is open to everybody";
            let key = self.at("access");
            self.desk.report.warn("public-root", key, message);
        }
        let Some(requirement) = requirement.filter(|_| access == Access::Required) else { return };
        let key = self.key.to_owned();
        let by_whom = requirement.claims.iter().chain(&requirement.certificate);
        if by_whom.count() == 0 && requirement.allow.is_none() && requirement.policy.is_none() {
            let mut ids: Vec<&str> = requirement.order.iter().map(|id| &**id).collect();
            ids.sort_unstable();
            for id in ids {
                let message = format!(
                    "everyone whom provider \"{id}\" knows may enter; require.claims, require.allow_file or require.policy_file says who"
                );
                self.desk.report.warn("open-to-everyone", key.clone(), message);
            }
        }
        let open = requirement.claims.is_empty() && requirement.allow.is_none();
        for known in bearer.iter().filter_map(|index| self.site.bearers.get(*index)) {
            if open && !known.asks_for_scopes {
                let message = format!(
                    "every machine for which \"{}\" issues tokens of our audience may enter; its scopes, or require.claims, say which",
                    known.id
                );
                self.desk.report.warn("open-to-every-machine", key.clone(), message);
            }
        }
        for known in self.site.providers.iter().filter(|known| !known.takes_phone) {
            let rule = requirement.providers.get(&known.id).and_then(Option::as_ref);
            if rule.is_some_and(|rule| is_level4(&rule.ask)) {
                let message = format!(
                    "provider \"{}\" is not told which phone must answer at level 4; its enrolment says so",
                    known.id
                );
                self.desk.report.warn("level-4-without-enrolment", key.clone(), message);
            }
        }
        if requirement.max_age.is_some() {
            for known in self.site.providers {
                if known.may_never_be_fresh && requirement.providers.contains_key(&known.id) {
                    let warning = Warning::may_never_be_fresh(&key, &known.id);
                    self.desk.report.warnings.push(warning);
                }
            }
        }
    }
}
