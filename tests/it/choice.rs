//! Several providers on one route: the person chooses, unless something says which.

use midgate::demo::provider::{Manner, Simulated};

use crate::rig::browser::{NAVIGATION, unescaped};
use crate::rig::{Browser, Gateway, application, provider, provider_toml};

struct Two {
    one: Simulated,
    two: Simulated,
    gateway: Gateway,
    _application: midgate::demo::application::Application,
}

/// Two providers for `/`, the second alone for `/second/`, and one with levels for `/high/`.
fn two() -> Two {
    let (one, two, application) = (provider(Manner::Plain), provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let ladder = "acr_ladder = [[\"low\"], [\"high\"]]\n";
    let first = format!("display_name = \"First <ID>\"\ndomains = [\"first.example\"]\n{ladder}");
    let second = format!("display_name = \"Second ID\"\ndomains = [\"second.example\"]\n{ladder}");
    let config = format!(
        "\n{}\n{}\n[[route]]\nupstream = \"{up}\"\n\
         [[route]]\npath = \"/second/\"\nproviders = [\"two\"]\nupstream = \"{up}\"\n\
         [[route]]\npath = \"/high/\"\nrequire = {{ acr = \"high\" }}\nupstream = \"{up}\"\n",
        provider_toml("one", &one, &first),
        provider_toml("two", &two, &second),
    );
    Two { one, two, gateway: Gateway::start(&config), _application: application }
}

#[test]
fn a_person_chooses_and_the_choice_is_remembered() {
    let Two { one, two, gateway, _application } = two();
    let mut browser = Browser::new(&gateway);
    let start = browser.open("/a/echo?x=1");
    assert_eq!((start.status, start.location()), (302, "/.midgate/login?rd=%2Fa%2Fecho%3Fx%3D1"));
    let page = browser.open(start.location());
    assert_eq!(page.status, 200);
    let text = unescaped(&page.text());
    let (first, second) = (text.find("First <ID>").expect("both"), text.find("Second ID").expect("both"));
    assert!(first < second && !page.text().contains("First <ID>"), "{text}");
    assert_eq!((one.calls().authorize, two.calls().authorize), (0, 0));
    let link = "/.midgate/login?rd=%2Fa%2Fecho%3Fx%3D1&provider=two";
    assert!(text.contains(&format!("href=\"{link}\"")), "{text}");
    let answer = browser.sign_in(link);
    assert_eq!((answer.status, answer.location()), (303, "/a/echo?x=1"));
    assert_eq!(browser.echo("/a/echo", "").one("X-Auth-Provider"), "two");
    assert_eq!((one.calls().token, two.calls().token), (0, 1));
    // Signed out, the second stands first; and no application sees the cookie that knows.
    browser.post("/.midgate/logout", &[], true);
    let text = unescaped(&browser.open("/.midgate/login?rd=/").text());
    assert!(text.find("Second ID") < text.find("First <ID>"), "{text}");
    let mut other = Browser::signed_in(&gateway, "/.midgate/login?rd=/&provider=one");
    other.cookies.insert("midgate-choice".to_owned(), "one".to_owned());
    assert!(other.echo("/echo", "").all("cookie").is_empty());
}

#[test]
fn a_hint_a_provider_or_an_issuer_spares_the_choice() {
    let Two { one, two, gateway, _application } = two();
    let issuer = url::form_urlencoded::byte_serialize(two.issuer().as_bytes()).collect::<String>();
    for (target, expected) in [
        ("/.midgate/login?rd=/&provider=one".to_owned(), &one),
        ("/.midgate/login?rd=/&domain_hint=FIRST.example".to_owned(), &one),
        ("/.midgate/login?rd=/&domain_hint=second.example".to_owned(), &two),
        (format!("/.midgate/login?iss={issuer}&target_link_uri=/x"), &two),
        ("/.midgate/login?rd=/second/x".to_owned(), &two),
        ("/second/x".to_owned(), &two),
    ] {
        let start = Browser::new(&gateway).open(&target);
        assert!(
            start.status == 302 && start.location().starts_with(&expected.issuer()),
            "{target}: {start:?}"
        );
    }
    let unknown = Browser::new(&gateway).open("/.midgate/login?rd=/&domain_hint=nobody.example");
    assert_eq!(unknown.status, 200, "a hint that nobody knows leaves the choice");
    for bad in ["provider=none", "iss=https://evil.test/", "acr=medium", "provider=one&provider=two"] {
        assert_eq!(Browser::new(&gateway).open(&format!("/.midgate/login?rd=/&{bad}")).status, 400, "{bad}");
    }
    let level = unescaped(&Browser::new(&gateway).open("/.midgate/login?rd=/&acr=high").text());
    assert!(level.contains("provider=one&acr=high"), "{level}");
}

#[test]
fn programs_are_told_to_sign_in_and_never_to_choose() {
    let Two { gateway, _application, .. } = two();
    let answer = Browser::new(&gateway).fetch("/echo");
    assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("login_required")));
}

#[test]
fn a_step_up_stays_at_the_provider_and_keeps_what_is_known_of_the_same_person() {
    let Two { one, two, gateway, _application } = two();
    one.patch_userinfo(serde_json::json!({"documentId": "X1"}));
    let mut browser = Browser::signed_in(&gateway, "/.midgate/login?rd=/echo&provider=one");
    assert_eq!(browser.echo("/echo", "").one("X-Auth-Document-Id"), "X1");
    let before = browser.cookies["midgate"].clone();
    one.patch_userinfo(serde_json::json!({"documentId": null}));
    let step = browser.open("/high/echo");
    assert!(step.location().starts_with(&one.issuer()), "{step:?}");
    assert_eq!(one.calls().parameter("acr_values"), None, "the browser has not been there yet");
    let callback = browser.visit_provider(step.location());
    assert_eq!(one.calls().parameter("acr_values"), Some("high"));
    let answer = browser.deliver(&callback);
    assert_eq!((answer.status, answer.location()), (303, "/high/echo"));
    assert_ne!(browser.cookies["midgate"], before, "a new id");
    let echo = browser.echo("/high/echo", "");
    assert_eq!(
        (echo.one("X-Auth-Acr"), echo.one("X-Auth-Document-Id")),
        ("high".to_owned(), "X1".to_owned())
    );
    assert_eq!(two.calls().authorize, 0);
    // Another person's level never meets these claims.
    let mut other = Browser::signed_in(&gateway, "/.midgate/login?rd=/echo&provider=one");
    one.patch_userinfo(serde_json::json!({"sub": "bob", "documentId": null}));
    one.patch_id_token(serde_json::json!({"sub": "bob"}));
    let answer = other.sign_in("/high/echo");
    assert_eq!(answer.status, 303);
    assert_eq!(other.fetch("/.midgate/session").json()["sub"], "bob");
    assert!(other.echo("/high/echo", "").all("X-Auth-Document-Id").is_empty());
}

#[test]
fn the_provider_is_asked_for_the_visitors_language_as_far_as_it_speaks_it() {
    let (op, application) = (provider(Manner::Plain), application());
    let config = format!(
        "\n{}\n[[route]]\nupstream = \"http://127.0.0.1:{}\"\n",
        provider_toml("op", &op, "request = { ui_locales = \"auto\" }"),
        application.port()
    );
    let gateway = Gateway::start(&config);
    for (wanted, asked) in [("de-CH,fr;q=0.5", "de"), ("fr", "fr"), ("pt", "en")] {
        let mut browser = Browser::new(&gateway);
        let headers = format!("{NAVIGATION}Accept-Language: {wanted}\r\n");
        let start = browser.ask("GET", "/echo", &headers, b"");
        browser.visit_provider(start.location());
        assert_eq!(op.calls().parameter("ui_locales"), Some(asked), "{wanted}");
    }
}
