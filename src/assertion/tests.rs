//! What statements say, as tables.

use super::*;
use crate::headers::{Encoding, Field, PassToken};
use crate::identity::Template;
use crate::signing::Fresh;

fn key() -> SigningKey {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    let pem = Fresh::P256.pem().unwrap();
    SigningKey::from_der(&PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
}

fn assertions() -> Assertions {
    Assertions {
        header: Bytes::from_static(b"X-Midgate-Jwt-Assertion"),
        issuer: "https://app.test".into(),
        signer: key(),
        others: vec![key()],
    }
}

fn identity(claims: Value) -> Identity {
    Identity {
        provider: "op".into(),
        issuer: "https://op.test".into(),
        subject: "alice".into(),
        user_key: "KEY".into(),
        acr: Some("high".into()),
        amr: Box::new(["swk".into()]),
        auth_time: Some(900),
        claims: claims.as_object().cloned().unwrap(),
    }
}

fn fields(templates: &[&str]) -> Fields {
    let field = |text: &&str| Field {
        name: "X-A".into(),
        template: Template::parse(text).unwrap(),
        encoding: Encoding::Utf8,
        join: ",".into(),
    };
    Fields::new(0, templates.iter().map(field).collect(), PassToken::None)
}

const LONG: Time = Time { now: 1000, expires: 9000, idle_expires: 8000 };

fn claims(identity: &Identity, templates: &[&str], time: Time) -> Value {
    let audience = Audience { id: 0, text: "https://erp.test".into() };
    let fields = fields(templates);
    assertions().claims(Statement { identity, audience: &audience, fields: &fields, time }, "ID")
}

#[test]
fn a_statement_says_what_the_headers_speak_of_and_no_more() {
    let identity = identity(json!({
        "name": "Zoë", "groups": ["a", "b"], "documentId": "X1", "secret": 1, "idp_access_token": "opaque"
    }));
    let templates =
        ["{user_key}", "{name} {missing}", "{groups|none}", "{provider}{sub}", "{idp_access_token}"];
    let expected = json!({
        "iss": "https://app.test", "aud": "https://erp.test", "sub": "KEY", "idp": "op", "jti": "ID", "iat": 1000,
        "exp": 1300, "acr": "high", "amr": ["swk"], "auth_time": 900, "name": "Zoë", "groups": ["a", "b"]
    });
    assert_eq!(claims(&identity, &templates, LONG), expected);
}

#[test]
fn no_claim_of_a_provider_stands_for_one_of_ours() {
    let mut identity = identity(json!({
        "aud": "evil", "exp": 9_999_999, "nbf": 5, "iat": 1, "jti": "evil", "idp": "evil", "events": {}, "cnf": {}
    }));
    identity.acr = None;
    identity.amr = Box::default();
    identity.auth_time = None;
    let templates = ["{aud}{exp}{nbf}{iat}{jti}{idp}{events}{cnf}{acr}{amr}{auth_time}"];
    let expected = json!({
        "iss": "https://app.test", "aud": "https://erp.test", "sub": "KEY", "idp": "op", "jti": "ID", "iat": 1000,
        "exp": 1300
    });
    assert_eq!(claims(&identity, &templates, LONG), expected);
}

#[test]
fn a_statement_holds_for_minutes_and_never_longer_than_its_session() {
    for (time, exp, renew_at) in [
        (LONG, 1300, 1180),
        (Time { expires: 1301, ..LONG }, 1300, 1180),
        // It ends with its session: another one would say nothing new.
        (Time { expires: 1300, ..LONG }, 1300, 1300),
        (Time { expires: 1010, ..LONG }, 1010, 1010),
        // A short idle time moves on with every request.
        (Time { idle_expires: 1010, ..LONG }, 1010, 1006),
    ] {
        assert_eq!((time.exp(), time.renew_at()), (exp, renew_at), "{time:?}");
    }
}

#[test]
fn a_signed_statement_names_its_type_and_key_and_is_new_each_time() {
    let assertions = assertions();
    let (identity, audience, fields) =
        (identity(json!({})), Audience { id: 0, text: "a".into() }, fields(&["{name}"]));
    let statement = Statement { identity: &identity, audience: &audience, fields: &fields, time: LONG };
    let part = |made: &Made, at: usize| -> Value {
        let text = made.value.as_ref().unwrap().to_str().unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.split('.').nth(at).unwrap()).unwrap()).unwrap()
    };
    let (one, two) = (assertions.make(statement), assertions.make(statement));
    let head = json!({ "alg": "ES256", "kid": assertions.signer.kid(), "typ": "midgate-assertion+jwt" });
    assert_eq!(part(&one, 0), head);
    assert_ne!(part(&one, 1)["jti"], part(&two, 1)["jti"]);
    assert_eq!((one.from, one.renew_at, one.expires), (1000, 1180, 1300));
    assert!(one.value.unwrap().is_sensitive(), "it is logged by nobody");
}

#[test]
fn a_statement_that_is_too_long_for_a_header_is_left_out() {
    let assertions = assertions();
    let (identity, audience, fields) = (
        identity(json!({ "name": "x".repeat(7000) })),
        Audience { id: 0, text: "a".into() },
        fields(&["{name}"]),
    );
    let statement = Statement { identity: &identity, audience: &audience, fields: &fields, time: LONG };
    assert!(assertions.make(statement).value.is_none());
}

#[test]
fn public_members_of_all_keys_are_published_the_signer_first() {
    let assertions = assertions();
    let published = assertions.published();
    let set: Value = serde_json::from_slice(&published.body).unwrap();
    let keys = set["keys"].as_array().unwrap();
    let kids: Vec<_> = keys.iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert_eq!(kids, [assertions.signer.kid(), assertions.others[0].kid()]);
    for key in keys {
        let mut members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    }
    assert_ne!(published.etag, self::assertions().published().etag);
}
