//! What a callback may say, as tables.

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

/// What stands in one line of an input, and in those after it.
fn lines(input: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    (line(), line(), line())
}

/// A line of parameters, then the name and the value of a login cookie.
#[test]
fn i11_any_callback_is_read_once_and_any_cookie_is_ours_or_nothing() {
    let words = [
        "code=",
        "state=",
        "iss=",
        "error=",
        "error_description=",
        "midgate_again=1",
        "&",
        "&&",
        "=",
        ";",
        "+",
        "x",
        "y",
        "%",
        "%00",
        "%zz",
        "%ff",
        "%26state%3Dz",
        "mid_auth_3010_T - ",
        "\n",
        "name",
        "AAAA",
        "-",
        "_",
        "é",
        "\u{0}",
    ];
    let sealer = crate::seal::Keys::random().sealer("login");
    let login = pending(&["high"], Some(60));
    let sealed = sealer.seal("name", &serde_json::to_vec(&login).unwrap());
    crate::fuzz::run("callback", &words, |input| {
        let (query, name, value) = lines(input);
        if let Some(answer) = Answer::read(query) {
            assert!(!answer.state.is_empty() && answer.state.len() <= 4096);
            let named =
                |wanted: &str| form_urlencoded::parse(query).filter(|(name, _)| name == wanted).count();
            assert!(named("state") == 1 && named("code") <= 1 && named("iss") <= 1 && named("error") <= 1);
            let has_code = matches!(answer.said, Said::Code(_));
            assert!(has_code != (named("error") == 1), "a code or an error");
        }
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        assert!(sealer.open(&name, &value).is_none(), "nobody else seals");
        assert!(name == "name" || sealer.open(&name, &sealed).is_none(), "of another cookie");
        // Our own with some of its characters changed.
        let mut changed = sealed.clone().into_bytes();
        for pair in input.chunks_exact(2) {
            let place = usize::from(pair[0]) * 7 % changed.len();
            changed[place] = if pair[1].is_ascii() { pair[1] } else { b'A' };
        }
        let changed = String::from_utf8(changed).unwrap();
        assert!(changed == sealed || sealer.open("name", &changed).is_none());
    });
    let opened: PendingLogin = serde_json::from_slice(&sealer.open("name", &sealed).unwrap()).unwrap();
    assert_eq!((opened.state, opened.nonce), (login.state, login.nonce));
}
