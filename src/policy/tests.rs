//! The decision as a table.

use serde_json::{Value, json};

use super::*;
use crate::identity::{Claims, user_key};

const NOW: u64 = 2_000_000_000;

fn person(acr: Option<&str>, claims: Value) -> Identity {
    Identity {
        provider: "idemia".into(),
        issuer: "https://op.test".into(),
        subject: "alice".into(),
        user_key: user_key("https://op.test", "alice").into(),
        acr: acr.map(Into::into),
        amr: Box::default(),
        auth_time: Some(NOW - 100),
        claims: claims.as_object().cloned().unwrap_or_else(Claims::new),
    }
}

fn requirement() -> Requirement {
    Requirement { providers: HashMap::from([("idemia".into(), None)]), ..Requirement::default() }
}

fn loa3() -> Requirement {
    let level = LevelRule { ask: "loa-3".into(), accepted: vec!["loa-3".into(), "loa-4".into()] };
    Requirement {
        providers: HashMap::from([("idemia".into(), Some(level))]),
        acr: vec!["loa-3".into()],
        ..Requirement::default()
    }
}

fn known<'w>(requirement: &Requirement, who: &'w Identity) -> Known<'w> {
    Known {
        provider: &who.provider,
        standing: requirement.standing(who),
        auth_time: who.auth_time,
        policy: None,
    }
}

fn decision(access: Access, requirement: &Requirement, who: Option<&Identity>) -> String {
    let known = who.map(|who| known(requirement, who));
    match decide(access, requirement, known, None, NOW) {
        Decision::Permit(permit) => format!("permit {}", permit.identified()),
        Decision::Login(ask) => format!("login {}", ask.reason.word()),
        Decision::Forbid(reason) => format!("forbid {}", reason.word()),
    }
}

#[test]
fn access_decides_what_a_missing_session_means() {
    for (access, expected) in [
        (Access::Required, "login no-session"),
        (Access::Optional, "permit false"),
        (Access::Public, "permit false"),
    ] {
        assert_eq!(decision(access, &requirement(), None), expected);
    }
}

#[test]
fn a_level_is_met_or_asked_for() {
    for (acr, expected) in [
        (Some("loa-4"), "permit true"),
        (Some("loa-3"), "permit true"),
        (Some("loa-2"), "login acr-not-met"),
        (Some("LOA-3"), "login acr-not-met"),
        (None, "login acr-not-met"),
    ] {
        let who = person(acr, json!({}));
        assert_eq!(decision(Access::Required, &loa3(), Some(&who)), expected, "{acr:?}");
    }
    let who = person(Some("loa-2"), json!({}));
    assert_eq!(decision(Access::Optional, &loa3(), Some(&who)), "permit false");
    assert_eq!(decision(Access::Public, &loa3(), Some(&who)), "permit false");
}

#[test]
fn a_session_of_another_provider_needs_a_login() {
    let mut who = person(Some("loa-4"), json!({}));
    who.provider = "other".into();
    assert_eq!(decision(Access::Required, &requirement(), Some(&who)), "login other-provider");
}

#[test]
fn freshness_is_measured_from_auth_time() {
    let rule = Requirement { max_age: Some(Duration::from_secs(100)), ..requirement() };
    let mut who = person(None, json!({}));
    for (auth_time, expected) in [
        (Some(NOW - 100), "permit true"),
        (Some(NOW - 101), "login not-fresh"),
        (Some(NOW + 60), "permit true"),
        (Some(NOW + 61), "login not-fresh"),
        (None, "login not-fresh"),
    ] {
        who.auth_time = auth_time;
        assert_eq!(decision(Access::Required, &rule, Some(&who)), expected, "{auth_time:?}");
    }
}

#[test]
fn a_claim_that_is_missing_or_of_another_type_is_not_met() {
    let any =
        |values: Value| ClaimRule::AnyOf { name: "g".into(), values: values.as_array().cloned().unwrap() };
    let range = ClaimRule::Range { name: "g".into(), min: Some(18.0), max: None };
    for (rule, claims, expected) in [
        (any(json!(["admin"])), json!({"g": "admin"}), true),
        (any(json!(["admin"])), json!({"g": ["x", "admin"]}), true),
        (any(json!(["CH", "LI"])), json!({"g": "LI"}), true),
        (any(json!(["admin"])), json!({}), false),
        (any(json!(["admin"])), json!({"g": null}), false),
        (any(json!(["admin"])), json!({"g": []}), false),
        (any(json!(["admin"])), json!({"g": "adm"}), false),
        (any(json!(["admin"])), json!({"g": {}}), false),
        (any(json!([18])), json!({"g": 18.0}), true),
        (any(json!([18])), json!({"g": "18"}), false),
        (any(json!([true])), json!({"g": "true"}), false),
        (range.clone(), json!({"g": 18}), true),
        (range.clone(), json!({"g": 17.9}), false),
        (range.clone(), json!({"g": "20"}), false),
        (range, json!({"g": [20]}), false),
    ] {
        assert_eq!(rule.holds(&person(None, claims.clone())), expected, "{rule:?} {claims}");
    }
}

#[test]
fn a_person_who_may_never_enter_is_not_sent_to_the_phone() {
    let rule = Requirement {
        claims: vec![ClaimRule::AnyOf { name: "g".into(), values: vec!["x".into()] }],
        ..loa3()
    };
    let who = person(Some("loa-2"), json!({"g": "y"}));
    assert_eq!(decision(Access::Required, &rule, Some(&who)), "forbid claim-not-met");
}

#[test]
fn what_only_a_stronger_login_tells_is_asked_for_before_it_is_judged() {
    for name in ["g", "amr"] {
        let rule = ClaimRule::AnyOf { name: name.into(), values: vec!["x".into()] };
        let rule = Requirement { claims: vec![rule], ..loa3() };
        let low = person(Some("loa-2"), json!({}));
        assert_eq!(decision(Access::Required, &rule, Some(&low)), "login acr-not-met", "{name}");
        let high = person(Some("loa-3"), json!({}));
        assert_eq!(decision(Access::Required, &rule, Some(&high)), "forbid claim-not-met", "{name}");
    }
}

#[test]
fn a_list_compares_each_entry_with_its_own_verified_claim() {
    let list = AllowList::parse(
        "# staff\n+41791234567\nAnna@Example.ch # her\nsub:idemia:bob\nWk3pUDAqBnWQ1LhMyxEAxD8Yzf0xnZtCLxTf2yPbMzA\n",
    )
    .unwrap();
    let tests = [
        (json!({"phone_number": "+41791234567", "phone_number_verified": true}), true),
        (json!({"phone_number": "+41791234567", "phone_number_verified": "true"}), false),
        (json!({"phone_number": "+41791234567"}), false),
        (json!({"email": "+41791234567", "email_verified": true}), false),
        (json!({"email": "anna@EXAMPLE.ch", "email_verified": true}), true),
        (json!({"email": "anna@example.ch", "email_verified": false}), false),
        (json!({"email": "anna@example.ch\n", "email_verified": true}), false),
        (json!({"email": ["anna@example.ch"], "email_verified": true}), false),
    ];
    for (claims, expected) in tests {
        assert_eq!(list.lists(&person(None, claims.clone())), expected, "{claims}");
    }
    let mut bob = person(None, json!({}));
    bob.subject = "bob".into();
    assert!(list.lists(&bob));
    bob.provider = "other".into();
    assert!(!list.lists(&bob));
}

#[test]
fn a_line_that_is_no_entry_is_refused_with_its_number() {
    let bad = AllowList::parse("+41 79\nbob\nsub:x\nanna@example.ch\n").unwrap_err();
    assert_eq!(bad.iter().map(|b| b.line).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_step_up_stays_at_the_sessions_own_provider_and_other_logins_are_a_choice() {
    let order: Vec<std::sync::Arc<str>> = vec!["mobileid".into(), "idemia".into()];
    let providers = order.iter().map(|id| (id.clone(), loa3().providers["idemia"].clone())).collect();
    let rule = Requirement { providers, order: order.clone(), ..loa3() };
    let asked = |who: Option<&Identity>| match decide(
        Access::Required,
        &rule,
        who.map(|who| known(&rule, who)),
        None,
        NOW,
    ) {
        Decision::Login(ask) => ask.providers,
        decision => panic!("{decision:?}"),
    };
    assert_eq!(asked(None), order);
    assert_eq!(asked(Some(&person(Some("loa-2"), json!({})))), ["idemia".into()]);
    let other = Identity { provider: "other".into(), ..person(Some("loa-4"), json!({})) };
    assert_eq!(asked(Some(&other)), order);
}
