//! What a route's policy file is told of a request, and what is noted of its refusals.

use super::{Arrival, Site};
use crate::policy::{Cause, Facts, Standing, Verdict};
use crate::request::View;
use crate::route::Route;
use crate::session::{Session, Warm};
use crate::telemetry::AUDIT;

impl Site {
    /// What the policies of a route say of a request of a session, where it has any and all else holds; a refusal is an
    /// audit event.
    pub(super) fn ask_policies(
        &self,
        route: &Route,
        (session, warm): (&Session, &Warm),
        standing: Standing,
        view: &View<'_>,
        arrival: Arrival<'_>,
    ) -> Option<Cause> {
        let file = route.requirement.policy.as_deref()?;
        let auth_time = session.identity.auth_time;
        if standing != Standing::Meets || !route.requirement.is_fresh(auth_time, arrival.now) {
            return None;
        }
        let facts = Facts {
            method: view.method,
            host: &view.host,
            path: &view.path.matched,
            route: &route.id,
            client: arrival.client,
            certificate: arrival.certificate,
            auth_time,
            now: arrival.now,
        };
        let mut verdict = warm.verdict(session, file, &facts);
        if verdict.cause == Cause::Permitted && !view.path.quirks.is_none() {
            // A lenient server would read another path: that one must be permitted too.
            let lenient = view.path.lenient();
            verdict = warm.verdict(session, file, &Facts { path: &lenient, ..facts });
        }
        if verdict.cause != Cause::Permitted {
            self.note_refusal(&verdict, session, &route.id, arrival.request_id);
        }
        Some(verdict.cause)
    }

    fn note_refusal(&self, verdict: &Verdict<'_>, session: &Session, route: &str, request_id: &str) {
        let identity = &session.identity;
        tracing::info!(
            target: AUDIT, { audit.event = "policy", audit.result = verdict.cause.word(),
            audit.subject = self.audit_subject.of(identity), provider.name = &*identity.provider,
            session.ref = session.reference(), session.acr = identity.acr.as_deref(), route.name = route,
            policy.rules = verdict.by.join(", "), policy.failed = verdict.failed.join(", "),
            request.id = request_id }, "audit");
    }
}
