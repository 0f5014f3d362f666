//! Who may enter: levels, freshness, claims, lists.

use serde_json::json;

use crate::rig::{Browser, Folder, Gateway, application, plain, provider, provider_toml};
use midgate::demo::provider::Manner;

const LADDER: &str = "acr_ladder = [[\"low\"], [\"high\"]]";

#[test]
fn a_level_is_asked_for_with_one_value_and_verified() {
    let routes = "[[route]]\nupstream = \"{up}\"\n[[route]]\npath = \"/high/\"\nupstream = \"{up}\"\nrequire = { acr = [\"unknown\", \"high\"] }\n";
    let shared = plain("", LADDER, routes);
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    assert_eq!(browser.echo("/echo", "").one("X-Auth-Acr"), "low");
    let programs = browser.fetch("/high/echo");
    assert_eq!(
        (programs.status, programs.json()["error"].as_str()),
        (401, Some("insufficient_user_authentication"))
    );
    let challenge = programs.header("www-authenticate").unwrap_or_default();
    assert!(
        challenge.contains("error=\"insufficient_user_authentication\"") && challenge.contains("acr_values="),
        "{challenge}"
    );
    let old = browser.cookies["midgate"].clone();
    assert_eq!(browser.sign_in("/high/echo?x=1").location(), "/high/echo?x=1");
    assert_eq!(shared.provider.calls().parameter("acr_values"), Some("high"));
    assert_ne!(browser.cookies["midgate"], old);
    assert_eq!(browser.echo("/high/echo", "").one("X-Auth-Acr"), "high");
    // A higher level meets what asks for less.
    assert_eq!(browser.fetch("/echo").status, 200);
}

#[test]
fn freshness_is_asked_for_and_measured_from_auth_time() {
    let routes = "[[route]]\nupstream = \"{up}\"\n[[route]]\npath = \"/fresh/\"\nupstream = \"{up}\"\nrequire = { max_age = \"10m\" }\n";
    let shared = plain("", "", routes);
    shared.provider.fault("old-auth-time", true);
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    let challenge = browser.fetch("/fresh/echo");
    assert_eq!(challenge.status, 401);
    assert!(challenge.header("www-authenticate").is_some_and(|value| value.contains("max_age=\"600\"")));
    for fault in ["old-auth-time", "missing-auth-time"] {
        shared.provider.heal();
        shared.provider.fault(fault, true);
        assert_eq!(browser.sign_in("/fresh/echo").status, 403, "{fault}");
        let calls = shared.provider.calls();
        assert_eq!((calls.parameter("prompt"), calls.parameter("max_age")), (Some("login"), Some("600")));
    }
    shared.provider.heal();
    assert_eq!(browser.sign_in("/fresh/echo").status, 303);
    assert_eq!(browser.fetch("/fresh/echo").status, 200);
}

#[test]
fn claims_are_compared_by_type_and_value() {
    let route = |path: &str, claims: &str| {
        format!(
            "[[route]]\npath = \"/{path}/\"\nupstream = \"{{up}}\"\nrequire = {{ claims = {{ {claims} }} }}\n"
        )
    };
    let routes: String = [
        ("group", "groups = \"payroll\""),
        ("any", "groups = [\"x\", \"staff\"]"),
        ("adult", "age = { min = 18 }"),
        ("child", "age = { max = 17 }"),
        ("text", "age = \"42\""),
        ("number", "age = 42"),
        ("nested", "\"address.locality\" = \"Zürich\""),
        ("missing", "nowhere = \"x\""),
        ("verified", "email_verified = true"),
        ("two", "groups = \"staff\", age = { min = 50 }"),
    ]
    .map(|(path, claims)| route(path, claims))
    .concat();
    let shared = plain("", "", &format!("[[route]]\nupstream = \"{{up}}\"\n{routes}"));
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    for (path, status) in [
        ("group", 200),
        ("any", 200),
        ("adult", 200),
        ("child", 403),
        ("text", 403),
        ("number", 200),
        ("nested", 200),
        ("missing", 403),
        ("verified", 200),
        ("two", 403),
    ] {
        assert_eq!(browser.fetch(&format!("/{path}/echo")).status, status, "{path}");
    }
}

#[test]
fn a_list_of_people_is_watched_by_reload() {
    let folder = Folder::new();
    folder.write("staff.txt", "# nobody yet\n");
    let (op, application) = (provider(Manner::MobileId), application());
    let config = format!(
        "\n{}\n[[route]]\nupstream = \"http://127.0.0.1:{}\"\nrequire = {{ allow_file = \"staff.txt\" }}\n",
        provider_toml("op", &op, "preset = \"mobileid-ch\""),
        application.port()
    );
    let gateway = Gateway::start_in(folder, crate::rig::gateway::free_port(), &config);
    let mut browser = Browser::new(&gateway);
    assert_eq!(browser.sign_in("/echo").status, 303);
    let session = browser.fetch("/.midgate/session").json();
    let (sub, key) =
        (session["sub"].as_str().unwrap_or_default(), session["user_key"].as_str().unwrap_or_default());
    assert_eq!(browser.fetch("/echo").json()["reason"], "not-listed");
    for (list, status) in [
        ("+41791234567 # Zoë\n".to_owned(), 200),
        ("+41790000000\n".to_owned(), 403),
        (format!("sub:op:{sub}\n"), 200),
        (format!("sub:other:{sub}\n"), 403),
        (format!("{key}\n"), 200),
        ("zoe@example.ch\n".to_owned(), 403),
    ] {
        gateway.folder.write("staff.txt", &list);
        let reloads = gateway.metric("midgate_reloads_total{result=\"ok\"}").unwrap_or_default();
        gateway.signal("HUP");
        crate::rig::until("the list is read", || {
            gateway.metric("midgate_reloads_total{result=\"ok\"}").unwrap_or_default() > reloads
        });
        assert_eq!(browser.fetch("/echo").status, status, "{list}");
    }
}

#[test]
fn a_missing_required_claim_is_a_page_that_names_it() {
    let shared = plain("", "required_claims = [\"sub\", \"passport\"]", "[[route]]\nupstream = \"{up}\"\n");
    let mut browser = Browser::new(&shared.gateway);
    let answer = browser.sign_in("/echo");
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("passport"), "{}", answer.text());
    shared.provider.patch_userinfo(json!({"passport": "X1"}));
    assert_eq!(browser.sign_in("/echo").status, 303);
}

#[test]
fn a_session_of_a_provider_that_the_route_does_not_take_is_replaced_by_a_login_there() {
    let (a, b, application) = (provider(Manner::Plain), provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let config = format!(
        "\n{}{}\n[[route]]\nupstream = \"{up}\"\nproviders = [\"a\"]\n[[route]]\npath = \"/b/\"\nupstream = \"{up}\"\nproviders = [\"b\"]\n",
        provider_toml("a", &a, ""),
        provider_toml("b", &b, "")
    );
    let gateway = Gateway::start(&config);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let start = browser.open("/b/echo");
    assert!(start.location().starts_with(&b.issuer()));
    // Another provider's answer for this login is refused before any call.
    let callback = browser.visit_provider(start.location());
    let mixed = callback.target.replace(
        &url::form_urlencoded::byte_serialize(b.issuer().as_bytes()).collect::<String>(),
        &url::form_urlencoded::byte_serialize(a.issuer().as_bytes()).collect::<String>(),
    );
    assert_ne!(mixed, callback.target);
    let mut other = browser.clone();
    assert!(other.open(&mixed).status >= 400);
    assert_eq!(b.calls().token, 0);
    assert_eq!(browser.deliver(&callback).status, 303);
    assert_eq!(browser.echo("/b/echo", "").one("X-Auth-Provider"), "b");
    assert_eq!(browser.fetch("/echo").status, 401);
}
