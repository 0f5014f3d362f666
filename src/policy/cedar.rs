//! What a route's policy file says of one request: nothing is permitted by default, and a refusal wins.
//! Pure.
//!
//! *Never:* whether a login would help; levels and freshness are asked for by `require.acr` and `require.max_age`.
//! *Source:* Cedar's semantics of authorization (docs.cedarpolicy.com/auth/authorization); README "Policy files".

mod offer;
mod read;
mod uses;
mod value;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicyId, PolicySet, Request, RestrictedExpression,
};
use http::Method;

use self::uses::{Tree, Uses};
use self::value::{text, typed};
use super::CLOCK_SKEW;
use crate::identity::Identity;
use crate::request::Certificate;

pub(crate) use self::read::{Fault, Surroundings};

/// The policies of one file, parsed and validated.
pub(crate) struct PolicyFile {
    /// Index among the configuration's policy files: a session keeps its person ready by it.
    pub(crate) id: usize,
    /// As the operator wrote it.
    pub(crate) name: String,
    policies: PolicySet,
    authorizer: Authorizer,
    /// In the order of the file.
    rules: Vec<Rule>,
    by_id: HashMap<PolicyId, usize>,
    uses: Uses,
    person: EntityTypeName,
    actions: Vec<(Method, EntityUid)>,
    routes: BTreeMap<String, EntityUid>,
}

/// One policy of a file.
#[derive(Debug)]
struct Rule {
    /// Its `@id`, else the line on which it begins, such as `line 7`.
    name: String,
    effect: Effect,
}

/// A person as the policies of one file see them: made once for a session.
#[derive(Debug)]
pub(crate) struct Principal {
    uid: EntityUid,
    entities: Entities,
    /// Policies that name a claim which this person has in another type: they count as failed.
    failed: Vec<usize>,
}

/// What a request adds, beside the person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'r> {
    pub(crate) method: &'r Method,
    /// Lower case, without port.
    pub(crate) host: &'r str,
    /// As routes are matched.
    pub(crate) path: &'r str,
    /// Id of the route.
    pub(crate) route: &'r str,
    /// Who the client is, after trusted proxies.
    pub(crate) client: Option<IpAddr>,
    /// The verified client certificate of the connection.
    pub(crate) certificate: Option<&'r Certificate>,
    /// When the person was authenticated, in Unix seconds.
    pub(crate) auth_time: Option<u64>,
    /// Unix seconds.
    pub(crate) now: u64,
}

/// How the policies came to their verdict: a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A `permit` applies, and no `forbid`.
    Permitted,
    /// A `forbid` applies.
    Forbidden,
    /// No `permit` applies.
    NothingPermits,
    /// A `forbid` could not be evaluated, or the facts could not be told: whether it applies is not known.
    Failed,
    /// A method that neither the schema nor the configuration names.
    UnknownMethod,
}

/// What the policies say, and which of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict<'f> {
    pub(crate) cause: Cause,
    /// The policies that decided.
    pub(crate) by: Vec<&'f str>,
    /// The policies that could not be evaluated: each as if it were not there, unless it is a `forbid`.
    pub(crate) failed: Vec<&'f str>,
}

impl Cause {
    /// The word for logs and `explain`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Forbidden => "forbidden",
            Self::NothingPermits => "nothing-permits",
            Self::Failed => "forbid-failed",
            Self::UnknownMethod => "unknown-method",
        }
    }
}

impl PolicyFile {
    /// The claims that the policies name, which a session must therefore keep.
    pub(crate) fn claims(&self) -> impl Iterator<Item = String> {
        self.uses.claims.leaves().into_iter().map(|(name, _)| name)
    }

    /// Whether nobody can ever be permitted.
    pub(crate) fn permits_nobody(&self) -> bool {
        self.rules.iter().all(|rule| rule.effect == Effect::Forbid)
    }

    /// A person as these policies see them; `None` when they cannot be told to Cedar, and then nothing is permitted.
    pub(crate) fn principal(&self, identity: &Identity) -> Option<Principal> {
        let uid = EntityUid::from_type_name_and_id(self.person.clone(), EntityId::new(&*identity.user_key));
        let mut failed = Vec::new();
        let mut attributes = HashMap::from([
            ("provider".to_owned(), text(&identity.provider)),
            ("issuer".to_owned(), text(&identity.issuer)),
            ("subject".to_owned(), text(&identity.subject)),
            ("amr".to_owned(), RestrictedExpression::new_set(identity.amr.iter().map(|method| text(method)))),
        ]);
        if let Some(acr) = &identity.acr {
            attributes.insert("acr".to_owned(), text(acr));
        }
        let claims = claims(&self.uses.claims, "", identity, &mut failed);
        attributes.insert("claims".to_owned(), RestrictedExpression::new_record(claims).ok()?);
        failed.sort_unstable();
        failed.dedup();
        let entity = Entity::new(uid.clone(), attributes, HashSet::new()).ok()?;
        let entities = Entities::from_entities([entity], None).ok()?;
        Some(Principal { uid, entities, failed })
    }

    /// Judges one request of a person.
    ///
    /// A policy that fails (it needs what is not there, or a claim is of another type) is as if it were not there; a
    /// `forbid` that fails refuses.
    pub(crate) fn judge(&self, principal: Option<&Principal>, facts: &Facts<'_>) -> Verdict<'_> {
        let refused = |cause| Verdict { cause, by: Vec::new(), failed: Vec::new() };
        // RFC 9110 §9.3.2: HEAD is GET without the content.
        let method = if facts.method == Method::HEAD { &Method::GET } else { facts.method };
        let Some((_, action)) = self.actions.iter().find(|(known, _)| known == method) else {
            return refused(Cause::UnknownMethod);
        };
        let (Some(principal), Some(resource)) = (principal, self.routes.get(facts.route)) else {
            return refused(Cause::Failed);
        };
        let request = self.context(facts).and_then(|context| {
            Request::new(principal.uid.clone(), action.clone(), resource.clone(), context, None).ok()
        });
        let Some(request) = request else { return refused(Cause::Failed) };
        let response = self.authorizer.is_authorized(&request, &self.policies, &principal.entities);
        let index = |id: &PolicyId| self.by_id.get(id).copied();
        let mut failed = principal.failed.clone();
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            failed.extend(index(error.policy_id()));
        }
        let mut by: Vec<usize> = response.diagnostics().reason().filter_map(index).collect();
        let cause = self.cause(&mut by, &failed);
        self.verdict(cause, by, failed)
    }

    /// `by` are the policies that decided for Cedar; those that decide here are left in it.
    fn cause(&self, by: &mut Vec<usize>, failed: &[usize]) -> Cause {
        let forbids = |at: &usize| self.rules.get(*at).is_some_and(|rule| rule.effect == Effect::Forbid);
        if by.iter().any(forbids) {
            return Cause::Forbidden;
        }
        if let Some(at) = failed.iter().copied().find(forbids) {
            *by = vec![at];
            return Cause::Failed;
        }
        by.retain(|at| !failed.contains(at));
        if by.is_empty() { Cause::NothingPermits } else { Cause::Permitted }
    }

    fn verdict(&self, cause: Cause, mut by: Vec<usize>, mut failed: Vec<usize>) -> Verdict<'_> {
        let names = |list: &mut Vec<usize>| {
            list.sort_unstable();
            list.dedup();
            list.iter().filter_map(|at| self.rules.get(*at).map(|rule| rule.name.as_str())).collect()
        };
        Verdict { cause, by: names(&mut by), failed: names(&mut failed) }
    }

    /// What of the request the file speaks of: the rest is not made.
    fn context(&self, facts: &Facts<'_>) -> Option<Context> {
        let mut pairs: Vec<(String, RestrictedExpression)> = Vec::new();
        for (name, ..) in offer::REQUEST.iter().filter(|(name, ..)| self.uses.reads_context(name)) {
            pairs.extend(fact(name, facts).map(|value| ((*name).to_owned(), value)));
        }
        if pairs.is_empty() { Some(Context::empty()) } else { Context::from_pairs(pairs).ok() }
    }
}

/// One attribute of a request, where the request has it.
fn fact(name: &str, facts: &Facts<'_>) -> Option<RestrictedExpression> {
    let long = |number: u64| i64::try_from(number).ok().map(RestrictedExpression::new_long);
    match name {
        "host" => Some(text(facts.host)),
        "path" => Some(text(facts.path)),
        // A time in the future is not believed, as for `max_age`.
        "auth_age" => facts
            .auth_time
            .filter(|at| *at <= facts.now.saturating_add(CLOCK_SKEW.as_secs()))
            .and_then(|at| long(facts.now.saturating_sub(at))),
        "client" => {
            facts.client.map(|client| RestrictedExpression::new_ip(client.to_canonical().to_string()))
        }
        name if Certificate::is_named(name) => facts.certificate?.find(name)?.as_str().map(text),
        "now" => Some(RestrictedExpression::new_datetime(instant(facts.now))),
        // ISO 8601: 1 is Monday. The first of January 1970 was a Thursday.
        "weekday" => long((facts.now / 86_400 + 3) % 7 + 1),
        _ => None,
    }
}

/// The time as Cedar reads it: a date and a time of day, in UTC.
fn instant(now: u64) -> String {
    let (days, second) = (now / 86_400, now % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

/// The claims of a record; those of another type are left out, and the policies that name them noted.
fn claims(
    tree: &Tree,
    prefix: &str,
    identity: &Identity,
    failed: &mut Vec<usize>,
) -> Vec<(String, RestrictedExpression)> {
    let mut found = Vec::new();
    for (name, child) in &tree.children {
        let path = format!("{prefix}{name}");
        if !child.children.is_empty() {
            let inner = claims(child, &format!("{path}."), identity, failed);
            let record = (!inner.is_empty()).then(|| RestrictedExpression::new_record(inner).ok());
            found.extend(record.flatten().map(|record| (name.clone(), record)));
            continue;
        }
        let Some(claim) = identity.find(&path) else { continue };
        let value = match child.kind() {
            Some(kind) => typed(kind, &claim),
            None => Some(RestrictedExpression::new_bool(true)),
        };
        match value {
            Some(value) => found.push((name.clone(), value)),
            None => failed.extend(&child.policies),
        }
    }
    found
}

impl PartialEq for PolicyFile {
    /// Within one configuration each file is read once.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl std::fmt::Debug for PolicyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyFile")
            .field("name", &self.name)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
