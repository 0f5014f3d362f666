//! Tokens of the provider that go along to the application, and those that nobody sees.

use std::time::{Duration, Instant};

use midgate::demo::provider::Manner;
use serde_json::json;

use crate::rig::gateway::{command, free_port};
use crate::rig::{Browser, Folder, Gateway, Plain, application, plain, provider, provider_toml, until};

const ROUTES: &str = r#"
[[route]]
upstream = "{up}"
[[route]]
path = "/access/"
upstream = "{up}"
pass_token = "access_token"
[[route]]
path = "/id/"
upstream = "{up}"
pass_token = "id_token"
[[route]]
path = "/open/"
upstream = "{up}"
access = "optional"
pass_token = "access_token"
[[route]]
path = "/second/"
upstream = "pair"
pass_token = "access_token"
"#;

fn setting() -> Plain {
    let pair = format!(
        "[[upstream]]\nid = \"pair\"\nservers = [\"http://127.0.0.1:{}\", \"{{up}}\"]\n{ROUTES}",
        free_port()
    );
    plain("", "", &pair)
}

#[test]
fn a24_a_token_goes_up_as_the_only_authorization_whatever_the_client_sends() {
    let Plain { provider, gateway, application: _application } = setting();
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let bearer = provider.calls().userinfo_request.header("authorization").expect("a token");
    for own in [
        "",
        "Authorization: Bearer x\r\n",
        "AUTHORIZATION: Basic eDp5\r\n",
        "Authorization: \r\n",
        "Connection: authorization\r\nAuthorization: Bearer x\r\n",
    ] {
        for path in ["/access/echo", "/open/echo", "/second/echo", "/second/echo"] {
            assert_eq!(browser.echo(path, own).all("Authorization"), [bearer.as_str()], "{path} {own}");
        }
        let id_token = browser.echo("/id/echo", own).one("Authorization");
        assert!(id_token.starts_with("Bearer eyJ") && id_token.split('.').count() == 3, "{own}");
    }
    let doubled = "Authorization: Bearer x\r\nauthorization: Bearer y\r\n";
    assert_eq!(browser.ask("GET", "/access/echo", doubled, b"").status, 400);
    // Elsewhere it is the client's own business.
    assert_eq!(browser.echo("/echo", "Authorization: Bearer x\r\n").one("Authorization"), "Bearer x");
    assert!(browser.echo("/echo", "").all("Authorization").is_empty());
}

#[test]
fn without_a_session_no_authorization_of_a_clients_counts() {
    let Plain { gateway, application: _application, provider: _provider } = setting();
    let foreign = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJhbm90aGVyIiwiZXhwIjoxfQ.AAAA";
    for own in ["Bearer x".to_owned(), "Bearer ".to_owned(), format!("Bearer {foreign}")] {
        let own = format!("Authorization: {own}\r\n");
        let mut nobody = Browser::new(&gateway);
        for path in ["/echo", "/access/echo", "/id/echo"] {
            assert_eq!(nobody.ask("GET", path, &own, b"").status, 401, "{path} {own}");
        }
        assert!(nobody.echo("/open/echo", &own).all("Authorization").is_empty(), "{own}");
    }
}

#[test]
fn a_session_without_the_token_passes_none_on() {
    let (op, application) = (provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let config = |pass: &str| {
        format!(
            "\n{}\n[[route]]\nupstream = \"{up}\"\n{pass}",
            provider_toml("op", &op, "refresh = \"never\"")
        )
    };
    let gateway = Gateway::start(&config(""));
    let mut before = Browser::signed_in(&gateway, "/echo");
    gateway.configure(&config("pass_token = \"access_token\"\n"));
    gateway.signal("HUP");
    until("the configuration is reloaded", || {
        gateway.metric("midgate_reloads_total{result=\"ok\"}") == Some(1.0)
    });
    let own = "Authorization: Bearer x\r\n";
    assert!(before.echo("/echo", own).all("Authorization").is_empty(), "its login kept no token");
    let mut after = Browser::signed_in(&gateway, "/echo");
    assert!(after.echo("/echo", own).one("Authorization").starts_with("Bearer TOKEN_zz"));
}

#[test]
fn a_token_that_cannot_stand_in_a_header_is_left_out_and_logged() {
    let routes = "[[route]]\nupstream = \"{up}\"\npass_token = \"access_token\"\n";
    let Plain { provider, gateway, application: _application } = plain("", "userinfo = \"never\"", routes);
    provider.fault("token-odd-access-token", true);
    provider.patch_id_token(json!({"at_hash": null}));
    let mut browser = Browser::signed_in(&gateway, "/echo");
    assert!(browser.echo("/echo", "Authorization: Bearer x\r\n").all("Authorization").is_empty());
    until("it is logged", || gateway.log().contains("token not passed on"));
    assert!(!gateway.log().contains("TOKEN_zz"));
}

#[test]
fn a_refreshed_token_goes_up_in_place_of_the_old_one() {
    let Plain { provider, gateway, application: _application } = setting();
    provider.expires_in(json!(1));
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let old = provider.calls().userinfo_request.header("authorization").expect("a token");
    let begun = Instant::now();
    until("the token is due", || begun.elapsed() > Duration::from_millis(1100));
    provider.heal();
    assert_eq!(browser.echo("/access/echo", "").one("Authorization"), old, "nobody waits for the new one");
    until("another token goes up", || browser.echo("/access/echo", "").one("Authorization") != old);
    let new = provider.calls().userinfo_request.header("authorization").expect("a token");
    assert_eq!(browser.echo("/access/echo", "").one("Authorization"), new);
}

#[test]
fn the_session_page_shows_no_token() {
    let Plain { gateway, application: _application, provider: _provider } = setting();
    let mut browser = Browser::signed_in(&gateway, "/access/echo");
    browser.echo("/id/echo", "");
    let page = browser.open("/.midgate/session");
    let foreign = browser.ask("GET", "/.midgate/session", "Origin: https://evil.test\r\n", b"");
    for answer in [&page, &foreign] {
        assert_eq!(answer.status, 200);
        for token in ["eyJ", "TOKEN_zz", "REFRESH_zz"] {
            assert!(!answer.text().contains(token), "{token}");
        }
        assert!(answer.header("cache-control").is_some_and(|value| value.contains("no-store")));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    until("the requests are logged", || gateway.log().contains("/.midgate/session"));
    for token in ["eyJ", "TOKEN_zz", "REFRESH_zz"] {
        assert!(!gateway.log().contains(token), "{token} in the log");
    }
}

#[test]
fn a_token_behind_azure_b2c_is_a_claim_that_a_header_may_carry_and_no_page_shows() {
    let (op, application) = (provider(Manner::B2c), application());
    op.patch_id_token(json!({"idp_access_token": "IDP_zz"}));
    let config = format!(
        "\n{}\n[[route]]\nupstream = \"http://127.0.0.1:{}\"\nheaders = {{ \"X-Idp-Token\" = \"{{idp_access_token}}\" }}\n",
        provider_toml("op", &op, "preset = \"azure-b2c\""),
        application.port()
    );
    let gateway = Gateway::start(&config);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    assert_eq!(browser.echo("/echo", "X-Idp-Token: x\r\n").all("X-Idp-Token"), ["IDP_zz"]);
    for text in [browser.fetch("/.midgate/session").text(), browser.open("/.midgate/session").text()] {
        assert!(!text.contains("IDP_zz"), "{text}");
    }
}

/// The smallest configuration with a route like this.
fn written(route: &str) -> Folder {
    let folder = Folder::new();
    folder.write(
        "gateway.toml",
        &format!(
            "public_url = \"https://app.example.ch\"\n[[provider]]\nid = \"op\"\nissuer = \"https://op.test\"\n\
             client_id = \"us\"\nclient_secret = \"x\"\n[[route]]\nupstream = \"http://127.0.0.1:3000\"\n{route}"
        ),
    );
    folder
}

#[test]
fn a_route_cannot_pass_a_token_without_a_session_or_beside_another_authorization() {
    for (route, key) in [
        ("access = \"public\"\npass_token = \"access_token\"\n", Some("route[0].pass_token")),
        ("pass_token = \"id_token\"\nheaders = { authorization = \"{sub}\" }\n", Some("route[0].pass_token")),
        ("pass_token = \"refresh_token\"\n", Some("route[0].pass_token")),
        ("pass_token = \"none\"\naccess = \"public\"\n", None),
        ("pass_token = \"access_token\"\naccess = \"optional\"\n", None),
    ] {
        let folder = written(route);
        let path = folder.path("gateway.toml").to_string_lossy().into_owned();
        let (code, out, _) = command(&["check", "--json", "--config", &path]);
        let found: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(
            (code, found["problems"][0]["key"].as_str()),
            (key.map_or(0, |_| 2), key),
            "{route} {out}"
        );
    }
}

#[test]
fn explain_shows_that_a_token_would_go_along_and_not_which() {
    let folder = written("pass_token = \"access_token\"\n");
    folder.write("claims.json", r#"{"provider": "op", "id_token": {"sub": "alice"}}"#);
    let path = |name: &str| folder.path(name).to_string_lossy().into_owned();
    let explain = |more: &[&str]| {
        let config = path("gateway.toml");
        let mut arguments =
            vec!["explain", "--json", "--config", &config, "--url", "https://app.example.ch/"];
        arguments.extend(more);
        let (code, out, err) = command(&arguments);
        assert_eq!(code, 0, "{err}");
        serde_json::from_str::<serde_json::Value>(&out).expect("JSON")
    };
    let permitted = explain(&["--claims", &path("claims.json")]);
    assert_eq!(permitted["headers"]["Authorization"], "Bearer [access_token]", "{permitted}");
    assert_eq!(explain(&[])["headers"], json!({}));
}
