//! What is logged, and what never is.

use serde_json::{Value, json};

use crate::rig::gateway::command;
use crate::rig::{Browser, plain};

#[test]
fn each_request_is_one_event_and_each_line_is_json() {
    let shared = plain("", "", "[[route]]\nid = \"app\"\nupstream = \"{up}\"\n");
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    browser.ask("GET", "/one/echo?token=TOKEN_zz", "X-Request-Id: request-one-1\r\n", b"");
    browser.ask(
        "GET",
        "/%7b%22level%22/echo",
        "X-Request-Id: request-two-2\r\nUser-Agent: {\"level\":\"error\"}\r\n",
        b"",
    );
    crate::rig::until("the events are written", || shared.gateway.log().contains("request-two-2"));
    let log = shared.gateway.log();
    let events: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let one: Vec<&Value> = events.iter().filter(|event| event["request.id"] == "request-one-1").collect();
    assert_eq!(one.len(), 1, "{log}");
    let event = one[0];
    assert_eq!(event["request.path"], "/one/echo");
    assert_eq!(event["request.method"], "GET");
    assert_eq!(event["route.name"], "app");
    assert_eq!(event["response.status"], 200);
    assert!(event["duration_ms"].is_u64() && event["session.ref"].is_string(), "{event}");
    assert!(
        events.iter().any(|event| event["audit.event"] == "login" && event["audit.result"] == "ok"),
        "{log}"
    );
    browser.post("/.midgate/logout", &[], true);
    crate::rig::until("the logout is written", || {
        shared.gateway.log().contains("\"audit.event\":\"logout\"")
    });
}

#[test]
fn a107_no_secret_and_nothing_personal_is_ever_logged() {
    for level in ["trace", "debug"] {
        let log = format!(
            "[log]\nlevel = \"{level}\"\n[listen]\nadmin = \"unix:{{folder}}/admin.sock\"\n[[route]]\nupstream = \"{{up}}\"\npass_token = \"access_token\"\n"
        );
        let shared = plain("", "required_claims = [\"sub\"]", &log);
        shared.provider.expires_in(json!(1));
        let mut browser = Browser::new(&shared.gateway);
        let start = browser.open("/echo?q=QUERY_zz");
        let login_cookie = browser.cookies.values().next().cloned().unwrap_or_default();
        let callback = browser.visit_provider(start.location());
        assert_eq!(browser.deliver(&callback).status, 303);
        let session = browser.cookies["midgate"].clone();
        let mut pages = Vec::new();
        browser.echo("/echo?q=QUERY_zz", "Authorization: Bearer TOKEN_zz\r\nCookie: app=COOKIE_zz\r\n");
        crate::rig::until("the tokens are refreshed", || {
            browser.fetch("/echo");
            shared.gateway.metric("midgate_refreshes_total{provider=\"op\",result=\"ok\"}").is_some()
        });
        for fault in [
            "token-invalid-grant",
            "bad-signature",
            "userinfo-500",
            "answer-wrong-iss",
            "token-html",
            "name-crlf",
        ] {
            shared.provider.heal();
            shared.provider.fault(fault, true);
            pages.push(Browser::new(&shared.gateway).sign_in("/echo?q=QUERY_zz"));
        }
        shared.provider.answer_error("access_denied", "line\nbreak QUERY_zz");
        pages.push(Browser::new(&shared.gateway).sign_in("/echo"));
        for query in [
            "code=CODE_zz&state=STATE_zz",
            "code=CODE_zz",
            "state=STATE_zz",
            "code=CODE_zz&code=CODE_zz&state=STATE_zz",
            "error=CODE_zz&error_description=STATE_zz&state=STATE_zz",
        ] {
            pages.push(browser.open(&format!("/.midgate/callback?{query}")));
        }
        pages.extend([browser.fetch("/.midgate/session"), browser.open("/.midgate/session")]);
        let state = shared.provider.calls().parameter("state").unwrap_or_default().to_owned();
        crate::rig::until("the log is written", || shared.gateway.log().contains("\"response.status\":400"));
        let path = shared.gateway.folder.path("gateway.toml").to_string_lossy().into_owned();
        let (code, sessions, _) = command(&["sessions", "--config", &path, "list", "--json"]);
        assert!(code == 0 && sessions.contains("\"ref\""), "{sessions}");
        let (log, metrics) = (shared.gateway.log(), shared.gateway.health("/metrics").1);
        for secret in [
            "CODE_zz",
            "STATE_zz",
            "COOKIE_zz",
            "SECRET_zz",
            "TOKEN_zz",
            "REFRESH_zz",
            "QUERY_zz",
            "Müller",
            "zoe@example.ch",
            "eyJ",
            &session,
            &login_cookie,
            &state,
        ] {
            assert!(!secret.is_empty());
            let line = log.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} in {line:?}");
            assert!(!metrics.contains(secret) && !sessions.contains(secret), "{secret}");
            // Whose session it is may read the name there, and be led back to the page with its query.
            let is_shown = matches!(secret, "Müller" | "zoe@example.ch" | "QUERY_zz");
            let page = pages.iter().find(|page| page.text().contains(secret));
            assert!(is_shown || page.is_none(), "{secret} in {page:?}");
        }
    }
}
