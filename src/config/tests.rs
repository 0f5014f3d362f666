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
fn an_id_token_is_kept_only_where_a_logout_will_send_it() {
    let hand = "issuer = \"https://op.test\"\ndiscovery = false\n[provider.endpoints]\nauthorization = \"https://op.test/a\"\n\
                token = \"https://op.test/t\"\njwks = \"https://op.test/j\"\n";
    let ending = format!("{hand}end_session = \"https://op.test/e\"\n");
    for (more, kept) in [
        ("preset = \"mobileid-ch\"\n", false),
        ("preset = \"idemia\"\nissuer = \"https://op.test\"\n", true),
        ("issuer = \"https://op.test\"\n", true),
        ("issuer = \"https://op.test\"\nforbid = [\"id_token_hint\"]\n", false),
        (hand, false),
        (&ending, true),
    ] {
        let text = format!(
            "public_url = \"https://app.example.ch\"\n[[provider]]\nid = \"p\"\nclient_id = \"c\"\n\
             client_secret_file = \"secret\"\n{more}[[route]]\nupstream = \"http://127.0.0.1:3000\"\n"
        );
        let (problems, loaded) = read(&text);
        let loaded = loaded.unwrap_or_else(|| panic!("{more}: {problems:?}"));
        assert_eq!(loaded.providers[0].settings.keep.id_token, kept, "{more}");
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

/// Names of the warnings of a text.
fn warnings(text: &str) -> Vec<(&'static str, String)> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "hunter2\n").unwrap();
    let source = Source::new(&folder.path().join("gateway.toml"), Environment::new());
    let reading = source.read_text(text, Purpose::Look);
    let problems = reading.findings.problems;
    assert!(problems.is_empty(), "{problems:?}");
    reading.findings.warnings.into_iter().map(|warning| (warning.name, warning.key)).collect()
}

#[test]
fn only_a_login_that_is_surely_not_pushed_is_warned_of_as_never_fresh() {
    let route = "[[route]]\nupstream = \"http://127.0.0.1:3000\"\nrequire = { max_age = \"15m\" }\n";
    for (more, is_warned) in [
        ("", false),
        ("pushed_authorization = \"always\"\n", false),
        ("pushed_authorization = \"never\"\n", true),
        ("pushed_authorization = \"never\"\nforbid = []\n", false),
        ("forbid = [\"max_age\", \"prompt\"]\n", true),
    ] {
        let warned = warnings(&format!("{TOP}{more}{route}"))
            .contains(&("may-never-be-fresh", "route[0].require.max_age".to_owned()));
        assert_eq!(warned, is_warned, "{more}");
    }
}

#[test]
fn parameters_with_templates_are_compiled_and_what_they_name_is_kept() {
    let route = "[[route]]\nupstream = \"http://127.0.0.1:3000\"\n";
    let with = |request: &str| format!("{TOP}request = {{ {request} }}\n{route}");
    let (problems, loaded) = read(&with(
        "ui_locales = \"auto\", x = \"{tid|none}\", login_hint = { json = { a = [\"{mid_geo_country}\"] } }",
    ));
    let loaded = loaded.unwrap_or_else(|| panic!("{problems:?}"));
    let settings = &loaded.providers[0].settings;
    let names: Vec<&str> = settings.request.iter().flat_map(|(_, value)| value.names()).collect();
    assert_eq!((settings.request.len(), names), (3, vec!["mid_geo_country", "tid"]));
    let said: crate::identity::Claims =
        serde_json::from_value(serde_json::json!({"sub": "s", "tid": "t", "mid_geo_country": "CH", "x": 1}))
            .unwrap();
    let identity = settings.identity("https://i", &said, None);
    assert!(identity.find("tid").is_some() && identity.find("mid_geo_country").is_some());
    assert!(identity.find("x").is_none());
    for (request, problem) in [
        ("x = \"{a\"", "provider[0].request.x: \"{a\" is no template"),
        ("x = { json = [\"{a\"] }", "provider[0].request.x: \"{a\" is no template"),
        (
            "client_assertion = \"x\"",
            "provider[0].request.client_assertion: \"client_assertion\" is the gateway's own",
        ),
        ("max_age = \"1\"", "provider[0].request.max_age: "),
        ("display = \"popup\"", "provider[0].forbid[1]: \"display\" is forbidden here"),
        (
            &format!("dtbd = \"{}\"", "x".repeat(240)),
            "provider[0].request.dtbd: 240 characters; accepted: at most 239",
        ),
    ] {
        let (problems, _) = read(&with(request));
        assert!(problems.iter().any(|found| found.starts_with(problem)), "{request}: {problems:?}");
    }
}

#[test]
fn what_must_not_be_read_or_changed_at_the_browser_wants_par() {
    let route = "[[route]]\nupstream = \"http://127.0.0.1:3000\"\n";
    let never = |request: &str| {
        format!(
            "{TOP}pushed_authorization = \"never\"\nrequest = {{ login_hint = {{ json = {{ a = \"{request}\" }} }} }}\n{route}"
        )
    };
    let (problems, _) = read(&never("{enrolled.sn}"));
    assert!(
        problems[0].starts_with("provider[0].request.login_hint: an enrolled value must go by PAR"),
        "{problems:?}"
    );
    let found = ("confidential-in-address", "provider[0].request.login_hint".to_owned());
    assert!(warnings(&never("{phone_number}")).contains(&found));
    assert!(!warnings(&never("{query.login_hint}")).contains(&found));
    let (auto, loaded) = read(&never("{enrolled.sn}").replace("never", "auto"));
    assert!(loaded.is_some(), "{auto:?}");
}

#[test]
fn the_text_of_a_phone_is_checked_on_every_route() {
    let route = |access: &str, text: &str| {
        format!(
            "{TOP}[[route]]\nupstream = \"http://127.0.0.1:3000\"\naccess = \"{access}\"\ndtbd = \"{text}\"\n"
        )
    };
    assert!(read(&route("required", "Payroll: #CLIENT#")).1.is_some());
    for (access, text, problem) in [
        ("required", "ç".repeat(120), "route[0].dtbd: 120 characters; accepted: at most 119 since \"ç\""),
        ("required", String::new(), "route[0].dtbd: is empty"),
        ("public", "x".to_owned(), "route[0].dtbd: access = \"public\" never leads to a login"),
    ] {
        let (problems, _) = read(&route(access, &text));
        assert!(problems.iter().any(|found| found.starts_with(problem)), "{problems:?}");
    }
}

#[test]
fn without_metadata_a_demand_for_par_needs_its_endpoint() {
    let text = "public_url = \"https://a.ch\"\n[[provider]]\nid = \"p\"\nissuer = \"https://i\"\ndiscovery = false\nclient_id = \"c\"\n\
                client_secret = \"x\"\npushed_authorization = \"always\"\nendpoints = { authorization = \"https://i/a\", \
                token = \"https://i/t\", jwks = \"https://i/j\" }\n[[route]]\nupstream = \"http://127.0.0.1:3000\"\n";
    let (problems, _) = read(text);
    assert!(problems[0].starts_with("provider[0].endpoints.pushed_authorization: missing"), "{problems:?}");
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

/// Which levels meet which, as the ladder of a preset says.
fn met(preset: &str, more: &str) -> crate::policy::Ladder {
    let text = format!(
        "public_url = \"https://app.example.ch\"\n[[provider]]\nid = \"p\"\npreset = \"{preset}\"\nclient_id = \"c\"\n\
         client_secret_file = \"secret\"\n{more}[[route]]\nupstream = \"http://127.0.0.1:3000\"\n"
    );
    let (problems, loaded) = read(&text);
    loaded.unwrap_or_else(|| panic!("{problems:?}")).providers.remove(0).ladder
}

#[test]
fn every_level_of_mobile_id_meets_what_its_operator_says() {
    let ladder = met("mobileid-ch", "");
    let all = [
        "mid_al2_any",
        "mid_al3_any",
        "mid_al3_any_ch",
        "mid_al3_simcard",
        "mid_al3_mobileapp",
        "mid_al4_any",
        "mid_al4_any_ch",
        "mid_al4_simcard",
        "mid_al4_mobileapp",
        "mid_al4_passkey",
    ];
    let (level3, level4) = (&all[1..5], &all[5..]);
    for required in all {
        let expected: Vec<&str> = match required {
            "mid_al2_any" => all.to_vec(),
            "mid_al3_any" => [level3, level4].concat(),
            "mid_al3_any_ch" => vec!["mid_al3_any_ch", "mid_al4_any_ch"],
            "mid_al3_simcard" => vec!["mid_al3_simcard", "mid_al4_simcard"],
            "mid_al3_mobileapp" => vec!["mid_al3_mobileapp", "mid_al4_mobileapp"],
            "mid_al4_any" => level4.to_vec(),
            narrow => vec![narrow],
        };
        let found: Vec<&str> = all.into_iter().filter(|granted| ladder.meets(required, granted)).collect();
        assert_eq!(found, expected, "{required}");
    }
    for odd in ["mid_al3", "MID_AL3_ANY", "mid_al3_any ", "", "loa-4"] {
        assert!(!ladder.meets("mid_al2_any", odd) && ladder.meets(odd, odd), "{odd:?}");
    }
}

#[test]
fn every_level_of_idemia_is_met_by_itself_and_those_above() {
    let ladder = met("idemia", "issuer = \"https://idp.example.gov/oxauth\"\n");
    let all = ["loa-2", "loa-3", "loa-4"];
    for (at, required) in all.into_iter().enumerate() {
        let found: Vec<&str> = all.into_iter().filter(|granted| ladder.meets(required, granted)).collect();
        assert_eq!(found, all[at..], "{required}");
    }
}

#[test]
fn a_route_without_an_upstream_needs_a_proxy_that_asks() {
    let route = "[[route]]\nlogout = [\"/out\"]\n";
    let (problems, _) = read(&format!("{TOP}{route}"));
    let missing =
        "route[0].upstream: missing, and no proxy in listen.trusted_proxies may ask for the route instead";
    assert_eq!(problems, [missing]);
    for trusted in ["10.0.0.0/8", "unix"] {
        let text = format!("{TOP}{route}[listen]\ntrusted_proxies = [\"{trusted}\"]\n");
        let (problems, loaded) = read(&text);
        let loaded = loaded.unwrap_or_else(|| panic!("{problems:?}"));
        assert!(loaded.upstreams.is_empty() && loaded.table.routes().all(|r| !r.upstream.is_somewhere()));
        let found = warnings(&text);
        assert!(found.iter().any(|(name, key)| *name == "nothing-to-forward" && key == "route[0].logout"));
    }
}

#[test]
fn what_lies_below_the_authorization_endpoint_is_another_request() {
    for (path, good) in [("/.midgate/auth/cb", false), ("/.midgate/auth", false), ("/auth/cb", true)] {
        let route = "[[route]]\nupstream = \"http://127.0.0.1:3000\"\n";
        let (problems, _) = read(&format!("{TOP}{route}[endpoints]\ncallback = \"{path}\"\n"));
        assert_eq!(problems.is_empty(), good, "{path}: {problems:?}");
    }
}

#[test]
fn every_identity_header_is_named_once_and_authorization_is_the_clients() {
    let text = format!(
        "{TOP}[[route]]\nupstream = \"http://127.0.0.1:3000\"\nheaders = {{ Authorization = \"x {{sub}}\", x-auth-NAME = \"{{name}}\" }}\n\
         [[route]]\npath = \"/a/\"\nupstream = \"http://127.0.0.1:3000\"\nheaders = {{ X-Remote-User = \"{{user_key}}\" }}\n"
    );
    let (problems, loaded) = read(&text);
    let loaded = loaded.unwrap_or_else(|| panic!("{problems:?}"));
    let names: Vec<_> = loaded.contract.identity.iter().map(|name| name.as_str()).collect();
    let expected = [
        "x-auth-acr",
        "x-auth-document-id",
        "x-auth-name",
        "x-auth-provider",
        "x-auth-user",
        "x-remote-user",
    ];
    assert_eq!(names, expected);
}
