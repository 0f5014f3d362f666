//! Logs that strangers would write into, and outputs in which secrets would stand.

use std::process::Command;

use serde_json::Value;

use crate::rig::{Browser, Folder, plain, send};

#[test]
fn a108_nobody_writes_lines_of_the_log_but_us() {
    let setting = plain("", "", "[[route]]\nupstream = \"{up}\"\naccess = \"optional\"\n");
    let gateway = &setting.gateway;
    let host = format!("localhost:{}", gateway.port);
    let raw = |line: &str, headers: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
        send(gateway.port, request.as_bytes()).map_or(0, |answer| answer.status)
    };
    assert_eq!(raw("GET /%0a{\"level\":\"info\",\"forged\":1}", ""), 400);
    for odd in [
        "User-Agent: a\x1b[31mred\r\n",
        "User-Agent: a\rX-B: c\r\n",
        "User-Agent: a\0b\r\n",
        "X-Request-Id: a\x1b[31mred\r\n",
    ] {
        assert_eq!(raw("GET /echo", odd), 400, "{odd:?}");
    }
    let mut browser = Browser::new(gateway);
    for id in [
        "x".repeat(8 * 1024),
        "<script>alert(1)</script>".to_owned(),
        "{\"level\":\"info\"}".to_owned(),
        "short".to_owned(),
        "with blank inside".to_owned(),
    ] {
        let echo = browser.echo("/echo", &format!("X-Request-Id: {id}\r\n"));
        let own = echo.one("X-Request-Id");
        assert!(own != id && own.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{own}");
        assert!(!gateway.log().contains(&id) || id == "short", "{id}");
    }
    // A second line in the value is a second header, and no part of the id.
    let echo = browser.echo("/echo", "X-Request-Id: good-id-1\r\nX-Forged: {\"level\":\"info\"}\r\n");
    assert_eq!(echo.one("X-Request-Id"), "good-id-1");
    setting
        .provider
        .answer_error("access_denied", "mid_auth_3010_T\u{1b}[31m\nforged - line\n{\"forged\":1}");
    let start = browser.open("/.midgate/login?rd=/echo");
    let callback = browser.visit_provider(start.location());
    assert_eq!(browser.deliver(&callback).status, 403);
    crate::rig::until("the login is logged", || gateway.log().contains("\"audit.result\":\"failed\""));
    let log = gateway.log();
    assert!(!log.contains('\x1b'), "{log}");
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(event["timestamp"].is_string() && event.get("forged").is_none(), "{line}");
    }
}

/// Runs the binary with more in its environment; gives everything that it said.
fn said(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_midgate"))
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("the binary runs");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a109_no_command_prints_a_secret_however_it_was_given() {
    let folder = Folder::new();
    folder.write("secret", "FILE_SECRET_zz\n");
    folder.write("keys", "KEY_SECRET_zz\n");
    let provider = "[[provider]]\nid = \"op\"\nissuer = \"https://op.test\"\nclient_id = \"us\"\n";
    let route = "[[route]]\nupstream = \"http://127.0.0.1:3000\"\n";
    let top = "public_url = \"https://app.example.ch\"\n";
    let good = format!("{top}{provider}client_secret = \"TEXT_SECRET_zz\"\n{route}");
    for (what, config) in [
        ("as it should be", good.clone()),
        ("in a file", good.replace("client_secret = \"TEXT_SECRET_zz\"", "client_secret_file = \"secret\"")),
        ("twice", good.replace("client_id", "client_secret_file = \"secret\"\nclient_id")),
        ("another problem", good.replace("[[route]]", "[[rout]]")),
        ("never closed", good.replace("TEXT_SECRET_zz\"", "TEXT_SECRET_zz")),
        ("without quotes", good.replace("\"TEXT_SECRET_zz\"", "TEXT_SECRET_zz")),
        ("the same key twice", good.replace("client_id", "client_secret = \"TEXT_SECRET_zz\"\nclient_id")),
        ("in a list", good.replace("\"TEXT_SECRET_zz\"", "[\"TEXT_SECRET_zz\"]")),
        ("under a misspelled name", good.replace("client_secret =", "client_secrt =")),
        ("with a control character", good.replace("TEXT_SECRET_zz", "TEXT_SECRET_zz\\u0000")),
        ("a bad key", format!("{good}[session]\nkeys_file = \"keys\"\n")),
        ("for a store", format!("{good}[session]\nstore_password = \"STORE_SECRET_zz\"\n")),
        ("in a store's address", format!("{good}[session]\nstore = \"redis://:STORE_SECRET_zz@db\"\n")),
        ("for the admin", format!("{good}[listen]\nadmin = \"127.0.0.1:9\"\nadmin_token = \"SECRET_zz\"\n")),
        (
            "in a proxy's address",
            good.replace("client_id", "proxy = \"http://u:SECRET_zz@proxy:1\"\nclient_id"),
        ),
    ] {
        let path = folder.write("gateway.toml", &config).to_string_lossy().into_owned();
        for arguments in [
            &["check"][..],
            &["check", "--print"],
            &["check", "--json"],
            &["explain", "--url", "https://app.example.ch/x"],
            &["explain", "--json", "--url", "https://app.example.ch/x"],
            &["health"],
            &["sessions", "list"],
        ] {
            let arguments = [arguments, &["--config", &path]].concat();
            for environment in [
                &[][..],
                &[("MIDGATE__PROVIDER__OP__CLIENT_SECRET", "ENV_SECRET_zz")],
                &[("MIDGATE__PROVIDER__OP__CLIENT_SECRT", "ENV_SECRET_zz")],
                &[("MIDGATE__SESSION__STORE_PASSWORD", "ENV_SECRET_zz")],
            ] {
                let out = said(&arguments, environment);
                assert!(!out.contains("SECRET_zz"), "{what} {arguments:?} {environment:?}: {out}");
            }
        }
        // A start that fails; one that could succeed would not end.
        if what != "as it should be" && what != "in a file" {
            let broken = folder.write("broken.toml", &format!("{config}\n[nowhere]\n"));
            let out = said(&["run", "--config", &broken.to_string_lossy()], &[]);
            assert!(!out.contains("SECRET_zz"), "{what}: {out}");
        }
    }
}

#[test]
fn a109_a_start_and_a_reload_that_fails_log_no_secret() {
    let setting = plain("", "", "[log]\nlevel = \"trace\"\n[[route]]\nupstream = \"{up}\"\n");
    let path = setting.gateway.folder.path("gateway.toml");
    let good = std::fs::read_to_string(&path).expect("written");
    for broken in [
        good.replace("[[route]]", "[[rout]]"),
        good.replace("client_secret = \"SECRET_zz\"", "client_secret = \"SECRET_zz"),
        good.replace("client_secret = \"SECRET_zz\"", "client_secret = SECRET_zz"),
        good.replace("client_secret = \"SECRET_zz\"", "client_secrt = \"SECRET_zz\""),
    ] {
        assert_ne!(broken, good);
        let failed =
            || setting.gateway.metric("midgate_reloads_total{result=\"failed\"}").unwrap_or_default();
        let before = failed();
        std::fs::write(&path, &broken).expect("written");
        setting.gateway.signal("HUP");
        crate::rig::until("the reload has failed", || failed() > before);
    }
    let log = setting.gateway.log();
    assert!(log.contains("old configuration stays in force") && !log.contains("SECRET_zz"), "{log}");
}
