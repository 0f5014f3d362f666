//! What a callback may say, as tables.

use proptest::prelude::*;

use super::*;

fn reads(encoded: &str) -> bool {
    Answer::read(encoded.as_bytes()).is_some()
}

#[test]
fn an_answer_has_each_parameter_once() {
    for good in [
        "code=x&state=y",
        "state=y&code=x&iss=https%3A%2F%2Fop.test&foo=1&foo=2",
        "error=access_denied&state=y",
        "code=x&state=y&error_description=z",
    ] {
        assert!(reads(good), "{good}");
    }
    for bad in [
        "",
        "&",
        "=",
        "&&=",
        "code=x",
        "code=x&state=",
        "code=&state=y",
        "state=y",
        "code=x&code=x&state=y",
        "code=x&state=y&state=y",
        "code=x&state=y&iss=a&iss=a",
        "code=x&state=y&error=z",
        "error=a&error=b&state=y",
    ] {
        assert!(!reads(bad), "{bad}");
    }
    assert!(!reads(&format!("code={}&state=y", "x".repeat(5000))));
}

#[test]
fn tokens_are_long_and_never_repeat() {
    let tokens: std::collections::HashSet<String> = (0..1000).map(|_| token()).collect();
    assert_eq!(tokens.len(), 1000);
    assert!(tokens.iter().all(|token| token.len() == 43));
}

fn pending(acr: &[&str], max_age: Option<u64>) -> PendingLogin {
    PendingLogin {
        state: token(),
        nonce: token(),
        verifier: token(),
        provider: "p".into(),
        origin: "https://app.test".into(),
        target: "/".into(),
        acr: acr.iter().map(|s| (*s).to_owned()).collect(),
        max_age,
        freshness: Freshness::AuthTime,
        phone_of: None,
        begun: 1000,
    }
}

#[test]
fn without_auth_time_only_a_pushed_demand_to_sign_in_anew_vouches_for_a_time() {
    let usual = pending(&[], Some(60));
    let pushed = PendingLogin { freshness: Freshness::Request, ..usual.clone() };
    assert_eq!(usual.auth_time(None), None);
    assert_eq!(pushed.auth_time(None), Some(1000));
    for login in [&usual, &pushed] {
        assert_eq!(login.auth_time(Some(7)), Some(7), "what the ID token says stands");
        let sealed = serde_json::to_vec(login).unwrap();
        let opened: PendingLogin = serde_json::from_slice(&sealed).unwrap();
        assert_eq!(opened.freshness, login.freshness);
    }
}

#[test]
fn i6_a_login_weaker_than_asked_is_refused() {
    let rungs = vec![vec!["loa-2".to_owned()], vec!["loa-3".to_owned()]];
    let ladder = Ladder { rungs, ..Ladder::default() };
    let identity = |acr: Option<&str>, auth_time| Identity {
        provider: "p".into(),
        issuer: "i".into(),
        subject: "s".into(),
        user_key: "k".into(),
        acr: acr.map(Into::into),
        amr: Box::default(),
        auth_time,
        claims: Default::default(),
    };
    for (asked, max_age, acr, auth_time, good) in [
        (&[][..], None, None, None, true),
        (&["loa-2"], None, Some("loa-3"), None, true),
        (&["loa-3"], None, Some("loa-2"), None, false),
        (&["loa-3"], None, None, None, false),
        (&["loa-3", "other"], None, Some("other"), None, true),
        (&[], Some(60), None, Some(1000), true),
        (&[], Some(60), None, Some(900), false),
        (&[], Some(60), None, None, false),
    ] {
        let result = weaker(&pending(asked, max_age), &ladder, &identity(acr, auth_time), 1010);
        assert_eq!(result.is_ok(), good, "{asked:?} {max_age:?} {acr:?} {auth_time:?}");
    }
}

#[test]
fn a_pending_login_has_its_time() {
    let login = pending(&[], None);
    let timeout = Duration::from_secs(900);
    assert!(!login.is_too_old(timeout, 1000));
    assert!(!login.is_too_old(timeout, 1899));
    assert!(login.is_too_old(timeout, 1900));
    assert!(login.is_too_old(timeout, 900));
}

proptest! {
    #[test]
    fn i11_any_callback_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Answer::read(&bytes);
    }
}
