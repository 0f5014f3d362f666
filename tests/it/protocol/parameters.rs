//! Parameters that the operator adds: texts and JSON with templates, and the text that the phone shows.

use midgate::demo::provider::Manner;
use serde_json::{Value, json};

use super::{Setting, setting};
use crate::rig::Browser;

const HINT: &str = "preset = \"mobileid-ch\"\nrequest = { login_hint = { json = { enableManualInput = true, \
                    hints = [{ msisdn = \"{query.login_hint}\" }, { msisdn = \"{phone_number}\", sn = \"{enrolled.sn}\", \
                    keyringId = \"{enrolled.keyringId}\" }] } } }";

const LEVELS: &str = "[[route]]\nupstream = \"{up}\"\n[[route]]\npath = \"/high/\"\nupstream = \"{up}\"\nrequire = { acr = \"mid_al3_simcard\" }\n";

fn hint(setting: &Setting) -> Value {
    let calls = setting.provider.calls();
    calls.parameter("login_hint").map_or(Value::Null, |hint| serde_json::from_str(hint).expect("JSON"))
}

#[test]
fn a_hint_is_made_of_the_visitors_query_and_of_the_session() {
    let setting = setting(Manner::MobileId, &[], HINT, LEVELS);
    let mut browser = Browser::new(&setting.gateway);
    let without = json!({"enableManualInput": true});
    assert_eq!(browser.sign_in("/echo?login_hint=%2B41790000001").status, 303);
    assert_eq!(hint(&setting), without, "the query of a page is no business of the provider's");
    let mut other = Browser::new(&setting.gateway);
    other.sign_in("/.midgate/login?rd=/echo&login_hint=%2B41790000002");
    let asked = json!({"enableManualInput": true, "hints": [{"msisdn": "+41790000002"}]});
    assert_eq!(hint(&setting), asked);
    for odd in ["%00", "a%0d%0ab", &"x".repeat(1025)] {
        Browser::new(&setting.gateway).open(&format!("/.midgate/login?rd=/echo&login_hint={odd}"));
        let form = setting.provider.calls().par_request.form();
        let sent = form.iter().find(|(name, _)| name == "login_hint").map(|(_, value)| value.as_str());
        assert_eq!(sent, Some(r#"{"enableManualInput":true}"#), "{odd}");
    }
    // A step-up, by a page and by the login endpoint.
    let known = json!({"enableManualInput": true, "hints": [{"msisdn": "+41791234567"}]});
    assert_eq!(browser.sign_in("/high/echo").status, 303);
    assert_eq!(hint(&setting), known);
    browser.sign_in("/.midgate/login?rd=/high/echo");
    assert_eq!(hint(&setting), known);
    let quoted = "/.midgate/login?rd=/echo&login_hint=%22%7D%2C%7B%22msisdn%22%3A%22%2B4179";
    assert_eq!(Browser::new(&setting.gateway).sign_in(quoted).status, 303);
    assert_eq!(hint(&setting)["hints"], json!([{"msisdn": "\"},{\"msisdn\":\"+4179"}]));
    let front = setting.provider.calls().front;
    assert!(!front.iter().any(|(name, _)| name == "login_hint"), "it goes by PAR: {front:?}");
}

#[test]
fn a_visitors_parameters_are_dropped_unless_a_template_names_them() {
    let more = "request = { ui_locales = \"auto\", tenant = \"{query.tenant}\", who = \"u-{name}\", colour = \"{query.c|red}\" }\n\
                [provider.claims]\nname = \"name\"";
    let Setting { provider, gateway, application: _application } =
        setting(Manner::Plain, &[], more, super::ROOT);
    let mut browser = Browser::new(&gateway);
    let login = "/.midgate/login?rd=/echo&login_hint=x&dtbd=x&prompt=none&scope=all&client_id=other&state=s";
    assert_eq!(browser.sign_in(login).status, 303);
    let calls = provider.calls();
    for (name, value) in [
        ("login_hint", None),
        ("dtbd", None),
        ("prompt", None),
        ("tenant", None),
        ("who", None),
        ("rd", None),
        ("scope", Some("openid")),
        ("client_id", Some("us")),
        ("ui_locales", Some("en")),
        ("colour", Some("red")),
    ] {
        assert_eq!(calls.parameter(name), value, "{name}");
    }
    assert_eq!(browser.sign_in("/.midgate/login?rd=/echo&tenant=a%26b&c=blue").status, 303);
    let calls = provider.calls();
    for (name, value) in [("tenant", "a&b"), ("colour", "blue"), ("who", "u-Zoë Müller-François")] {
        assert_eq!(calls.parameter(name), Some(value), "{name}");
    }
}

#[test]
fn a_session_tells_its_own_provider_only() {
    let (a, b, application) =
        (crate::rig::provider(Manner::Plain), crate::rig::provider(Manner::Plain), crate::rig::application());
    let more = "request = { who = \"{sub}\" }";
    let up = format!("upstream = \"http://127.0.0.1:{}\"", application.port());
    let config = format!(
        "\n{}{}\n[[route]]\n{up}\nproviders = [\"a\"]\n[[route]]\npath = \"/b/\"\n{up}\nproviders = [\"b\"]\n",
        crate::rig::provider_toml("a", &a, more),
        crate::rig::provider_toml("b", &b, more)
    );
    let gateway = crate::rig::Gateway::start(&config);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    assert_eq!(browser.sign_in("/.midgate/login?rd=/echo").status, 303);
    assert!(a.calls().parameter("who").is_some());
    assert_eq!(browser.sign_in("/b/echo").status, 303);
    assert_eq!(b.calls().parameter("who"), None);
}

#[test]
fn what_a_template_names_survives_the_choice_of_a_provider() {
    let (a, b, application) =
        (crate::rig::provider(Manner::Plain), crate::rig::provider(Manner::Plain), crate::rig::application());
    let config = format!(
        "\n{}{}\n[[route]]\nupstream = \"http://127.0.0.1:{}\"\n",
        crate::rig::provider_toml("a", &a, "request = { tenant = \"{query.tenant}\" }"),
        crate::rig::provider_toml("b", &b, ""),
        application.port()
    );
    let gateway = crate::rig::Gateway::start(&config);
    let mut browser = Browser::new(&gateway);
    let page = browser.open("/.midgate/login?rd=/echo&tenant=x%26rd%3D/evil&other=y");
    assert_eq!(page.status, 200);
    let text = crate::rig::browser::unescaped(&page.text());
    let links: Vec<&str> = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let link = |id: &str| {
        let named = links.iter().find(|link| link.contains(&format!("provider={id}")));
        (*named.unwrap_or_else(|| panic!("{id} in {links:?}"))).to_owned()
    };
    assert!(!link("b").contains("tenant") && !link("a").contains("other"), "{links:?}");
    assert_eq!(browser.sign_in(&link("a")).location(), "/echo");
    assert_eq!(a.calls().parameter("tenant"), Some("x&rd=/evil"));
}

#[test]
fn the_phone_shows_the_text_of_the_route_else_that_of_the_provider() {
    let more = "preset = \"mobileid-ch\"\nrequest = { dtbd = \"Seewil: #CLIENT#\" }";
    let routes = "[[route]]\nupstream = \"{up}\"\n\
                  [[route]]\npath = \"/payroll/\"\nupstream = \"{up}\"\ndtbd = \"Payroll {x}: #SESSION#\"\n";
    let Setting { provider, gateway, application: _application } =
        setting(Manner::MobileId, &[], more, routes);
    for (target, text) in [
        ("/echo", "Seewil: #CLIENT#"),
        ("/payroll/echo", "Payroll {x}: #SESSION#"),
        ("/.midgate/login?rd=/payroll/echo", "Payroll {x}: #SESSION#"),
        ("/.midgate/login?rd=/echo&dtbd=evil", "Seewil: #CLIENT#"),
    ] {
        assert_eq!(Browser::new(&gateway).sign_in(target).status, 303, "{target}");
        let calls = provider.calls();
        assert_eq!(calls.parameter("dtbd"), Some(text), "{target}");
        assert!(!calls.front.iter().any(|(name, _)| name == "dtbd"), "it goes by PAR");
    }
}
