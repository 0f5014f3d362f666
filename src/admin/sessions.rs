//! Listing, showing and revoking sessions: `GET /sessions`, `GET` and `DELETE /sessions/<ref>`.
//!
//! *Never:* a cookie's value, which the gateway does not know itself.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Status, not_found, wrong_method};
use crate::admission::Site;
use crate::clock::unix_now;
use crate::reply::Reply;
use crate::session::{Session, Sessions};

/// Answers one request of the operator's.
pub(super) async fn answer(status: &Status, method: &Method, path: &str) -> Reply {
    let snapshot = status.current.load_full();
    let sessions = Arc::clone(&snapshot.site.sessions);
    let now = unix_now();
    let live = sessions.list(now);
    match path.strip_prefix("/sessions") {
        Some("" | "/") if *method == Method::GET => {
            let list: Vec<Value> = live.iter().map(|session| summary(session, &sessions)).collect();
            Reply::json(StatusCode::OK, &json!({ "sessions": list }))
        }
        Some("" | "/") => wrong_method("GET"),
        Some(rest) => {
            let reference = rest.trim_start_matches('/');
            // One session by its reference, or all of a person by their user key.
            let meant: Vec<&Arc<Session>> =
                live.iter().filter(|session| is_meant(session, reference)).collect();
            match (meant.first(), method) {
                (None, _) => not_found(),
                (Some(session), &Method::GET) => Reply::json(StatusCode::OK, &whole(session, &sessions)),
                (Some(_), &Method::DELETE) => revoke(&snapshot.site, &meant).await,
                (Some(_), _) => wrong_method("GET, DELETE"),
            }
        }
        None => not_found(),
    }
}

fn is_meant(session: &Session, reference: &str) -> bool {
    session.reference() == reference || *session.identity.user_key == *reference
}

async fn revoke(site: &Site, meant: &[&Arc<Session>]) -> Reply {
    for session in meant {
        site.sessions.end(&session.key).await;
        site.audit("revoke", "ok", session, "");
    }
    Reply::json(StatusCode::OK, &json!({ "revoked": meant.len() }))
}

fn summary(session: &Session, sessions: &Sessions) -> Value {
    json!({
        "ref": session.reference(),
        "provider": *session.identity.provider,
        "user_key": session.identity.user_key,
        "acr": session.identity.acr,
        "created": session.created,
        "expires": session.expires,
        "idle_expires": session.idle_expires(sessions.idle()).min(session.expires),
    })
}

fn whole(session: &Session, sessions: &Sessions) -> Value {
    let mut value = summary(session, sessions);
    value["iss"] = json!(*session.identity.issuer);
    value["sub"] = json!(session.identity.subject);
    value["amr"] = json!(session.identity.amr);
    value["auth_time"] = json!(session.identity.auth_time);
    // Names only: what the claims say is nobody's business here.
    value["claims"] = json!(session.identity.claims.keys().collect::<Vec<_>>());
    value["sid"] = json!(session.sid.is_some());
    value
}
