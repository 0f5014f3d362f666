//! The header contract as tables.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::identity::{Claims, Identity, Template};

mod random;

fn contract() -> Contract {
    Contract {
        strip: Strip::new(DEFAULT_STRIP, ["X-Auth-User", "x-auth-ACR", "Employee_Id"]),
        cookies: CookieNames::new("midgate", true, None),
        identity: Vec::new(),
        assertion: None,
    }
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

#[test]
fn i2_every_spelling_of_our_headers_is_removed() {
    let contract = contract();
    for name in [
        "x-auth-acr",
        "x_auth_acr",
        "x-auth_acr",
        "x.auth.acr",
        "x~auth~acr",
        "x-auth-anything",
        "x_auth_x",
        "employee-id",
        "employee_id",
        "employee.id",
        "x-midgate-jwt-assertion",
        "x_midgate_user",
        "remote-user",
        "remote_user",
        "oidc_claim_sub",
        "oidc-claim-sub",
        "cf-access-jwt",
        "x-ms-client-principal",
        "x-ms-client-principal-id",
        "x-original-url",
        "x_original_uri",
        "x-forwarded-user",
        "x-goog-iap-jwt",
    ] {
        for trusted in [false, true] {
            assert!(contract.strip.removes(&HeaderName::try_from(name).unwrap(), trusted), "{name}");
        }
    }
}

#[test]
fn what_proxies_say_is_kept_from_a_trusted_peer_only() {
    let contract = contract();
    for name in ["forwarded", "x-forwarded-for", "x-forwarded-port", "x-real-ip", "cf-connecting-ip"] {
        let name = HeaderName::try_from(name).unwrap();
        assert!(contract.strip.removes(&name, false), "{name}");
        assert!(!contract.strip.removes(&name, true), "{name}");
    }
    assert!(contract.strip.removes(&HeaderName::from_static("x_forwarded_for"), true));
}

#[test]
fn other_headers_stay() {
    let contract = contract();
    for name in ["accept", "authorization", "cookie", "x-requested-with", "x-authority", "origin", "employee"]
    {
        assert!(!contract.strip.removes(&HeaderName::try_from(name).unwrap(), false), "{name}");
    }
}

#[test]
fn i3_our_cookies_never_go_up_and_others_stay_byte_for_byte() {
    let contract = contract();
    for (lines, expected) in [
        (&["a=1"][..], CookieChange::Keep),
        (&["a=\"1; x\"; b = 2;c"], CookieChange::Keep),
        (&["__Host-midgate=x"], CookieChange::Remove),
        (&["midgate=x; __host-midgate-login-abc=y; __Secure-midgate"], CookieChange::Remove),
        (&["__Host-midgate-logout=x; midgate-logoutx=1"], replace("midgate-logoutx=1")),
        (&["a=1; __Host-midgate=x; b=%22; midgatex=1"], replace("a=1; b=%22; midgatex=1")),
        (&["a=1", "b=2"], replace("a=1; b=2")),
        (&["a=1;;; b;  =; __Host-midgate-login-1"], replace("a=1; b; =")),
    ] {
        let pairs: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
        assert_eq!(contract.cookies.without_ours(&headers(&pairs)), expected, "{lines:?}");
    }
}

fn replace(line: &str) -> CookieChange {
    CookieChange::Replace(HeaderValue::from_str(line).unwrap())
}

#[test]
fn i3_no_upstream_sets_our_cookies() {
    let contract = contract();
    for (value, kept_back) in [
        ("__Host-midgate=x; Path=/", true),
        ("__host-midgate=x", true),
        (" midgate = x", true),
        ("__Host-midgate-login-a=x", true),
        ("__Secure-midgate-logout=x", true),
        ("=__Host-midgate=x", true),
        ("midgate", true),
        ("JSESSIONID=x", false),
        ("midgatex=1", false),
    ] {
        let value = HeaderValue::from_str(value).unwrap();
        assert_eq!(contract.keeps_back(&header::SET_COOKIE, &value), kept_back, "{value:?}");
    }
}

#[test]
fn hop_by_hop_headers_of_an_answer_end_here() {
    let answer = headers(&[
        ("connection", "close, X-Hop, upgrade"),
        ("x-hop", "1"),
        ("keep-alive", "5"),
        ("etag", "1"),
    ]);
    assert_eq!(hop_by_hop(&answer), ["x-hop", "keep-alive"]);
}

fn person(claims: Value) -> Identity {
    Identity {
        provider: "p".into(),
        issuer: "i".into(),
        subject: "s".into(),
        user_key: "k".into(),
        acr: Some("loa-2".into()),
        amr: Box::default(),
        auth_time: None,
        claims: claims.as_object().cloned().unwrap_or_else(Claims::new),
    }
}

fn rendered(template: &str, encoding: Encoding, claims: Value) -> (Option<Vec<u8>>, usize) {
    let template = Template::parse(template).unwrap();
    let field = Field { name: "X-Auth-Name".into(), template, encoding, join: ",".into() };
    let fields = Fields::new(0, vec![field], PassToken::None);
    let mut left = Vec::new();
    let ready = fields.render(&person(claims), &mut left);
    (ready.first().map(|(_, value)| value.as_bytes().to_vec()), left.len())
}

#[test]
fn names_arrive_intact_in_each_encoding() {
    let zoe = json!({"name": "Zoë Müller"});
    for (encoding, bytes) in [
        (Encoding::Utf8, "Zoë Müller".as_bytes()),
        (Encoding::Latin1, b"Zo\xeb M\xfcller"),
        (Encoding::Percent, b"Zo%C3%AB%20M%C3%BCller"),
        (Encoding::Base64, b"Wm/DqyBNw7xsbGVy"),
    ] {
        assert_eq!(rendered("{name}", encoding, zoe.clone()), (Some(bytes.to_vec()), 0));
    }
    assert_eq!(rendered("{name}", Encoding::Latin1, json!({"name": "Łukasz"})), (None, 1));
}

#[test]
fn no_control_character_ever_stands_in_a_header() {
    for name in ["a\r\nX-Auth-Acr: loa-4", "a\rb", "a\nb", "a\0b", "a\u{7f}", "a\u{1b}", "a\u{85}b"] {
        assert_eq!(rendered("{name}", Encoding::Utf8, json!({"name": name})), (None, 1), "{name:?}");
        assert_eq!(rendered("{name}", Encoding::Latin1, json!({"name": name})), (None, 1), "{name:?}");
        let (percent, _) = rendered("{name}", Encoding::Percent, json!({"name": name}));
        assert!(percent.unwrap().is_ascii());
    }
}

#[test]
fn a_missing_claim_means_no_header() {
    assert_eq!(rendered("{documentId}", Encoding::Utf8, json!({})), (None, 0));
    assert_eq!(rendered("{acr} {provider}", Encoding::Utf8, json!({"acr": "loa-4"})).0.unwrap(), b"loa-2 p");
}

proptest! {
    #[test]
    fn i2_what_folds_to_one_of_ours_never_arrives(name in "[xX][-_.~!][aA]uth[-_.]([uU]ser|acr|[a-z]{0,9})") {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        prop_assert!(contract().strip.removes(&name, true));
    }

    #[test]
    fn i3_no_pair_of_ours_survives(line in "(__Host-|__Secure-|)?(midgate|a)(-login-[a-z]|)(=[a-z;]{0,3}|); ?[ -:<-~]{0,12}") {
        let contract = contract();
        let mut map = HeaderMap::new();
        map.append(header::COOKIE, HeaderValue::from_str(&line).unwrap());
        if let CookieChange::Replace(value) = contract.cookies.without_ours(&map) {
            let mut after = HeaderMap::new();
            after.append(header::COOKIE, value);
            prop_assert!(!crate::request::cookie_pairs(&after).any(|(name, _, _)| contract.cookies.is_ours(name)));
        }
    }
}
