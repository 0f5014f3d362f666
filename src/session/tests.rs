//! Sessions, with the clock in hand.

use std::time::Duration;

use super::*;
use crate::headers::{Encoding, Field, Fields};
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
        login: LoginTrace { state: [0; 32], target: "/".into(), until: 0 },
        tokens: None,
    }
}

fn sessions(capacity: u64, per_subject: usize) -> Sessions {
    let (idle, lifetime) = (Duration::from_secs(100), Duration::from_secs(250));
    Sessions::new(Settings { idle, lifetime, capacity, per_subject })
}

#[tokio::test]
async fn a_session_ends_by_idleness_and_by_lifetime() {
    let sessions = sessions(10, 0);
    let (id, _) = sessions.create(fresh("a"), NOW).await;
    assert!(sessions.find(&id.key(), NOW + 99).await.is_some());
    assert!(sessions.find(&id.key(), NOW + 198).await.is_some());
    assert!(sessions.find(&id.key(), NOW + 249).await.is_some());
    assert!(sessions.find(&id.key(), NOW + 250).await.is_none());
    let (id, session) = sessions.create(fresh("a"), NOW).await;
    assert!(sessions.find(&id.key(), NOW + 100).await.is_none());
    assert!(session.has_ended());
}

#[tokio::test]
async fn i14_an_ended_session_stays_ended_for_those_who_hold_it() {
    let sessions = sessions(10, 0);
    let (id, session) = sessions.create(fresh("a"), NOW).await;
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
        ids.push(sessions.create(fresh(&n.to_string()), NOW).await.0);
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
        ids.push(sessions.create(fresh(subject), NOW).await.0);
    }
    let mut live = Vec::new();
    for id in &ids {
        live.push(sessions.find(&id.key(), NOW).await.is_some());
    }
    assert_eq!(live, [false, true, true, true]);
}

#[tokio::test]
async fn i13_only_the_hash_of_an_id_is_kept_and_one_spelling_is_read() {
    let (id, session) = sessions(10, 0).create(fresh("a"), NOW).await;
    let text = id.text();
    assert_eq!(SessionId::parse(&text).unwrap().key(), session.key);
    assert!(!format!("{session:?}").contains(&text));
    for junk in ["", &text[..42], &format!("{text}="), &"é".repeat(21), &"!".repeat(43), &"B".repeat(43)] {
        assert!(SessionId::parse(junk).is_none(), "{junk}");
    }
}

#[tokio::test]
async fn headers_are_made_once_for_each_generation() {
    let (_, session) = sessions(10, 0).create(fresh("alice"), NOW).await;
    let fields = |text: &str| {
        let template = Template::parse(text).unwrap();
        let field =
            Field { name: "X-Auth-User".into(), template, encoding: Encoding::Utf8, join: ",".into() };
        Fields::new(0, vec![field])
    };
    let shape = Shape { generation: 1, mappings: 1, requirements: 0 };
    let first = session.warm(shape);
    assert_eq!(first.ready(&session, &fields("{sub}"))[0].1, "alice");
    assert_eq!(session.warm(shape).ready(&session, &fields("changed"))[0].1, "alice");
    let next = session.warm(Shape { generation: 2, ..shape });
    assert_eq!(next.ready(&session, &fields("changed"))[0].1, "changed");
}
