//! Signing out at the provider, after our own session, and the way back (OpenID Connect RP-Initiated Logout).

use midgate::demo::provider::Manner;
use url::Url;

use crate::rig::browser::form;
use crate::rig::{Answer, Browser, Gateway, Plain, application, plain, provider, provider_toml};

const ROUTE: &str = "[[route]]\nupstream = \"{up}\"\n";

/// A parameter of a URL, which must stand there once at most.
fn parameter(location: &str, name: &str) -> Option<String> {
    let url = Url::parse(location).expect("a URL");
    let all: Vec<String> =
        url.query_pairs().filter(|(known, _)| known == name).map(|(_, value)| value.into_owned()).collect();
    assert!(all.len() <= 1, "{name} in {location}");
    all.into_iter().next()
}

fn signed_out(browser: &mut Browser) -> Answer {
    let out = browser.post("/.midgate/logout", &[], true);
    assert_eq!(out.status, 303, "{}", out.text());
    out
}

const HERE_ONLY: &str = "may still be signed in";

#[test]
fn a_logout_goes_to_the_provider_with_the_hint_and_comes_back() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let (kept, id_token) = (browser.clone(), provider.calls().id_token);
    let out = signed_out(&mut browser);
    assert!(out.location().starts_with(&format!("{}/end_session?", provider.issuer())));
    let home = format!("http://localhost:{}", gateway.port);
    let back_to = format!("{home}/.midgate/logged-out");
    for (name, value) in
        [("id_token_hint", &*id_token), ("client_id", "us"), ("post_logout_redirect_uri", &back_to)]
    {
        assert_eq!(parameter(out.location(), name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(parameter(out.location(), "state").map(|state| state.len()), Some(43));
    // The own session is over, whatever the provider does.
    assert_eq!(provider.calls().end_session, 0);
    assert_eq!(kept.clone().fetch("/echo").status, 401);
    let back = browser.visit_provider(out.location());
    let page = browser.open(&back.target);
    assert_eq!(page.status, 200);
    assert!(
        page.text().contains("You are signed out") && !page.text().contains(HERE_ONLY),
        "{}",
        page.text()
    );
    assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);
    // Loaded again it says what it knows: nothing of the provider.
    assert!(browser.open(&back.target).text().contains(HERE_ONLY));
}

#[test]
fn where_the_visitor_wanted_to_go_survives_the_trip() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    for rd in ["/after?x=1&y=%2F", &format!("http://localhost:{}/after", gateway.port)] {
        let mut browser = Browser::signed_in(&gateway, "/echo");
        let written: String = url::form_urlencoded::byte_serialize(rd.as_bytes()).collect();
        let out = browser.post(&format!("/.midgate/logout?rd={written}"), &[], true);
        assert!(!out.location().contains("after"), "{}", out.location());
        let back = browser.visit_provider(out.location());
        let end = browser.open(&back.target);
        assert_eq!(end.status, 303);
        assert!(rd.ends_with(end.location()), "{}", end.location());
        assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);
    }
    assert_eq!(provider.calls().end_session, 2);
}

#[test]
fn a_return_with_another_state_or_none_is_the_signed_out_page_and_nothing_else() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    for fault in ["end-session-other-state", "end-session-no-state"] {
        provider.heal();
        provider.fault(fault, true);
        let mut browser = Browser::signed_in(&gateway, "/echo");
        let out = browser.post("/.midgate/logout?rd=/after", &[], true);
        let before = browser.cookies.clone();
        let back = browser.visit_provider(out.location());
        let page = browser.open(&back.target);
        assert_eq!(page.status, 200, "{fault}");
        assert!(page.all("set-cookie").is_empty(), "{fault}");
        assert_eq!(browser.cookies, before, "{fault}");
        assert!(!browser.is_signed_in(), "{fault}");
    }
    // Our state in another browser, or beside a doubled one, is as good as none; a session stays as it is.
    provider.heal();
    let out = signed_out(&mut Browser::signed_in(&gateway, "/echo"));
    let mut other = Browser::signed_in(&gateway, "/echo");
    let back = other.visit_provider(out.location());
    for target in [back.target.clone(), format!("{}&state=x", back.target)] {
        let page = other.open(&target);
        assert_eq!((page.status, page.all("set-cookie").len()), (200, 0));
        assert!(other.is_signed_in());
    }
}

#[test]
fn the_cookie_of_a_logout_opens_with_its_own_state_only() {
    let gateway = &plain("", "", ROUTE);
    let (provider, gateway) = (&gateway.provider, &gateway.gateway);
    let leave = |rd: &str| {
        let mut browser = Browser::signed_in(gateway, "/echo");
        let out = browser.post(&format!("/.midgate/logout?rd={rd}"), &[], true);
        let back = browser.visit_provider(out.location());
        (browser, back)
    };
    let ((mut first, _), (mut second, back)) = (leave("/one"), leave("/two"));
    assert_eq!(first.open(&back.target).status, 200);
    assert_eq!(second.open(&back.target).location(), "/two");
    for junk in ["", "x", "%22", &"A".repeat(4000)] {
        second.cookies.insert("midgate-logout".into(), junk.into());
        assert_eq!(second.open(&back.target).status, 200, "{junk}");
    }
    assert_eq!(provider.calls().end_session, 2);
}

#[test]
fn without_an_end_session_endpoint_only_our_session_ends_and_the_page_says_so() {
    for fault in ["no-end-session", "odd-end-session"] {
        let (op, application) = (provider(Manner::Plain), application());
        op.fault(fault, true);
        let up = format!("http://127.0.0.1:{}", application.port());
        let config = format!("\n{}\n[[route]]\nupstream = \"{up}\"\n", provider_toml("op", &op, ""));
        let gateway = Gateway::start(&config);
        let mut browser = Browser::signed_in(&gateway, "/echo");
        let out = signed_out(&mut browser);
        assert_eq!(out.location(), "/.midgate/logged-out", "{fault}");
        let page = browser.open(out.location());
        assert_eq!(page.status, 200);
        assert!(page.text().contains(HERE_ONLY), "{}", page.text());
        assert_eq!(browser.post("/.midgate/logout?rd=/after", &[], true).location(), "/after");
    }
}

#[test]
fn mobile_id_has_no_place_to_sign_out_at() {
    let (op, application) = (provider(Manner::MobileId), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let toml = provider_toml("op", &op, "preset = \"mobileid-ch\"");
    let gateway = Gateway::start(&format!("\n{toml}\n[[route]]\nupstream = \"{up}\"\n"));
    let mut browser = Browser::signed_in(&gateway, "/echo");
    assert_eq!(signed_out(&mut browser).location(), "/.midgate/logged-out");
}

#[test]
fn what_the_provider_forbids_is_not_sent_and_its_own_parameters_are_kept() {
    let (op, application) = (provider(Manner::Plain), application());
    let endpoint = format!("{}/end_session?p=b2c_1a_signin&client_id=other", op.issuer());
    for (more, hint, back_to) in [
        ("", true, true),
        ("forbid = [\"id_token_hint\"]", false, true),
        ("forbid = [\"post_logout_redirect_uri\"]", true, false),
    ] {
        let toml =
            provider_toml("op", &op, &format!("endpoints = {{ end_session = \"{endpoint}\" }}\n{more}"));
        let up = format!("http://127.0.0.1:{}", application.port());
        let gateway = Gateway::start(&format!("\n{toml}\n[[route]]\nupstream = \"{up}\"\n"));
        let mut browser = Browser::signed_in(&gateway, "/echo");
        let out = signed_out(&mut browser);
        assert_eq!(parameter(out.location(), "p").as_deref(), Some("b2c_1a_signin"));
        assert_eq!(parameter(out.location(), "client_id").as_deref(), Some("us"));
        assert_eq!(parameter(out.location(), "id_token_hint").is_some(), hint, "{more}");
        assert_eq!(parameter(out.location(), "post_logout_redirect_uri").is_some(), back_to, "{more}");
    }
}

#[test]
fn a_hint_that_would_make_the_address_too_long_is_left_out() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    provider.patch_id_token(serde_json::json!({"long": "x".repeat(6000)}));
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let out = signed_out(&mut browser);
    assert_eq!(parameter(out.location(), "id_token_hint"), None);
    assert_eq!(parameter(out.location(), "client_id").as_deref(), Some("us"));
    let back = browser.visit_provider(out.location());
    assert_eq!(browser.open(&back.target).status, 200);
}

#[test]
fn the_question_may_lead_to_the_provider() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let question = browser.open("/.midgate/logout");
    let policy = question.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains(&format!("form-action 'self' {};", provider.issuer())), "{policy}");
    let (action, fields) = form(&question.text());
    let out = browser.post(&action, &fields, true);
    assert!(out.location().starts_with(&provider.issuer()), "{}", out.location());
}

#[test]
fn a89_a_token_stands_in_no_address_but_the_providers() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let out = browser.post("/.midgate/logout?rd=/{id_token}", &[], true);
    assert!(out.location().starts_with(&provider.issuer()));
    assert!(parameter(out.location(), "id_token_hint").is_some_and(|hint| hint.starts_with("eyJ")));
    let back = browser.visit_provider(out.location());
    let end = browser.open(&back.target);
    assert_eq!((end.status, end.location()), (303, "/%7Bid_token%7D"));
    // Without a session there is nothing to tell the provider.
    let again = browser.post("/.midgate/logout?rd=/{id_token}", &[], true);
    assert_eq!((again.status, again.location()), (303, "/%7Bid_token%7D"));
    assert_eq!(provider.calls().end_session, 1);
    assert!(!gateway.log().contains("eyJ"), "no token is logged");
}

#[test]
fn a_provider_that_is_down_keeps_nobody_signed_in() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    provider.stop();
    assert_eq!(browser.post("/.midgate/logout", &[], true).status, 303);
    assert!(!browser.is_signed_in());
}

#[test]
fn a_host_of_a_wildcard_comes_back_by_the_registered_address() {
    let (op, application) = (provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let config = format!(
        "public_url = \"https://app.test\"\n[session.cookie]\ndomain = \"app.test\"\n{}\n\
         [[route]]\nupstream = \"{up}\"\n[[route]]\nhost = \"*.app.test\"\nupstream = \"{up}\"\n",
        provider_toml("op", &op, "")
    );
    let gateway = Gateway::start(&config);
    let mut browser = Browser::new(&gateway);
    browser.host = "app.test".into();
    assert_eq!(browser.sign_in("/echo").status, 303);
    browser.host = "x.app.test".into();
    let question = browser.open("/.midgate/logout?rd=https://y.app.test/after");
    let policy = question.header("content-security-policy").unwrap_or_default();
    let sources = format!("form-action 'self' {} https://app.test https://y.app.test;", op.issuer());
    assert!(policy.contains(&sources), "{policy}");
    let out = browser.post("/.midgate/logout?rd=/after", &[], true);
    let back_to = parameter(out.location(), "post_logout_redirect_uri");
    assert_eq!(back_to.as_deref(), Some("https://app.test/.midgate/logged-out"));
    let cookie = out.all("set-cookie").into_iter().find(|line| line.starts_with("__Secure-midgate-logout="));
    assert!(cookie.is_some_and(|line| line.contains("Domain=app.test")), "{out:?}");
    let back = browser.visit_provider(out.location());
    browser.host = "app.test".into();
    assert_eq!(browser.open(&back.target).location(), "https://x.app.test/after");
}
