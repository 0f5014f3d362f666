//! May this person pass, must they sign in, or are they refused?
//! Pure.
//!
//! *Never:* how a person signs in, or what an answer looks like.
//! *Source:* RFC 9470 (step-up), OIDC Core §2 (`acr`, `auth_time`).

mod allow;
mod cedar;
mod claim;
mod ladder;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::Identity;
use crate::request::Certificate;

pub(crate) use self::allow::AllowList;
pub(crate) use self::cedar::{Cause, Facts, Fault, PolicyFile, Principal, Surroundings, Verdict};
pub(crate) use self::claim::ClaimRule;
pub(crate) use self::ladder::Ladder;

/// How much a provider's clock may differ from ours before its times are not believed.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Who may use a route at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Only a session that meets the requirement.
    Required,
    /// Everybody; with identity when a session meets the requirement.
    Optional,
    /// Everybody, without identity; the session is never looked up.
    Public,
}

/// What a route demands of a session, compiled.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Requirement {
    /// Index among the configuration's distinct requirements: a session keeps its standing by it.
    pub(crate) id: usize,
    /// Providers whose sessions count, and the level that each must show; never empty.
    pub(crate) providers: HashMap<Arc<str>, Option<LevelRule>>,
    /// The same providers in the configuration's order, as a choice shows them.
    pub(crate) order: Vec<Arc<str>>,
    /// The values of `require.acr`, as the operator wrote them.
    pub(crate) acr: Vec<String>,
    /// The longest time since the person was authenticated.
    pub(crate) max_age: Option<Duration>,
    /// Every rule must hold.
    pub(crate) claims: Vec<ClaimRule>,
    /// Rules about the client certificate of the connection: no session's standing says anything of them.
    pub(crate) certificate: Vec<ClaimRule>,
    /// The person must be listed.
    pub(crate) allow: Option<AllowList>,
    /// The policies must permit each request of theirs.
    pub(crate) policy: Option<Arc<PolicyFile>>,
}

/// One provider's reading of `require.acr`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LevelRule {
    /// The one value that a login asks for.
    pub(crate) ask: String,
    /// Every value that meets the requirement by this provider's ladder.
    pub(crate) accepted: Vec<String>,
}

/// Why a request is not simply let through: a closed list, for logs, pages and `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No session came with the request.
    NoSession,
    /// The session is of a provider that the route does not take.
    OtherProvider,
    /// The level of assurance does not meet `require.acr`.
    AcrNotMet,
    /// The person was authenticated too long ago, or it is not known when.
    NotFresh,
    /// A rule of `require.claims` does not hold.
    ClaimNotMet,
    /// The person is not in the route's list.
    NotListed,
    /// The connection has no client certificate, or another than the route wants.
    CertificateNotMet,
    /// The route's policy file does not permit the request.
    PolicyDenied,
}

impl Reason {
    /// The word for logs, metrics and programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NoSession => "no-session",
            Self::OtherProvider => "other-provider",
            Self::AcrNotMet => "acr-not-met",
            Self::NotFresh => "not-fresh",
            Self::ClaimNotMet => "claim-not-met",
            Self::NotListed => "not-listed",
            Self::CertificateNotMet => "client-certificate-not-met",
            Self::PolicyDenied => "policy-denied",
        }
    }
}

/// The part of a verdict that stays the same for a session until it is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// All but freshness holds.
    Meets,
    /// A login at another provider or at a higher level may help.
    NeedsLogin(Reason),
    /// No login helps.
    Refused(Reason),
}

/// A login that would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Why it is needed.
    pub(crate) reason: Reason,
    /// Where it may be, in the configuration's order; the person chooses where it is several.
    pub(crate) providers: Vec<Arc<str>>,
    /// The values of `require.acr`: the login must come back with one that meets any of them.
    pub(crate) acr: Vec<String>,
    /// The person must have been authenticated within this time when they come back.
    pub(crate) max_age: Option<Duration>,
}

impl Ask {
    /// The provider, where only one fits.
    pub(crate) fn only_provider(&self) -> Option<&Arc<str>> {
        match self.providers.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// Proof that a request may go to its upstream. Only [`decide`] makes one (I1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permit {
    identified: bool,
}

impl Permit {
    /// Whether the session's identity goes along.
    pub(crate) fn identified(self) -> bool {
        self.identified
    }
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Permit(Permit),
    Login(Ask),
    Forbid(Reason),
}

impl Decision {
    /// The same for a machine, which cannot sign in: what a login would help is refused.
    pub(crate) fn without_login(self) -> Self {
        match self {
            Self::Login(ask) => Self::Forbid(ask.reason),
            Self::Permit(_) | Self::Forbid(_) => self,
        }
    }
}

/// What a decision needs of a session: its provider, its standing before this requirement, when the person was
/// authenticated (Unix seconds), and what the route's policies say, where it has any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'s> {
    pub(crate) provider: &'s Arc<str>,
    pub(crate) standing: Standing,
    pub(crate) auth_time: Option<u64>,
    pub(crate) policy: Option<Cause>,
}

/// Decides on one request; `certificate` is that of its connection, `now` is in Unix seconds.
pub(crate) fn decide(
    access: Access,
    requirement: &Requirement,
    known: Option<Known<'_>>,
    certificate: Option<&Certificate>,
    now: u64,
) -> Decision {
    let permit = |identified| Decision::Permit(Permit { identified });
    if access == Access::Public {
        return permit(false);
    }
    let standing = match known {
        // What no login can change comes first.
        _ if !requirement.takes_certificate(certificate) => Standing::Refused(Reason::CertificateNotMet),
        None => Standing::NeedsLogin(Reason::NoSession),
        Some(known) => match known.standing {
            Standing::Meets if !requirement.is_fresh(known.auth_time, now) => {
                Standing::NeedsLogin(Reason::NotFresh)
            }
            // I7: a verdict that is missing permits nothing.
            Standing::Meets if requirement.policy.is_some() && known.policy != Some(Cause::Permitted) => {
                Standing::Refused(Reason::PolicyDenied)
            }
            standing => standing,
        },
    };
    match (standing, access) {
        (Standing::Meets, _) => permit(true),
        // `access = "optional"` never asks for a login and never refuses.
        (_, Access::Optional | Access::Public) => permit(false),
        (Standing::NeedsLogin(reason), Access::Required) => {
            Decision::Login(requirement.ask(reason, known.map(|known| known.provider)))
        }
        (Standing::Refused(reason), Access::Required) => Decision::Forbid(reason),
    }
}

impl Requirement {
    /// Judges an identity on everything that does not change with time.
    pub(crate) fn standing(&self, identity: &Identity) -> Standing {
        let Some(level) = self.providers.get(&identity.provider) else {
            return Standing::NeedsLogin(Reason::OtherProvider);
        };
        let is_reached = level.as_ref().is_none_or(|level| level.is_met_by(identity.acr.as_deref()));
        // What no login can change comes first: nobody is sent to the phone only to be refused afterwards. What a
        // stronger login may bring along is judged once the level is reached.
        let may_come = |rule: &ClaimRule| !is_reached && rule.may_change_with_level(identity);
        if !self.claims.iter().all(|rule| rule.holds(identity) || may_come(rule)) {
            return Standing::Refused(Reason::ClaimNotMet);
        }
        if self.allow.as_ref().is_some_and(|list| !list.lists(identity)) {
            return Standing::Refused(Reason::NotListed);
        }
        if is_reached { Standing::Meets } else { Standing::NeedsLogin(Reason::AcrNotMet) }
    }

    /// Whether the connection's certificate is one that the route wants, which is any where it wants none.
    fn takes_certificate(&self, certificate: Option<&Certificate>) -> bool {
        self.certificate.iter().all(|rule| {
            certificate
                .and_then(|certificate| certificate.find(rule.name()))
                .is_some_and(|value| rule.takes(value))
        })
    }

    /// Whether the person was authenticated within `max_age` of `now` (Unix seconds).
    ///
    /// Without `auth_time`, or with one in the future, nothing is fresh.
    pub(crate) fn is_fresh(&self, auth_time: Option<u64>, now: u64) -> bool {
        self.max_age.is_none_or(|max_age| is_fresh(max_age, auth_time, now))
    }

    /// A step-up stays at the session's own provider; any other login may be at each that the route takes.
    fn ask(&self, reason: Reason, own: Option<&Arc<str>>) -> Ask {
        let providers = match (reason, own) {
            (Reason::AcrNotMet | Reason::NotFresh, Some(own)) => vec![Arc::clone(own)],
            (
                Reason::AcrNotMet
                | Reason::NotFresh
                | Reason::NoSession
                | Reason::OtherProvider
                | Reason::ClaimNotMet
                | Reason::NotListed
                | Reason::CertificateNotMet
                | Reason::PolicyDenied,
                _,
            ) => self.order.clone(),
        };
        Ask { reason, providers, acr: self.acr.clone(), max_age: self.max_age }
    }
}

impl LevelRule {
    fn is_met_by(&self, acr: Option<&str>) -> bool {
        acr.is_some_and(|acr| self.accepted.iter().any(|accepted| accepted == acr))
    }
}

/// Whether `auth_time` lies within `max_age` before `now`, both in Unix seconds.
pub(crate) fn is_fresh(max_age: Duration, auth_time: Option<u64>, now: u64) -> bool {
    auth_time.is_some_and(|at| {
        at <= now.saturating_add(CLOCK_SKEW.as_secs()) && now.saturating_sub(at) <= max_age.as_secs()
    })
}

#[cfg(test)]
mod tests;
