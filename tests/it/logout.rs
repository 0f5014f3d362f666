//! Signing out, and who may ask for it.

use crate::rig::browser::form;
use crate::rig::{Browser, plain, shared};

#[test]
fn a82_a_logout_is_confirmed_and_ends_the_session_for_good() {
    let gateway = &shared().gateway;
    let mut browser = Browser::signed_in(gateway, "/echo");
    let kept = browser.clone();
    let question = browser.open("/.midgate/logout");
    assert_eq!(question.status, 200);
    assert!(browser.is_signed_in());
    let (action, fields) = form(&question.text());
    assert!(fields.iter().any(|(name, value)| name == "csrf" && !value.is_empty()));
    let out = browser.post(&action, &fields, true);
    assert_eq!(out.status, 303);
    let deletion = out
        .all("set-cookie")
        .into_iter()
        .find(|line| line.starts_with("midgate="))
        .expect("a deletion")
        .to_owned();
    for part in ["Max-Age=0", "Path=/", "HttpOnly", "SameSite=Lax"] {
        assert!(deletion.contains(part), "{deletion}");
    }
    assert!(!browser.cookies.contains_key("midgate"));
    // The session is over before the provider is asked.
    assert_eq!(kept.clone().fetch("/echo").status, 401);
    let back = browser.visit_provider(out.location());
    assert_eq!(browser.open(&back.target).status, 200);
    let mut replay = kept;
    assert_eq!(replay.fetch("/echo").status, 401);
    assert_eq!(replay.open("/echo").status, 302);
}

#[test]
fn a81_only_our_token_or_our_own_origin_signs_out() {
    let gateway = &shared().gateway;
    let origin = format!("http://localhost:{}", gateway.port);
    for (headers, status) in [
        ("".to_owned(), 403),
        ("Origin: https://evil.test\r\n".to_owned(), 403),
        ("Origin: null\r\n".to_owned(), 403),
        ("Sec-Fetch-Site: cross-site\r\n".to_owned(), 403),
        ("Sec-Fetch-Site: same-site\r\n".to_owned(), 403),
        (format!("Sec-Fetch-Site: cross-site\r\nOrigin: {origin}\r\n"), 403),
        ("Sec-Fetch-Site: same-origin\r\n".to_owned(), 303),
        (format!("Origin: {origin}\r\n"), 303),
    ] {
        let mut browser = Browser::signed_in(gateway, "/echo");
        let answer = browser.ask("POST", "/.midgate/logout", &headers, b"");
        assert_eq!(answer.status, status, "{headers}");
        assert_eq!(browser.is_signed_in(), status == 403, "{headers}");
    }
    let mut browser = Browser::signed_in(gateway, "/echo");
    let get = browser.ask("GET", "/.midgate/logout", "Sec-Fetch-Site: cross-site\r\n", b"");
    assert_eq!(get.status, 200);
    assert!(browser.is_signed_in());
    let foreign = Browser::signed_in(gateway, "/echo").open("/.midgate/logout");
    let (action, fields) = form(&foreign.text());
    let headers = "Content-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: cross-site\r\n";
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
    assert_eq!(
        browser.ask("POST", &action, headers, body.as_bytes()).status,
        403,
        "the token is of another session"
    );
}

#[test]
fn a89_a_logout_without_a_session_is_a_page_and_no_panic() {
    let mut browser = Browser::new(&shared().gateway);
    assert_eq!(browser.open("/.midgate/logout").status, 200);
    assert_eq!(browser.post("/.midgate/logout", &[], true).status, 303);
    assert_eq!(browser.post("/.midgate/logout?rd=/{id_token}", &[], true).status, 303);
}

#[test]
fn a_logout_goes_on_to_an_own_page() {
    let mut browser = Browser::signed_in(&shared().gateway, "/echo");
    assert_eq!(browser.sign_out("/.midgate/logout?rd=/public/x").location(), "/public/x");
}

#[test]
fn the_applications_own_logout_ends_the_session_when_it_goes_well() {
    let routes = "[logout]\nclear_cookies = [\"JSESSIONID\"]\n[[route]]\nupstream = \"{up}\"\nlogout = [\"/app/logout\", \"/app/status/500\"]\n";
    let shared = plain("", "", routes);
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    for (target, headers) in [
        ("/app/logout", "Sec-Fetch-Site: cross-site\r\n"),
        ("/app/logout", "Sec-Fetch-Site: same-site\r\n"),
        ("/app/logout", "Origin: https://evil.test\r\n"),
        ("/app/status/500", ""),
        ("/app/logout/x", ""),
    ] {
        browser.ask("GET", target, headers, b"");
        assert!(browser.is_signed_in(), "{target} {headers}");
    }
    let answer = browser.ask("GET", "/app/logout?x=1", "Sec-Fetch-Site: same-origin\r\n", b"");
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .all("set-cookie")
            .iter()
            .any(|line| line.starts_with("midgate=;") && line.contains("Max-Age=0"))
    );
    assert!(!browser.is_signed_in());
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    let out = browser.post("/.midgate/logout", &[], true);
    assert!(out.all("set-cookie").iter().any(|line| line.starts_with("JSESSIONID=;")), "{out:?}");
}

#[test]
fn who_am_i_has_a_form_for_people_and_one_for_programs() {
    let gateway = &shared().gateway;
    let mut nobody = Browser::new(gateway);
    let answer = nobody.fetch("/.midgate/session");
    assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("login_required")));
    assert_eq!(nobody.open("/.midgate/session").status, 401);
    let mut browser = Browser::signed_in(gateway, "/echo");
    let session = browser.fetch("/.midgate/session").json();
    for name in [
        "provider",
        "user_key",
        "sub",
        "iss",
        "acr",
        "amr",
        "auth_time",
        "claims",
        "created",
        "expires",
        "idle_expires",
    ] {
        assert!(session.get(name).is_some(), "{name} in {session}");
    }
    assert_eq!(
        session["expires"].as_u64().zip(session["created"].as_u64()).map(|(e, c)| e - c),
        Some(8 * 3600)
    );
    let page = browser.open("/.midgate/session");
    assert!(page.text().contains("Zoë Müller-François"), "{}", page.text());
    for text in [page.text(), session.to_string()] {
        assert!(!text.contains("eyJ") && !text.contains("TOKEN_zz"), "no token is shown");
    }
    let foreign = browser.ask("GET", "/.midgate/session", "Origin: https://evil.test\r\n", b"");
    assert_eq!(foreign.header("access-control-allow-origin"), None);
}

#[test]
fn what_applications_remember_goes_when_another_person_signs_in() {
    let shared =
        plain("", "", "[logout]\nclear_cookies = [\"JSESSIONID\"]\n[[route]]\nupstream = \"{up}\"\n");
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    let cleared = |answer: &crate::rig::Answer| {
        answer.all("set-cookie").iter().any(|line| line.starts_with("JSESSIONID="))
    };
    let again = browser.sign_in("/.midgate/login?rd=/echo");
    assert_eq!((again.status, cleared(&again)), (303, false), "the same person");
    shared.provider.patch_id_token(serde_json::json!({"sub": "somebody-else"}));
    shared.provider.patch_userinfo(serde_json::json!({"sub": "somebody-else"}));
    let other = browser.sign_in("/.midgate/login?rd=/echo");
    assert_eq!((other.status, cleared(&other)), (303, true), "{other:?}");
}
