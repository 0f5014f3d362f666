//! Sessions that go on with refreshed tokens, and those that a refresh ends.

use std::io::Read;
use std::time::{Duration, Instant};

use midgate::demo::provider::{Manner, Simulated};
use serde_json::{Value, json};

use crate::rig::wire::{connect, read_chunk, read_head};
use crate::rig::{Browser, Gateway, Plain, application, plain, provider, provider_toml, until};

const ROUTES: &str = r#"
[[route]]
upstream = "{up}"
headers = { "X-Groups" = "{groups}", "X-From-Token" = "{from_token}" }
[[route]]
path = "/payroll/"
upstream = "{up}"
require = { claims = { groups = "payroll" } }
[[route]]
path = "/high/"
upstream = "{up}"
require = { acr = "high" }
"#;

fn setting(more: &str) -> Plain {
    let ladder = "acr_values = \"high\"\nacr_ladder = [[\"low\"], [\"high\"]]\n";
    plain("", &format!("{ladder}{more}[provider.claims]\nname = \"name\"\n"), ROUTES)
}

/// As many browsers whose access tokens are due, though no request has come since; later tokens live for an hour.
fn due<const N: usize>(provider: &Simulated, gateway: &Gateway) -> [Browser; N] {
    provider.expires_in(json!(1));
    let browsers = std::array::from_fn(|_| Browser::signed_in(gateway, "/echo"));
    let begun = Instant::now();
    until("the tokens are due", || begun.elapsed() > Duration::from_millis(1100));
    provider.heal();
    provider.forget_calls();
    browsers
}

/// How many refreshes ended so.
fn ended(gateway: &Gateway, result: &str) -> usize {
    let name = format!("midgate_refreshes_total{{provider=\"op\",result=\"{result}\"}}");
    gateway.metric(&name).unwrap_or_default() as usize
}

/// Has a browser's tokens refreshed, and waits for it.
fn refresh(browser: &mut Browser, gateway: &Gateway) {
    let before = ended(gateway, "ok");
    assert_eq!(browser.fetch("/echo").status, 200);
    until("the tokens are refreshed", || ended(gateway, "ok") > before);
}

fn session(browser: &mut Browser) -> Value {
    let answer = browser.fetch("/.midgate/session");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_session_goes_on_with_new_tokens_and_what_is_true_now() {
    let Plain { provider, gateway, application: _application } = setting("");
    let [mut browser] = due(&provider, &gateway);
    let before = session(&mut browser);
    let cookies = browser.cookies.clone();
    provider.patch_userinfo(json!({"name": "Zoë Neu"}));
    // So that the new token is soon due as well.
    provider.expires_in(json!(1));
    refresh(&mut browser, &gateway);
    let calls = provider.calls();
    assert_eq!((calls.token, calls.refresh, calls.userinfo), (1, 1, 1));
    let form = calls.token_request.form();
    let names: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["grant_type", "refresh_token"], "no scope, and the client is named in the header");
    assert!(calls.token_request.header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    assert_eq!(browser.echo("/echo", "").one("X-Auth-Name"), "Zoë Neu");
    let after = session(&mut browser);
    for name in ["created", "expires", "auth_time", "sub", "iss", "user_key", "acr"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    assert_eq!(browser.cookies, cookies, "the cookie is the same");
    // The token that came with the first refresh serves for the next: the old one would end everything.
    until("the new token was refreshed too", || {
        browser.fetch("/echo");
        ended(&gateway, "ok") > 1
    });
    assert_eq!(provider.calls().reused, 0);
    assert_eq!(browser.fetch("/echo").status, 200);
}

#[test]
fn a90_fifty_requests_at_once_make_one_refresh() {
    let Plain { provider, gateway, application: _application } = setting("");
    let [browser] = due(&provider, &gateway);
    provider.fault("refresh-held", true);
    let all_at_once = || {
        std::thread::scope(|scope| {
            let ask = || browser.clone().fetch("/echo").status;
            let threads: Vec<_> = (0..50).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().all(|thread| thread.join().expect("no panic") == 200)
        })
    };
    // Nobody waits for the refresh, and it is not dropped with the request that began it.
    assert!(all_at_once());
    until("the refresh is under way", || provider.calls().refresh == 1);
    provider.fault("refresh-held", false);
    until("the tokens are refreshed", || ended(&gateway, "ok") == 1);
    assert!(all_at_once());
    let calls = provider.calls();
    assert_eq!((calls.token, calls.refresh, calls.reused, calls.userinfo), (1, 1, 0, 1));
}

#[test]
fn a92_what_a_refresh_takes_away_is_gone_at_the_next_request() {
    let Plain { provider, gateway, application: _application } = setting("");
    let [mut browser] = due(&provider, &gateway);
    // Neither of these two is what makes the tokens new: the session was not asked for since they are due.
    provider.patch_userinfo(json!({"groups": ["staff"]}));
    provider.patch_id_token(json!({"acr": "low"}));
    refresh(&mut browser, &gateway);
    let echo = browser.echo("/echo", "");
    assert_eq!((echo.one("X-Groups"), echo.one("X-Auth-Acr")), ("staff".to_owned(), "low".to_owned()));
    let refused = browser.fetch("/payroll/echo");
    assert_eq!((refused.status, &refused.json()["reason"]), (403, &json!("claim-not-met")));
    let step_up = browser.fetch("/high/echo");
    assert_eq!((step_up.status, &step_up.json()["error"]), (401, &json!("insufficient_user_authentication")));
}

#[test]
fn a91_an_answer_that_is_not_to_be_believed_ends_the_session_without_a_further_call() {
    let Plain { provider, gateway, application: _application } = setting("");
    let faults = [
        ("wrong-iss", "wrong-issuer"),
        ("wrong-aud", "wrong-audience"),
        ("wrong-azp", "wrong-authorized-party"),
        ("bad-signature", "bad-signature"),
        ("foreign-key", "bad-signature"),
        ("alg-none", "algorithm-not-allowed"),
        ("alg-hs256-secret", "algorithm-not-allowed"),
        ("wrong-nonce", "wrong-nonce"),
        ("expired", "expired"),
        ("future-iat", "bad-issue-time"),
        ("wrong-at-hash", "wrong-at-hash"),
        ("old-auth-time", "wrong-auth-time"),
        ("other-sub", "wrong-subject"),
    ];
    let browsers: [Browser; 13] = due(&provider, &gateway);
    for ((fault, reason), mut browser) in faults.into_iter().zip(browsers) {
        provider.heal();
        provider.forget_calls();
        provider.fault(fault, true);
        if fault == "other-sub" {
            provider.patch_id_token(json!({"sub": "somebody-else"}));
            provider.patch_userinfo(json!({"sub": "somebody-else"}));
        }
        let before = ended(&gateway, reason);
        assert_eq!(browser.fetch("/echo").status, 200, "{fault}: the request itself goes on");
        until("the refresh has failed", || ended(&gateway, reason) > before);
        until("the session has ended", || !browser.is_signed_in());
        assert_eq!(browser.fetch("/echo").status, 401, "{fault}");
        let calls = provider.calls();
        assert_eq!((calls.refresh, calls.userinfo), (1, 0), "{fault}");
        let is_audit = |line: &str| {
            line.contains("\"audit.event\":\"refresh\"")
                && line.contains(&format!("\"policy.reason\":\"{reason}\""))
        };
        until("the event is logged", || gateway.log().lines().any(is_audit));
    }
}

#[test]
fn a93_a_refusal_ends_the_session() {
    let Plain { provider, gateway, application: _application } = setting("required_claims = [\"email\"]\n");
    let faults = [
        ("token-invalid-grant", "token-request-refused", 0),
        ("userinfo-wrong-sub", "userinfo-wrong-subject", 1),
        ("userinfo-missing-sub", "userinfo-wrong-subject", 1),
        ("userinfo-401", "provider-status", 1),
        ("no-email", "missing-claim", 1),
    ];
    let browsers: [Browser; 5] = due(&provider, &gateway);
    for ((fault, reason, userinfo), mut browser) in faults.into_iter().zip(browsers) {
        provider.heal();
        provider.forget_calls();
        provider.fault(fault, true);
        if fault == "no-email" {
            provider.patch_userinfo(json!({"email": null}));
        }
        let before = ended(&gateway, reason);
        assert_eq!(browser.fetch("/echo").status, 200, "{fault}");
        until("the refresh has failed", || ended(&gateway, reason) > before);
        until("the session has ended", || !browser.is_signed_in());
        let calls = provider.calls();
        assert_eq!((calls.refresh, calls.userinfo), (1, userinfo), "{fault}");
        // The next page is a login.
        assert_eq!(browser.open("/echo").status, 302, "{fault}");
    }
}

#[test]
fn a93_a_provider_out_of_order_costs_no_session_and_is_asked_again_after_a_pause() {
    let Plain { provider, gateway, application: _application } = setting("");
    let faults = [
        ("token-500", "provider-status"),
        ("token-429", "provider-status"),
        ("token-html", "not-json"),
        ("token-invalid-json", "not-json"),
        ("token-closed", "provider-unreachable"),
        // Here the refresh token was replaced already: the next try must bring the new one.
        ("userinfo-500", "provider-status"),
        ("userinfo-invalid-json", "userinfo-not-json"),
    ];
    let mut browsers: [Browser; 7] = due(&provider, &gateway);
    for ((fault, reason), browser) in faults.into_iter().zip(&mut browsers) {
        provider.heal();
        provider.forget_calls();
        provider.fault(fault, true);
        let before = ended(&gateway, reason);
        assert_eq!(browser.fetch("/echo").status, 200, "{fault}");
        until(fault, || ended(&gateway, reason) > before);
        for _ in 0..10 {
            assert_eq!(browser.fetch("/echo").status, 200, "{fault}");
        }
        assert_eq!(provider.calls().refresh, 1, "{fault}: not on every request");
    }
    provider.heal();
    until("every session was refreshed after all", || {
        assert!(browsers.iter_mut().all(|browser| browser.fetch("/echo").status == 200));
        ended(&gateway, "ok") == browsers.len()
    });
    assert_eq!(provider.calls().reused, 0);
}

#[test]
fn a93_a_provider_that_never_answers_costs_no_session() {
    let Plain { provider, gateway, application: _application } = setting("");
    let [mut browser] = due(&provider, &gateway);
    provider.fault("refresh-held", true);
    assert_eq!(browser.fetch("/echo").status, 200);
    until("the refresh is under way", || provider.calls().refresh == 1);
    let begun = Instant::now();
    until("the deadline is near", || begun.elapsed() > Duration::from_secs(9));
    until("the refresh is given up", || ended(&gateway, "provider-timeout") == 1);
    assert_eq!(browser.fetch("/echo").status, 200);
    assert_eq!(provider.calls().refresh, 1);
    provider.fault("refresh-held", false);
}

#[test]
fn a88_a_logout_wins_over_a_refresh_under_way() {
    let Plain { provider, gateway, application: _application } = setting("");
    let [mut browser] = due(&provider, &gateway);
    let mut kept = browser.clone();
    provider.fault("refresh-held", true);
    assert_eq!(browser.fetch("/echo").status, 200);
    until("the refresh is under way", || provider.calls().refresh == 1);
    assert_eq!(browser.post("/.midgate/logout", &[], true).status, 303);
    provider.fault("refresh-held", false);
    until("the answer is thrown away", || ended(&gateway, "too-late") == 1);
    assert_eq!(provider.calls().userinfo, 0);
    let answer = kept.fetch("/echo");
    assert_eq!(answer.status, 401);
    assert!(answer.all("set-cookie").is_empty());
    assert_eq!(gateway.metric("midgate_refreshes_total{provider=\"op\",result=\"ok\"}"), None);
}

#[test]
fn a93_no_refresh_makes_a_session_live_longer() {
    let config = format!("[session]\nlifetime = \"3s\"\n{ROUTES}");
    let Plain { provider, gateway, application: _application } =
        plain("", "acr_ladder = [[\"low\"], [\"high\"]]\n", &config);
    provider.expires_in(json!(1));
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let begun = Instant::now();
    until("the session is over", || browser.fetch("/echo").status == 401);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(provider.calls().refresh > 0);
    let refreshes = provider.calls().refresh;
    assert_eq!((browser.fetch("/echo").status, provider.calls().refresh), (401, refreshes));
}

#[test]
fn a93_an_odd_lifetime_of_a_token_makes_neither_a_panic_nor_a_storm() {
    let Plain { provider, gateway, application: _application } = setting("");
    let odd = [
        json!("3600"),
        json!(-1),
        json!(1e300),
        json!(null),
        json!(0),
        json!(0.5),
        json!("soon"),
        json!([1]),
        json!(u64::MAX),
    ];
    for value in &odd {
        provider.forget_calls();
        provider.expires_in(value.clone());
        let mut browser = Browser::signed_in(&gateway, "/echo");
        for _ in 0..10 {
            assert_eq!(browser.fetch("/echo").status, 200, "{value}");
        }
        assert_eq!(provider.calls().refresh, 0, "{value}");
    }
    let browsers: [Browser; 9] = due(&provider, &gateway);
    for (value, mut browser) in odd.iter().zip(browsers) {
        provider.forget_calls();
        provider.expires_in(value.clone());
        refresh(&mut browser, &gateway);
        for _ in 0..10 {
            assert_eq!(browser.fetch("/echo").status, 200, "{value}");
        }
        assert_eq!(provider.calls().refresh, 1, "{value}");
    }
}

#[test]
fn a_refresh_may_bring_neither_an_id_token_nor_another_refresh_token() {
    let Plain { provider, gateway, application: _application } = setting("");
    provider.patch_id_token(json!({"from_token": "kept"}));
    let [mut browser] = due(&provider, &gateway);
    for fault in ["token-no-id-token", "refresh-no-rotation"] {
        provider.fault(fault, true);
    }
    provider.expires_in(json!(1));
    provider.patch_userinfo(json!({"groups": ["other"]}));
    until("it was refreshed twice", || {
        assert_eq!(browser.fetch("/echo").status, 200);
        ended(&gateway, "ok") == 2
    });
    assert_eq!(provider.calls().reused, 0);
    let echo = browser.echo("/echo", "");
    assert_eq!((echo.one("X-From-Token"), echo.one("X-Groups")), ("kept".to_owned(), "other".to_owned()));
    assert_eq!(echo.one("X-Auth-Acr"), "high");
}

#[test]
fn a_refreshed_id_token_needs_no_nonce() {
    let Plain { provider, gateway, application: _application } = setting("");
    let [mut browser] = due(&provider, &gateway);
    provider.fault("missing-nonce", true);
    refresh(&mut browser, &gateway);
    assert_eq!(browser.fetch("/echo").status, 200);
}

#[test]
fn never_means_never() {
    let Plain { provider, gateway, application: _application } = setting("refresh = \"never\"\n");
    let [mut browser] = due(&provider, &gateway);
    for _ in 0..5 {
        assert_eq!(browser.fetch("/echo").status, 200);
    }
    assert_eq!(provider.calls().refresh, 0);
}

#[test]
fn mobile_id_is_refreshed_where_the_scope_asks_for_it() {
    for (scopes, refreshes) in
        [("", 0), ("scopes = \"openid, profile, phone, mid_profile, offline_access\"\n", 1)]
    {
        let (op, application) = (provider(Manner::MobileId), application());
        let config = format!(
            "\n{}\n[[route]]\nupstream = \"http://127.0.0.1:{}\"\n",
            provider_toml("op", &op, &format!("preset = \"mobileid-ch\"\n{scopes}")),
            application.port()
        );
        let gateway = Gateway::start(&config);
        let [mut browser] = due(&op, &gateway);
        assert_eq!(browser.fetch("/echo").status, 200);
        if refreshes > 0 {
            until("the tokens are refreshed", || ended(&gateway, "ok") == 1);
            let form = op.calls().token_request.form();
            assert!(form.iter().any(|(name, value)| name == "client_secret" && value == "SECRET_zz"));
        }
        assert_eq!(op.calls().refresh, refreshes);
        assert_eq!(browser.echo("/echo", "").one("X-Auth-Name"), "Zoë Müller-François");
    }
}

#[test]
fn a_stream_goes_on_over_a_refresh_and_ends_with_the_session() {
    let Plain { provider, gateway, application: _application } = setting("");
    let [mut browser] = due(&provider, &gateway);
    let mut stream = connect(gateway.port).expect("the gateway listens");
    let request = format!(
        "GET /sse HTTP/1.1\r\nHost: {}\r\nCookie: midgate={}\r\n\r\n",
        browser.host, browser.cookies["midgate"]
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("sent");
    assert_eq!(read_head(&mut stream).expect("a head").status, 200);
    until("the tokens are refreshed", || ended(&gateway, "ok") == 1);
    for _ in 0..3 {
        assert!(read_chunk(&mut stream).expect("still open").is_some());
    }
    assert_eq!(browser.post("/.midgate/logout", &[], true).status, 303);
    let begun = Instant::now();
    let mut rest = Vec::new();
    // However it is cut off, it is.
    let _ = stream.read_to_end(&mut rest);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
