//! A provider that lies, breaks or dawdles: every fault ends in its page, without a session or a further call.

use midgate::demo::provider::Manner;

use crate::rig::{Browser, Plain, plain, until};

/// With a ladder, so that a level can be asked for.
fn laddered(more: &str) -> Plain {
    let ladder = format!("acr_ladder = [[\"low\"], [\"high\"]]\n{more}");
    plain(
        "",
        &ladder,
        "[[route]]\nupstream = \"{up}\"\n[[route]]\npath = \"/high/\"\nupstream = \"{up}\"\nrequire = { acr = \"high\" }\n",
    )
}

#[test]
fn what_is_odd_but_right_signs_in() {
    let Plain { provider, gateway, application: _application } = laddered("");
    for fault in [
        "aud-array-ours",
        "no-kid",
        "odd-keys",
        "missing-auth-time",
        "missing-acr",
        "acr-array",
        "token-expires-string",
        "token-expires-float",
        "token-expires-negative",
        "token-expires-huge",
        "token-expires-missing",
        "token-type-odd",
        "userinfo-aggregated",
    ] {
        provider.heal();
        provider.fault(fault, true);
        let mut browser = Browser::new(&gateway);
        assert_eq!(browser.sign_in("/echo").status, 303, "{fault}");
    }
}

#[test]
fn a_token_endpoint_that_fails_is_a_page_and_is_asked_once() {
    let Plain { provider, gateway, application: _application } = setting();
    for (fault, status) in [
        ("token-500", 502),
        ("token-invalid-json", 502),
        ("token-html", 502),
        ("token-oversized", 502),
        ("token-redirect", 502),
        ("token-invalid-grant", 502),
        ("token-closed", 502),
    ] {
        provider.heal();
        provider.forget_calls();
        provider.fault(fault, true);
        let mut browser = Browser::new(&gateway);
        assert_eq!(browser.sign_in("/echo").status, status, "{fault}");
        let calls = provider.calls();
        assert_eq!((calls.token, calls.userinfo), (1, 0), "{fault}");
        assert!(!browser.is_signed_in(), "{fault}");
    }
}

fn setting() -> Plain {
    plain("", "", "[[route]]\nupstream = \"{up}\"\n")
}

#[test]
fn a_slow_provider_is_504() {
    let Plain { provider, gateway, application: _application } = setting();
    provider.fault("token-slow", true);
    let mut browser = Browser::new(&gateway);
    assert_eq!(browser.sign_in("/echo").status, 504);
    assert!(!browser.is_signed_in());
}

#[test]
fn a36_an_answer_with_a_wrong_or_missing_issuer_is_refused_before_the_token_call() {
    let Plain { provider, gateway, application: _application } = setting();
    for fault in ["answer-wrong-iss", "answer-missing-iss"] {
        provider.heal();
        provider.fault(fault, true);
        let mut browser = Browser::new(&gateway);
        assert!(browser.sign_in("/echo").status >= 400, "{fault}");
        assert_eq!(provider.calls().token, 0, "{fault}");
        assert!(!browser.is_signed_in(), "{fault}");
    }
    provider.heal();
    provider.fault("answer-wrong-state", true);
    assert_eq!(Browser::new(&gateway).sign_in("/echo").status, 400);
    assert_eq!(provider.calls().token, 0);
}

#[test]
fn a_provider_that_is_down_at_the_start_degrades_and_recovers() {
    let op = crate::rig::provider(Manner::Plain);
    op.stop();
    let application = crate::rig::application();
    let config = format!(
        "\n{}\n[[route]]\nupstream = \"http://127.0.0.1:{}\"\n",
        crate::rig::provider_toml("op", &op, ""),
        application.port()
    );
    let gateway = crate::rig::Gateway::start(&config);
    let (status, body) = gateway.ready();
    assert_eq!(status, 200);
    assert!(body.contains("degraded"), "{body}");
    assert!(matches!(Browser::new(&gateway).open("/echo").status, 502..=504));
    op.start_again();
    until("the provider is known", || {
        gateway.ready().1.contains("\"status\":\"ok\"") && !gateway.ready().1.contains("degraded")
    });
    Browser::signed_in(&gateway, "/echo");
}

#[test]
fn nothing_comes_late() {
    let Plain { provider, gateway, application: _application } = setting();
    Browser::signed_in(&gateway, "/echo");
    let calls = provider.calls();
    assert_eq!((calls.discovery, calls.jwks, calls.authorize, calls.token, calls.userinfo), (1, 1, 1, 1, 1));
}
