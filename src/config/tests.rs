//! Loading as a whole: small files, and what becomes of them.

use super::*;

/// Reads a text with a secret beside it; gives problems as `key: message` and the loaded configuration.
fn read(text: &str) -> (Vec<String>, Option<Loaded>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "hunter2\n").unwrap();
    fs::write(folder.path().join("staff"), "+41791234567 # Zoë\n").unwrap();
    let source = Source::new(&folder.path().join("gateway.toml"), Environment::new());
    let reading = source.read_text(text, Purpose::Look);
    let problems = reading.findings.problems.iter();
    (problems.map(|problem| format!("{}: {}", problem.key, problem.message)).collect(), reading.loaded)
}

const TOP: &str = "public_url = \"https://app.example.ch\"\n[[provider]]\nid = \"mobileid\"\npreset = \"mobileid-ch\"\n\
                   client_id = \"0f3c\"\nclient_secret_file = \"secret\"\n";

#[test]
fn i10_every_preset_is_complete_but_for_what_only_the_operator_knows() {
    for (preset, more) in [
        ("mobileid-ch", ""),
        ("idemia", "issuer = \"https://idp.example.gov/oxauth\"\n"),
        (
            "azure-b2c",
            "discovery = \"https://t.b2clogin.com/t.onmicrosoft.com/p/v2.0/.well-known/openid-configuration\"\n",
        ),
    ] {
        let text = format!(
            "public_url = \"https://app.example.ch\"\n[[provider]]\nid = \"p\"\npreset = \"{preset}\"\nclient_id = \"c\"\n\
             client_secret_file = \"secret\"\n{more}[[route]]\nupstream = \"http://127.0.0.1:3000\"\n"
        );
        let (problems, loaded) = read(&text);
        assert!(problems.is_empty(), "{preset}: {problems:?}");
        assert_eq!(loaded.unwrap().redirect_uris(), ["https://app.example.ch/.midgate/callback"]);
    }
}

#[test]
fn equal_mappings_and_requirements_are_kept_once() {
    let route = |path: &str, more: &str| {
        format!("[[route]]\npath = \"{path}\"\nupstream = \"http://127.0.0.1:3000\"\n{more}\n")
    };
    let text = [
        TOP.to_owned(),
        route("/", ""),
        route("/a/", ""),
        route("/b/", "require = { acr = \"mid_al4_any\" }"),
        route("/c/", "headers = { X-Auth-Name = false }"),
    ]
    .concat();
    let (problems, loaded) = read(&text);
    let loaded = loaded.unwrap_or_else(|| panic!("{problems:?}"));
    assert_eq!((loaded.mappings, loaded.requirements, loaded.upstreams.len()), (2, 2, 1));
}

#[test]
fn a_problem_of_one_place_does_not_hide_those_of_others() {
    let text = format!(
        "{TOP}[[route]]\nupstream = \"erp\"\nrequire = {{ acr = \"mid_al3\", allow_file = \"nowhere\" }}\n\
         [headers]\nHost = \"{{name}}\"\n[session.cookie]\ndomain = \"other.ch\"\n"
    );
    let (problems, loaded) = read(&text);
    assert!(loaded.is_none());
    for key in [
        "route[0].upstream",
        "route[0].require.acr",
        "route[0].require.allow_file",
        "headers.Host",
        "session.cookie.domain",
    ] {
        assert!(
            problems.iter().any(|problem| problem.starts_with(&format!("{key}: "))),
            "{key} in {problems:#?}"
        );
    }
}

#[test]
fn a_wildcard_lies_under_the_domain_of_the_cookie() {
    let with = |host: &str, domain: &str| {
        let cookie = if domain.is_empty() {
            String::new()
        } else {
            format!("[session.cookie]\ndomain = \"{domain}\"\n")
        };
        read(&format!("{TOP}[[route]]\nhost = \"{host}\"\nupstream = \"http://127.0.0.1:3000\"\n{cookie}")).0
    };
    assert_eq!(with("*.example.ch", "example.ch"), Vec::<String>::new());
    assert_eq!(with("erp.example.ch", ""), Vec::<String>::new());
    assert!(with("*.example.ch", "")[0].starts_with("route[0].host"));
    assert!(with("*.other.ch", "example.ch")[0].starts_with("route[0].host"));
    assert!(with("erp.other.ch", "example.ch")[0].starts_with("route[0].host"));
}

#[test]
fn raw_claims_that_a_route_speaks_of_are_kept() {
    let text = format!(
        "{TOP}[[route]]\nupstream = \"http://127.0.0.1:3000\"\nheaders = {{ X-Country = \"{{mid_geo_country|CH}}\" }}\n\
         require = {{ claims = {{ age = {{ min = 18 }} }}, allow_file = \"staff\" }}\n"
    );
    let (problems, loaded) = read(&text);
    let loaded = loaded.unwrap_or_else(|| panic!("{problems:?}"));
    let settings = &loaded.providers[0].settings;
    let said: crate::identity::Claims = serde_json::from_value(serde_json::json!({
        "sub": "s", "mid_geo_country": "LI", "age": 20, "phone_number_verified": true, "other": 1, "documentId": "X"
    }))
    .unwrap();
    let identity = settings.identity("https://i", &said, None);
    let kept: Vec<&str> = identity.claims.keys().map(String::as_str).collect();
    assert_eq!(kept, ["age", "documentId", "mid_geo_country", "phone_number_verified"]);
}

#[test]
fn i8_the_effective_configuration_holds_no_secret() {
    let source = Source::new(Path::new("/nowhere/gateway.toml"), Environment::new());
    let text = "public_url = \"https://a.ch\"\n[[provider]]\nid = \"p\"\nissuer = \"https://i\"\nclient_id = \"c\"\n\
                client_secret = \"hunter2\"\n[session]\nstore_password = \"hunter2\"\n";
    let reading = source.read_text(text, Purpose::Look);
    let effective = reading.effective.unwrap();
    assert!(effective.contains("[secret]") && !effective.contains("hunter2"), "{effective}");
    assert!(effective.contains("X-Auth-User") && effective.contains("idle_timeout = \"30m\""), "{effective}");
    assert!(!reading.findings.problems.iter().any(|problem| problem.to_string().contains("hunter2")));
}
