//! Logins that the provider, or any other site, begins (OpenID Connect Core §4).

use crate::rig::{Browser, plain, until};

const ROUTE: &str = "[[route]]\nupstream = \"{up}\"\n";

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[test]
fn a_login_that_the_provider_begins_leads_to_the_page_that_it_names() {
    let shared = plain("", "", ROUTE);
    let iss = encoded(&shared.provider.issuer());
    let page = format!("http://localhost:{}/deep/echo?x=1", shared.gateway.port);
    assert_eq!(shared.provider.calls().authorize, 0);
    let mut browser = Browser::new(&shared.gateway);
    let begun = format!("/.midgate/login?iss={iss}&login_hint=zoe&target_link_uri={}", encoded(&page));
    let start = browser.open(&begun);
    assert_eq!(start.status, 302, "{}", start.text());
    assert_eq!(start.all("set-cookie").len(), 1, "the state is bound to this browser");
    let callback = browser.visit_provider(start.location());
    // What a visitor brings along is not passed on.
    assert_eq!(shared.provider.calls().parameter("login_hint"), None);
    // Another browser cannot finish it.
    assert_eq!(Browser::new(&shared.gateway).deliver(&callback).status, 400);
    let end = browser.deliver(&callback);
    assert_eq!((end.status, end.location()), (303, "/deep/echo?x=1"));
    assert!(browser.is_signed_in());
    // Without a page it leads home.
    let mut browser = Browser::new(&shared.gateway);
    assert_eq!(browser.sign_in(&format!("/.midgate/login?iss={iss}")).location(), "/");
}

#[test]
fn a_login_for_a_foreign_issuer_or_a_foreign_page_is_refused_without_a_trace() {
    let shared = plain("", "", ROUTE);
    let issuer = shared.provider.issuer();
    let own = format!("http://localhost:{}/echo", shared.gateway.port);
    let evil = "https://evil.test/";
    until("the provider is known", || shared.provider.calls().jwks == 1);
    let before = shared.provider.calls();
    for (iss, page) in [
        (evil, own.as_str()),
        ("", &own),
        (&format!("{issuer}/"), &own),
        (&issuer.to_uppercase(), &own),
        (&issuer, evil),
        (&issuer, "//evil.test/"),
        (&issuer, "https:evil.test"),
        (&issuer, &format!("{issuer}/echo")),
        (&issuer, "javascript:alert(1)"),
    ] {
        let target = format!("/.midgate/login?iss={}&target_link_uri={}", encoded(iss), encoded(page));
        let mut browser = Browser::new(&shared.gateway);
        let answer = browser.open(&target);
        assert_eq!(answer.status, 400, "{iss} {page}");
        assert!(answer.all("set-cookie").is_empty() && answer.header("location").is_none(), "{iss} {page}");
        let reason = if iss == issuer { "foreign-return-target" } else { "unknown-issuer" };
        assert_eq!(browser.fetch(&target).json()["reason"], reason, "{iss} {page}");
    }
    let after = shared.provider.calls();
    assert_eq!(
        (after.discovery, after.jwks, after.authorize, after.token),
        (before.discovery, before.jwks, 0, 0)
    );
}
