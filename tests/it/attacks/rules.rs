//! Rules and levels: missing, empty or of another type is not fulfilled, and what was asked for is not what was granted.

use midgate::demo::provider::Manner;
use serde_json::{Value, json};

use crate::rig::{Browser, Folder, Gateway, application, plain, provider, provider_toml};

#[test]
fn a126_a_claim_that_is_missing_or_of_another_type_is_not_met() {
    let routes = "[[route]]\nupstream = \"{up}\"\n[[route]]\npath = \"/admin/\"\nupstream = \"{up}\"\nrequire = { claims = { groups = \"admin\" } }\n";
    let setting = plain("", "", routes);
    for groups in [
        Value::Null,
        json!([]),
        json!([null]),
        json!("adm"),
        json!("administrators"),
        json!("Admin"),
        json!("admin "),
        json!("staff,admin"),
        json!({}),
        json!({"admin": true}),
        json!([["admin"]]),
        json!(["adm", "in"]),
        json!(true),
        json!(1),
    ] {
        setting.provider.patch_userinfo(json!({ "groups": groups }));
        let mut browser = Browser::signed_in(&setting.gateway, "/echo");
        let answer = browser.fetch("/admin/echo");
        assert_eq!((answer.status, &answer.json()["reason"]), (403, &json!("claim-not-met")), "{groups}");
        assert_eq!(browser.open("/admin/echo").status, 403, "{groups}: no login brings it");
    }
    for groups in [json!("admin"), json!(["staff", "admin"])] {
        setting.provider.patch_userinfo(json!({ "groups": groups }));
        assert_eq!(Browser::signed_in(&setting.gateway, "/echo").fetch("/admin/echo").status, 200);
    }
}

#[test]
fn a127_a_level_that_was_not_reached_is_a_page_and_never_a_loop() {
    let ladder = "acr_ladder = [[\"low\"], [\"high\"]]\n";
    let routes = "[[route]]\nupstream = \"{up}\"\n[[route]]\npath = \"/high/\"\nupstream = \"{up}\"\nrequire = { acr = \"high\" }\n";
    let setting = plain("", ladder, routes);
    let provider = &setting.provider;
    let mut browser = Browser::signed_in(&setting.gateway, "/echo");
    let kept = browser.cookies.clone();
    for acr in [
        json!("low"),
        Value::Null,
        json!(["high"]),
        json!("HIGH"),
        json!("high "),
        json!("high low"),
        json!("unknown"),
        json!(""),
        json!(3),
        json!({"high": true}),
    ] {
        provider.forget_calls();
        provider.patch_id_token(json!({ "acr": acr }));
        let answer = browser.sign_in("/high/echo");
        assert_eq!(answer.status, 403, "{acr}: {}", answer.text());
        assert!(answer.header("location").is_none(), "{acr}");
        assert_eq!((provider.calls().authorize, provider.calls().parameter("acr_values")), (1, Some("high")));
        assert_eq!(browser.cookies, kept, "{acr}: the old session stays as it was");
        assert_eq!(browser.fetch("/.midgate/session").json()["acr"], "low", "{acr}");
    }
    provider.heal();
    assert_eq!(browser.sign_in("/high/echo").status, 303);
    assert_eq!(browser.echo("/high/echo", "").one("X-Auth-Acr"), "high");
}

#[test]
fn a127_a_login_that_was_not_made_anew_is_a_page_and_never_a_loop() {
    let routes = "[[route]]\nupstream = \"{up}\"\n[[route]]\npath = \"/fresh/\"\nupstream = \"{up}\"\nrequire = { max_age = \"10m\" }\n";
    let setting = plain("", "", routes);
    let provider = &setting.provider;
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later").as_secs();
    provider.patch_id_token(json!({"auth_time": now - 7200}));
    let mut browser = Browser::signed_in(&setting.gateway, "/echo");
    let kept = browser.cookies.clone();
    for (auth_time, status) in [
        (json!(now - 7200), 403),
        (json!(0), 403),
        (Value::Null, 403),
        (json!(now + 7200), 502),
        (json!(format!("{now}")), 502),
        (json!(-1), 502),
    ] {
        provider.forget_calls();
        provider.patch_id_token(json!({ "auth_time": auth_time }));
        let answer = browser.sign_in("/fresh/echo");
        assert_eq!(answer.status, status, "{auth_time}: {}", answer.text());
        let calls = provider.calls();
        assert_eq!((calls.authorize, calls.parameter("prompt")), (1, Some("login")), "{auth_time}");
        assert_eq!(browser.cookies, kept, "{auth_time}");
        assert_eq!(browser.fetch("/fresh/echo").status, 401, "{auth_time}");
    }
    provider.heal();
    assert_eq!(browser.sign_in("/fresh/echo").status, 303);
    assert_eq!(browser.fetch("/fresh/echo").status, 200);
}

#[test]
fn a128_an_address_is_compared_whole() {
    let folder = Folder::new();
    folder.write("staff.txt", "a@company.test\n@company.test\n");
    let (op, application) = (provider(Manner::Plain), application());
    let config = format!(
        "\n{}\n[[route]]\nupstream = \"http://127.0.0.1:{}\"\nrequire = {{ allow_file = \"staff.txt\" }}\n",
        provider_toml("op", &op, ""),
        application.port()
    );
    let gateway = Gateway::start_in(folder, crate::rig::gateway::free_port(), &config);
    for (email, verified, status) in [
        (json!("a@company.test"), json!(true), 200),
        (json!("A@Company.TEST"), json!(true), 200),
        (json!("a@evil.test@company.test"), json!(true), 403),
        (json!("\"a@company.test\"@evil.test"), json!(true), 403),
        (json!("a@company.test\n"), json!(true), 403),
        (json!(" a@company.test"), json!(true), 403),
        (json!("a@company.test,b@evil.test"), json!(true), 403),
        (json!("a@company.test.evil.test"), json!(true), 403),
        (json!("b@company.test"), json!(true), 403),
        (json!("a@company.test\0"), json!(true), 403),
        (json!("\u{ff41}@company.test"), json!(true), 403),
        (json!(["a@company.test"]), json!(true), 403),
        (json!(""), json!(true), 403),
        (Value::Null, json!(true), 403),
        (json!("a@company.test"), json!(false), 403),
        (json!("a@company.test"), json!("true"), 403),
        (json!("a@company.test"), Value::Null, 403),
    ] {
        op.patch_userinfo(json!({"email": email, "email_verified": verified}));
        let mut browser = Browser::signed_in(&gateway, "/echo");
        assert_eq!(browser.fetch("/echo").status, status, "{email} {verified}");
    }
}

#[test]
fn a129_a_query_has_no_say_and_an_optional_route_says_nothing_of_who_fails_it() {
    let routes = "[[route]]\nupstream = \"{up}\"\n[[route]]\npath = \"/open/\"\nupstream = \"{up}\"\naccess = \"optional\"\nrequire = { claims = { groups = \"nobody\" } }\n[[route]]\npath = \"/admin/\"\nupstream = \"{up}\"\nrequire = { claims = { groups = \"nobody\" } }\n";
    let setting = plain("", "acr_ladder = [[\"low\"], [\"high\"]]\n", routes);
    let mut browser = Browser::signed_in(&setting.gateway, "/echo");
    let echo = browser.echo("/echo?allowed_groups=x&acr=high&provider=x", "");
    assert_eq!(echo.target(), "/echo?allowed_groups=x&acr=high&provider=x");
    assert_eq!(echo.one("X-Auth-Acr"), "low");
    assert_eq!(browser.fetch("/admin/echo?allowed_groups=staff&groups=nobody").status, 403);
    let echo = browser.echo("/open/echo", "X-Auth-Name: mallory\r\nX-Auth-User: mallory\r\n");
    for name in ["X-Auth-User", "X-Auth-Name", "X-Auth-Document-Id", "X-Auth-Acr", "X-Auth-Provider"] {
        assert_eq!(echo.all(name), [""; 0], "{name}");
    }
}

#[test]
fn a129_a_session_of_another_provider_is_not_accepted_for_the_same_subject() {
    let (a, b, application) = (provider(Manner::Plain), provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let config = format!(
        "\n{}{}\n[[route]]\nupstream = \"{up}\"\nproviders = [\"a\"]\n[[route]]\npath = \"/b/\"\nupstream = \"{up}\"\nproviders = [\"b\"]\n\
         [[route]]\npath = \"/open-b/\"\nupstream = \"{up}\"\naccess = \"optional\"\nproviders = [\"b\"]\n",
        provider_toml("a", &a, ""),
        provider_toml("b", &b, "")
    );
    let gateway = Gateway::start(&config);
    for op in [&a, &b] {
        op.patch_id_token(json!({"sub": "alice"}));
        op.patch_userinfo(json!({"sub": "alice"}));
    }
    let mut browser = Browser::signed_in(&gateway, "/echo");
    assert_eq!(browser.fetch("/b/echo").status, 401);
    assert!(browser.open("/b/echo").location().starts_with(&b.issuer()));
    assert_eq!(browser.echo("/open-b/echo", "").all("X-Auth-User"), [""; 0]);
    let own = browser.echo("/echo", "").one("X-Auth-User");
    let there = Browser::signed_in(&gateway, "/b/echo").echo("/b/echo", "").one("X-Auth-User");
    assert_ne!(own, there, "the same subject of another issuer is another person");
    assert_eq!(application.last().method, "GET");
}
