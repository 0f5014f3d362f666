//! Audit events: security facts, each with the person as the operator wants people named.

use super::Site;
use crate::identity::Identity;
use crate::session::Session;
use crate::telemetry::AUDIT;

/// How audit events name a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuditSubject {
    /// By user key, which is a hash.
    Hash,
    Plain,
    Off,
}

impl AuditSubject {
    fn of(self, identity: &Identity) -> Option<&str> {
        match self {
            Self::Hash => Some(&identity.user_key),
            Self::Plain => Some(&identity.subject),
            Self::Off => None,
        }
    }
}

impl Site {
    /// Notes what became of a session; `request_id` is empty where no request did it.
    pub(crate) fn audit(
        &self,
        event: &'static str,
        result: &'static str,
        session: &Session,
        request_id: &str,
    ) {
        let identity = &session.identity;
        tracing::info!(
            target: AUDIT, { audit.event = event, audit.result = result,
            audit.subject = self.audit_subject.of(identity), provider.name = &*identity.provider,
            session.ref = session.reference(), session.acr = identity.acr.as_deref(),
            request.id = (!request_id.is_empty()).then_some(request_id) }, "audit");
    }
}
