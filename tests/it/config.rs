//! The commands around a configuration: check, explain, schema, keygen.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::rig::Folder;
use crate::rig::gateway::command;

const SMALL: &str = "public_url = \"https://app.example.ch\"\n[[provider]]\nid = \"mobileid\"\npreset = \"mobileid-ch\"\n\
                     client_id = \"0f3c\"\nclient_secret_file = \"secret\"\n[[route]]\nupstream = \"http://127.0.0.1:3000\"\n";

fn folder(config: &str) -> (Folder, String) {
    let folder = Folder::new();
    folder.write("secret", "SECRET_zz\n");
    let path = folder.write("gateway.toml", config).to_string_lossy().into_owned();
    (folder, path)
}

fn check(config: &str) -> (i32, Value) {
    let (_folder, path) = folder(config);
    let (code, out, err) = command(&["check", "--json", "--config", &path]);
    (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out} {err}")))
}

#[test]
fn the_smallest_useful_file_is_fine_and_warns_of_what_is_open() {
    let (code, found) = check(SMALL);
    assert_eq!((code, &found["problems"]), (0, &json!([])), "{found}");
    assert_eq!(found["redirect_uris"], json!(["https://app.example.ch/.midgate/callback"]));
    let warnings = found["warnings"].as_array().expect("a list");
    assert!(
        warnings.iter().any(|w| w["message"].as_str().is_some_and(|m| m.contains("mobileid"))),
        "{found}"
    );
    for warning in warnings {
        assert!(warning["name"].is_string() && warning["key"].is_string(), "{warning}");
    }
}

#[test]
fn every_problem_is_told_at_once_with_key_line_and_hint() {
    let broken = "public_url = \"http://app.example.ch\"\nsesion = 1\n[[provider]]\nid = \"op\"\nissuer = \"https://op.test\"\n\
                  client_id = \"us\"\nclient_secret = \"x\"\nid_token_alg = [\"HS256\"]\n[[route]]\nacess = \"public\"\n\
                  upstream = \"http://127.0.0.1:3000\"\n[session]\nidle_timeout = \"30\"\n";
    let (code, found) = check(broken);
    assert_eq!(code, 2);
    let problems = found["problems"].as_array().expect("a list");
    for (key, line) in [
        ("public_url", 1),
        ("sesion", 2),
        ("provider[0].id_token_alg", 8),
        ("route[0].acess", 10),
        ("session.idle_timeout", 13),
    ] {
        let problem = problems.iter().find(|p| p["key"].as_str().is_some_and(|k| k.starts_with(key)));
        let problem = problem.unwrap_or_else(|| panic!("{key} in {found}"));
        assert_eq!(problem["line"], line, "{problem}");
        assert!(problem["message"].is_string() && problem["hint"].is_string(), "{problem}");
    }
    assert!(found.to_string().contains("session"), "the nearest name: {found}");
    let (_folder, path) = folder(broken);
    let (code, _, err) = command(&["run", "--config", &path]);
    assert_eq!(code, 2);
    assert!(err.contains("acess") && err.contains("access"), "{err}");
}

#[test]
fn foot_guns_are_exit_2() {
    let provider = "[[provider]]\nid = \"op\"\nissuer = \"https://op.test\"\nclient_id = \"us\"\nclient_secret = \"x\"\n";
    let route = "[[route]]\nupstream = \"http://127.0.0.1:3000\"\n";
    let top = "public_url = \"https://app.example.ch\"\n";
    let with = |provider_more: &str, route_more: &str, tables: &str| {
        format!("{top}{provider}{provider_more}{route}{route_more}{tables}")
    };
    assert_eq!(check(&with("", "", "")).0, 0);
    for (what, config) in [
        ("both a secret and its file", with("client_secret_file = \"secret\"\n", "", "")),
        (
            "a level that no ladder knows",
            with("acr_ladder = [[\"low\"]]\n", "require = { acr = \"high\" }\n", ""),
        ),
        ("a level without a ladder", with("", "require = { acr = \"high\" }\n", "")),
        (
            "headers that fold alike",
            with("", "", "[headers]\n\"X-User\" = \"{sub}\"\n\"X_User\" = \"{sub}\"\n"),
        ),
        ("a header named Host", with("", "", "[headers]\nHost = \"{sub}\"\n")),
        ("a header named Cookie", with("", "headers = { Cookie = \"{sub}\" }\n", "")),
        ("Content-Length", with("", "headers = { Content-Length = \"{sub}\" }\n", "")),
        ("a broken template", with("", "headers = { X-A = \"{sub\" }\n", "")),
        (
            "requirements on a public route",
            with("", "access = \"public\"\nrequire = { max_age = \"5m\" }\n", ""),
        ),
        ("providers on a public route", with("", "access = \"public\"\nproviders = [\"op\"]\n", "")),
        ("an unknown provider", with("", "providers = [\"o\"]\n", "")),
        ("an unknown upstream", format!("{top}{provider}[[route]]\nupstream = \"app\"\n")),
        ("an http issuer off loopback", with("", "", "").replace("https://op.test", "http://op.test")),
        ("a path in public_url", with("", "", "").replace("example.ch", "example.ch/x")),
        ("two same routes", with("", "", route)),
        ("two same providers", format!("{top}{provider}{provider}{route}")),
        ("none as algorithm", with("id_token_alg = [\"none\"]\n", "", "")),
        (
            "a parameter against forbid",
            with("forbid = [\"prompt\"]\nrequest = { prompt = \"login\" }\n", "", ""),
        ),
        ("admin over TCP without a token", with("", "", "[listen]\nadmin = \"127.0.0.1:9090\"\n")),
        ("a wildcard without a domain", with("", "host = \"*.example.ch\"\n", "")),
        ("an upstream with a path", with("", "", "").replace("3000", "3000/x")),
        (
            "a health check without a path",
            with(
                "",
                "",
                "[[upstream]]\nid = \"a\"\nservers = [\"http://a\"]\nhealth_check = { path = \"health\" }\n",
            ),
        ),
        (
            "a health check without a pause",
            with(
                "",
                "",
                "[[upstream]]\nid = \"a\"\nservers = [\"http://a\"]\nhealth_check = { interval = \"0s\" }\n",
            ),
        ),
        (
            "an unknown balance",
            with("", "", "[[upstream]]\nid = \"a\"\nservers = [\"http://a\"]\nbalance = \"random\"\n"),
        ),
        (
            "too many servers",
            with("", "", &format!("[[upstream]]\nid = \"a\"\nservers = {:?}\n", vec!["http://a"; 65])),
        ),
        ("a missing file", with("ca_file = \"nowhere.pem\"\n", "", "")),
        ("a duration without unit", with("", "", "[login]\ntimeout = 15\n")),
        ("a route without upstream", format!("{top}{provider}[[route]]\npath = \"/\"\n")),
        ("broken TOML", format!("{top}{provider}[[route]\n")),
    ] {
        let (code, found) = check(&config);
        assert_eq!(code, 2, "{what}: {found}");
    }
    let (folder, path) = folder(&with("", "", "[session]\nkeys_file = \"keys\"\n"));
    for keys in ["short\n".to_owned(), "A".repeat(43), String::new()] {
        folder.write("keys", &keys);
        assert_eq!(command(&["check", "--config", &path]).0, 2, "{keys}");
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let (_folder, path) = folder(SMALL);
    let check = |name: &str, value: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_midgate"))
            .args(["check", "--print", "--config", &path])
            .env(name, value)
            .output()
            .expect("the binary runs");
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, out) = check("MIDGATE__SESSION__IDLE_TIMEOUT", "7m");
    assert!(code == 0 && out.contains("7m"), "{out}");
    let (code, out) = check("MIDGATE__PROVIDER__MOBILEID__CLIENT_SECRET", "SECRET_from_env");
    assert!(code == 0 && !out.contains("SECRET_from_env"), "{out}");
    let (code, out) = check("MIDGATE__SESION__IDLE_TIMEOUT", "7m");
    assert!(code == 2 && out.contains("MIDGATE__SESION"), "{out}");
}

#[test]
fn explain_says_route_decision_and_headers() {
    let config = SMALL.to_owned()
        + "[[route]]\npath = \"/payroll/\"\nupstream = \"http://127.0.0.1:3001\"\nrequire = { acr = \"mid_al4_any\" }\n";
    let (folder, path) = folder(&config);
    let claims = json!({
        "provider": "mobileid", "id_token": {"sub": "alice", "acr": "mid_al3_any"}, "userinfo": {"name": "Zoë", "acr": "mid_al4_any"}
    });
    let claims = folder.write("claims.json", &claims.to_string()).to_string_lossy().into_owned();
    let explain = |url: &str, with_claims: bool| {
        let mut arguments = vec!["explain", "--json", "--config", &path, "--url", url];
        if with_claims {
            arguments.extend(["--claims", &claims]);
        }
        let (code, out, err) = command(&arguments);
        assert_eq!(code, 0, "{err}");
        serde_json::from_str::<Value>(&out).expect("JSON")
    };
    let permit = explain("https://app.example.ch/x?y", true);
    assert_eq!(permit["decision"], "permit");
    assert_eq!(permit["headers"]["X-Auth-Name"], "Zoë");
    assert_eq!(permit["headers"]["X-Auth-Acr"], "mid_al3_any");
    assert!(permit["route"].is_string() && permit["requires"].is_object());
    let login = explain("https://app.example.ch/x", false);
    assert_eq!((login["decision"].as_str(), login["reason"].as_str()), (Some("login"), Some("no-session")));
    let step_up = explain("https://app.example.ch/payroll/x", true);
    assert_eq!(
        (step_up["decision"].as_str(), step_up["reason"].as_str()),
        (Some("login"), Some("acr-not-met"))
    );
    assert_eq!(explain("https://evil.test/", true)["decision"], "forbid");
    assert_eq!(explain("https://app.example.ch/x/../payroll/", true)["decision"], "forbid");
}

#[test]
fn keygen_and_schema_and_version_and_help() {
    let (code, key, _) = command(&["keygen"]);
    assert_eq!((code, URL_SAFE_NO_PAD.decode(key.trim()).expect("base64url").len()), (0, 32));
    assert_ne!(command(&["keygen"]).1, key);
    let (code, schema, _) = command(&["schema"]);
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    assert_eq!(code, 0);
    assert!(schema["properties"]["provider"].is_object());
    assert!(command(&["--version"]).1.starts_with("midgate "));
    let (code, help, _) = command(&["--help"]);
    assert_eq!(code, 0);
    for name in ["run", "demo", "check", "explain", "sessions", "keygen", "schema", "health"] {
        assert!(help.contains(name), "{name} in {help}");
    }
    assert_eq!(command(&["frobnicate"]).0, 2);
    assert_eq!(command(&["run", "--config", "/nowhere/gateway.toml"]).0, 2);
}

#[test]
fn the_reference_configuration_is_valid_and_names_every_key() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.toml");
    let text = std::fs::read_to_string(path).expect("gateway.toml");
    let (_, schema, _) = command(&["schema"]);
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let mut missing = Vec::new();
    keys(&schema, &mut |key| {
        let named = text.contains(&format!("{key} ="))
            || text.contains(&format!("[{key}]"))
            || text.contains(&format!(".{key}]"));
        if !named && !text.contains(&format!("[[{key}]]")) {
            missing.push(key.to_owned());
        }
    });
    missing.dedup();
    assert!(missing.is_empty(), "gateway.toml says nothing of {missing:?}");
    let folder = Folder::new();
    folder.write("secret", "x");
    let (code, out, err) = command(&["check", "--config", path]);
    assert_eq!(code, 0, "{out}{err}");
}

/// Every key of every table that a schema knows.
fn keys(schema: &Value, see: &mut impl FnMut(&str)) {
    for (key, below) in schema["properties"].as_object().into_iter().flatten() {
        see(key);
        keys(below, see);
        keys(&below["items"], see);
    }
    for alternative in
        ["anyOf", "oneOf"].iter().flat_map(|name| schema[*name].as_array().into_iter().flatten())
    {
        keys(alternative, see);
        keys(&alternative["items"], see);
    }
    if schema["additionalProperties"].is_object() {
        keys(&schema["additionalProperties"], see);
    }
}

#[test]
fn a_key_file_beside_the_configuration_may_not_be_there_yet() {
    let (folder, _) = folder(&(SMALL.to_owned() + "[session]\nkeys_file = \"keys\"\n"));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_midgate"))
        .arg("check")
        .current_dir(folder.path(""))
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!folder.path("keys").exists(), "who only looks writes nothing");
}
