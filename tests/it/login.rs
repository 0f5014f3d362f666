//! A login from the first page to the application, with each kind of provider.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use midgate::demo::provider::{Manner, Simulated};
use ring::digest::{SHA256, digest};

use crate::rig::browser::unescaped;
use crate::rig::{Browser, Folder, Gateway, application, plain, provider, provider_toml, send};

/// base64url of SHA-256(issuer, zero, subject), made here independently.
fn user_key(issuer: &str, subject: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, format!("{issuer}\0{subject}").as_bytes()))
}

struct Setting {
    provider: Simulated,
    gateway: Gateway,
    application: midgate::demo::application::Application,
}

/// One route behind one provider of a preset.
fn setting(manner: Manner, more: &str) -> Setting {
    let (provider, application) = (provider(manner), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let config = format!("\n{}\n[[route]]\nupstream = \"{up}\"\n", provider_toml("op", &provider, more));
    let gateway = Gateway::start(&config);
    Setting { provider, gateway, application }
}

#[test]
fn mobile_id_signs_in_with_everything_that_it_wants_and_nothing_that_it_forbids() {
    let Setting { provider, gateway, application: _application } =
        setting(Manner::MobileId, "preset = \"mobileid-ch\"");
    let mut browser = Browser::new(&gateway);
    let answer = browser.sign_in("/a/echo?x=1&y=%2F");
    assert_eq!((answer.status, answer.location()), (303, "/a/echo?x=1&y=%2F"));
    let calls = provider.calls();
    assert_eq!((calls.token, calls.userinfo), (1, 1));
    let names: Vec<&str> = calls.authorization.iter().map(|(name, _)| name.as_str()).collect();
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), names.len(), "{names:?}");
    for name in ["response_mode", "display", "max_age", "id_token_hint", "claims", "acr_values"] {
        assert_eq!(calls.parameter(name), None, "{name}");
    }
    assert_eq!(calls.parameter("response_type"), Some("code"));
    assert_eq!(calls.parameter("client_id"), Some("us"));
    assert_eq!(calls.parameter("scope"), Some("openid profile phone mid_profile"));
    assert_eq!(calls.parameter("code_challenge_method"), Some("S256"));
    let callback = format!("http://localhost:{}/.midgate/callback", gateway.port);
    assert_eq!(calls.parameter("redirect_uri"), Some(callback.as_str()));
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(calls.parameter(name).map(str::len), Some(43), "{name}");
    }
    let form = calls.token_request.form();
    let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    assert_eq!(field("client_secret").as_deref(), Some("SECRET_zz"));
    assert_eq!(calls.token_request.header("authorization"), None);
    assert_eq!(field("redirect_uri"), Some(callback));
    assert_eq!(calls.userinfo_request.target, "/userinfo");

    let echo = browser.echo("/a/echo?x=1&y=%2F", "");
    assert_eq!(echo.target(), "/a/echo?x=1&y=%2F");
    let session = browser.fetch("/.midgate/session").json();
    let sub = session["sub"].as_str().unwrap_or_default();
    assert_eq!(echo.one("X-Auth-User"), user_key(&provider.issuer(), sub));
    assert_eq!(echo.one("X-Auth-Name"), "Zoë Müller-François");
    assert_eq!(echo.one("X-Auth-Acr"), "mid_al3_any");
    assert_eq!(echo.one("X-Auth-Provider"), "op");
    assert!(echo.all("X-Auth-Document-Id").is_empty());
}

#[test]
fn idemia_signs_in_by_a_form_that_is_posted_again_from_our_origin() {
    let Setting { provider, gateway, application: _application } =
        setting(Manner::Idemia, "preset = \"idemia\"");
    let mut browser = Browser::new(&gateway);
    let start = browser.open("/echo");
    let callback = browser.visit_provider(start.location());
    let fields = callback.form.clone().expect("a form");
    let first = browser.post(&callback.target, &fields, false);
    assert_eq!((first.status, provider.calls().token), (200, 0));
    assert!(first.text().contains("<form"), "{}", first.text());
    let answer = browser.deliver(&callback);
    assert_eq!((answer.status, answer.location()), (303, "/echo"));
    let calls = provider.calls();
    assert_eq!(calls.parameter("response_mode"), Some("form_post"));
    assert_eq!(calls.parameter("acr_values"), Some("loa-2"));
    assert_eq!(calls.parameter("scope"), Some("openid id_basic mt_scope"));
    assert!(calls.token_request.header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    assert!(!calls.token_request.form().iter().any(|(name, _)| name == "client_secret"));
    let echo = browser.echo("/echo", "");
    assert_eq!(echo.one("X-Auth-Name"), "Zoë Müller-François");
    assert_eq!(echo.one("X-Auth-Document-Id"), "X1234567");
    assert_eq!(echo.one("X-Auth-Acr"), "loa-2");
    let claims = browser.fetch("/.midgate/session").json()["claims"].clone();
    assert_eq!(claims["givenName"], "Zoë");
    assert_eq!(claims["surName"], "Müller-François");
    assert_eq!(claims["tenantId"], "ch-zh");
}

#[test]
fn azure_b2c_signs_in_with_its_own_issuer_and_without_userinfo() {
    let Setting { provider, gateway, application: _application } =
        setting(Manner::B2c, "preset = \"azure-b2c\"\nclaims = { name = \"name\" }");
    let mut browser = Browser::new(&gateway);
    let answer = browser.sign_in("/echo");
    assert_eq!(answer.status, 303, "{}", answer.text());
    let calls = provider.calls();
    assert_eq!((calls.token, calls.userinfo), (1, 0));
    // The endpoint's own query is kept beside ours.
    assert_eq!(calls.parameter("p"), Some("b2c_1a_signin"));
    assert_eq!(calls.parameter("response_mode"), Some("form_post"));
    assert!(calls.token_request.target.ends_with("?p=b2c_1a_signin"));
    assert_eq!(browser.echo("/echo", "").one("X-Auth-Name"), "Zoë Müller-François");
}

#[test]
fn a_local_discovery_document_and_endpoints_by_hand_serve_as_well() {
    let folder = Folder::new();
    let (op, application) = (provider(Manner::Plain), application());
    let request = "GET /.well-known/openid-configuration HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    folder.write("op.json", &send(op.port(), request.as_bytes()).expect("the provider answers").text());
    let issuer = op.issuer();
    let config = format!(
        r#"
        [[provider]]
        id = "file"
        issuer = "{issuer}"
        discovery = "file:op.json"
        client_id = "us"
        client_secret = "SECRET_zz"
        [[provider]]
        id = "hand"
        issuer = "{issuer}"
        discovery = false
        endpoints = {{ authorization = "{issuer}/authorize", token = "{issuer}/token", userinfo = "{issuer}/userinfo", jwks = "{issuer}/jwks" }}
        client_id = "us"
        client_secret = "SECRET_zz"
        [[route]]
        path = "/file/"
        upstream = "http://127.0.0.1:{up}"
        providers = ["file"]
        [[route]]
        path = "/hand/"
        upstream = "http://127.0.0.1:{up}"
        providers = ["hand"]
        "#,
        up = application.port()
    );
    op.forget_calls();
    let gateway = Gateway::start_in(folder, crate::rig::gateway::free_port(), &config);
    for path in ["/file/echo", "/hand/echo"] {
        let mut browser = Browser::signed_in(&gateway, path);
        assert_eq!(browser.echo(path, "").one("X-Auth-Provider"), path[1..5]);
    }
    assert_eq!(op.calls().discovery, 0);
}

#[test]
fn a_login_makes_a_new_session_id_each_time_and_ends_the_old_session() {
    let shared = crate::rig::shared();
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    let old = browser.cookies.clone();
    let start = browser.open("/.midgate/login?rd=/echo");
    let callback = browser.visit_provider(start.location());
    assert_eq!(browser.deliver(&callback).status, 303);
    assert_ne!(browser.cookies["midgate"], old["midgate"]);
    let mut thief = Browser::new(&shared.gateway);
    thief.cookies = old;
    assert!(!thief.is_signed_in());
    assert!(browser.is_signed_in());
}

#[test]
fn a_planted_session_cookie_never_becomes_the_victims() {
    let shared = crate::rig::shared();
    let mut browser = Browser::new(&shared.gateway);
    let planted = "A".repeat(43);
    browser.cookies.insert("midgate".into(), planted.clone());
    assert_eq!(browser.sign_in("/echo").status, 303);
    assert_ne!(browser.cookies["midgate"], planted);
}

#[test]
fn two_tabs_never_collide() {
    let shared = crate::rig::shared();
    let mut browser = Browser::new(&shared.gateway);
    let (first, second) = (browser.open("/one/echo"), browser.open("/two/echo"));
    let callbacks = [&second, &first].map(|start| browser.visit_provider(start.location()));
    assert_eq!(browser.deliver(&callbacks[0]).location(), "/two/echo");
    assert_eq!(browser.deliver(&callbacks[1]).location(), "/one/echo");
    assert!(browser.is_signed_in());
}

#[test]
fn a33_a_callback_twice_leads_to_the_page_and_a_stranger_nowhere() {
    let shared = plain("", "", "[[route]]\nupstream = \"{up}\"\n");
    let mut browser = Browser::new(&shared.gateway);
    let start = browser.open("/x/echo");
    let (callback, before) = (browser.visit_provider(start.location()), browser.clone());
    let mut other = Browser::new(&shared.gateway);
    let stolen = other.deliver(&callback);
    assert_eq!((stolen.status, shared.provider.calls().token), (400, 0));
    assert!(stolen.all("set-cookie").is_empty());
    assert_eq!(browser.deliver(&callback).status, 303);
    let again = browser.deliver(&callback);
    assert_eq!((again.status, again.location()), (303, "/x/echo"));
    // The same login cookie without the session that it made.
    let mut replayed = before;
    assert_eq!(replayed.deliver(&callback).status, 400);
    assert_eq!(shared.provider.calls().token, 1);
}

#[test]
fn a_restart_in_the_middle_of_a_login_loses_nothing() {
    let (op, application) = (provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let config = format!(
        "\n[session]\nkeys_file = \"{{folder}}/keys\"\n{}\n[[route]]\nupstream = \"{up}\"\n",
        provider_toml("op", &op, "")
    );
    let mut gateway = Gateway::start(&config);
    let mut browser = Browser::new(&gateway);
    let start = browser.open("/echo");
    let callback = browser.visit_provider(start.location());
    gateway.restart();
    assert_eq!(browser.deliver(&callback).status, 303);
    assert!(browser.is_signed_in());
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(gateway.folder.path("keys")).expect("written").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a33_a_login_that_takes_too_long_is_refused_before_any_call() {
    let shared = plain("", "", "[login]\ntimeout = \"1s\"\n[[route]]\nupstream = \"{up}\"\n");
    let mut browser = Browser::new(&shared.gateway);
    let start = browser.open("/echo");
    let callback = browser.visit_provider(start.location());
    let begun = std::time::Instant::now();
    crate::rig::until("the login is too old", || begun.elapsed().as_millis() > 2100);
    assert_eq!((browser.deliver(&callback).status, shared.provider.calls().token), (400, 0));
}

#[test]
fn a_refusal_on_the_phone_is_a_page_with_the_trace_and_other_logins_go_on() {
    let Setting { provider, gateway, application: _application } =
        setting(Manner::MobileId, "preset = \"mobileid-ch\"");
    let mut browser = Browser::new(&gateway);
    let other = browser.open("/other/echo");
    provider.answer_error("access_denied", "mid_auth_3010_A9W1GLUM - Rejected <script>");
    let start = browser.open("/echo");
    let callback = browser.visit_provider(start.location());
    let refused = browser.deliver(&callback);
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("A9W1GLUM"), "{}", refused.text());
    assert!(!refused.text().contains("<script>"));
    assert!(unescaped(&refused.text()).contains("/.midgate/login?rd=%2Fecho"), "{}", refused.text());
    assert_eq!(provider.calls().token, 0);
    assert!(!browser.is_signed_in());
    provider.heal();
    let callback = browser.visit_provider(other.location());
    assert_eq!(browser.deliver(&callback).location(), "/other/echo");
}

#[test]
fn every_error_of_a_provider_has_its_status() {
    let Setting { provider, gateway, application: _application } =
        setting(Manner::MobileId, "preset = \"mobileid-ch\"");
    for (error, description, status) in [
        ("access_denied", "mid_auth_3012_T - x", 403),
        ("access_denied", "", 403),
        ("login_required", "", 403),
        ("invalid_request", "mid_req_1010_T - x", 502),
        ("invalid_scope", "mid_sec_2010_T - x", 502),
        ("server_error", "mid_sys_9000_T - x", 502),
        ("odd_error", "x\r\ny", 403),
    ] {
        provider.answer_error(error, description);
        let mut browser = Browser::new(&gateway);
        assert_eq!(browser.sign_in("/echo").status, status, "{error} {description}");
        assert!(!browser.is_signed_in());
    }
    assert_eq!(provider.calls().token, 0);
}

#[test]
fn client_id_and_secret_with_odd_characters_are_encoded_as_the_rfc_says() {
    let (id, secret) = ("a:b%c+d é", "s:%+ é/=");
    let op = Simulated::start(midgate::demo::provider::Settings {
        manner: Manner::Plain,
        host: "127.0.0.1".into(),
        port: 0,
        client_id: id.into(),
        client_secret: secret.into(),
        interactive: false,
    })
    .expect("a free port");
    let application = application();
    for auth in ["client_secret_basic", "client_secret_post"] {
        let config = format!(
            "\n[[provider]]\nid = \"op\"\nissuer = \"{}\"\nclient_id = \"{id}\"\nclient_secret = \"{secret}\"\n\
             client_auth = \"{auth}\"\n[[route]]\nupstream = \"http://127.0.0.1:{}\"\n",
            op.issuer(),
            application.port()
        );
        let gateway = Gateway::start(&config);
        Browser::signed_in(&gateway, "/echo");
    }
}
