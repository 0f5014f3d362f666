//! Configurations whose dangerous reading is an error at the start, and doubt that denies at run time.

use std::os::unix::fs::PermissionsExt as _;

use midgate::demo::provider::Manner;
use serde_json::Value;

use crate::rig::gateway::command;
use crate::rig::{Browser, Folder, Gateway, application, plain, provider, provider_toml};

const TOP: &str = "public_url = \"https://app.example.ch\"\n";
const PROVIDER: &str =
    "[[provider]]\nid = \"op\"\nissuer = \"https://op.test\"\nclient_id = \"us\"\nclient_secret = \"x\"\n";
const ROUTE: &str = "[[route]]\nupstream = \"http://127.0.0.1:3000\"\n";

/// A good configuration with more in the provider, in the route, and after them.
fn with(provider: &str, route: &str, tables: &str) -> String {
    format!("{TOP}{PROVIDER}{provider}{ROUTE}{route}{tables}")
}

/// Exit code and what `check` found.
fn check(config: &str) -> (i32, Value) {
    let folder = Folder::new();
    folder.write("secret", "x\n");
    let path = folder.write("gateway.toml", config).to_string_lossy().into_owned();
    let (code, out, err) = command(&["check", "--json", "--config", &path]);
    (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out} {err}")))
}

/// Exit 2, and a problem at this key with its line, what is wrong, and a hint.
fn is_a_problem(config: &str, key: &str) {
    let (code, found) = check(config);
    assert_eq!(code, 2, "{config}: {found}");
    let problems = found["problems"].as_array().expect("a list");
    let of_key = problems.iter().find(|problem| problem["key"].as_str().is_some_and(|k| k.starts_with(key)));
    let problem = of_key.unwrap_or_else(|| panic!("nothing about {key} in {found}"));
    for part in ["message", "hint"] {
        assert!(problem[part].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
    assert!(problem["line"].is_u64(), "{problem}");
}

fn is_a_warning(config: &str, name: &str) {
    let (code, found) = check(config);
    assert_eq!(code, 0, "{config}: {found}");
    let warnings = found["warnings"].as_array().expect("a list");
    assert!(warnings.iter().any(|warning| warning["name"] == name), "{name} in {found}");
}

#[test]
fn a120_what_could_be_read_two_ways_is_an_error() {
    assert_eq!(check(&with("", "", "")).0, 0);
    is_a_problem(&with("", "acess = \"public\"\n", ""), "route[0].acess");
    is_a_problem(&with("client_secret_file = \"secret\"\n", "", ""), "provider[0].client_secret");
    is_a_problem(
        &with("acr_ladder = [[\"low\"]]\n", "require = { acr = \"high\" }\n", ""),
        "route[0].require.acr",
    );
    is_a_problem(&with("", "", "[headers]\n\"X-User\" = \"{sub}\"\nX_User = \"{sub}\"\n"), "headers");
    is_a_problem(&with("", "headers = { X_Auth_Name = \"{sub}\" }\n", ""), "route[0].headers");
    for name in
        ["Host", "Connection", "Content-Length", "Cookie", "Transfer-Encoding", "host", "content_length"]
    {
        is_a_problem(&with("", &format!("headers = {{ {name} = \"{{sub}}\" }}\n"), ""), "route[0].headers");
        is_a_problem(&with("", "", &format!("[headers]\n{name} = \"{{sub}}\"\n")), "headers");
    }
}

#[test]
fn a121_a_weak_key_is_an_error() {
    let folder = Folder::new();
    let config = with("", "", "[session]\nkeys_file = \"keys\"\n");
    let path = folder.write("gateway.toml", &config).to_string_lossy().into_owned();
    let good = command(&["keygen"]).1;
    for (keys, code) in [
        ("short\n".to_owned(), 2),
        ("A".repeat(43), 2),
        ("a".repeat(43), 2),
        ("QUJDREVGR0hJSktM".to_owned(), 2),
        ("AQIDBAUGBwgBAgMEBQYHCAECAwQFBgcIAQIDBAUGBwg\n".to_owned(), 2),
        (String::new(), 2),
        ("# only a comment\n".to_owned(), 2),
        (format!("{good}short\n"), 2),
        (good.clone(), 0),
        (format!("# a comment\n{good}"), 0),
    ] {
        folder.write("keys", &keys);
        let (found, _, err) = command(&["check", "--config", &path]);
        assert_eq!(found, code, "{keys}: {err}");
    }
    // Every example that somebody could copy.
    for file in ["README.md", "gateway.toml", "deploy/README.md", "SECURITY.md"] {
        let text = std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).expect("a file");
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        let is_key = |word: &str| {
            word.len() == 43
                && word.bytes().any(|b| b.is_ascii_digit())
                && word.bytes().any(|b| b.is_ascii_uppercase())
        };
        assert_eq!(words.find(|word| is_key(word)), None, "a key in {file}");
    }
}

#[test]
fn a122_plain_http_and_a_parameter_that_is_forbidden_are_errors() {
    is_a_problem(&with("", "", "").replace("https://app", "http://app"), "public_url");
    is_a_problem(&with("", "", "").replace("https://op", "http://op"), "provider[0].issuer");
    is_a_problem(&with("discovery = \"http://op.test/x\"\n", "", ""), "provider[0].discovery");
    is_a_problem(
        &with("endpoints = { token = \"http://op.test/token\" }\n", "", ""),
        "provider[0].endpoints.token",
    );
    is_a_problem(
        &with("forbid = [\"prompt\"]\nrequest = { prompt = \"login\" }\n", "", ""),
        "provider[0].forbid",
    );
}

#[test]
fn a122_nobody_is_sent_to_a_provider_that_says_it_is_another() {
    let op = provider(Manner::Plain);
    op.fault("discovery-wrong-issuer", true);
    let application = application();
    let config = format!(
        "\n{}\n[[route]]\nupstream = \"http://127.0.0.1:{}\"\n",
        provider_toml("op", &op, ""),
        application.port()
    );
    let gateway = Gateway::start(&config);
    for _ in 0..5 {
        assert_eq!(Browser::new(&gateway).open("/echo").status, 502);
    }
    assert!(op.calls().discovery < 6, "{} in a tight loop", op.calls().discovery);
    assert_eq!(op.calls().authorize, 0);
    op.heal();
    op.fault("discovery-plain-pkce", true);
    crate::rig::until("PKCE is missed", || gateway.ready().1.contains("pkce-s256-unsupported"));
}

#[test]
fn a123_what_is_open_is_an_error_or_a_named_warning() {
    for network in ["0.0.0.0/0", "::/0"] {
        is_a_warning(
            &with("", "", &format!("[listen]\ntrusted_proxies = [\"{network}\"]\n")),
            "trusts-everyone",
        );
    }
    is_a_problem(&with("", "", "[listen]\nadmin = \"0.0.0.0:9090\"\n"), "listen.admin");
    is_a_problem(
        &with(
            "",
            "",
            "[listen]\nadmin = \"127.0.0.1:9090\"\nadmin_token = \"0123456789abcdef0123456789abcdef\"\n",
        )
        .replace("admin = \"127.0.0.1:9090\"\n", "admin = \"everywhere\"\n"),
        "listen.admin",
    );
    is_a_warning(
        &with(
            "",
            "",
            "[listen]\nadmin = \"0.0.0.0:9090\"\nadmin_token = \"0123456789abcdef0123456789abcdef\"\n",
        ),
        "admin-public",
    );
    is_a_warning(&with("", "access = \"public\"\n", ""), "public-root");
    is_a_warning(
        &with("", "", "").replace("http://127.0.0.1:3000", "http://10.0.0.5:3000"),
        "plain-upstream",
    );
    is_a_warning(&with("", "", ""), "open-to-everyone");
    let folder = Folder::new();
    let path = folder.write("gateway.toml", &with("", "", "[session]\nkeys_file = \"keys\"\n"));
    let keys = folder.write("keys", &command(&["keygen"]).1);
    for (mode, warns) in [(0o600, false), (0o644, true), (0o604, true)] {
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(mode)).expect("ours");
        let (_, out, _) = command(&["check", "--json", "--config", &path.to_string_lossy()]);
        assert_eq!(out.contains("key-readable-by-all"), warns, "{mode:o} {out}");
    }
}

#[test]
fn a124_what_no_route_takes_goes_nowhere() {
    let setting = plain("", "", "[[route]]\npath = \"/app/\"\nupstream = \"{up}\"\naccess = \"public\"\n");
    let mut browser = Browser::new(&setting.gateway);
    for target in ["/", "/x", "/application/x", "/APP/x", "/ap"] {
        assert_eq!(browser.fetch(target).status, 404, "{target}");
        assert_eq!(browser.open(target).status, 404, "{target}");
    }
    assert_eq!(setting.application.count(), 0);
    assert_eq!(browser.fetch("/app/echo").status, 200);
}
