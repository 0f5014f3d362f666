//! Level 4 of Mobile ID: the phone that was enrolled must answer, and no other.

use midgate::demo::application::Application;
use midgate::demo::provider::{Manner, Simulated};
use serde_json::{Value, json};

use crate::rig::browser::unescaped;
use crate::rig::gateway::command;
use crate::rig::{Answer, Browser, Folder, Gateway, application, provider, provider_toml, until};

struct Setting {
    provider: Simulated,
    gateway: Gateway,
    _application: Application,
}

const LEARN: &str = "enrolment = { file = \"enrolled.json\", learn = \"first\" }\n";
const NEVER: &str = "enrolment = { file = \"enrolled.json\" }\n";

/// Mobile ID before `/`, and level 4 before `/vault/`.
fn setting(more: &str, faults: &[&str]) -> Setting {
    let (provider, application) = (provider(Manner::MobileId), application());
    faults.iter().for_each(|fault| provider.fault(fault, true));
    let up = format!("http://127.0.0.1:{}", application.port());
    let config = format!(
        "\n{}\n[[route]]\nupstream = \"{up}\"\n\
         [[route]]\npath = \"/vault/\"\nupstream = \"{up}\"\nrequire = {{ acr = \"mid_al4_any\" }}\n",
        provider_toml("mobileid", &provider, &format!("preset = \"mobileid-ch\"\n{more}"))
    );
    Setting { provider, gateway: Gateway::start(&config), _application: application }
}

fn enrolled(gateway: &Gateway) -> Value {
    std::fs::read(gateway.folder.path("enrolled.json"))
        .map_or(Value::Null, |text| serde_json::from_slice(&text).expect("the file is JSON"))
}

/// Goes through redirects of our own and logins at the provider until a page comes.
fn walk(browser: &mut Browser, target: &str) -> Answer {
    let mut answer = browser.open(target);
    for _ in 0..8 {
        match answer.status {
            302 if answer.location().starts_with("http://127.0.0.1") => {
                let callback = browser.visit_provider(answer.location());
                answer = browser.deliver(&callback);
            }
            302 | 303 => {
                let location = answer.location().to_owned();
                answer = browser.open(&location);
            }
            _ => return answer,
        }
    }
    panic!("a loop: {answer:?}");
}

#[test]
fn a_person_is_known_first_and_then_the_enrolled_phone_must_answer() {
    let Setting { provider, gateway, _application } = setting(LEARN, &[]);
    let mut browser = Browser::new(&gateway);
    let start = browser.open("/vault/echo?x=1");
    let callback = browser.visit_provider(start.location());
    assert_eq!(provider.calls().parameter("acr_values"), Some("mid_al3_any"));
    assert_eq!(provider.calls().parameter("login_hint"), None, "nobody is known yet");
    let known = browser.deliver(&callback);
    assert_eq!(known.status, 303);
    assert!(known.location().starts_with("/.midgate/login?"), "{known:?}");
    let written = enrolled(&gateway);
    assert_eq!(written["people"][0]["issuer"], provider.issuer());
    assert_eq!(written["people"][0]["sn"], "MIDCHEX1234567");
    let step = browser.open(known.location());
    assert!(!step.location().contains("X1234567"), "what is enrolled goes by PAR only: {step:?}");
    let callback = browser.visit_provider(step.location());
    let calls = provider.calls();
    assert_eq!(calls.parameter("acr_values"), Some("mid_al4_any"));
    let hint: Value = serde_json::from_str(calls.parameter("login_hint").expect("a hint")).expect("JSON");
    assert_eq!(hint, json!({"hints": [{"msisdn": "+41791234567", "sn": "MIDCHEX1234567"}]}));
    assert!(
        calls.front.iter().all(|(name, _)| name == "client_id" || name == "request_uri"),
        "{:?}",
        calls.front
    );
    let done = browser.deliver(&callback);
    assert_eq!((done.status, done.location()), (303, "/vault/echo?x=1"));
    assert_eq!(browser.echo("/vault/echo", "").one("X-Auth-Acr"), "mid_al4_any");
    assert_eq!(enrolled(&gateway), written, "never written again");
}

#[test]
fn another_serial_later_is_a_page_and_an_audit_event_and_never_taken_over() {
    let Setting { provider, gateway, _application } = setting(LEARN, &[]);
    assert_eq!(walk(&mut Browser::new(&gateway), "/echo").status, 200);
    let written = enrolled(&gateway);
    provider.patch_userinfo(json!({"mid_profile_serial": "MIDCHEANOTHER"}));
    let mut browser = Browser::new(&gateway);
    let refused = walk(&mut browser, "/echo");
    assert_eq!(refused.status, 403);
    assert!(!browser.is_signed_in());
    assert_eq!(enrolled(&gateway), written);
    until("the audit event is written", || gateway.log().contains("\"policy.reason\":\"other-phone\""));
    assert!(!gateway.log().contains("MIDCHE"), "no serial number is logged");
}

#[test]
fn an_answer_at_level_4_counts_only_with_the_enrolled_serial_and_the_old_session_stays() {
    let Setting { provider, gateway, _application } = setting(LEARN, &[]);
    let mut browser = Browser::new(&gateway);
    assert_eq!(walk(&mut browser, "/echo").status, 200);
    for (what, userinfo, id_token) in [
        ("no serial", json!({"mid_profile_serial": null}), json!({})),
        ("another serial", json!({"mid_profile_serial": "MIDCHEANOTHER"}), json!({})),
        ("another person", json!({"sub": "bob"}), json!({"sub": "bob"})),
    ] {
        provider.patch_userinfo(userinfo);
        provider.patch_id_token(id_token);
        let kept = browser.cookies["midgate"].clone();
        assert_eq!(walk(&mut browser, "/vault/echo").status, 403, "{what}");
        assert_eq!(browser.cookies["midgate"], kept, "{what}");
        assert_eq!(browser.fetch("/.midgate/session").json()["acr"], "mid_al3_any", "{what}");
    }
    provider.heal();
    assert_eq!(walk(&mut browser, "/vault/echo").status, 200);
}

#[test]
fn nothing_enrolled_is_a_page_for_the_person_and_a_line_for_the_operator() {
    let Setting { provider: _provider, gateway, _application } = setting(NEVER, &[]);
    let mut browser = Browser::new(&gateway);
    assert_eq!(walk(&mut browser, "/echo").status, 200, "level 3 needs no enrolment");
    let page = walk(&mut browser, "/vault/echo");
    assert_eq!(page.status, 403);
    assert!(page.text().contains("not enrolled"), "{}", page.text());
    assert!(browser.is_signed_in());
    until("the line is written", || gateway.log().contains("\"policy.reason\":\"not-enrolled\""));
    let session = browser.fetch("/.midgate/session").json();
    assert!(gateway.log().contains(session["user_key"].as_str().expect("a key")));
    // The operator enrols the person: it counts at once.
    let people =
        json!({"people": [{"issuer": session["iss"], "subject": session["sub"], "sn": "MIDCHEX1234567"}]});
    gateway.folder.write("enrolled.json", &people.to_string());
    assert_eq!(walk(&mut browser, "/vault/echo").status, 200);
}

#[test]
fn an_enrolled_value_goes_by_par_or_not_at_all() {
    let Setting { provider: _provider, gateway, _application } = setting(LEARN, &["no-par"]);
    let mut browser = Browser::new(&gateway);
    assert_eq!(walk(&mut browser, "/echo").status, 200);
    assert_eq!(walk(&mut browser, "/vault/echo").status, 502);
    let folder = Folder::new();
    let config = "public_url = \"https://app.example.ch\"\n[[provider]]\nid = \"mobileid\"\npreset = \"mobileid-ch\"\n\
                  client_id = \"c\"\nclient_secret = \"s\"\npushed_authorization = \"never\"\n";
    let path = folder
        .write("gateway.toml", &format!("{config}{LEARN}[[route]]\nupstream = \"http://127.0.0.1:1\"\n"));
    let (code, _, err) = command(&["check", "--config", &path.to_string_lossy()]);
    assert_eq!(code, 2);
    assert!(err.contains("PAR"), "{err}");
}

/// The link of a page that begins like this.
fn link_of(page: &str, start: &str) -> String {
    let text = unescaped(page);
    let at = text.find(start).expect("a link");
    text[at..].split('"').next().expect("an end").to_owned()
}

#[test]
fn a_login_that_rings_a_phone_and_was_begun_elsewhere_shows_a_button_first() {
    let Setting { provider, gateway, _application } = setting(LEARN, &[]);
    let mut browser = Browser::new(&gateway);
    assert_eq!(walk(&mut browser, "/echo").status, 200);
    provider.forget_calls();
    let from = |site: &str| {
        format!("Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n{site}Accept: text/html\r\n")
    };
    let mut link = String::new();
    // The last is a browser that does not tell.
    for site in ["Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n", ""] {
        for target in ["/vault/echo", "/.midgate/login?rd=/vault/echo&acr=mid_al4_any"] {
            let page = browser.ask("GET", target, &from(site), b"");
            assert_eq!((page.status, page.all("set-cookie").len()), (200, 1), "{target}");
            link = link_of(&page.text(), "/.midgate/login?rd=%2Fvault%2Fecho");
        }
    }
    let (other, word) = link.split_once("&go=").expect("a word of the page");
    let word = word.split('&').next().expect("a value");
    assert_eq!(browser.ask("GET", &format!("{other}&go={}", &word[1..]), &from(""), b"").status, 200);
    assert_eq!((provider.calls().par, provider.calls().authorize), (0, 0));
    // The link of the page that was shown last: the one above replaced it.
    let page = browser.ask("GET", "/vault/echo", &from(""), b"");
    let link = link_of(&page.text(), "/.midgate/login?");
    let went = browser.ask("GET", &link, &from(""), b"");
    assert_eq!((went.status, provider.calls().par), (302, 1));
    assert!(went.all("set-cookie").iter().any(|cookie| cookie.contains("-login-go=;")), "once: {went:?}");
    provider.forget_calls();
    let go = browser.ask("GET", "/vault/echo", &from("Sec-Fetch-Site: same-origin\r\n"), b"");
    assert_eq!((go.status, provider.calls().par), (302, 1));
}

#[test]
fn the_session_itself_serves_only_under_its_insecure_name() {
    let Setting { provider, gateway, _application } = setting("insecure_level4_from_session = true\n", &[]);
    assert!(gateway.log().contains("insecure-level4"));
    assert_eq!(walk(&mut Browser::new(&gateway), "/vault/echo").status, 200);
    assert!(provider.calls().parameter("login_hint").is_some_and(|hint| hint.contains("MIDCHEX1234567")));
}
