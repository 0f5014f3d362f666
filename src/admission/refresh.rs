//! Refreshes beside the requests: one for each session at a time, begun by a request and not dropped with it.
//!
//! *Never:* a request that waits for a refresh, or a session that outlives its login's lifetime.
//! *Source:* OIDC Core §12; RFC 6749 §6; ARCHITECTURE I14.

use std::sync::Arc;

use super::{AuditSubject, Site};
use crate::clock::unix_now;
use crate::policy::Ladder;
use crate::provider::{Known, Provider, RefreshFailure};
use crate::session::{Session, Sessions};
use crate::telemetry::{AUDIT, count_refresh};

impl Site {
    /// Has the tokens of a session refreshed when their time has come; the request itself goes on with what there is.
    pub(super) fn refresh_if_due(&self, session: &Arc<Session>, now: u64) {
        if session.is_due(now) {
            self.begin_refresh(session, now);
        }
    }

    #[cold]
    fn begin_refresh(&self, session: &Arc<Session>, now: u64) {
        if !session.claim_refresh(now) {
            return;
        }
        // A reload may have taken the provider away, or its `refresh`; another may bring it back.
        let door = self.login.doors.get(&session.identity.provider);
        let Some(door) = door.filter(|door| door.provider.settings().keep.refresh_token) else { return };
        let (provider, sessions) = (Arc::clone(&door.provider), Arc::clone(&self.sessions));
        let task =
            Task { provider, ladder: door.ladder.clone(), sessions, audit_subject: self.audit_subject };
        tokio::spawn(task.run(Arc::clone(session)));
    }
}

/// One refresh under way.
struct Task {
    provider: Arc<Provider>,
    ladder: Ladder,
    sessions: Arc<Sessions>,
    audit_subject: AuditSubject,
}

/// How a refresh ended, when it did not fail.
enum Outcome {
    Renewed,
    /// The session ended in the meantime: whatever the answer says is thrown away (I14).
    TooLate,
}

impl Task {
    async fn run(self, mut session: Arc<Session>) {
        let result = self.refresh(&mut session).await;
        let (name, reference) = (self.provider.id(), session.reference());
        match &result {
            Ok(Outcome::Renewed) => {
                tracing::debug!(session.ref = reference, provider.name = %name, "tokens refreshed");
                count_refresh(name, "ok");
            }
            Ok(Outcome::TooLate) => count_refresh(name, "too-late"),
            Err(RefreshFailure::Temporary(failure)) => {
                session.put_off_refresh(unix_now());
                count_refresh(name, failure.reason());
                tracing::warn!(
                    session.ref = reference, provider.name = %name, policy.reason = failure.reason(),
                    error.message = %failure, "refresh failed for now: the session goes on"
                );
            }
            Err(RefreshFailure::Final(failure)) => {
                count_refresh(name, failure.reason());
                if self.sessions.end(&session.key).await.is_some() {
                    tracing::warn!(
                        target: AUDIT, { audit.event = "refresh", audit.result = "ended",
                        audit.subject = self.audit_subject.of(&session.identity), provider.name = %name,
                        session.ref = reference, session.acr = session.identity.acr.as_deref(),
                        policy.reason = failure.reason(), error.message = %failure }, "session ended by a refresh"
                    );
                }
            }
        }
    }

    /// Asks, stores, believes; `session` is always the object that stands in the cache if any does.
    async fn refresh(&self, session: &mut Arc<Session>) -> Result<Outcome, RefreshFailure> {
        let Some(refresh) = session.tokens.as_deref().and_then(|tokens| tokens.refresh.as_ref()) else {
            return Ok(Outcome::TooLate);
        };
        let answered = self.provider.refresh(&refresh.token, unix_now()).await?;
        let now = unix_now();
        if session.has_ended() {
            return Ok(Outcome::TooLate);
        }
        // RFC 9700 §4.14.2: the old token is void from here on, so that the new one is stored before anything else.
        if let Some(token) = answered.rotated().cloned() {
            match self.sessions.keep_refresh_token(session, token, now).await {
                Some(next) => *session = next,
                None => return Ok(Outcome::TooLate),
            }
        }
        let Some(tokens) = session.tokens.as_deref() else { return Ok(Outcome::TooLate) };
        let Some(refresh) = tokens.refresh.as_ref() else { return Ok(Outcome::TooLate) };
        let known = Known { identity: &session.identity, tokens, refresh, now };
        let mut refreshed = self.provider.confirm(answered, &known).await?;
        let level = level_after(&self.ladder, session.identity.acr.as_deref(), refreshed.identity.acr.take());
        refreshed.identity.acr = level;
        match self.sessions.renew(session, refreshed.identity, refreshed.tokens, now).await {
            Some(_) => Ok(Outcome::Renewed),
            None => Ok(Outcome::TooLate),
        }
    }
}

/// The level of a session after a refresh: it may sink, but only a login that the person sees can raise it (I6).
fn level_after(ladder: &Ladder, before: Option<&str>, now: Option<Box<str>>) -> Option<Box<str>> {
    let (Some(before), Some(now)) = (before, now) else { return None };
    Some(if ladder.meets(&now, before) { now } else { before.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_never_raises_the_level() {
        let rungs = [["any3", "sim3"], ["any4", "sim4"]].map(|rung| rung.map(str::to_owned).to_vec());
        let ladder = Ladder { rungs: rungs.to_vec(), ..Ladder::default() };
        for (before, now, after) in [
            (Some("sim3"), Some("sim3"), Some("sim3")),
            (Some("sim4"), Some("any3"), Some("any3")),
            (Some("any3"), Some("sim4"), Some("any3")),
            (Some("any3"), Some("other"), Some("any3")),
            (Some("any3"), None, None),
            (None, Some("sim4"), None),
            (None, None, None),
        ] {
            let level = level_after(&ladder, before, now.map(Into::into));
            assert_eq!(level.as_deref(), after, "{before:?} {now:?}");
        }
    }
}
