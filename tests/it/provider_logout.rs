//! Logouts that the provider begins: by its server (OpenID Connect Back-Channel Logout), or by a frame in its page
//! (Front-Channel Logout).

use midgate::demo::provider::{Forgery, Manner};
use serde_json::{Value, json};

use crate::rig::{Answer, Browser, Gateway, Plain, application, plain, provider, provider_toml, until};

const ROUTE: &str = "[[route]]\nupstream = \"{up}\"\n";
const BACK: &str = "/.midgate/logout/backchannel";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

fn encoded(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Posts a logout token as the provider's server does.
fn post(gateway: &Gateway, token: &str) -> Answer {
    let body = encoded(&[("ignored_parameter", "1"), ("logout_token", token)]);
    let answer = Browser::new(gateway).ask("POST", BACK, FORM, body.as_bytes());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.all("set-cookie").is_empty());
    answer
}

/// The reason of a refusal.
fn reason(answer: &Answer) -> String {
    assert_eq!(answer.status, 400, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["error"], "invalid_request");
    body["error_description"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_good_logout_token_ends_the_session_everywhere() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    for (claims, forgery) in [
        (json!({"ignored_claim": {"x": [1]}}), Forgery::Nothing),
        (json!({"sub": null}), Forgery::Typ("JWT")),
        (json!({"sid": null}), Forgery::Typ("")),
    ] {
        let mut browser = Browser::signed_in(&gateway, "/echo");
        let token = provider.logout_token(claims.clone(), forgery);
        let answer = post(&gateway, &token);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{claims} {}", answer.text());
        assert_eq!(browser.fetch("/echo").status, 401, "{claims}");
        assert_eq!(browser.open("/echo").status, 302, "{claims}");
    }
    until("the logouts are noted", || {
        gateway.log().matches("\"audit.event\":\"backchannel-logout\",\"audit.result\":\"ok\"").count() == 3
    });
}

#[test]
fn a_logout_token_for_a_session_that_is_gone_is_200_all_the_same() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    assert_eq!(browser.sign_out("/.midgate/logout").status, 200);
    assert_eq!(post(&gateway, &provider.logout_token(json!({}), Forgery::Nothing)).status, 200);
    let nobody = json!({"sid": "never seen", "sub": "nobody"});
    assert_eq!(post(&gateway, &provider.logout_token(nobody, Forgery::Nothing)).status, 200);
}

#[test]
fn a83_a_logout_token_that_is_not_right_in_every_way_ends_nothing() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let calls = provider.calls();
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later").as_secs();
    let issuer = format!("{}INVALID", provider.issuer());
    let (none, logout) = (json!({}), "http://schemas.openid.net/event/backchannel-logout");
    for (claims, forgery, expected) in [
        (none.clone(), Forgery::AlgNone, "algorithm-not-allowed"),
        (none.clone(), Forgery::Hs256WithSecret, "algorithm-not-allowed"),
        (none.clone(), Forgery::Hs256WithPublicKey, "algorithm-not-allowed"),
        (none.clone(), Forgery::Es256, "algorithm-not-allowed"),
        (none.clone(), Forgery::BadSignature, "bad-signature"),
        (none.clone(), Forgery::ForeignKey, "bad-signature"),
        (none.clone(), Forgery::Typ("at+jwt"), "token-header"),
        (json!({"iss": issuer}), Forgery::Nothing, "unknown-issuer"),
        (json!({"iss": null}), Forgery::Nothing, "token-malformed"),
        (json!({"aud": "usINVALID"}), Forgery::Nothing, "wrong-audience"),
        (json!({"aud": null}), Forgery::Nothing, "wrong-audience"),
        (json!({"events": null}), Forgery::Nothing, "no-logout-event"),
        (json!({"events": {"http://op.test/other": {}}}), Forgery::Nothing, "no-logout-event"),
        (json!({"events": {logout: 1}}), Forgery::Nothing, "no-logout-event"),
        (json!({"nonce": "n"}), Forgery::Nothing, "nonce-in-logout-token"),
        (json!({"iat": null}), Forgery::Nothing, "bad-issue-time"),
        (json!({"iat": now + 3600}), Forgery::Nothing, "bad-issue-time"),
        (json!({"exp": null}), Forgery::Nothing, "no-expiry"),
        (json!({"exp": now - 3600}), Forgery::Nothing, "expired"),
        (json!({"jti": null}), Forgery::Nothing, "no-token-id"),
        (json!({"sub": null, "sid": null}), Forgery::Nothing, "no-subject-and-no-sid"),
        (json!({"sid": 7}), Forgery::Nothing, "bad-subject-or-sid"),
    ] {
        let answer = post(&gateway, &provider.logout_token(claims.clone(), forgery));
        assert_eq!(reason(&answer), expected, "{claims} {forgery:?}");
        assert!(browser.is_signed_in(), "{claims} {forgery:?}");
    }
    for junk in ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0..", &"A".repeat(40_000)] {
        assert_eq!(reason(&post(&gateway, junk)), "token-malformed");
    }
    assert_eq!(provider.calls().jwks, calls.jwks, "a bad token costs no call");
    until("the refusals are noted", || gateway.log().contains("\"policy.reason\":\"nonce-in-logout-token\""));
    assert!(!gateway.log().contains("eyJ"), "no token is logged");
}

#[test]
fn a84_a_logout_token_counts_once_and_is_no_id_token_nor_the_reverse() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let id_token = provider.calls().id_token;
    assert_eq!(reason(&post(&gateway, &id_token)), "no-logout-event");
    assert!(browser.is_signed_in());
    let token = provider.logout_token(json!({"sub": "somebody else", "sid": null}), Forgery::Nothing);
    assert_eq!(post(&gateway, &token).status, 200);
    assert_eq!(reason(&post(&gateway, &token)), "token-was-used");
    // A token endpoint that hands out a logout token: it has no nonce, and cannot have one.
    let event = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    provider.patch_id_token(json!({"nonce": null, "events": event, "jti": "1"}));
    let mut other = Browser::new(&gateway);
    assert_eq!(other.sign_in("/echo").status, 502);
    assert!(!other.is_signed_in());
}

#[test]
fn a85_a_provider_ends_one_session_by_sid_all_of_a_person_by_sub_and_none_of_another_provider() {
    let (first, second, application) = (provider(Manner::Plain), provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let config = format!(
        "\n{}\n{}\n[[route]]\nupstream = \"{up}\"\nproviders = [\"first\"]\n[[route]]\npath = \"/second/\"\n\
         upstream = \"{up}\"\nproviders = [\"second\"]\n",
        provider_toml("first", &first, ""),
        provider_toml("second", &second, "")
    );
    let gateway = Gateway::start(&config);
    // 35 printable ASCII characters and more, none of them a letter too few.
    let odd = "sid with blanks \"quotes\" 100%25;\\&=+<>'#?";
    let mut browsers = Vec::new();
    for (path, sid) in [("/echo", odd), ("/echo", "two"), ("/echo", "three"), ("/second/echo", odd)] {
        for op in [&first, &second] {
            op.patch_id_token(json!({"sid": sid}));
        }
        browsers.push(Browser::signed_in(&gateway, path));
    }
    let mut live = |expected: [bool; 4], step: &str| {
        let found: Vec<bool> = browsers.iter_mut().map(Browser::is_signed_in).collect();
        assert_eq!(found, expected, "{step}");
    };
    assert_eq!(first.calls().sub, second.calls().sub, "the same subject at both");
    live([true, true, true, true], "before");
    let end =
        |claims: Value| assert_eq!(post(&gateway, &first.logout_token(claims, Forgery::Nothing)).status, 200);
    end(json!({"sid": odd, "sub": "somebody else"}));
    live([true, true, true, true], "the sid of another subject");
    end(json!({"sid": odd, "sub": null}));
    live([false, true, true, true], "by sid");
    end(json!({"sid": null}));
    live([false, false, false, true], "by subject");
}

#[test]
fn providers_that_share_an_issuer_are_told_apart_by_the_audience() {
    let (op, application) = (provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let us = provider_toml("us", &op, "");
    let others = provider_toml("a-first", &op, "").replace("client_id = \"us\"", "client_id = \"them\"");
    let config = format!("\n{others}\n{us}\n[[route]]\nupstream = \"{up}\"\nproviders = [\"us\"]\n");
    let gateway = Gateway::start(&config);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let stranger = op.logout_token(json!({"aud": "nobody"}), Forgery::Nothing);
    assert_eq!(reason(&post(&gateway, &stranger)), "wrong-audience");
    assert!(browser.is_signed_in());
    assert_eq!(post(&gateway, &op.logout_token(json!({}), Forgery::Nothing)).status, 200);
    assert!(!browser.is_signed_in());
}

#[test]
fn a86_a_logout_token_comes_by_post_as_a_form_and_once() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let token = provider.logout_token(json!({}), Forgery::Nothing);
    let body = encoded(&[("logout_token", &token)]);
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let answer = Browser::new(&gateway).ask(method, &format!("{BACK}?{body}"), "", b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
    }
    let twice = encoded(&[("logout_token", &token), ("logout_token", &token)]);
    let as_json = json!({ "logout_token": token }).to_string();
    for (target, headers, body, expected) in [
        (BACK.to_owned(), "Content-Type: application/json\r\n", as_json, "not-a-form"),
        (BACK.to_owned(), "", body.clone(), "not-a-form"),
        (BACK.to_owned(), FORM, twice, "doubled-parameter"),
        (BACK.to_owned(), FORM, "x=1".to_owned(), "no-logout-token"),
        (format!("{BACK}?{body}"), FORM, String::new(), "no-logout-token"),
    ] {
        let answer = Browser::new(&gateway).ask("POST", &target, headers, body.as_bytes());
        assert_eq!(reason(&answer), expected);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let large = format!("{body}&x={}", "a".repeat(1 << 20));
    let answer = Browser::new(&gateway).ask("POST", BACK, FORM, large.as_bytes());
    assert_eq!((answer.status, answer.header("cache-control")), (413, Some("no-store")));
    assert!(browser.is_signed_in());
    let charset = "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n";
    assert_eq!(Browser::new(&gateway).ask("POST", BACK, charset, body.as_bytes()).status, 200);
    assert!(!browser.is_signed_in());
}

#[test]
fn an_unknown_key_of_a_logout_token_fetches_the_keys_and_keeps_no_login_waiting() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let before = provider.calls().jwks;
    for _ in 0..5 {
        let token = provider.logout_token(json!({}), Forgery::UnknownKid);
        assert_eq!(reason(&post(&gateway, &token)), "unknown-key");
    }
    assert_eq!(provider.calls().jwks, before + 2);
    assert!(browser.is_signed_in());
    // Whoever posts such tokens uses up nothing that a login needs.
    provider.rotate_keys();
    Browser::signed_in(&gateway, "/echo");
}

#[test]
fn a_key_that_was_rotated_just_before_signs_a_good_logout_token() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    provider.rotate_keys();
    assert_eq!(post(&gateway, &provider.logout_token(json!({}), Forgery::Nothing)).status, 200);
    assert!(!browser.is_signed_in());
}

#[test]
fn a88_a_login_that_the_provider_ends_while_its_callback_runs_makes_no_session() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    for (number, claims) in [json!({"sub": null}), json!({"sid": null}), json!({})].into_iter().enumerate() {
        provider.patch_id_token(json!({"sub": format!("person {number}")}));
        provider.patch_userinfo(json!({"sub": format!("person {number}")}));
        provider.forget_calls();
        let mut browser = Browser::new(&gateway);
        let start = browser.open("/echo");
        let callback = browser.visit_provider(start.location());
        provider.fault("userinfo-waits", true);
        let waiting = std::thread::spawn(move || (browser.deliver(&callback), browser));
        until("the callback waits", || provider.calls().userinfo == 1);
        let token = provider.logout_token(claims.clone(), Forgery::Nothing);
        assert_eq!(post(&gateway, &token).status, 200);
        provider.fault("userinfo-waits", false);
        let (answer, mut browser) = waiting.join().expect("the callback is answered");
        assert_eq!(answer.status, 400, "{claims} {}", answer.text());
        assert!(answer.text().contains("login-stale"), "{}", answer.text());
        assert!(!browser.cookies.contains_key("midgate") && !browser.is_signed_in(), "{claims}");
    }
    until("the reason is noted", || gateway.log().contains("\"policy.reason\":\"ended-by-the-provider\""));
}

/// A front-channel query of these values, encoded as it should be.
fn front(iss: &str, sid: &str) -> String {
    format!("/.midgate/logout/frontchannel?{}", encoded(&[("iss", iss), ("sid", sid)]))
}

/// Asks as a frame in a page of the provider's does: from another site, without cookies.
fn in_frame(gateway: &Gateway, target: &str) -> Answer {
    let headers = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\nSec-Fetch-Site: cross-site\r\nAccept: text/html\r\n";
    let answer = Browser::new(gateway).ask("GET", target, headers, b"");
    assert_eq!(answer.status, 200, "{target}");
    assert_eq!(answer.header("x-frame-options"), None, "{target}");
    assert!(answer.header("cache-control").is_some_and(|value| value.contains("no-store")), "{target}");
    assert!(answer.all("set-cookie").is_empty(), "{target}");
    answer
}

fn ancestors(answer: &Answer) -> String {
    let policy = answer.header("content-security-policy").expect("a policy");
    policy.split_once("frame-ancestors ").expect("frame-ancestors").1.to_owned()
}

#[test]
fn a_frame_of_the_provider_ends_the_session_that_it_names() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    let (mut other, mut browser) =
        (Browser::signed_in(&gateway, "/echo"), Browser::signed_in(&gateway, "/echo"));
    let calls = provider.calls();
    let answer = in_frame(&gateway, &front(&provider.issuer(), &calls.sid));
    assert_eq!(ancestors(&answer), provider.issuer());
    assert_eq!(browser.fetch("/echo").status, 401);
    assert_eq!(browser.open("/echo").status, 302);
    assert!(other.is_signed_in());
    let after = provider.calls();
    assert_eq!(
        (after.token, after.userinfo, after.jwks, after.end_session),
        (calls.token, calls.userinfo, calls.jwks, 0),
        "nobody is asked"
    );
    until("the logout is noted", || gateway.log().contains("\"audit.event\":\"frontchannel-logout\""));
    // Nobody proved anything: the same person signs in again, with the same session at the provider.
    provider.patch_id_token(json!({"sid": calls.sid}));
    Browser::signed_in(&gateway, "/echo");
}

#[test]
fn a87_a_front_channel_logout_with_foreign_values_is_200_and_ends_nothing() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let (issuer, sid) = (provider.issuer(), provider.calls().sid);
    for target in [
        front("https://evil.test/", &sid),
        front(&format!("{issuer}/"), &sid),
        front("", &sid),
        format!("/.midgate/logout/frontchannel?sid={sid}"),
        "/.midgate/logout/frontchannel".to_owned(),
        "/.midgate/logout/frontchannel?".to_owned(),
        "/.midgate/logout/frontchannel?%ff=%zz&&&=".to_owned(),
        format!("{}&iss=x", front(&issuer, &sid)),
    ] {
        assert_eq!(ancestors(&in_frame(&gateway, &target)), "'none'", "{target}");
        assert!(browser.is_signed_in(), "{target}");
    }
    for sid in ["", "unknown", &format!("{sid}x")] {
        assert_eq!(ancestors(&in_frame(&gateway, &front(&issuer, sid))), issuer, "{sid}");
        assert!(browser.is_signed_in(), "{sid}");
    }
    // Who has a cookie ends nothing by it.
    let ask = format!("/.midgate/logout/frontchannel?iss={issuer}");
    assert_eq!(browser.open(&ask).status, 200);
    assert!(browser.is_signed_in());
    for method in ["POST", "PUT", "DELETE"] {
        let answer = browser.ask(method, &front(&issuer, &sid), "", b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    assert!(browser.is_signed_in());
}

#[test]
fn a_mangled_front_channel_query_ends_the_session_where_its_sid_can_still_be_read() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    for (sid, ends) in [
        ("plain-0123456789-0123456789-0123456789", true),
        ("semi;colon\\back\"slash'`^{|}~", true),
        ("with+plus+and=equals", true),
        ("100%25-percent", true),
        ("50%", true),
        ("amper&sand", true),
        // What stands after it cannot be told from a parameter.
        ("amper&iss=", false),
        ("blank blank", true),
    ] {
        provider.patch_id_token(json!({"sid": sid}));
        let mut browser = Browser::signed_in(&gateway, "/echo");
        // A browser itself encodes blanks and quotes, and leaves the rest.
        let raw = sid.replace(' ', "%20").replace('"', "%22").replace('\'', "%27");
        in_frame(&gateway, &format!("/.midgate/logout/frontchannel?iss={}&sid={raw}", provider.issuer()));
        assert_eq!(browser.is_signed_in(), !ends, "{sid}");
        let mut browser = Browser::signed_in(&gateway, "/echo");
        in_frame(&gateway, &front(&provider.issuer(), sid));
        assert!(!browser.is_signed_in(), "{sid} as it should be");
    }
}

#[test]
fn a_logout_at_the_provider_frames_ours_and_comes_back() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    let address = format!("http://localhost:{}/.midgate/logout/frontchannel", gateway.port);
    provider.frame_at_logout(&address);
    for fault in ["", "frontchannel-mangled"] {
        provider.fault(fault, true);
        let mut browser = Browser::signed_in(&gateway, "/echo");
        let out = browser.post("/.midgate/logout", &[], true);
        let page = visit(provider.port(), out.location());
        let (frame, onward) = (attribute(&page, "src"), attribute(&page, "href"));
        assert_eq!(ancestors(&in_frame(&gateway, &frame)), provider.issuer());
        let end = browser.open(&onward);
        assert_eq!(end.status, 200);
        assert!(end.text().contains("You are signed out"), "{}", end.text());
    }
    // Opened by the provider while the session lives.
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let frame = attribute(&visit(provider.port(), "/sim/frame"), "src");
    assert!(browser.is_signed_in());
    in_frame(&gateway, &frame);
    assert!(!browser.is_signed_in());
}

/// A page of the provider's.
fn visit(port: u16, location: &str) -> String {
    let base = url::Url::parse(&format!("http://127.0.0.1:{port}")).expect("a URL");
    let url = base.join(location).expect("a URL");
    let target = &url[url::Position::BeforePath..];
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = crate::rig::send(port, request.as_bytes()).expect("the provider answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// Path and query of the address in the first attribute of a name.
fn attribute(page: &str, name: &str) -> String {
    let page = crate::rig::browser::unescaped(page);
    let (_, rest) =
        page.split_once(&format!("{name}=\"http://")).unwrap_or_else(|| panic!("{name} in {page}"));
    let address = rest.split('"').next().unwrap_or_default();
    address.get(address.find('/').unwrap_or_default()..).unwrap_or_default().to_owned()
}
