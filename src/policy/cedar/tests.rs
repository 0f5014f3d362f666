//! Policies and requests as tables; the examples of the distribution among them.

use serde_json::{Value, json};

use super::*;
use crate::identity::{Claims, user_key};

/// Wednesday, 18 May 2033, 03:33:20 UTC.
const NOW: u64 = 2_000_000_000;
const ANYBODY: &str = "permit(principal, action, resource);";

fn around() -> Surroundings {
    Surroundings {
        routes: vec!["app".into(), "admin".into()],
        methods: vec!["PROPFIND".into(), "HEAD".into()],
    }
}

fn person(claims: Value) -> Identity {
    Identity {
        provider: "idemia".into(),
        issuer: "https://op.test".into(),
        subject: "alice".into(),
        user_key: user_key("https://op.test", "alice").into(),
        acr: Some("loa-3".into()),
        amr: Box::new(["swk".into(), "pin".into()]),
        auth_time: Some(NOW - 100),
        claims: claims.as_object().cloned().unwrap_or_else(Claims::new),
    }
}

fn facts() -> Facts<'static> {
    Facts {
        method: &Method::GET,
        host: "app.test",
        path: "/x",
        route: "app",
        client: Some(IpAddr::from([10, 1, 2, 3])),
        certificate: None,
        auth_time: Some(NOW - 100),
        now: NOW,
    }
}

fn read(text: &str) -> PolicyFile {
    PolicyFile::read(0, "x.cedar", text, &around()).unwrap_or_else(|faults| panic!("{faults:#?}\n{text}")).0
}

/// Cause, the policies that decided, those that failed.
fn verdict(text: &str, who: &Identity, facts: &Facts<'_>) -> String {
    let file = read(text);
    let principal = file.principal(who);
    let verdict = file.judge(principal.as_ref(), facts);
    format!("{} [{}] [{}]", verdict.cause.word(), verdict.by.join(","), verdict.failed.join(","))
}

fn when(condition: &str) -> String {
    format!("permit(principal, action, resource) when {{ {condition} }};")
}

fn permits(condition: &str, claims: Value) -> bool {
    verdict(&when(condition), &person(claims), &facts()).starts_with("permitted")
}

fn faults(text: &str) -> Vec<String> {
    let found = PolicyFile::read(0, "x.cedar", text, &around()).expect_err("it is wrong");
    found.iter().map(|fault| format!("{}: {}", fault.line.unwrap_or_default(), fault.message)).collect()
}

#[test]
fn nothing_is_permitted_by_default_and_a_refusal_wins() {
    let forbid = "@id(\"no\") forbid(principal, action, resource);";
    for (text, expected) in [
        ("", "nothing-permits [] []".to_owned()),
        (ANYBODY, "permitted [line 1] []".to_owned()),
        (forbid, "forbidden [no] []".to_owned()),
        (&format!("{ANYBODY}\n{forbid}"), "forbidden [no] []".to_owned()),
        (&format!("\n@id(\"yes\")\n{ANYBODY}"), "permitted [yes] []".to_owned()),
    ] {
        assert_eq!(verdict(text, &person(json!({})), &facts()), expected, "{text}");
    }
    assert!(read("").permits_nobody() && read(forbid).permits_nobody() && !read(ANYBODY).permits_nobody());
}

#[test]
fn a_claim_is_what_the_file_uses_it_as() {
    let age = "principal.claims.age >= 18";
    let group = "principal.claims.groups.contains(\"admin\")";
    for (condition, claims, expected) in [
        (age, json!({"age": 18}), true),
        (age, json!({"age": 18.0}), true),
        (age, json!({"age": 17}), false),
        (age, json!({"age": 18.5}), false),
        (age, json!({"age": "18"}), false),
        (age, json!({"age": 1e300}), false),
        (age, json!({"age": u64::MAX}), false),
        (age, json!({"age": i64::MAX}), true),
        (age, json!({"age": [20]}), false),
        (age, json!({"age": null}), false),
        (age, json!({}), false),
        (group, json!({"groups": "admin"}), true),
        (group, json!({"groups": ["x", "admin"]}), true),
        (group, json!({}), false),
        (group, json!({"groups": null}), false),
        (group, json!({"groups": []}), false),
        (group, json!({"groups": "adm"}), false),
        (group, json!({"groups": {}}), false),
        (group, json!({"groups": ["admin", 1]}), false),
        ("principal.claims.level == 2", json!({"level": 2}), true),
        ("principal.claims.level == 2", json!({"level": "2"}), false),
        ("[1, 2].contains(principal.claims.level)", json!({"level": 2}), true),
        ("principal.claims.levels.containsAny([2, 3])", json!({"levels": [1, 2]}), true),
        ("principal.claims.verified", json!({"verified": true}), true),
        ("principal.claims.verified", json!({"verified": "true"}), false),
        ("principal.claims.score.greaterThan(decimal(\"0.5\"))", json!({"score": 0.51}), true),
        ("principal.claims.score.greaterThan(decimal(\"0.5\"))", json!({"score": 1}), true),
        ("principal.claims.score.greaterThan(decimal(\"0.5\"))", json!({"score": 0.123_456}), false),
        ("principal.claims.score.greaterThan(decimal(\"0.5\"))", json!({"score": "0.7"}), false),
        ("principal.claims.address.locality == \"Zürich\"", json!({"address": {"locality": "Zürich"}}), true),
        ("principal.claims.address.locality == \"Zürich\"", json!({"address": "Zürich"}), false),
        ("principal.claims[\"https://x.test/g\"] like \"a*\"", json!({"https://x.test/g": "ab"}), true),
        (
            "principal.claims.a == principal.claims.b && principal.claims.b == \"x\"",
            json!({"a": "x", "b": "x"}),
            true,
        ),
        ("principal.claims has x", json!({"x": [{}]}), true),
        ("principal.claims has x", json!({"x": null}), false),
        (
            "principal has claims.address.country && principal.claims.address.country == \"CH\"",
            json!({}),
            false,
        ),
        ("if principal.claims.a then principal.claims.n > 1 else false", json!({"a": true, "n": 2}), true),
    ] {
        assert_eq!(permits(condition, claims.clone()), expected, "{condition} {claims}");
    }
}

#[test]
fn a_forbid_that_cannot_be_evaluated_refuses() {
    let text = |guard: &str| {
        format!(
            "{ANYBODY}\n@id(\"no\") forbid(principal, action, resource) when {{ {guard}principal.claims.country == \"KP\" }};"
        )
    };
    let asked = text("principal.claims has country && ");
    for (text, claims, expected) in [
        (&text(""), json!({"country": "CH"}), "permitted [line 1] []"),
        (&text(""), json!({"country": "KP"}), "forbidden [no] []"),
        (&text(""), json!({}), "forbid-failed [no] [no]"),
        (&text(""), json!({"country": ["KP"]}), "forbid-failed [no] [no]"),
        (&asked, json!({}), "permitted [line 1] []"),
        // Another type is no absence: what was not understood may be what is forbidden.
        (&asked, json!({"country": ["KP"]}), "forbid-failed [no] [no]"),
    ] {
        assert_eq!(verdict(text, &person(claims.clone()), &facts()), expected, "{text} {claims}");
    }
}

#[test]
fn a_permit_that_cannot_be_evaluated_permits_nothing_and_spoils_no_other() {
    let one = "@id(\"a\") permit(principal, action, resource) when { principal.claims.a == \"x\" };\n";
    let two = "@id(\"b\") permit(principal, action, resource) when { principal.claims.b == \"x\" };\n";
    let not = "@id(\"n\") permit(principal, action, resource) unless { principal.claims has a && principal.claims.a == \"y\" };";
    for (text, claims, expected) in [
        (format!("{one}{two}"), json!({"a": 1, "b": "x"}), "permitted [b] [a]"),
        (format!("{one}{two}"), json!({"a": 1}), "nothing-permits [] [a,b]"),
        (not.to_owned(), json!({}), "permitted [n] []"),
        (not.to_owned(), json!({"a": ["y"]}), "nothing-permits [] [n]"),
    ] {
        assert_eq!(verdict(&text, &person(claims.clone()), &facts()), expected, "{text} {claims}");
    }
}

#[test]
fn a_request_is_told_by_method_place_time_and_address() {
    let post = Facts { method: &Method::POST, ..facts() };
    let other =
        Facts { path: "/admin/x", host: "b.test", route: "admin", client: None, auth_time: None, ..facts() };
    let future = Facts { auth_time: Some(NOW + 61), ..facts() };
    let skewed = Facts { auth_time: Some(NOW + 60), ..facts() };
    let certificate = Certificate::told("CN=batch,O=Example", "00ff");
    let with_certificate = Facts { certificate: Some(&certificate), ..facts() };
    for (condition, facts, expected) in [
        ("action == Action::\"GET\"", &facts(), true),
        ("action == Action::\"GET\"", &Facts { method: &Method::HEAD, ..facts() }, true),
        ("action == Action::\"GET\"", &post, false),
        ("action in [Action::\"POST\", Action::\"PUT\"]", &post, true),
        ("context.path like \"/admin/*\"", &other, true),
        ("context.path like \"/admin/*\"", &facts(), false),
        ("context.host == \"b.test\"", &other, true),
        ("resource == Route::\"admin\"", &other, true),
        ("resource == Route::\"admin\"", &facts(), false),
        ("context.client.isInRange(ip(\"10.0.0.0/8\"))", &facts(), true),
        ("context.client.isInRange(ip(\"192.168.0.0/16\"))", &facts(), false),
        ("context.client.isInRange(ip(\"10.0.0.0/8\"))", &other, false),
        ("context.auth_age <= 100", &facts(), true),
        ("context.auth_age < 100", &facts(), false),
        ("context.auth_age < 100", &other, false),
        ("context.auth_age < 100", &future, false),
        ("context.auth_age == 0", &skewed, true),
        ("!(context has auth_age)", &other, true),
        ("!(context has client)", &facts(), false),
        ("context.client_cert_subject == \"CN=batch,O=Example\"", &with_certificate, true),
        ("context.client_cert_sha256 == \"00ff\"", &with_certificate, true),
        ("context.client_cert_subject like \"*\"", &facts(), false),
        ("context.weekday == 3", &facts(), true),
        ("context.now == datetime(\"2033-05-18T03:33:20Z\")", &facts(), true),
        ("principal.acr == \"loa-3\" && principal.amr.contains(\"pin\")", &facts(), true),
        ("principal.provider == \"idemia\" && principal.subject == \"alice\"", &facts(), true),
        ("principal.issuer == \"https://op.test\"", &facts(), true),
    ] {
        let permitted = verdict(&when(condition), &person(json!({})), facts).starts_with("permitted");
        assert_eq!(permitted, expected, "{condition} {facts:?}");
    }
    let key = user_key("https://op.test", "alice");
    let named = format!("permit(principal == Person::\"{key}\", action, resource);");
    assert!(verdict(&named, &person(json!({})), &facts()).starts_with("permitted"));
    let bob = Identity { user_key: user_key("https://op.test", "bob").into(), ..person(json!({})) };
    assert!(verdict(&named, &bob, &facts()).starts_with("nothing-permits"));
}

#[test]
fn a_method_is_known_or_refused() {
    for (method, expected) in [
        ("PROPFIND", "permitted [line 1] []"),
        ("OPTIONS", "permitted [line 1] []"),
        ("REPORT", "unknown-method [] []"),
        ("get", "unknown-method [] []"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(verdict(ANYBODY, &person(json!({})), &Facts { method: &method, ..facts() }), expected);
    }
}

#[test]
fn a_person_without_a_level_meets_no_policy_that_needs_one() {
    let nobody = Identity { acr: None, ..person(json!({})) };
    let text = when("principal.acr == \"loa-3\"");
    assert_eq!(verdict(&text, &nobody, &facts()), "nothing-permits [] [line 1]");
    let text = when("if principal has acr then principal.acr == \"loa-2\" else true");
    assert_eq!(verdict(&text, &nobody, &facts()), "permitted [line 1] []");
}

#[test]
fn what_is_wrong_with_a_file_is_told_by_its_line() {
    for (text, expected) in [
        ("permit(principal, action, resource)", "1: unexpected end of input"),
        ("\npermit(principal, action);", "2: "),
        (
            "\n\npermit(principal, action, resource) when { context.colour == \"x\" };",
            "3: attribute `colour`",
        ),
        (&when("context.host > 3"), "1: unexpected type"),
        (
            &when("principal.claims.a == \"x\" || principal.claims.a == 3"),
            "1: claim \"a\" is used as a text and as a whole number",
        ),
        (
            &when("principal.claims.a == principal.claims.b"),
            "1: claim \"a\" is used in a way that does not tell its type",
        ),
        (
            &when("principal.claims.a == \"x\" && principal.claims.a.b == 3"),
            "1: claim \"a\" is used as a value and as a record of claims",
        ),
        (&when("principal.claims == {}"), "1: principal.claims can only be asked for its claims"),
        (&when("principal.claims has a || principal.claims.a"), "1: "),
        (&when("principal.claims.a in [\"x\"]"), "1: "),
        (
            "permit(principal, action == Action::\"HEAD\", resource);",
            "1: unrecognized action `Action::\"HEAD\"`",
        ),
        ("permit(principal, action, resource == Route::\"nowhere\");", "1: "),
        ("permit(principal == Person::\"alice\", action, resource);", "1: Person::\"alice\" is nobody"),
        ("permit(principal == ?principal, action, resource);", "0: ?principal and ?resource"),
        (
            "@id(\"a\")\npermit(principal, action, resource);\n@id(\"a\")\nforbid(principal, action, resource);",
            "3: a second policy is called \"a\"",
        ),
    ] {
        let found = faults(text);
        assert!(found.iter().any(|fault| fault.starts_with(expected)), "{text}\n{expected}\n{found:#?}");
    }
    let both = faults(
        "permit(principal, action, resource) when { context.x == 1 };\n\nforbid(principal, action, resource) when { context.y == 1 };",
    );
    assert_eq!(both.len(), 2, "{both:#?}");
}

#[test]
fn what_can_never_apply_is_told() {
    let (_, odd) = PolicyFile::read(0, "x.cedar", &when("false"), &around()).unwrap();
    assert_eq!(odd.first().and_then(|fault| fault.line), Some(1), "{odd:?}");
}

#[test]
fn the_claims_that_a_file_names_are_those_that_a_session_keeps() {
    let file = read(&when(
        "principal.claims.department == \"HR\" && principal.claims.address.country == \"CH\" && principal.claims has x",
    ));
    assert_eq!(file.claims().collect::<Vec<_>>(), ["address.country", "department", "x"]);
}

fn example(name: &str) -> String {
    std::fs::read_to_string(format!("{}/deploy/examples/policies/{name}.cedar", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
}

#[test]
fn an_address_of_a_domain_has_one_at_sign_and_ends_there() {
    for (address, expected) in [
        (json!("a@company.test"), true),
        (json!("a@evil.test@company.test"), false),
        (json!("\"a@company.test\"@evil.test"), false),
        (json!("a@company.test\n"), false),
        (json!("a@company.test,b@evil.test"), false),
        (json!("b@evil.test,a@company.test"), false),
        (json!("a@company.test.evil.test"), false),
        (json!(["a@company.test"]), false),
        (json!(""), false),
    ] {
        let who = person(json!({"email": address, "email_verified": true}));
        let found = verdict(&example("email-domain"), &who, &facts());
        assert_eq!(found.starts_with("permitted [company-address]"), expected, "{address} {found}");
    }
    let who = person(json!({"email": "a@company.test", "email_verified": false}));
    assert_eq!(verdict(&example("email-domain"), &who, &facts()), "nothing-permits [] []");
}

#[test]
fn office_hours_are_those_of_the_clock_in_utc() {
    /// Monday, 7 January 2030, 00:00 UTC.
    const MONDAY: u64 = 1_893_974_400;
    const HOUR: u64 = 3_600;
    for (hours, expected) in [
        (5, false),
        (6, true),
        (17, true),
        (18, false),
        (4 * 24 + 12, true),
        (5 * 24 + 12, false),
        (6 * 24 + 12, false),
    ] {
        let facts = Facts { now: MONDAY + hours * HOUR, ..facts() };
        let found = verdict(&example("office-hours"), &person(json!({})), &facts);
        assert_eq!(found.starts_with("permitted"), expected, "{hours} {found}");
    }
}

#[test]
fn the_calendar_knows_leap_years() {
    for (now, expected) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_709_251_199, "2024-02-29T23:59:59Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (NOW, "2033-05-18T03:33:20Z"),
    ] {
        assert_eq!(instant(now), expected);
    }
}

#[test]
fn the_readme_names_everything_that_a_policy_can_ask() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, section) = readme.split_once("## Policy files").expect("the section");
    for (name, ..) in offer::PERSON {
        assert!(section.contains(&format!("principal.{name}")), "{name}");
    }
    for (name, ..) in offer::REQUEST {
        assert!(section.contains(&format!("context.{name}")), "{name}");
    }
}
