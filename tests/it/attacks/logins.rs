//! Section 4: login CSRF, fixation, replay, mix-up. Rows that are stories of their own stand with them: `login`,
//! `hostile_provider`.

use std::collections::HashSet;
use std::io::Write;

use serde_json::json;
use url::Url;

use super::stage::{Stage, cookie};
use crate::rig::browser::NAVIGATION;
use crate::rig::until;
use crate::rig::wire::{connect, read};

#[test]
fn a32_a_callback_of_another_browsers_login_is_400_without_a_call() {
    let stage = Stage::new();
    let mut theirs = stage.none();
    let start = theirs.open("/x");
    let callback = theirs.visit_provider(start.location());
    let mut other = stage.none();
    other.open("/x");
    for mut browser in [stage.none(), other] {
        let before = browser.cookies.clone();
        let answer = browser.deliver(&callback);
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.all("set-cookie").is_empty() && browser.cookies == before);
    }
    assert_eq!(stage.op.calls().token, 0);
    assert_eq!(theirs.deliver(&callback).status, 303, "the login that it belongs to goes on");
}

#[test]
fn a34_a_planted_cookie_never_sees_the_victims_session() {
    let stage = Stage::new();
    let attacker = stage.low();
    let planted = attacker.cookies["__Host-midgate"].clone();
    for planted in [planted, "A".repeat(43)] {
        let mut victim = stage.none();
        victim.cookies.insert("__Host-midgate".into(), planted.clone());
        stage.op.patch_id_token(json!({ "sub": "victim", "acr": "loa-3" }));
        stage.op.patch_userinfo(json!({ "sub": "victim", "name": "victim" }));
        // The attacker's session is good for /x, so the login is asked for.
        let start = victim.open("/.midgate/login?rd=/x");
        let callback = victim.visit_provider(start.location());
        assert_eq!(victim.deliver(&callback).status, 303);
        assert_ne!(victim.cookies["__Host-midgate"], planted);
        assert_eq!(stage.seen(&victim, "/x", "").one("X-Auth-Name"), "victim");
        let mut old = stage.none();
        old.cookies.insert("__Host-midgate".into(), planted);
        let answer = stage.get(&old, "/x", "");
        assert_eq!(answer.status, 401, "the planted session has ended: {answer:?}");
    }
}

#[test]
fn a35_a_step_up_by_somebody_else_is_a_wholly_new_session() {
    let stage = Stage::new();
    let mut alice = stage.low();
    stage.op.patch_id_token(json!({ "sub": "bob", "acr": "loa-3" }));
    stage.op.patch_userinfo(json!({ "sub": "bob", "name": "bob", "documentId": null }));
    let start = alice.open("/admin/x");
    assert_eq!(start.status, 302);
    // The simulated provider knows other levels; what it grants is what was patched.
    let location = start.location().replace("acr_values=loa-3", "acr_values=");
    let callback = alice.visit_provider(&location);
    let answer = alice.deliver(&callback);
    if answer.status == 303 {
        let echo = stage.seen(&alice, "/admin/x", "");
        assert_eq!((echo.one("X-Auth-Name"), echo.one("X-Auth-Acr")), ("bob".into(), "loa-3".into()));
        assert!(!echo.0.to_string().contains("alice"));
    } else {
        assert_eq!(answer.status, 403, "{answer:?}");
        assert_eq!(stage.seen(&alice, "/x", "").one("X-Auth-Acr"), "loa-2");
    }
}

#[test]
fn a37_an_odd_callback_query_is_400_without_a_call() {
    let stage = Stage::new();
    for query in [
        "",
        "&",
        "=",
        "&&=",
        "code=x",
        "state=y",
        "code=&state=y",
        "code=x&state=",
        "code=x&code=x&state=y",
        "code=x&state=y&state=y",
        "code=x&state=y&error=z",
        "code=x&state=y",
        "%zz=%zz",
        "code=x&state=y&iss=a&iss=a",
        "code=%ff%fe&state=%00",
    ] {
        let answer = stage.none().open(&format!("/.midgate/callback?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.all("set-cookie").is_empty(), "{query}");
    }
    // The same with a login of this browser's under way.
    for change in [
        ("code=", "code=&x="),
        ("state=", "state=a&state="),
        ("code=", "error=z&code="),
        ("code=", "code=a&code="),
    ] {
        let mut browser = stage.none();
        let start = browser.open("/x");
        let mut callback = browser.visit_provider(start.location());
        callback.target = callback.target.replacen(change.0, change.1, 1);
        assert_eq!(browser.deliver(&callback).status, 400, "{}", callback.target);
    }
    assert_eq!(stage.op.calls().token, 0);
}

#[test]
fn a38_a_posted_callback_is_one_form_and_nothing_else() {
    let stage = Stage::new();
    let mut browser = stage.none();
    for (kind, body) in [
        ("", ""),
        ("", "code=x&state=y"),
        ("Content-Type: application/json\r\n", "{\"code\":\"x\",\"state\":\"y\"}"),
        ("Content-Type: multipart/form-data; boundary=x\r\n", "--x--"),
        ("Content-Type: application/x-www-form-urlencoded\r\nContent-Type: text/plain\r\n", "code=x&state=y"),
    ] {
        let answer = browser.ask("POST", "/.midgate/callback", kind, body.as_bytes());
        assert_eq!(answer.status, 400, "{kind} {body}");
    }
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let both = browser.ask("POST", "/.midgate/callback?code=x&state=y", form, b"code=x&state=y");
    assert_eq!(both.status, 400);
    assert_eq!(stage.op.calls().token, 0);
    // A correct form, in chunks.
    let start = browser.open("/x");
    let callback = browser.visit_provider(start.location());
    let query = callback.target.split_once('?').expect("a query").1;
    let chunks: String = query
        .as_bytes()
        .chunks(7)
        .map(|part| format!("{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part)))
        .collect();
    let answer = stage.raw(format!(
        "POST /.midgate/callback HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n{}{form}\
         Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n",
        cookie(&browser)
    ));
    assert_eq!(answer.status, 303, "{answer:?}");
}

#[test]
fn a39_a_cross_site_form_needs_this_browsers_binding() {
    let stage = Stage::new();
    let mut browser = stage.none();
    let start = browser.open("/x");
    let callback = browser.visit_provider(start.location());
    let fields: Vec<(String, String)> = Url::parse(&format!("https://app.test{}", callback.target))
        .expect("a URL")
        .query_pairs()
        .into_owned()
        .collect();
    // Another browser posts it again from our page, as a script there would: it has no cookie of this login.
    let form = crate::rig::browser::Callback { target: "/.midgate/callback".into(), form: Some(fields) };
    let mut stranger = stage.none();
    let answer = stranger.deliver(&form);
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(stage.op.calls().token, 0);
    assert_eq!(browser.deliver(&form).status, 303, "one same-site second hop brings the cookie");
}

#[test]
fn a40_a_strangers_error_changes_nothing() {
    let stage = Stage::new();
    let mut browser = stage.none();
    let start = browser.open("/x");
    let mut other = stage.none();
    let foreign = other.open("/x");
    let state = |location: &str| {
        let url = Url::parse(location).expect("a URL");
        url.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned()
    };
    let foreign = state(foreign.location());
    for query in [
        "error=access_denied".to_owned(),
        "error=access_denied&state=".into(),
        format!("error=access_denied&state={foreign}"),
    ] {
        for mut visitor in [stage.none(), browser.clone()] {
            let before = visitor.cookies.clone();
            let answer = visitor.open(&format!("/.midgate/callback?{query}"));
            assert_eq!(answer.status, 400, "{query}");
            assert!(answer.all("set-cookie").is_empty() && visitor.cookies == before, "{query}");
        }
    }
    let callback = browser.visit_provider(start.location());
    assert_eq!(browser.deliver(&callback).status, 303, "the pending login still works");
}

#[test]
fn a41_each_login_has_values_of_its_own_and_s256() {
    let stage = Stage::new();
    let mut stream = connect(stage.gateway.port).expect("it listens");
    let mut seen: HashSet<String> = HashSet::new();
    for _ in 0..1000 {
        write!(stream, "GET /x HTTP/1.1\r\nHost: app.test\r\n{NAVIGATION}\r\n").expect("still open");
        let answer = read(&mut stream, false).expect("an answer");
        let url = Url::parse(answer.location()).expect("a URL");
        for (name, value) in url.query_pairs() {
            match &*name {
                // 128 bits are 22 letters of base64url.
                "state" | "nonce" | "code_challenge" => {
                    assert!(value.len() >= 22, "{name}={value}");
                    assert!(seen.insert(format!("{name}={value}")), "{name}={value} came twice");
                }
                "code_challenge_method" => assert_eq!(value, "S256"),
                _ => {}
            }
        }
    }
    assert_eq!(seen.len(), 3000);
}

#[test]
fn a41_a_provider_with_plain_pkce_alone_is_not_used() {
    let folder = crate::rig::Folder::new();
    let op = crate::rig::provider(midgate::demo::provider::Manner::Plain);
    let base = format!("http://127.0.0.1:{}", op.port());
    let document = json!({
        "issuer": op.issuer(), "authorization_endpoint": format!("{base}/authorize"), "token_endpoint": format!("{base}/token"),
        "jwks_uri": format!("{base}/jwks"), "code_challenge_methods_supported": ["plain"],
    });
    folder.write("op.json", &document.to_string());
    let config = format!(
        "[[provider]]\nid = \"op\"\nissuer = \"{}\"\ndiscovery = \"file:{{folder}}/op.json\"\nclient_id = \"us\"\n\
         client_secret = \"SECRET_zz\"\n[[route]]\nupstream = \"http://127.0.0.1:1\"\n",
        op.issuer()
    );
    let gateway = crate::rig::Gateway::start_in(folder, crate::rig::gateway::free_port(), &config);
    until("the refusal is logged", || gateway.log().contains("pkce-s256-unsupported"));
    let answer = crate::rig::Browser::new(&gateway).open("/x");
    assert_eq!(answer.status, 502, "{answer:?}");
}

#[test]
fn a42_a_visitors_parameters_change_nothing_in_the_authorization_request() {
    let stage = Stage::new();
    let asked = "rd=/x&scope=admin&client_id=evil&redirect_uri=https://evil.test&nonce=1&state=1&response_mode=fragment&response_type=token&prompt=none";
    let start = stage.none().open(&format!("/.midgate/login?{asked}"));
    let url = Url::parse(start.location()).expect("a URL");
    let all: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let names: HashSet<&String> = all.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), all.len(), "each parameter once: {all:?}");
    let redirect = "https://app.test/.midgate/callback";
    for (name, value) in
        [("client_id", "us"), ("scope", "openid"), ("redirect_uri", redirect), ("response_type", "code")]
    {
        assert!(all.contains(&(name.to_owned(), value.to_owned())), "{name} in {all:?}");
    }
    assert!(
        !start.location().contains("evil") && !start.location().contains("prompt"),
        "{}",
        start.location()
    );
    for bad in
        ["acr=loa-3%26prompt=none", "acr=loa-9", "provider=evil", "iss=https://evil.test/", "rd=/a&rd=/b"]
    {
        assert_eq!(stage.none().open(&format!("/.midgate/login?{bad}")).status, 400, "{bad}");
    }
}

#[test]
fn a43_no_header_moves_a_login_to_another_host() {
    let stage = Stage::new();
    let mut foreign = stage.none();
    "evil.test".clone_into(&mut foreign.host);
    for target in ["/x", "/.midgate/login?rd=/x", "/.midgate/callback?code=x&state=y"] {
        assert_eq!(foreign.open(target).status, 421, "{target}");
    }
    for line in [
        "X-Forwarded-Host: evil.test",
        "Forwarded: host=evil.test",
        "X-Host: evil.test",
        "X-Forwarded-Port: 8443",
    ] {
        let start = stage.none().ask("GET", "/x", &format!("{NAVIGATION}{line}\r\n"), b"");
        let url = Url::parse(start.location()).expect("a URL");
        let redirect = url.query_pairs().find(|(name, _)| name == "redirect_uri").expect("one").1;
        assert_eq!(redirect, "https://app.test/.midgate/callback", "{line}");
    }
}

#[test]
fn a44_nothing_of_the_application_is_seen_before_the_login() {
    let stage = Stage::new();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        for headers in [NAVIGATION, "Accept: */*\r\n", ""] {
            let answer = stage.none().ask(method, "/x", headers, b"");
            stage.denied(method, &answer);
            assert!(!answer.text().contains("CANARY_zz"), "{method}");
        }
    }
    // The browser hangs up while the provider thinks about the code: nothing is left of the login.
    stage.op.fault("token-slow", true);
    let mut browser = stage.none();
    let start = browser.open("/x");
    let callback = browser.visit_provider(start.location());
    let mut stream = connect(stage.gateway.port).expect("it listens");
    write!(stream, "GET {} HTTP/1.1\r\nHost: app.test\r\n{}\r\n", callback.target, cookie(&browser))
        .expect("sent");
    until("the code is being redeemed", || stage.op.calls().token > 0);
    drop(stream);
    stage.op.heal();
    assert_eq!(browser.open("/x").status, 302, "no half session");
    assert!(!stage.gateway.log().contains("panicked"));
    assert_eq!(stage.echo.count(), 0);
}
