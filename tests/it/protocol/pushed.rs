//! Pushed authorization requests (RFC 9126): what the browser sees of them, what fails, what they vouch for.

use midgate::demo::provider::Manner;
use url::Url;

use super::{ROOT, Setting, setting};
use crate::rig::{Browser, until};

const PRESET: &str = "preset = \"mobileid-ch\"";

fn names(pairs: &[(String, String)]) -> Vec<&str> {
    let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

fn query(location: &str) -> Vec<(String, String)> {
    Url::parse(location).expect("a URL").query_pairs().into_owned().collect()
}

#[test]
fn the_browser_carries_a_reference_and_nothing_else() {
    let Setting { provider, gateway, application: _application } =
        setting(Manner::MobileId, &[], PRESET, ROOT);
    let mut browser = Browser::new(&gateway);
    let start = browser.open("/a/echo?x=1");
    assert_eq!((start.status, provider.calls().par), (302, 1));
    let carried = query(start.location());
    assert_eq!(names(&carried), ["client_id", "request_uri"], "{carried:?}");
    let form = provider.calls().par_request.form();
    let mut once = names(&form);
    once.dedup();
    assert_eq!(once, names(&form), "each parameter once");
    for name in ["client_id", "client_secret", "redirect_uri", "state", "nonce", "code_challenge", "scope"] {
        assert!(form.iter().any(|(known, _)| known == name), "{name} in {form:?}");
    }
    assert_eq!(provider.calls().par_request.header("authorization"), None);
    let callback = browser.visit_provider(start.location());
    let answer = browser.deliver(&callback);
    assert_eq!((answer.status, answer.location()), (303, "/a/echo?x=1"));
    assert_eq!(browser.echo("/a/echo?x=1", "").one("X-Auth-Name"), "Zoë Müller-François");
    let calls = provider.calls();
    assert_eq!((calls.par, calls.authorize, calls.token, calls.userinfo), (1, 1, 1, 1));
}

#[test]
fn the_secret_in_the_header_and_the_endpoints_own_query_go_along() {
    let (op, application) = (crate::rig::provider(Manner::Plain), crate::rig::application());
    let issuer = op.issuer();
    let endpoints = format!(
        "endpoints = {{ authorization = \"{issuer}/authorize?p=one\", pushed_authorization = \"{issuer}/par?p=two\" }}"
    );
    let config = format!(
        "\n{}\n[[route]]\nupstream = \"http://127.0.0.1:{}\"\n",
        crate::rig::provider_toml("op", &op, &endpoints),
        application.port()
    );
    let gateway = crate::rig::Gateway::start(&config);
    op.fault("par-200", true);
    let mut browser = Browser::new(&gateway);
    let start = browser.open("/echo");
    assert_eq!(names(&query(start.location())), ["client_id", "p", "request_uri"]);
    let calls = op.calls();
    assert_eq!(calls.par_request.target, "/par?p=two");
    assert!(calls.par_request.header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    assert!(!calls.par_request.form().iter().any(|(name, _)| name == "client_secret"));
    let callback = browser.visit_provider(start.location());
    assert_eq!(browser.deliver(&callback).status, 303);
}

#[test]
fn what_is_not_offered_or_not_wanted_goes_in_the_address() {
    for (manner, more) in [
        (Manner::Plain, ""),
        (Manner::MobileId, "preset = \"mobileid-ch\"\npushed_authorization = \"never\""),
    ] {
        let Setting { provider, gateway, application: _application } = setting(manner, &[], more, ROOT);
        let mut browser = Browser::new(&gateway);
        let start = browser.open("/echo");
        assert!(names(&query(start.location())).contains(&"code_challenge"));
        let callback = browser.visit_provider(start.location());
        assert_eq!(browser.deliver(&callback).status, 303);
        assert_eq!(provider.calls().par, 0);
    }
}

#[test]
fn a_login_that_must_be_pushed_and_cannot_be_does_not_begin() {
    for (switches, more) in [(&[][..], "pushed_authorization = \"always\""), (&["par-required"], "")] {
        let Setting { provider, gateway, application: _application } =
            setting(Manner::Plain, switches, more, ROOT);
        let mut browser = Browser::new(&gateway);
        let answer = browser.open("/echo");
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(browser.cookies.is_empty() && answer.all("set-cookie").is_empty());
        assert_eq!((provider.calls().par, provider.calls().authorize), (0, 0));
        until("it is logged", || gateway.log().contains("no-pushed-authorization-endpoint"));
    }
    let Setting { provider, gateway, application: _application } =
        setting(Manner::Plain, &["offers-par", "par-required"], "pushed_authorization = \"always\"", ROOT);
    Browser::signed_in(&gateway, "/echo");
    assert_eq!(provider.calls().par, 1);
}

#[test]
fn a_push_that_fails_is_a_page_without_a_second_try_or_a_cookie() {
    let Setting { provider, gateway, application: _application } =
        setting(Manner::Plain, &["offers-par"], "", ROOT);
    gateway.until_warm();
    for (fault, status, reason) in [
        ("par-500", 502, "provider-status"),
        ("par-redirect", 502, "provider-status"),
        ("par-401", 502, "pushed-request-refused"),
        ("par-html", 502, "not-json"),
        ("par-invalid-json", 502, "not-json"),
        ("par-no-request-uri", 502, "no-request-uri"),
        ("par-odd-request-uri", 502, "no-request-uri"),
        ("par-number", 502, "no-request-uri"),
        ("par-oversized", 502, "answer-too-large"),
        ("par-closed", 502, "provider-unreachable"),
        ("par-slow", 504, "provider-timeout"),
    ] {
        provider.heal();
        provider.forget_calls();
        provider.fault(fault, true);
        let mut browser = Browser::new(&gateway);
        let id = format!("request-{fault}");
        let headers = format!("{}X-Request-Id: {id}\r\n", crate::rig::browser::NAVIGATION);
        let answer = browser.ask("GET", "/echo", &headers, b"");
        assert_eq!(answer.status, status, "{fault}: {}", answer.text());
        assert!(browser.cookies.is_empty() && answer.all("set-cookie").is_empty(), "{fault}");
        let calls = provider.calls();
        assert_eq!((calls.par, calls.authorize, calls.token), (1, 0, 0), "{fault}");
        let event = || {
            let log = gateway.log();
            let mut lines = log.lines().filter(|line| line.contains("\"audit.event\":\"login\""));
            lines.any(|line| line.contains(&id) && line.contains(&format!("\"{reason}\"")))
        };
        until(&format!("{fault} is told as {reason}"), event);
    }
    provider.heal();
    Browser::signed_in(&gateway, "/echo");
}

#[test]
fn an_error_of_oauth_is_the_page_that_the_callback_would_have_shown() {
    let Setting { provider, gateway, application: _application } =
        setting(Manner::MobileId, &[], PRESET, ROOT);
    for (error, description, status, trace) in [
        ("access_denied", "mid_auth_3310_A9W1GLUM - Another <script>", 403, "A9W1GLUM"),
        ("invalid_request", "mid_req_1010_T1T1T1T1 - x", 502, "T1T1T1T1"),
        ("invalid_scope", "mid_sec_2010_T2T2T2T2 - x", 502, "T2T2T2T2"),
        ("server_error", "mid_sys_9000_T3T3T3T3 - x", 502, "T3T3T3T3"),
        ("login_required", "", 403, ""),
        ("invalid_client", "", 502, ""),
    ] {
        provider.forget_calls();
        provider.refuse_pushed(error, description);
        let mut browser = Browser::new(&gateway);
        let answer = browser.open("/page");
        assert_eq!(answer.status, status, "{error}: {}", answer.text());
        assert!(answer.text().contains(trace) && !answer.text().contains("<script>"), "{}", answer.text());
        let again = crate::rig::browser::unescaped(&answer.text()).contains("/.midgate/login?rd=%2Fpage");
        assert!(again || status != 403, "a person can try again");
        assert!(browser.cookies.is_empty(), "{error}");
        assert_eq!((provider.calls().par, provider.calls().authorize), (1, 0), "{error}");
    }
    provider.heal();
    Browser::signed_in(&gateway, "/echo");
}

const FRESH: &str = "[[route]]\nupstream = \"{up}\"\n[[route]]\npath = \"/fresh/\"\nupstream = \"{up}\"\nrequire = { max_age = \"10m\" }\n";

#[test]
fn a_pushed_demand_to_sign_in_anew_vouches_for_the_time_where_max_age_is_forbidden() {
    let Setting { provider, gateway, application: _application } =
        setting(Manner::MobileId, &["missing-auth-time"], PRESET, FRESH);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    assert!(
        browser.fetch("/.midgate/session").json()["auth_time"].is_null(),
        "a plain login vouches for nothing"
    );
    assert_eq!(browser.fetch("/fresh/echo").status, 401);
    assert_eq!(browser.sign_in("/fresh/echo").status, 303);
    let calls = provider.calls();
    assert_eq!((calls.parameter("prompt"), calls.parameter("max_age")), (Some("login"), None));
    assert_eq!(browser.fetch("/fresh/echo").status, 200);
    let session = browser.fetch("/.midgate/session").json();
    let age = session["created"].as_u64().zip(session["auth_time"].as_u64()).map(|(made, at)| made - at);
    assert!(age.is_some_and(|age| age < 60), "{session}");
    // What the ID token says stands.
    provider.fault("old-auth-time", true);
    provider.fault("missing-auth-time", false);
    assert_eq!(browser.sign_in("/.midgate/login?rd=/fresh/echo").status, 403);
}

#[test]
fn nothing_else_vouches_for_the_time() {
    let never = format!("{PRESET}\npushed_authorization = \"never\"");
    for (manner, switches, more) in [
        // In the address the person could have struck prompt out.
        (Manner::MobileId, &["missing-auth-time"][..], never.as_str()),
        // This provider takes max_age, and then must say auth_time.
        (Manner::Plain, &["missing-auth-time", "offers-par"], ""),
        // prompt is not sent at all.
        (Manner::Plain, &["missing-auth-time", "offers-par"], "forbid = [\"max_age\", \"prompt\"]"),
    ] {
        let Setting { provider: _provider, gateway, application: _application } =
            setting(manner, switches, more, FRESH);
        let mut browser = Browser::new(&gateway);
        assert_eq!(browser.sign_in("/fresh/echo").status, 403, "{more}");
        until("it is logged", || gateway.log().contains("not-fresh"));
    }
}

#[test]
fn check_online_tells_what_pushing_will_come_to() {
    let application = crate::rig::application();
    for (switches, more, code, warning) in [
        (&[][..], "forbid = [\"max_age\"]", 0, Some("may-never-be-fresh")),
        (&["offers-par"], "forbid = [\"max_age\"]", 0, None),
        (
            &["offers-par"],
            "forbid = [\"max_age\"]\npushed_authorization = \"never\"",
            0,
            Some("may-never-be-fresh"),
        ),
        (&[], "", 0, None),
        (&["offers-par", "par-required"], "pushed_authorization = \"never\"", 0, Some("provider-wants-par")),
        (&[], "pushed_authorization = \"always\"", 1, None),
        (&["par-required"], "", 1, None),
    ] {
        let (op, folder) = (crate::rig::provider(Manner::Plain), crate::rig::Folder::new());
        switches.iter().for_each(|name| op.fault(name, true));
        let text = format!(
            "public_url = \"http://localhost:1\"\n{}\n[[route]]\nupstream = \"http://127.0.0.1:{}\"\n\
             require = {{ max_age = \"10m\" }}\n",
            crate::rig::provider_toml("op", &op, more),
            application.port()
        );
        let path = folder.write("gateway.toml", &text).to_string_lossy().into_owned();
        let (found, out, err) =
            crate::rig::gateway::command(&["check", "--online", "--json", "--config", &path]);
        assert_eq!(found, code, "{more}: {out}{err}");
        let told: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let all = told["warnings"].as_array().expect("a list");
        let names = all.iter().filter_map(|warning| warning["name"].as_str());
        let ours: Vec<&str> = names.filter(|name| name.contains("fresh") || name.contains("par")).collect();
        assert_eq!(ours, Vec::from_iter(warning), "{switches:?} {more}");
        assert_eq!(code == 1, out.contains("no-pushed-authorization-endpoint"), "{out}");
        assert_eq!(op.calls().par, 0, "nobody is asked to sign in");
    }
}

#[test]
fn no_part_of_a_pushed_request_is_logged() {
    let routes = format!("[log]\nlevel = \"trace\"\n{ROOT}");
    let Setting { provider, gateway, application: _application } =
        setting(Manner::MobileId, &[], PRESET, &routes);
    let mut browser = Browser::new(&gateway);
    let start = browser.open("/echo");
    let reference =
        query(start.location()).into_iter().find(|(name, _)| name == "request_uri").expect("pushed").1;
    provider.refuse_pushed("access_denied", "mid_auth_3010_T - DESCRIPTION_zz");
    assert_eq!(Browser::new(&gateway).open("/echo").status, 403);
    until("the refusal is logged", || gateway.log().contains("\"rejected\""));
    let state = provider.calls().par_request.form().into_iter().find(|(name, _)| name == "state");
    let (log, state) = (gateway.log(), state.expect("pushed").1);
    for secret in [reference.as_str(), &state, "SECRET_zz", "DESCRIPTION_zz"] {
        assert!(!log.contains(secret), "{secret}");
    }
}
