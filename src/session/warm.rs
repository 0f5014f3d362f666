//! What a session has ready for one generation of the configuration: identity headers, signed statements, standings.

use std::sync::{Arc, OnceLock};

use http::header::HeaderValue;

use super::Session;
use crate::assertion::{Made, Slot};
use crate::headers::{Fields, Left, PassToken, Ready, bearer};
use crate::policy::{Facts, PolicyFile, Principal, Requirement, Standing, Verdict};
use crate::request::Certificate;

/// How many distinct mappings, audiences, requirements and policy files a configuration has; made once when it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) generation: u64,
    pub(crate) mappings: usize,
    pub(crate) audiences: usize,
    pub(crate) requirements: usize,
    pub(crate) policies: usize,
}

/// Results that stay the same for a session as long as the configuration does, each made at first use.
#[derive(Debug)]
pub(crate) struct Warm {
    shape: Shape,
    ready: Box<[OnceLock<Box<[Ready]>>]>,
    statements: Box<[Slot]>,
    standings: Box<[OnceLock<Standing>]>,
    principals: Box<[OnceLock<Option<Principal>>]>,
}

impl Session {
    /// The results for this configuration; those of an older one are dropped.
    pub(crate) fn warm(&self, shape: Shape) -> Arc<Warm> {
        if let Some(warm) = &*self.warm.load()
            && warm.shape == shape
        {
            return Arc::clone(warm);
        }
        let fresh = Arc::new(Warm {
            shape,
            ready: (0..shape.mappings).map(|_| OnceLock::new()).collect(),
            statements: (0..shape.audiences).map(|_| Slot::default()).collect(),
            standings: (0..shape.requirements).map(|_| OnceLock::new()).collect(),
            principals: (0..shape.policies).map(|_| OnceLock::new()).collect(),
        });
        self.warm.store(Some(Arc::clone(&fresh)));
        fresh
    }

    /// The identity headers of a mapping that name the client certificate of one connection, which no session keeps.
    pub(crate) fn headers_of_connection(
        &self,
        fields: &Fields,
        certificate: Option<&Certificate>,
    ) -> Vec<Ready> {
        let mut left = Vec::new();
        let made = fields.render_of_connection(&self.identity, certificate, &mut left);
        note_left_out(self, left);
        made
    }
}

fn note_left_out(session: &Session, left: Vec<Left<'_>>) {
    for name in left {
        tracing::warn!(
            header.name = name.0,
            session.ref = session.reference(),
            "identity header left out: its value cannot be encoded as configured"
        );
    }
}

/// The token that a route passes on, where the session has it.
fn authorization(session: &Session, pass: PassToken) -> Option<Ready> {
    let tokens = session.tokens.as_deref()?;
    let token = match pass {
        PassToken::None => return None,
        PassToken::Access => tokens.access_token.as_ref()?,
        PassToken::Id => tokens.id_token.as_ref()?,
    };
    let ready = bearer(token);
    if ready.is_none() {
        tracing::warn!(
            header.name = "Authorization",
            session.ref = session.reference(),
            "token not passed on: it cannot stand in a header, or is longer than 8 KiB"
        );
    }
    ready
}

impl Warm {
    /// The session's standing before a requirement.
    pub(crate) fn standing(&self, session: &Session, requirement: &Requirement) -> Standing {
        match self.standings.get(requirement.id) {
            Some(slot) => *slot.get_or_init(|| requirement.standing(&session.identity)),
            None => requirement.standing(&session.identity),
        }
    }

    /// The signed statement for an audience at `now`, made where there is none that holds long enough.
    pub(crate) fn statement(
        &self,
        audience: usize,
        now: u64,
        make: impl FnOnce() -> Made,
    ) -> Option<HeaderValue> {
        self.statements.get(audience)?.take(now, make)
    }

    /// What a policy file says of a request of this session.
    pub(crate) fn verdict<'f>(
        &self,
        session: &Session,
        file: &'f PolicyFile,
        facts: &Facts<'_>,
    ) -> Verdict<'f> {
        let principal = self.principals.get(file.id);
        let principal =
            principal.and_then(|slot| slot.get_or_init(|| file.principal(&session.identity)).as_ref());
        file.judge(principal, facts)
    }

    /// The identity headers of a mapping, ready to insert.
    pub(crate) fn ready(&self, session: &Session, fields: &Fields) -> &[Ready] {
        let Some(slot) = self.ready.get(fields.id) else { return &[] };
        slot.get_or_init(|| {
            let mut left = Vec::new();
            let ready = fields.render(&session.identity, &mut left);
            note_left_out(session, left);
            match authorization(session, fields.pass_token) {
                Some(token) => ready.into_iter().chain([token]).collect(),
                None => ready,
            }
        })
    }
}
