//! Policies in Cedar: what they decide on, how they are read, and what is said of a refusal.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::rig::browser::NAVIGATION;
use crate::rig::gateway::{command, free_port};
use crate::rig::{Browser, Folder, Gateway, Plain, application, plain, provider, provider_toml, until};
use midgate::demo::provider::Manner;

const PROGRAM: &str = "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nAccept: application/json\r\n";
const STAFF: &str = "@id(\"staff\")\npermit(principal, action, resource) when { principal.claims.groups.contains(\"staff\") };\n";
const NOBODY: &str = "@id(\"closed-today\")\nforbid(principal, action, resource);\n";

/// A gateway before which policy files lie in its folder.
fn with_files(top: &str, files: &[(&str, &str)], routes: &str) -> Plain {
    let folder = Folder::new();
    for (name, text) in files {
        folder.write(name, text);
    }
    let (provider, application) = (provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let config = format!("{top}\n{}\n{}", provider_toml("op", &provider, ""), routes.replace("{up}", &up));
    let gateway = Gateway::start_in(folder, free_port(), &config);
    Plain { provider, application, gateway }
}

fn route(path: &str, file: &str) -> String {
    format!("[[route]]\npath = \"{path}\"\nupstream = \"{{up}}\"\nrequire = {{ policy_file = \"{file}\" }}\n")
}

#[test]
fn a_refusal_is_a_page_or_json_with_reason_and_request_id_and_names_no_policy() {
    let shared = with_files("", &[("x.cedar", NOBODY)], &route("/", "x.cedar"));
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    let program = browser.fetch("/echo");
    let said = program.json();
    assert_eq!((program.status, said["reason"].as_str()), (403, Some("policy-denied")), "{said}");
    let id = said["request_id"].as_str().expect("a request id").to_owned();
    let person = browser.ask("GET", "/echo", NAVIGATION, b"");
    assert_eq!(person.status, 403);
    for text in [said.to_string(), person.text()] {
        assert!(!text.contains("closed-today") && !text.contains("x.cedar"), "{text}");
    }
    // The log names the policy beside the same request id, and the access event the reason.
    let log = shared.gateway.log();
    let line = log.lines().find(|line| line.contains(&id) && line.contains("closed-today"));
    assert!(line.is_some_and(|line| line.contains("audit")), "{log}");
    until("the access event is written", || {
        shared.gateway.log().lines().any(|line| line.contains(&id) && line.contains("policy-denied"))
    });
    // A refusal is no login loop: the session stays.
    assert!(browser.is_signed_in());
}

#[test]
fn a_file_that_changes_is_taken_over_and_a_broken_one_keeps_the_old() {
    let shared = with_files("", &[("x.cedar", STAFF)], &route("/", "x.cedar"));
    let gateway = &shared.gateway;
    let metric = |result: &str| {
        gateway.metric(&format!("midgate_reloads_total{{result=\"{result}\"}}")).unwrap_or_default()
    };
    let mut browser = Browser::signed_in(gateway, "/echo");
    assert_eq!(browser.fetch("/echo").status, 200);
    gateway.folder.write("x.cedar", NOBODY);
    until("the file is read", || metric("ok") == 1.0);
    assert_eq!(browser.fetch("/echo").status, 403);
    gateway
        .folder
        .write("x.cedar", "permit(principal, action, resource) when { context.colour == \"red\" };");
    until("the reload has failed", || metric("failed") == 1.0);
    assert_eq!(browser.fetch("/echo").json()["reason"], "policy-denied");
    assert!(gateway.log().contains("x.cedar:1:"), "{}", gateway.log());
    gateway.folder.write("x.cedar", STAFF);
    until("the file is read again", || metric("ok") == 2.0);
    assert_eq!(browser.fetch("/echo").status, 200);
}

#[test]
fn an_optional_route_passes_without_identity_what_the_policies_refuse() {
    let file = "permit(principal, action, resource) when { context.path like \"/open/known/*\" };";
    let routes =
        format!("[[route]]\nupstream = \"{{up}}\"\n{}access = \"optional\"\n", route("/open/", "x.cedar"));
    let shared = with_files("", &[("x.cedar", file)], &routes);
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    // What the query says has no effect, and goes up as it came.
    let echo = browser.echo("/open/other/echo?allowed_groups=x&acr=loa-4", "");
    assert!(echo.all("X-Auth-User").is_empty() && echo.target().ends_with("?allowed_groups=x&acr=loa-4"));
    assert_eq!(browser.echo("/open/known/echo", "").all("X-Auth-User").len(), 1);
    let mut stranger = Browser::new(&shared.gateway);
    assert!(stranger.echo("/open/known/echo", "").all("X-Auth-User").is_empty());
}

#[test]
fn the_level_is_asked_for_before_the_policies_and_they_ask_for_none() {
    let file = "permit(principal, action, resource) when { principal.acr == \"high\" };";
    let routes = format!(
        "{}{}",
        route("/", "x.cedar"),
        "[[route]]\npath = \"/high/\"\nupstream = \"{up}\"\nrequire = { acr = \"high\", policy_file = \"x.cedar\" }\n"
    );
    let folder = Folder::new();
    folder.write("x.cedar", file);
    let (op, application) = (provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let ladder = "acr_ladder = [[\"low\"], [\"high\"]]";
    let config = format!("\n{}\n{}", provider_toml("op", &op, ladder), routes.replace("{up}", &up));
    let gateway = Gateway::start_in(folder, free_port(), &config);
    let mut browser = Browser::signed_in(&gateway, "/echo");
    assert_eq!(browser.fetch("/echo").json()["reason"], "policy-denied");
    assert_eq!(browser.fetch("/high/echo").json()["error"], "insufficient_user_authentication");
    assert_eq!(browser.sign_in("/high/echo").status, 303);
    assert_eq!((browser.fetch("/high/echo").status, browser.fetch("/echo").status), (200, 200));
}

#[test]
fn a_spelling_that_a_lenient_server_reads_differently_is_judged_in_both_readings() {
    let file = "permit(principal, action, resource);\nforbid(principal, action, resource) when { context.path like \"/admin/*\" };";
    let routes = route("/", "x.cedar") + "allow_in_path = [\"//\", \"%2f\"]\n";
    let shared = with_files("", &[("x.cedar", file)], &routes);
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    for (path, status) in [
        ("/x//echo", 200),
        ("/admin/echo", 403),
        ("/%61dmin/echo", 403),
        ("/admin;x=1/echo", 403),
        ("//admin/echo", 403),
        ("/admin%2fecho", 403),
    ] {
        assert_eq!(browser.fetch(path).status, status, "{path}");
    }
}

#[test]
fn everything_wrong_with_policy_files_is_told_at_once_by_key_file_and_line() {
    let folder = Folder::new();
    let base = "public_url = \"https://app.example.ch\"\n[[provider]]\nid = \"mobileid\"\npreset = \"mobileid-ch\"\nclient_id = \"c\"\nclient_secret = \"SECRET_zz\"\n";
    folder.write("typo.cedar", "permit(principal, action, resource)\nwhen { context.colour == \"red\" };\n\nforbid(principal, action, resource)\nwhen { principal.claims.age >= 18 && principal.claims.age like \"x\" };\n");
    folder.write("route.cedar", "permit(principal, action, resource == Route::\"nowhere\");\n");
    folder.write("broken.cedar", "permit(principal, action;\n");
    folder.write("empty.cedar", "// nothing yet\n");
    let check = |files: &[&str]| -> Value {
        let routes: String = files
            .iter()
            .map(|file| route(&format!("/{file}/"), file).replace("{up}", "http://127.0.0.1:3000"))
            .collect();
        let path = folder.write("gateway.toml", &format!("{base}{routes}"));
        let (_, out, err) = command(&["check", "--json", "--config", &path.to_string_lossy()]);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"))
    };
    let found = check(&["typo.cedar", "route.cedar", "broken.cedar", "gone.cedar", "empty.cedar"]);
    let problems: Vec<&Value> = found["problems"].as_array().expect("a list").iter().collect();
    for (index, start) in [
        (0, "typo.cedar:2: "),
        (0, "typo.cedar:4: claim \"age\" is used as a text and as a whole number"),
        (1, "route.cedar:1: "),
        (2, "broken.cedar:1: "),
        (3, "cannot read "),
    ] {
        let key = format!("route[{index}].require.policy_file");
        let good = |problem: &&&Value| {
            problem["key"] == key.as_str()
                && problem["line"].is_u64()
                && problem["message"].as_str().is_some_and(|message| message.starts_with(start))
                && problem["hint"].as_str().is_some_and(|hint| !hint.is_empty())
        };
        assert!(problems.iter().any(|problem| good(&problem)), "{key} {start}\n{found:#}");
    }
    let warnings = |found: &Value| -> Vec<String> {
        let list = found["warnings"].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|warning| warning["name"].as_str().map(str::to_owned)).collect()
    };
    let empty = check(&["empty.cedar"]);
    assert_eq!(empty["problems"], json!([]), "{empty:#}");
    assert!(warnings(&empty).contains(&"policy-permits-nobody".to_owned()), "{empty:#}");
    assert!(!warnings(&empty).contains(&"open-to-everyone".to_owned()), "{empty:#}");
}

#[test]
fn numbers_compare_as_numbers_without_a_policy_file_too() {
    let rule = |path: &str, need: &str| {
        format!(
            "[[route]]\npath = \"/{path}/\"\nupstream = \"{{up}}\"\nrequire = {{ claims = {{ age = {need} }} }}\n"
        )
    };
    let routes = [
        "[[route]]\nupstream = \"{up}\"\n".to_owned(),
        rule("adult", "{ min = 18 }"),
        rule("half", "{ min = 17.5, max = 18.5 }"),
    ]
    .concat();
    let shared = plain("", "", &routes);
    for (age, adult, half) in [
        (json!(18), 200, 200),
        (json!(18.0), 200, 200),
        (json!(17.9), 403, 200),
        (json!("18"), 403, 403),
        (json!([18]), 403, 403),
        (json!(9_007_199_254_740_993_u64), 200, 403),
        (json!(1e300), 200, 403),
        (json!(-1), 403, 403),
        (json!(null), 403, 403),
        (json!(true), 403, 403),
    ] {
        shared.provider.patch_userinfo(json!({"age": age}));
        let mut browser = Browser::signed_in(&shared.gateway, "/echo");
        let found = (browser.fetch("/adult/echo").status, browser.fetch("/half/echo").status);
        assert_eq!(found, (adult, half), "{age}");
    }
}

/// One request: path, method, client, what the ID token and UserInfo say; then the verdict and the policies.
type Case = (&'static str, &'static str, &'static str, Value, Value, &'static str, &'static [&'static str]);

fn cases(now: u64) -> Vec<Case> {
    const IN: &str = "10.1.2.3";
    const OUT: &str = "192.0.2.1";
    let old = json!({"auth_time": now - 5_000});
    let none = || json!({});
    let admin = || json!({"acr": "loa-3"});
    let person = |age: Value, score: f64, country: &str| json!({"age": age, "score": score, "address": {"country": country}});
    vec![
        (
            "/department/echo",
            "GET",
            OUT,
            none(),
            json!({"department": "HR", "groups": []}),
            "permitted",
            &["human-resources"],
        ),
        (
            "/department/echo",
            "GET",
            OUT,
            none(),
            json!({"department": "IT", "groups": "payroll"}),
            "permitted",
            &["payroll-group"],
        ),
        (
            "/department/echo",
            "GET",
            OUT,
            none(),
            json!({"department": "HR", "on_leave": true}),
            "forbidden",
            &["on-leave"],
        ),
        (
            "/department/echo",
            "GET",
            OUT,
            none(),
            json!({"department": ["HR"], "groups": []}),
            "nothing-permits",
            &[],
        ),
        ("/network/echo", "GET", IN, old.clone(), none(), "permitted", &["inside"]),
        ("/network/echo", "GET", OUT, none(), none(), "permitted", &["just-signed-in"]),
        ("/network/echo", "GET", OUT, old, none(), "nothing-permits", &[]),
        ("/echo", "GET", OUT, none(), none(), "permitted", &["read"]),
        ("/echo", "POST", OUT, none(), json!({"groups": ["admin"]}), "nothing-permits", &[]),
        ("/echo", "POST", OUT, admin(), json!({"groups": ["admin"]}), "permitted", &["administrators"]),
        ("/admin/echo", "GET", OUT, none(), none(), "nothing-permits", &[]),
        ("/admin/echo", "GET", OUT, admin(), json!({"groups": ["admin"]}), "permitted", &["administrators"]),
        (
            "/admin/audit/echo",
            "DELETE",
            OUT,
            admin(),
            json!({"groups": ["admin"]}),
            "forbidden",
            &["audit-trail-stays"],
        ),
        ("/echo", "REPORT", OUT, admin(), json!({"groups": ["admin"]}), "unknown-method", &[]),
        ("/age/echo", "GET", OUT, none(), person(json!(18), 0.9, "CH"), "permitted", &["adults"]),
        ("/age/echo", "GET", OUT, none(), person(json!("18"), 0.9, "CH"), "nothing-permits", &[]),
        ("/age/echo", "GET", OUT, none(), person(json!(17), 0.9, "CH"), "nothing-permits", &[]),
        ("/age/echo", "GET", OUT, none(), person(json!(18), 0.2, "CH"), "forbidden", &["not-trusted"]),
        ("/age/echo", "GET", OUT, none(), person(json!(18), 0.9, "FR"), "forbidden", &["abroad"]),
        ("/age/echo", "GET", OUT, none(), json!({"age": 18, "address": null}), "forbid-failed", &["abroad"]),
        (
            "/email/echo",
            "GET",
            OUT,
            none(),
            json!({"email": "a@company.test", "email_verified": true}),
            "permitted",
            &["company-address"],
        ),
        (
            "/email/echo",
            "GET",
            OUT,
            none(),
            json!({"email": "a@evil.test@company.test", "email_verified": true}),
            "nothing-permits",
            &[],
        ),
        (
            "/email/echo",
            "GET",
            OUT,
            none(),
            json!({"email": "a@company.test\n", "email_verified": true}),
            "nothing-permits",
            &[],
        ),
        (
            "/email/echo",
            "GET",
            OUT,
            none(),
            json!({"email": ["a@company.test"], "email_verified": true}),
            "nothing-permits",
            &[],
        ),
    ]
}

/// The distribution's examples, each on a route of its own and those of the administration on the root.
fn examples() -> Plain {
    let names = ["department", "network", "admin", "age", "email-domain", "office-hours"];
    let text = |name: &str| {
        let path = format!("{}/deploy/examples/policies/{name}.cedar", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).expect("an example")
    };
    let files: Vec<(String, String)> =
        names.iter().map(|name| (format!("{name}.cedar"), text(name))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let routes: String = [
        ("/", "admin"),
        ("/department/", "department"),
        ("/network/", "network"),
        ("/age/", "age"),
        ("/email/", "email-domain"),
        ("/hours/", "office-hours"),
    ]
    .map(|(path, name)| route(path, &format!("{name}.cedar")))
    .concat();
    with_files("\n[listen]\ntrusted_proxies = [\"127.0.0.0/8\"]\n", &files, &routes)
}

/// What `explain` says of a case.
fn explain(shared: &Plain, case: &Case, now: u64) -> Value {
    let (path, method, client, id_token, userinfo, ..) = case;
    let mut token = json!({"sub": "x", "iss": shared.provider.issuer(), "auth_time": now, "acr": "low"});
    token.as_object_mut().expect("a map").extend(id_token.as_object().cloned().expect("a map"));
    let claims = json!({"provider": "op", "id_token": token, "userinfo": userinfo}).to_string();
    let claims = shared.gateway.folder.write("claims.json", &claims).to_string_lossy().into_owned();
    let config = shared.gateway.folder.path("gateway.toml").to_string_lossy().into_owned();
    let url = format!("http://localhost:{}{path}", shared.gateway.port);
    let (code, out, err) = command(&[
        "explain", "--json", "--config", &config, "--url", &url, "--method", method, "--client", client,
        "--claims", &claims,
    ]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).expect("JSON")
}

#[test]
fn the_examples_decide_alike_in_explain_and_in_the_running_gateway() {
    let shared = examples();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    for case in cases(now) {
        let told = explain(&shared, &case, now);
        let (path, method, client, id_token, userinfo, verdict, rules) = &case;
        assert_eq!(
            (told["policy"]["verdict"].as_str(), &told["policy"]["rules"]),
            (Some(*verdict), &json!(rules)),
            "{case:?}\n{told:#}"
        );
        let permitted = *verdict == "permitted";
        let expected = if permitted { ("permit", "met") } else { ("forbid", "policy-denied") };
        assert_eq!(
            (told["decision"].as_str(), told["reason"].as_str()),
            (Some(expected.0), Some(expected.1)),
            "{told:#}"
        );
        shared.provider.patch_id_token(id_token.clone());
        shared.provider.patch_userinfo(userinfo.clone());
        let mut browser = Browser::signed_in(&shared.gateway, "/hours/echo");
        let answer = browser.ask(method, path, &format!("{PROGRAM}X-Forwarded-For: {client}\r\n"), b"");
        assert_eq!(answer.status, if permitted { 200 } else { 403 }, "{case:?} {}", answer.text());
        if !permitted {
            assert_eq!(answer.json()["reason"], "policy-denied", "{case:?}");
        }
    }
}

#[test]
fn office_hours_are_the_same_for_explain_and_gateway_and_explain_reads_well() {
    let shared = examples();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let case: Case = ("/hours/echo", "GET", "10.1.2.3", json!({}), json!({}), "", &[]);
    let mut browser = Browser::signed_in(&shared.gateway, "/hours/echo");
    let is_open = explain(&shared, &case, now)["decision"] == "permit";
    assert_eq!(browser.fetch("/hours/echo").status, if is_open { 200 } else { 403 });
    // For people: the verdict with the policies that decided, and those that failed.
    shared.gateway.folder.write(
        "claims.json",
        &json!({"provider": "op", "id_token": {"sub": "x", "iss": shared.provider.issuer()}, "userinfo": {"groups": "payroll"}}).to_string(),
    );
    let path = |name: &str| shared.gateway.folder.path(name).to_string_lossy().into_owned();
    let url = format!("http://localhost:{}/department/x", shared.gateway.port);
    let (code, out, _) = command(&[
        "explain",
        "--config",
        &path("gateway.toml"),
        "--url",
        &url,
        "--claims",
        &path("claims.json"),
    ]);
    assert_eq!(code, 0);
    assert!(out.contains("policy    permitted: payroll-group\nfailed    human-resources\n"), "{out}");
    assert!(out.contains("\"policy_file\":\"department.cedar\""), "{out}");
}
