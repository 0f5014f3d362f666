//! Forged ID tokens and keys: each is refused for its own reason, before UserInfo is asked and without a session.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use midgate::demo::provider::{Manner, Mint};
use serde_json::{Value, json};

use crate::rig::{Browser, Gateway, Plain, application, plain, provider, provider_toml};

pub(super) const ROUTE: &str = "[[route]]\nupstream = \"{up}\"\n";

/// How many logins ended with this reason.
pub(super) fn ended_with(gateway: &Gateway, reason: &str) -> f64 {
    let name = format!("midgate_logins_total{{provider=\"op\",result=\"{reason}\"}}");
    gateway.metric(&name).unwrap_or_default()
}

/// Signs in with whatever the provider is up to, and sees the login end on a page, for this reason.
pub(super) fn fails(setting: &Plain, what: &str, reason: &str) -> Browser {
    setting.provider.forget_calls();
    let before = ended_with(&setting.gateway, reason);
    let mut browser = Browser::new(&setting.gateway);
    let answer = browser.sign_in("/echo");
    assert!((500..505).contains(&answer.status), "{what}: {answer:?}");
    assert_eq!(ended_with(&setting.gateway, reason), before + 1.0, "{what} is not {reason}: {answer:?}");
    assert!(answer.header("location").is_none(), "{what}: no new login begins by itself");
    assert_eq!(setting.provider.calls().authorize, 1, "{what}");
    assert!(!browser.cookies.contains_key("midgate") && !browser.is_signed_in(), "{what}");
    browser
}

/// The same with an ID token that this makes.
fn refused(
    setting: &Plain,
    what: &str,
    reason: &str,
    forge: impl Fn(&Mint) -> String + Send + Sync + 'static,
) {
    setting.provider.forge(forge);
    fails(setting, what, reason);
    assert_eq!(setting.provider.calls().userinfo, 0, "{what}");
}

/// The same with one claim changed.
fn refused_claim(setting: &Plain, name: &'static str, value: &Value, reason: &str) {
    let claim = value.clone();
    refused(setting, &format!("{name} = {value}"), reason, move |mint| mint.with_claim(name, claim.clone()));
}

/// The same without a claim.
fn refused_without(setting: &Plain, name: &'static str, reason: &str) {
    refused(setting, &format!("no {name}"), reason, move |mint| {
        let mut claims = mint.claims.clone();
        claims.as_object_mut().map(|claims| claims.remove(name));
        mint.sign(&mint.header, claims.to_string())
    });
}

/// A right token signs in after all that, so that nothing else was the reason.
fn right(setting: &Plain) {
    setting.provider.forge(Mint::right);
    Browser::signed_in(&setting.gateway, "/echo");
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later").as_secs()
}

#[test]
fn a66_unsigned_and_damaged_tokens_are_refused() {
    let setting = plain("", "", ROUTE);
    for alg in ["none", "None", "nOnE", "NONE", ""] {
        refused(&setting, alg, "algorithm-not-allowed", move |mint| {
            let token = mint.with_header("alg", json!(alg));
            token[..=token.rfind('.').expect("three parts")].to_owned()
        });
    }
    let part = |token: String, parts: usize| token.split('.').take(parts).collect::<Vec<_>>().join(".");
    refused(&setting, "no signature", "bad-signature", move |mint| part(mint.right(), 2) + ".");
    refused(&setting, "two parts", "token-malformed", move |mint| part(mint.right(), 2));
    refused(&setting, "four parts", "token-malformed", |mint| mint.right() + ".x");
    for at in [0, 100, 340] {
        refused(&setting, "one bit", "bad-signature", move |mint| {
            let token = mint.right();
            let (signed, signature) = token.rsplit_once('.').expect("three parts");
            let mut bytes = signature.to_owned().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            format!("{signed}.{}", String::from_utf8_lossy(&bytes))
        });
    }
    refused(&setting, "other claims under the signature", "bad-signature", |mint| {
        let token = mint.right();
        let (head, signature) = (token.split('.').next(), token.rsplit('.').next());
        let mut claims = mint.claims.clone();
        claims["sub"] = json!("mallory");
        let payload = Mint::base64(claims.to_string().as_bytes());
        format!("{}.{payload}.{}", head.unwrap_or_default(), signature.unwrap_or_default())
    });
    right(&setting);
}

#[test]
fn a67_the_algorithm_is_the_registered_one() {
    let setting = plain("", "", ROUTE);
    let allowed = "algorithm-not-allowed";
    refused(&setting, "PEM", allowed, |mint| mint.hs256(mint.pem().as_bytes()));
    refused(&setting, "PEM without its last newline", allowed, |mint| {
        mint.hs256(mint.pem().trim_end().as_bytes())
    });
    refused(&setting, "DER", allowed, |mint| {
        let pem = mint.pem();
        let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        mint.hs256(&STANDARD.decode(text).expect("PEM"))
    });
    refused(&setting, "JWK", allowed, |mint| mint.hs256(mint.jwk().to_string().as_bytes()));
    refused(&setting, "client secret", allowed, |mint| mint.hs256(b"SECRET_zz"));
    for alg in ["PS256", "ES256", "ES256K", "EdDSA", "RS1", "RS512", "rs256", "HS512"] {
        refused(&setting, alg, allowed, move |mint| mint.with_header("alg", json!(alg)));
    }
    refused(&setting, "no alg", allowed, |mint| {
        let mut header = mint.header.clone();
        header.as_object_mut().map(|header| header.remove("alg"));
        mint.sign(&header, mint.claims.to_string())
    });
    right(&setting);
}

/// Raw DEFLATE (RFC 1951 §3.2.6) of many zeros: one literal, then copies of 258 bytes each.
pub(super) fn deflated_zeros(copies: usize) -> Vec<u8> {
    let mut bits = vec![1_u8, 1, 0];
    let mut code = |value: u32, length: u32| bits.extend((0..length).rev().map(|at| (value >> at & 1) as u8));
    code(0x30, 8);
    for _ in 0..copies {
        code(0xC5, 8);
        code(0, 5);
    }
    code(0, 7);
    bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |sum, bit| sum << 1 | bit)).collect()
}

#[test]
fn a68_encryption_and_compression_are_not_asked_for() {
    let setting = plain("", "", ROUTE);
    let before = setting.gateway.resident();
    let begun = std::time::Instant::now();
    refused(&setting, "enc", "token-header", |mint| mint.with_header("enc", json!("A128GCM")));
    refused(&setting, "five parts", "token-malformed", |mint| mint.right() + ".x.y");
    refused(&setting, "JWE", "token-malformed", |mint| {
        let header = Mint::base64(br#"{"alg":"RSA-OAEP","enc":"A128GCM"}"#);
        format!("{header}.{0}.{0}.{0}.{0}", &mint.right()[..20])
    });
    for zip in ["DEF", "GZIP"] {
        refused(&setting, zip, "token-header", move |mint| {
            let mut header = mint.header.clone();
            header["zip"] = json!(zip);
            mint.sign(&header, deflated_zeros(8000))
        });
    }
    refused(&setting, "compressed, and not said", "token-malformed", |mint| {
        mint.sign(&mint.header, deflated_zeros(8000))
    });
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    assert!(setting.gateway.resident() < before + 32 * 1024, "KiB: {before} {}", setting.gateway.resident());
    right(&setting);
}

#[test]
fn a69_a_token_brings_neither_keys_nor_demands_along() {
    let setting = plain("", "", ROUTE);
    refused(&setting, "crit", "token-header", |mint| mint.with_header("crit", json!(["x"])));
    refused(&setting, "b64", "token-header", |mint| mint.with_header("b64", json!(false)));
    let url = format!("http://127.0.0.1:{}/evil/keys", setting.provider.port());
    for name in ["jwk", "x5c", "jku", "x5u"] {
        let url = url.clone();
        refused(&setting, name, "bad-signature", move |mint| {
            let other = mint.another();
            let mut header = other.header.clone();
            header[name] = match name {
                "jwk" => other.jwk(),
                "x5c" => json!(["MIIB"]),
                _ => json!(url),
            };
            other.sign(&header, other.claims.to_string())
        });
    }
    refused(&setting, "JSON serialization", "token-malformed", |mint| {
        let (good, other) = (mint.right(), mint.another().right());
        let signature = |token: &str| {
            let parts: Vec<_> = token.split('.').collect();
            json!({"protected": parts[0], "signature": parts[2]})
        };
        let payload = good.split('.').nth(1).unwrap_or_default();
        json!({"payload": payload, "signatures": [signature(&other), signature(&good)]}).to_string()
    });
    for (kid, reason) in [
        (json!("k".repeat(10 * 1024)), "token-header"),
        (json!(["first"]), "token-header"),
        (json!("../x"), "unknown-key"),
        (json!(""), "unknown-key"),
    ] {
        refused(&setting, &format!("kid {kid:.20}"), reason, move |mint| {
            mint.with_header("kid", kid.clone())
        });
    }
    for typ in ["at+jwt", "logout+jwt", "x"] {
        refused(&setting, typ, "token-header", move |mint| mint.with_header("typ", json!(typ)));
    }
    assert_eq!(setting.provider.calls().unknown, 0, "no address in a token is called");
    right(&setting);
}

#[test]
fn a70_an_unknown_key_is_asked_for_at_once_and_twice_a_minute_at_most() {
    let setting = plain("", "", ROUTE);
    Browser::signed_in(&setting.gateway, "/echo");
    let kid =
        |number: usize| move |mint: &Mint| mint.with_header("kid", json!(format!("{number} of nobody")));
    let mut fetches = 0;
    for number in 0..100 {
        refused(&setting, &format!("login {number}"), "unknown-key", kid(number));
        fetches += setting.provider.calls().jwks;
        assert!(number > 0 || fetches == 1, "the first one asks at once");
    }
    assert_eq!(fetches, 2, "within a minute, or not much more");
    // Nobody who is there already notices.
    right(&setting);
}

#[test]
fn a70_keys_that_were_rotated_just_before_signing_are_fetched_at_once() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    Browser::signed_in(&gateway, "/echo");
    let before = provider.calls().jwks;
    provider.rotate_keys();
    Browser::signed_in(&gateway, "/echo");
    assert_eq!(provider.calls().jwks, before + 1);
}

/// An RSA key of this many bits that nobody can use.
fn rsa(bits: usize) -> Value {
    json!({"kty": "RSA", "kid": "first", "use": "sig", "n": Mint::base64(&vec![0xff; bits / 8]), "e": "AQAB"})
}

#[test]
fn a71_good_keys_go_on_and_bad_ones_never_verify() {
    let setting = plain("", "", ROUTE);
    let Plain { provider, gateway, application: _application } = &setting;
    Browser::signed_in(gateway, "/echo");
    let sets = [json!({"keys": []}), json!({"keys": [rsa(512)]}), json!({"keys": 7}), json!([])];
    for fault in ["jwks-500", "jwks-html"] {
        provider.heal();
        provider.fault(fault, true);
        Browser::signed_in(gateway, "/echo");
    }
    for set in &sets {
        provider.heal();
        provider.answer("jwks", 200, &[("Content-Type", "application/json")], set.to_string().as_bytes());
        Browser::signed_in(gateway, "/echo");
        // Not even a token that asks for other keys makes the good ones go.
        provider.fault("unknown-kid", true);
        assert_eq!(Browser::new(gateway).sign_in("/echo").status, 502);
        provider.fault("unknown-kid", false);
        Browser::signed_in(gateway, "/echo");
    }
    provider.heal();
    provider.drip("jwks");
    Browser::signed_in(gateway, "/echo");
}

#[test]
fn a71_without_a_key_that_may_verify_a_login_is_a_page() {
    let (op, application) = (provider(Manner::Plain), application());
    let mut enc = rsa(2048);
    enc["use"] = json!("enc");
    let oct = json!({"kty": "oct", "kid": "first", "k": Mint::base64(b"SECRET_zz"), "alg": "HS256"});
    let config = format!(
        "\n{}\n[[route]]\nupstream = \"http://127.0.0.1:{}\"\n",
        provider_toml("op", &op, ""),
        application.port()
    );
    for (what, faults, set) in [
        ("500", &["jwks-500"][..], None),
        ("HTML", &["jwks-html"], None),
        ("none", &["jwks-empty"], None),
        ("for encryption", &["enc-keys-only"], None),
        ("for encryption", &[], Some(enc)),
        ("symmetric", &["alg-hs256-secret"], Some(oct)),
        ("short", &[], Some(rsa(512))),
    ] {
        op.heal();
        faults.iter().for_each(|fault| op.fault(fault, true));
        if let Some(key) = set {
            let set = json!({ "keys": [key] }).to_string();
            op.answer("jwks", 200, &[("Content-Type", "application/json")], set.as_bytes());
        }
        let gateway = Gateway::start(&config);
        let mut browser = Browser::new(&gateway);
        let start = browser.open("/echo");
        let answer = if start.status == 302 {
            let callback = browser.visit_provider(start.location());
            browser.deliver(&callback)
        } else {
            start
        };
        assert!(matches!(answer.status, 502..=504), "{what}: {answer:?}");
        assert!(!browser.is_signed_in(), "{what}");
        assert_eq!(op.calls().userinfo, 0, "{what}");
    }
}

#[test]
fn a72_the_issuer_is_compared_byte_for_byte() {
    let setting = plain("", "", ROUTE);
    let issuer = setting.provider.issuer();
    for value in [
        json!(format!("{issuer}1")),
        json!(format!("{issuer}/")),
        json!(issuer.to_uppercase()),
        json!(issuer.replace("http:", "HTTP:")),
        json!(issuer.replace("http:", "https:")),
        json!(&issuer[..issuer.len() - 1]),
        json!(""),
        json!([issuer]),
        Value::Null,
    ] {
        refused_claim(&setting, "iss", &value, "wrong-issuer");
    }
    refused_without(&setting, "iss", "wrong-issuer");
    right(&setting);
}

#[test]
fn a72_another_provider_and_its_key_stand_for_nobody_here() {
    let (us, other, application) = (provider(Manner::Plain), provider(Manner::B2c), application());
    let config = format!(
        "\n{}\n{}\n[[route]]\nupstream = \"http://127.0.0.1:{}\"\nproviders = [\"op\"]\n",
        provider_toml("op", &us, ""),
        provider_toml("other", &other, "preset = \"azure-b2c\""),
        application.port()
    );
    let setting = Plain { provider: us, application, gateway: Gateway::start(&config) };
    let issuer = other.issuer();
    assert!(issuer.ends_with('/'), "{issuer}");
    refused_claim(&setting, "iss", &json!(issuer), "wrong-issuer");
    refused_claim(&setting, "iss", &json!(issuer.trim_end_matches('/')), "wrong-issuer");
    // The other one's own token, which its own key signed under the same key id.
    let foreign = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let kept = std::sync::Arc::clone(&foreign);
    other.forge(move |mint| {
        let token = mint.right();
        kept.lock().expect("nobody panics").clone_from(&token);
        token
    });
    let mut browser = Browser::new(&setting.gateway);
    let start = browser.open("/.midgate/login?provider=other&rd=/echo");
    let callback = browser.visit_provider(start.location());
    browser.deliver(&callback);
    let token = foreign.lock().expect("nobody panics").clone();
    assert!(token.starts_with("eyJ"), "{token}");
    refused(&setting, "a token of the other provider", "bad-signature", move |_| token.clone());
    right(&setting);
}

#[test]
fn a73_we_are_the_audience_or_nobody_is() {
    let setting = plain("", "", ROUTE);
    for value in [
        Value::Null,
        json!([]),
        json!([1]),
        json!(["us", 1]),
        json!("other"),
        json!("u"),
        json!("usx"),
        json!("US"),
        json!("us "),
        json!("us other"),
        json!({"us": true}),
    ] {
        refused_claim(&setting, "aud", &value, "wrong-audience");
    }
    refused_without(&setting, "aud", "wrong-audience");
    refused_claim(&setting, "aud", &json!(["us", "other"]), "wrong-authorized-party");
    for azp in [json!("other"), Value::Null, json!(["us"]), json!("")] {
        refused_claim(&setting, "azp", &azp, "wrong-authorized-party");
    }
    setting.provider.forge(|mint| {
        let mut claims = mint.claims.clone();
        claims["aud"] = json!(["other", "us"]);
        claims["azp"] = json!("us");
        mint.sign(&mint.header, claims.to_string())
    });
    Browser::signed_in(&setting.gateway, "/echo");
    right(&setting);
}

#[test]
fn a74_times_are_checked_without_overflow() {
    let setting = plain("", "", ROUTE);
    refused_without(&setting, "exp", "no-expiry");
    refused_without(&setting, "iat", "bad-issue-time");
    for (name, value, reason) in [
        ("exp", json!(now() - 3600), "expired"),
        ("exp", json!(0), "expired"),
        ("exp", json!("x"), "bad-time"),
        ("exp", json!(format!("{}", now() + 300)), "bad-time"),
        ("exp", json!(-1), "bad-time"),
        ("exp", json!(1e300), "bad-time"),
        ("exp", json!(u64::MAX), "bad-time"),
        ("exp", Value::Null, "bad-time"),
        ("iat", json!(now() + 3600), "bad-issue-time"),
        ("iat", json!(true), "bad-time"),
        ("nbf", json!(now() + 3600), "not-yet-valid"),
        ("nbf", json!([1]), "bad-time"),
        ("auth_time", json!(now() + 7200), "bad-auth-time"),
        ("auth_time", json!("x"), "bad-time"),
    ] {
        refused_claim(&setting, name, &value, reason);
    }
    refused(&setting, "1e400", "token-malformed", |mint| {
        let claims = mint.with_claim("exp", json!("LATE"));
        let payload = claims.split('.').nth(1).unwrap_or_default();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).expect("base64url");
        mint.sign(&mint.header, String::from_utf8_lossy(&bytes).replace("\"LATE\"", "1e400"))
    });
    for (name, value) in [
        ("exp", json!(now() as f64 + 300.5)),
        ("exp", json!(4_000_000_000_u64)),
        ("iat", json!(now() as f64 - 0.25)),
        ("nbf", json!(now() - 10)),
        ("auth_time", json!(now() as f64 - 10.5)),
    ] {
        setting.provider.forge(move |mint| mint.with_claim(name, value.clone()));
        Browser::signed_in(&setting.gateway, "/echo");
    }
}

#[test]
fn a75_nonce_and_at_hash_are_whole_and_exact() {
    let setting = plain("", "", ROUTE);
    refused_without(&setting, "nonce", "wrong-nonce");
    // A login under way in another browser.
    let mut tab = Browser::new(&setting.gateway);
    let start = tab.open("/echo");
    tab.visit_provider(start.location());
    let pending = setting.provider.calls().parameter("nonce").unwrap_or_default().to_owned();
    assert!(pending.len() > 20);
    for nonce in [json!("wrong"), json!(pending), json!(""), Value::Null, json!(7), json!([1])] {
        refused_claim(&setting, "nonce", &nonce, "wrong-nonce");
    }
    refused_claim(&setting, "at_hash", &json!("AAAAAAAAAAAAAAAAAAAAAA"), "wrong-at-hash");
    refused_claim(&setting, "at_hash", &json!(""), "wrong-at-hash");
    for (name, reason) in [("nonce", "wrong-nonce"), ("at_hash", "wrong-at-hash")] {
        let text = move |mint: &Mint| mint.claims[name].as_str().unwrap_or_default().to_owned();
        refused(&setting, "a suffix", reason, move |mint| mint.with_claim(name, json!(text(mint) + "A")));
        refused(&setting, "a prefix", reason, move |mint| {
            mint.with_claim(name, json!(text(mint)[..10].to_owned()))
        });
        refused(&setting, "a blank", reason, move |mint| mint.with_claim(name, json!(text(mint) + " ")));
        refused(&setting, "another case", reason, move |mint| {
            mint.with_claim(name, json!(text(mint).to_lowercase()))
        });
    }
    right(&setting);
}

#[test]
fn a76_a_subject_is_a_short_text_and_the_payload_is_plain_json() {
    let setting = plain("", "", ROUTE);
    refused_without(&setting, "sub", "bad-subject");
    for value in
        [json!(""), json!(7), json!("s".repeat(300)), json!("s".repeat(256)), json!(["a"]), Value::Null]
    {
        refused_claim(&setting, "sub", &value, "bad-subject");
    }
    refused(&setting, "sub twice", "token-malformed", |mint| {
        let payload = mint.claims.to_string().replacen('{', "{\"sub\":\"mallory\",", 1);
        mint.sign(&mint.header, payload)
    });
    refused(&setting, "alg twice", "token-malformed", |mint| {
        let token = mint.right();
        let header = mint.header.to_string().replacen('{', "{\"alg\":\"none\",", 1);
        let (_, rest) = token.split_once('.').expect("three parts");
        format!("{}.{rest}", Mint::base64(header.as_bytes()))
    });
    let deep = |depth: usize| {
        move |mint: &Mint| {
            let nested = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
            let payload = mint.claims.to_string().replacen('{', &format!("{{\"x\":{nested},"), 1);
            mint.sign(&mint.header, payload)
        }
    };
    refused(&setting, "depth 1,000", "token-malformed", deep(1000));
    refused(&setting, "depth 33", "token-malformed", deep(32));
    refused(&setting, "40 KB", "token-too-large", |mint| mint.with_claim("x", json!("a".repeat(40_000))));
    refused(&setting, "1 MB", "answer-too-large", |mint| mint.with_claim("x", json!("a".repeat(1 << 20))));
    refused(&setting, "invalid UTF-8", "token-malformed", |mint| {
        let payload = mint.claims.to_string().into_bytes();
        let odd = [b"{\"x\":\"\xff\xfe\",", &payload[1..]].concat();
        mint.sign(&mint.header, odd)
    });
    for odd in ["[]", "null", "", "7", "\"x\"", "{} {}"] {
        refused(&setting, odd, "token-malformed", move |mint| mint.sign(&mint.header, odd));
    }
    setting.provider.forge(deep(31));
    Browser::signed_in(&setting.gateway, "/echo");
    setting.provider.patch_userinfo(json!({"sub": "s".repeat(255)}));
    setting.provider.forge(|mint| mint.with_claim("sub", json!("s".repeat(255))));
    Browser::signed_in(&setting.gateway, "/echo");
}
