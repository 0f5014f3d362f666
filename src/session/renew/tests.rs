//! Successors of sessions: what they take over, and when there is none.

use std::time::Duration;

use super::super::{Fresh, LoginTrace, Original, Refresh, Settings};
use super::*;
use crate::identity::{Claims, user_key};

const NOW: u64 = 2_000_000_000;

fn identity(subject: &str) -> Identity {
    Identity {
        provider: "p".into(),
        issuer: "i".into(),
        subject: subject.into(),
        user_key: user_key("i", subject).into(),
        acr: None,
        amr: Box::default(),
        auth_time: Some(NOW),
        claims: Claims::new(),
    }
}

fn tokens(refresh_token: &str, expires_in: u64) -> Option<Box<Tokens>> {
    let original = Arc::new(Original { nonce: [0; 32], audiences: Box::default() });
    let refresh = Refresh { token: Secret::new(refresh_token), original, said: Arc::default() };
    Tokens { refresh: Some(refresh), expires: Some(NOW + expires_in), ..Tokens::default() }.kept()
}

fn sessions(per_subject: usize) -> Sessions {
    let (idle, lifetime) = (Duration::from_secs(100), Duration::from_secs(250));
    Sessions::new(Settings { idle, lifetime, capacity: 10, per_subject })
}

async fn signed_in(sessions: &Sessions) -> Arc<Session> {
    let login = LoginTrace { state: [1; 32], target: "/".into(), until: NOW + 10 };
    let fresh = Fresh {
        identity: identity("a"),
        sid: Some("sid".into()),
        issued: NOW,
        login,
        tokens: tokens("first", 60),
    };
    sessions.create(fresh, NOW).await.unwrap().1
}

fn refresh_token(session: &Session) -> &str {
    session.tokens.as_ref().unwrap().refresh.as_ref().unwrap().token.expose()
}

#[tokio::test]
async fn a_successor_takes_over_all_but_identity_and_tokens() {
    let sessions = sessions(0);
    let old = signed_in(&sessions).await;
    old.touch(NOW + 40);
    let mut fresh = identity("a");
    fresh.acr = Some("high".into());
    let next = sessions.renew(&old, fresh, tokens("second", 3600), NOW + 40).await.unwrap();
    let found = sessions.find(&old.key, NOW + 41).await.unwrap();
    assert!(Arc::ptr_eq(&found, &next));
    assert_eq!((found.created, found.expires, found.key), (old.created, old.expires, old.key));
    assert_eq!((found.sid.as_deref(), found.login.state), (Some("sid"), old.login.state));
    assert_eq!((found.identity.acr.as_deref(), refresh_token(&found)), (Some("high"), "second"));
    assert_eq!(found.idle_expires(100), NOW + 141);
    assert!(!old.has_ended(), "whoever holds the old one goes on");
    // A request counts for the session, whichever object it holds; the lifetime does not move.
    assert!(sessions.find(&old.key, NOW + 140).await.is_some());
    assert!(sessions.find(&old.key, NOW + 239).await.is_some());
    assert!(sessions.find(&old.key, NOW + 250).await.is_none());
    assert!(old.has_ended());
}

#[tokio::test]
async fn i14_a_session_that_has_ended_gets_no_successor() {
    let sessions = sessions(0);
    let old = signed_in(&sessions).await;
    sessions.end(&old.key).await;
    assert!(sessions.renew(&old, identity("a"), tokens("second", 60), NOW).await.is_none());
    assert!(sessions.keep_refresh_token(&old, Secret::new("second"), NOW).await.is_none());
    assert!(sessions.find(&old.key, NOW).await.is_none());
    // Marked as ended, and still in the cache.
    let old = signed_in(&sessions).await;
    old.end();
    assert!(sessions.renew(&old, identity("a"), tokens("second", 60), NOW).await.is_none());
    assert!(sessions.find(&old.key, NOW).await.is_none());
}

#[tokio::test]
async fn i14_the_end_of_either_is_the_end_of_both() {
    let sessions = sessions(0);
    let old = signed_in(&sessions).await;
    let waiting = old.ended();
    let next = sessions.keep_refresh_token(&old, Secret::new("second"), NOW).await.unwrap();
    let next = sessions.renew(&next, identity("a"), tokens("third", 60), NOW).await.unwrap();
    assert!(!waiting.is_cancelled());
    sessions.end(&next.key).await;
    assert!(waiting.is_cancelled() && old.has_ended() && next.has_ended());
    let old = signed_in(&sessions).await;
    let next = sessions.renew(&old, identity("a"), None, NOW).await.unwrap();
    old.end();
    assert!(next.has_ended());
    assert!(sessions.find(&next.key, NOW).await.is_none());
}

#[tokio::test]
async fn only_the_object_in_the_cache_is_replaced() {
    let sessions = sessions(0);
    let old = signed_in(&sessions).await;
    let next = sessions.keep_refresh_token(&old, Secret::new("second"), NOW).await.unwrap();
    assert!(sessions.renew(&old, identity("a"), tokens("lost", 60), NOW).await.is_none());
    let found = sessions.find(&old.key, NOW).await.unwrap();
    assert!(Arc::ptr_eq(&found, &next));
    assert_eq!(refresh_token(&found), "second");
}

#[tokio::test]
async fn another_person_never_takes_a_session_over() {
    let sessions = sessions(0);
    let old = signed_in(&sessions).await;
    assert!(sessions.renew(&old, identity("b"), tokens("second", 60), NOW).await.is_none());
    assert!(old.has_ended());
    assert!(sessions.find(&old.key, NOW).await.is_none());
}

#[tokio::test]
async fn a_person_has_as_many_sessions_after_a_refresh_as_before() {
    let sessions = sessions(2);
    let first = signed_in(&sessions).await;
    let second = signed_in(&sessions).await;
    let first = sessions.renew(&first, identity("a"), tokens("second", 60), NOW).await.unwrap();
    sessions.sweep().await;
    assert!(
        sessions.find(&first.key, NOW).await.is_some() && sessions.find(&second.key, NOW).await.is_some()
    );
    let third = signed_in(&sessions).await;
    assert!(sessions.find(&first.key, NOW).await.is_none(), "it is the oldest still");
    assert!(
        sessions.find(&second.key, NOW).await.is_some() && sessions.find(&third.key, NOW).await.is_some()
    );
}

#[tokio::test]
async fn i14_the_providers_session_id_leads_to_the_successor() {
    let sessions = sessions(0);
    let old = signed_in(&sessions).await;
    let next = sessions.renew(&old, identity("a"), tokens("second", 60), NOW).await.unwrap();
    sessions.sweep().await;
    assert_eq!(sessions.end_by_sid("i", "sid").await.len(), 1);
    assert!(next.has_ended() && old.has_ended());
}

#[tokio::test]
async fn a_refresh_that_is_due_is_claimed_once_and_again_after_a_pause() {
    let sessions = sessions(0);
    let old = signed_in(&sessions).await;
    assert!(!old.is_due(NOW + 29) && !old.claim_refresh(NOW + 29));
    assert!(old.is_due(NOW + 30));
    assert_eq!([old.claim_refresh(NOW + 30), old.claim_refresh(NOW + 30)], [true, false]);
    assert!(!old.is_due(NOW + 89) && old.is_due(NOW + 90), "should its task vanish");
    // The pauses go on growing over the token that was stored in the middle of a refresh.
    for pause in [5, 10, 20] {
        old.put_off_refresh(NOW + 50);
        assert!(!old.is_due(NOW + 49 + pause) && old.is_due(NOW + 50 + pause), "{pause}");
    }
    let next = sessions.keep_refresh_token(&old, Secret::new("second"), NOW + 70).await.unwrap();
    assert!(!next.is_due(NOW + 129));
    next.put_off_refresh(NOW + 70);
    assert!(!next.is_due(NOW + 109) && next.is_due(NOW + 110));
    let next = sessions.renew(&next, identity("a"), None, NOW).await.unwrap();
    assert!(!next.is_due(u64::MAX - 1), "nothing is left to refresh");
}
