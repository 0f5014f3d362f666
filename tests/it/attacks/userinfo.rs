//! UserInfo that lies: it counts for the subject of the ID token only, and never for the level.

use serde_json::{Value, json};

use super::id_tokens::{ROUTE, deflated_zeros, fails};
use crate::rig::{Browser, Plain, plain};

/// Sees a login end over UserInfo, which was asked once.
fn refused(setting: &Plain, what: &str, reason: &str) {
    fails(setting, what, reason);
    assert_eq!((setting.provider.calls().token, setting.provider.calls().userinfo), (1, 1), "{what}");
}

#[test]
fn a77_only_the_subject_of_the_id_token_counts() {
    let setting = plain("", "", ROUTE);
    setting.provider.patch_id_token(json!({"sub": "alice"}));
    for sub in [
        json!("bob"),
        json!("Alice"),
        json!("alice "),
        json!(" alice"),
        json!("alic"),
        json!(7),
        json!(["alice"]),
        Value::Null,
    ] {
        setting.provider.patch_userinfo(json!({"sub": sub, "name": "Mallory"}));
        refused(&setting, &sub.to_string(), "userinfo-wrong-subject");
    }
    setting.provider.patch_userinfo(json!({"sub": "alice"}));
    Browser::signed_in(&setting.gateway, "/echo");
}

#[test]
fn a78_an_answer_that_is_no_json_object_is_refused_within_its_limits() {
    let setting = plain("", "", ROUTE);
    let before = setting.gateway.resident();
    let deep = format!("{}1{}", "{\"a\":".repeat(1000), "}".repeat(1000));
    let large = format!("{{\"x\":\"{}\"}}", "a".repeat(10 << 20));
    let bomb = deflated_zeros(4000);
    // RFC 1952 §2.3: a head, then DEFLATE; the trailer is never reached.
    let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &bomb].concat();
    let json_type = ("Content-Type", "application/json");
    for (what, status, headers, body, reason) in [
        ("an array", 200, vec![json_type], &b"[1]"[..], "userinfo-not-json"),
        ("null", 200, vec![json_type], b"null", "userinfo-not-json"),
        ("nothing", 200, vec![json_type], b"", "userinfo-not-json"),
        ("HTML", 200, vec![("Content-Type", "text/html")], b"<html></html>", "userinfo-not-json"),
        ("broken off", 200, vec![json_type], b"{", "userinfo-not-json"),
        ("deep", 200, vec![json_type], deep.as_bytes(), "userinfo-not-json"),
        ("a gzip bomb", 200, vec![json_type, ("Content-Encoding", "gzip")], &gzip, "userinfo-not-json"),
        ("10 MB", 200, vec![json_type], large.as_bytes(), "answer-too-large"),
        ("401", 401, vec![json_type], b"{\"error\":\"invalid_token\"}", "provider-status"),
        ("500", 500, vec![json_type], b"{}", "provider-status"),
        ("204", 204, vec![json_type], b"", "provider-status"),
        ("a redirect", 307, vec![("Location", "https://evil.test/")], b"", "provider-status"),
    ] {
        setting.provider.answer("userinfo", status, &headers, body);
        refused(&setting, what, reason);
    }
    assert!(setting.gateway.resident() < before + 32 * 1024, "KiB: {before} {}", setting.gateway.resident());
    setting.provider.drip("userinfo");
    refused(&setting, "an answer without end", "provider-timeout");
    setting.provider.heal();
    Browser::signed_in(&setting.gateway, "/echo");
}

#[test]
fn a80_userinfo_raises_no_level_moves_no_time_and_sends_us_nowhere() {
    let setting = plain("", "acr_ladder = [[\"low\"], [\"high\"]]\n", ROUTE);
    let own = format!("http://127.0.0.1:{}/claims", setting.provider.port());
    setting.provider.patch_userinfo(json!({
        "acr": "high", "auth_time": 1, "iss": "https://evil.test/", "exp": 1, "aud": "evil", "amr": ["x"],
        "_claim_names": {"name": "src1", "email": "src2"},
        "_claim_sources": {"src1": {"endpoint": "http://169.254.169.254/"}, "src2": {"endpoint": own}}
    }));
    let mut browser = Browser::signed_in(&setting.gateway, "/echo");
    let session = browser.fetch("/.midgate/session").json();
    assert_eq!((&session["acr"], &session["amr"]), (&json!("low"), &json!(["pin"])), "{session}");
    assert_eq!(session["iss"].as_str(), Some(setting.provider.issuer().as_str()));
    assert!(session["auth_time"].as_u64() > Some(1_000_000_000), "{session}");
    assert!(!session.to_string().contains("_claim"), "{session}");
    assert_eq!(browser.echo("/echo", "").one("X-Auth-Acr"), "low");
    assert_eq!(setting.provider.calls().unknown, 0);
}
