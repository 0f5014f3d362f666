//! Sessions, with the clock in hand.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::headers::{Encoding, Field, Fields, PassToken};
use crate::identity::{Claims, Template};

const NOW: u64 = 2_000_000_000;

fn fresh(subject: &str) -> Fresh {
    let identity = Identity {
        provider: "p".into(),
        issuer: "i".into(),
        subject: subject.into(),
        user_key: crate::identity::user_key("i", subject).into(),
        acr: None,
        amr: Box::default(),
        auth_time: None,
        claims: Claims::new(),
    };
    Fresh {
        identity,
        sid: None,
        issued: NOW,
        login: LoginTrace { state: [0; 32], target: "/".into(), until: 0 },
        tokens: None,
    }
}

fn sessions(capacity: u64, per_subject: usize) -> Sessions {
    let (idle, lifetime) = (Duration::from_secs(100), Duration::from_secs(250));
    Sessions::new(Settings { idle, lifetime, capacity, per_subject })
}

async fn made(sessions: &Sessions, fresh: Fresh) -> (SessionId, Arc<Session>) {
    sessions.create(fresh, NOW).await.expect("no provider has ended it")
}

#[tokio::test]
async fn a_session_ends_by_idleness_and_by_lifetime() {
    let sessions = sessions(10, 0);
    let (id, _) = made(&sessions, fresh("a")).await;
    assert!(sessions.find(&id.key(), NOW + 99).await.is_some());
    assert!(sessions.find(&id.key(), NOW + 198).await.is_some());
    assert!(sessions.find(&id.key(), NOW + 249).await.is_some());
    assert!(sessions.find(&id.key(), NOW + 250).await.is_none());
    let (id, session) = made(&sessions, fresh("a")).await;
    assert!(sessions.find(&id.key(), NOW + 100).await.is_none());
    assert!(session.has_ended());
}

#[tokio::test]
async fn i14_an_ended_session_stays_ended_for_those_who_hold_it() {
    let sessions = sessions(10, 0);
    let (id, session) = made(&sessions, fresh("a")).await;
    let waiting = session.ended();
    sessions.end(&id.key()).await;
    assert!(waiting.is_cancelled());
    assert!(!session.is_live(NOW, 100));
    assert!(sessions.find(&id.key(), NOW).await.is_none());
    assert!(sessions.end(&id.key()).await.is_none());
}

#[tokio::test]
async fn at_capacity_the_least_recently_used_goes_and_the_new_one_stays() {
    let sessions = sessions(5, 0);
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(made(&sessions, fresh(&n.to_string())).await.0);
        sessions.sweep().await;
    }
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(sessions.find(&id.key(), NOW).await.is_some(), n >= 15, "{n}");
    }
}

#[tokio::test]
async fn the_oldest_session_of_a_person_goes_first() {
    let sessions = sessions(100, 2);
    let mut ids = Vec::new();
    for subject in ["a", "a", "b", "a"] {
        ids.push(made(&sessions, fresh(subject)).await.0);
    }
    let mut live = Vec::new();
    for id in &ids {
        live.push(sessions.find(&id.key(), NOW).await.is_some());
    }
    assert_eq!(live, [false, true, true, true]);
}

#[tokio::test]
async fn i13_only_the_hash_of_an_id_is_kept_and_one_spelling_is_read() {
    let (id, session) = made(&sessions(10, 0), fresh("a")).await;
    let text = id.text();
    assert_eq!(SessionId::parse(&text).unwrap().key(), session.key);
    assert!(!format!("{session:?}").contains(&text));
    for junk in ["", &text[..42], &format!("{text}="), &"é".repeat(21), &"!".repeat(43), &"B".repeat(43)] {
        assert!(SessionId::parse(junk).is_none(), "{junk}");
    }
}

#[tokio::test]
async fn headers_are_made_once_for_each_generation() {
    let (_, session) = made(&sessions(10, 0), fresh("alice")).await;
    let fields = |text: &str| {
        let template = Template::parse(text).unwrap();
        let field =
            Field { name: "X-Auth-User".into(), template, encoding: Encoding::Utf8, join: ",".into() };
        Fields::new(0, vec![field], PassToken::None)
    };
    let shape = Shape { generation: 1, mappings: 1, audiences: 1, requirements: 0, policies: 0 };
    let first = session.warm(shape);
    assert_eq!(first.ready(&session, &fields("{sub}"))[0].1, "alice");
    assert_eq!(session.warm(shape).ready(&session, &fields("changed"))[0].1, "alice");
    let next = session.warm(Shape { generation: 2, ..shape });
    assert_eq!(next.ready(&session, &fields("changed"))[0].1, "changed");
}

fn of(issuer: &str, subject: &str, sid: &str) -> Fresh {
    let mut fresh = fresh(subject);
    fresh.identity.issuer = issuer.into();
    fresh.identity.user_key = crate::identity::user_key(issuer, subject).into();
    Fresh { sid: (!sid.is_empty()).then(|| sid.into()), ..fresh }
}

fn logout(subject: &str, sid: &str, jti: &str) -> ProviderLogout {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ProviderLogout {
        issuer: "i".into(),
        subject: some(subject),
        sid: some(sid),
        jti: jti.into(),
        issued: NOW,
        expires: NOW + 120,
    }
}

#[tokio::test]
async fn a_provider_ends_by_sid_its_session_and_by_subject_all_of_a_person() {
    let odd = "a b\"%;\\\0é";
    for (subject, sid, expected) in [
        ("", odd, [true, false, false, false, true]),
        ("a", odd, [true, false, false, false, false]),
        ("a", "", [true, true, false, false, false]),
        ("b", "", [false, false, false, false, true]),
        ("", "unknown", [false; 5]),
        ("b", "s2", [false; 5]),
    ] {
        let sessions = sessions(100, 0);
        let mut ids = Vec::new();
        for (issuer, subject, sid) in
            [("i", "a", odd), ("i", "a", "s2"), ("j", "a", odd), ("ia", "", odd), ("i", "b", odd)]
        {
            ids.push(made(&sessions, of(issuer, subject, sid)).await.0);
        }
        let ended = sessions.end_by(&logout(subject, sid, "1"), NOW).await.unwrap().len();
        let mut gone = Vec::new();
        for id in &ids {
            gone.push(sessions.find(&id.key(), NOW).await.is_none());
        }
        assert_eq!(gone, expected, "{subject} {sid}");
        assert_eq!(ended, expected.iter().filter(|gone| **gone).count());
    }
}

#[tokio::test]
async fn a_logout_token_is_taken_once_and_each_issuer_counts_for_itself() {
    let sessions = sessions(10, 0);
    let first = logout("a", "", "1");
    assert!(sessions.end_by(&first, NOW).await.is_ok());
    assert!(sessions.end_by(&first, NOW).await.is_err());
    assert!(sessions.end_by(&ProviderLogout { issuer: "j".into(), ..first.clone() }, NOW).await.is_ok());
    assert!(sessions.end_by(&ProviderLogout { jti: "2".into(), ..first }, NOW).await.is_ok());
}

#[tokio::test]
async fn i14_a_login_that_the_provider_ended_meanwhile_makes_no_session() {
    for (subject, sid, logged_out) in [("", "s", true), ("a", "s", true), ("a", "", true), ("b", "s", false)]
    {
        let sessions = sessions(10, 0);
        sessions.end_by(&logout(subject, sid, "1"), NOW).await.unwrap();
        for (issued, is_older) in [(NOW - 1, true), (NOW, true), (NOW + 1, false)] {
            let fresh = Fresh { issued, ..of("i", "a", "s") };
            let made = sessions.create(fresh, NOW).await;
            assert_eq!(made.is_none(), logged_out && is_older, "{subject} {sid} {issued}");
        }
        assert!(sessions.create(of("j", "a", "s"), NOW).await.is_some());
        assert!(sessions.create(of("i", "c", "t"), NOW).await.is_some());
    }
}

#[tokio::test]
async fn the_front_channel_ends_by_issuer_and_sid_alone() {
    let sessions = sessions(10, 0);
    let (id, _) = made(&sessions, of("i", "a", "s")).await;
    for (issuer, sid) in [("j", "s"), ("i", "t"), ("i", ""), ("", "s"), ("is", "")] {
        assert!(sessions.end_by_sid(issuer, sid).await.is_empty());
    }
    assert_eq!(sessions.end_by_sid("i", "s").await.len(), 1);
    assert!(sessions.find(&id.key(), NOW).await.is_none());
    // Nobody proved anything, so that a later login is not kept out.
    assert!(sessions.create(of("i", "a", "s"), NOW).await.is_some());
}
