//! Signatures: algorithms of the ID token that are configured, signed UserInfo, claims of other parties.

use midgate::demo::provider::Manner;
use serde_json::json;

use super::{ROOT, Setting, setting};
use crate::rig::Browser;

const MAPPED: &str = "[provider.claims]\nname = \"name\"\n";

#[test]
fn an_algorithm_is_believed_where_it_is_configured_and_nowhere_else() {
    for alg in ["RS256", "PS256", "ES256", "EdDSA"] {
        let more = format!("id_token_alg = [\"{alg}\"]");
        let Setting { provider, gateway, application: _application } =
            setting(Manner::Plain, &[], &more, ROOT);
        for made in ["RS256", "PS256", "ES256", "EdDSA"] {
            provider.heal();
            provider.forget_calls();
            provider.sign_with(made);
            provider.fault("no-kid", made != alg);
            let mut browser = Browser::new(&gateway);
            let expected = if made == alg { (303, 1) } else { (502, 0) };
            assert_eq!(
                (browser.sign_in("/echo").status, provider.calls().userinfo),
                expected,
                "{made} for {alg}"
            );
            if made == alg {
                provider.forget_calls();
                provider.fault("bad-signature", true);
                let mut browser = Browser::new(&gateway);
                assert_eq!((browser.sign_in("/echo").status, provider.calls().userinfo), (502, 0), "{alg}");
                assert!(!browser.is_signed_in());
            }
        }
    }
}

#[test]
fn signed_userinfo_is_verified_like_an_id_token() {
    let Setting { provider, gateway, application: _application } = setting(Manner::Plain, &[], MAPPED, ROOT);
    provider.fault("userinfo-signed", true);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    assert_eq!(browser.echo("/echo", "").one("X-Auth-Name"), "Zoë Müller-François");
    let session = browser.fetch("/.midgate/session").json();
    assert_eq!(session["iss"].as_str(), Some(provider.issuer().as_str()));
    provider.patch_userinfo(json!({"aud": ["other", "us"], "exp": 4_000_000_000_u64}));
    Browser::signed_in(&gateway, "/echo");
}

#[test]
fn a79_signed_userinfo_that_is_wrong_in_any_way_is_refused() {
    let Setting { provider, gateway, application: _application } = setting(Manner::Plain, &[], MAPPED, ROOT);
    let refused = |what: &str| {
        provider.forget_calls();
        provider.fault("userinfo-signed", true);
        let mut browser = Browser::new(&gateway);
        let answer = browser.sign_in("/echo");
        assert_eq!(answer.status, 502, "{what}: {}", answer.text());
        assert_eq!((provider.calls().token, provider.calls().userinfo), (1, 1), "{what}");
        assert!(!browser.is_signed_in(), "{what}");
    };
    for fault in [
        "userinfo-alg-none",
        "userinfo-alg-none-odd",
        "userinfo-alg-hs256-secret",
        "userinfo-alg-hs256-public-key",
        "userinfo-alg-ps256",
        "userinfo-bad-signature",
        "userinfo-empty-signature",
        "userinfo-foreign-key",
        "userinfo-jwk-header",
        "userinfo-four-parts",
        "userinfo-crit",
        "userinfo-duplicate-member",
        "userinfo-unknown-kid",
        "userinfo-wrong-sub",
        "userinfo-missing-sub",
    ] {
        provider.heal();
        provider.fault(fault, true);
        refused(fault);
    }
    for patch in [
        json!({"iss": format!("{}1", provider.issuer())}),
        json!({"iss": null}),
        json!({"aud": "us1"}),
        json!({"aud": null}),
        json!({"aud": []}),
        json!({"aud": [1, "us"]}),
        json!({"exp": 1_000_000_000}),
        json!({"exp": "x"}),
        json!({"nbf": 4_000_000_000_u64}),
    ] {
        provider.heal();
        provider.patch_userinfo(patch.clone());
        refused(&patch.to_string());
    }
}

#[test]
fn claims_of_other_parties_are_ignored_and_never_fetched() {
    let Setting { provider, gateway, application: _application } = setting(Manner::Plain, &[], MAPPED, ROOT);
    for (fault, is_signed) in [
        ("userinfo-aggregated", false),
        ("userinfo-aggregated", true),
        ("userinfo-distributed", false),
        ("userinfo-distributed", true),
    ] {
        provider.heal();
        provider.fault(fault, true);
        provider.fault("userinfo-signed", is_signed);
        let mut browser = Browser::signed_in(&gateway, "/echo");
        assert_eq!(browser.echo("/echo", "").one("X-Auth-Name"), "Zoë Müller-François", "{fault}");
        assert!(!browser.fetch("/.midgate/session").text().contains("_claim"), "{fault}");
    }
    assert_eq!(provider.calls().unknown, 0, "no address of a claim source was called");
}

#[test]
fn claims_of_every_shape_reach_the_application() {
    let mapping = r#"
        [provider.claims]
        town = "address.locality"
        groups = "groups"
        adult = "adult"
        age = "age"
        whole = "address"
        gone = "address.none"
        both = { template = "{address.locality} {age}" }
        [headers]
        "X-Town" = "{town}"
        "X-Groups" = { value = "{groups}", join = ";" }
        "X-Adult" = "{adult}"
        "X-Age" = "{age}"
        "X-Whole" = "{whole}"
        "X-Gone" = "{gone}"
        "X-Both" = "{both}"
    "#;
    let Setting { provider, gateway, application: _application } = setting(Manner::Plain, &[], mapping, ROOT);
    provider.patch_userinfo(json!({"adult": true, "age": 4.5, "address": {"locality": "Zug", "none": null}}));
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let echo = browser.echo("/echo", "");
    for (name, value) in [
        ("X-Town", "Zug"),
        ("X-Groups", "staff;payroll"),
        ("X-Adult", "true"),
        ("X-Age", "4.5"),
        ("X-Whole", r#"{"locality":"Zug","none":null}"#),
        ("X-Both", "Zug 4.5"),
    ] {
        assert_eq!(echo.one(name), value, "{name}");
    }
    assert!(echo.all("X-Gone").is_empty());
}

#[test]
fn required_claims_may_be_nested_and_null_is_missing() {
    let more = "required_claims = [\"sub\", \"address.locality\", \"groups\"]";
    let Setting { provider, gateway, application: _application } = setting(Manner::Plain, &[], more, ROOT);
    Browser::signed_in(&gateway, "/echo");
    for patch in [json!({"address": {"locality": null}}), json!({"address": "Zug"}), json!({"groups": null})]
    {
        provider.patch_userinfo(patch.clone());
        let mut browser = Browser::new(&gateway);
        assert_eq!(browser.sign_in("/echo").status, 403, "{patch}");
        assert!(!browser.is_signed_in());
    }
}
