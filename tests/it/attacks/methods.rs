//! Section 8: health checks and methods.

use super::stage::{ROUTES, Stage, cookie};

#[test]
fn a61_no_user_agent_makes_a_request_harmless() {
    let stage = Stage::new();
    for agent in ["GoogleHC/1.0", "kube-probe/1.30", "ELB-HealthChecker/2.0", "Consul Health Check"] {
        for target in ["/admin/x", "/x", "/.midgate/auth", "/.midgate/session"] {
            let answer = stage.get(&stage.none(), target, &format!("User-Agent: {agent}\r\n"));
            stage.denied(target, &answer);
        }
    }
}

#[test]
fn a62_nothing_internal_is_on_the_public_listener() {
    let stage = Stage::new();
    for target in [
        "/livez",
        "/readyz",
        "/metrics",
        "/sessions",
        "/debug/pprof/",
        "/healthz?verbose",
        "/health",
        "/ping",
        "/.midgate/metrics",
    ] {
        let answer = stage.get(&stage.none(), target, "");
        stage.denied(target, &answer);
        assert!(!answer.text().contains("midgate_requests_total"), "{target}");
    }
}

#[test]
fn a63_each_method_is_decided_on() {
    let stage = Stage::new();
    let ask = |method: &str, target: &str, more: &str| {
        stage.raw(format!("{method} {target} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n{more}\r\n"))
    };
    let preflight = "Origin: https://evil.test\r\nAccess-Control-Request-Method: GET\r\n";
    for more in ["", "Origin: https://app.test\r\n", preflight, "X-Auth-Name: mallory\r\n"] {
        let answer = ask("OPTIONS", "/admin/x", more);
        stage.denied(more, &answer);
        assert_eq!(answer.status, 401, "{more}");
        assert!(answer.header("access-control-allow-origin").is_none(), "{more}");
    }
    let head = ask("HEAD", "/admin/x", "");
    assert_eq!((head.status, head.body.len()), (ask("GET", "/admin/x", "").status, 0));
    for (method, status) in [("TRACE", 405), ("get", 405), ("TRACK", 405), ("FOO", 401), ("Get", 405)] {
        let answer = ask(method, "/x", "");
        stage.denied(method, &answer);
        assert!(answer.status == status || answer.status == 400, "{method}: {answer:?}");
    }
    assert_eq!(ask("TRACE", "/public/x", "").status, 405, "also where everything else is public");
    assert_eq!(stage.echo.count(), 0);
}

#[test]
fn a64_the_method_on_the_wire_is_the_method() {
    let get_only =
        "[[route]]\npath = \"/get/\"\nmethods = [\"GET\"]\nupstream = \"{up}\"\naccess = \"public\"\n";
    let stage = Stage::with("", &format!("{ROUTES}{get_only}"));
    for more in [
        "X-HTTP-Method-Override: GET",
        "X-HTTP-Method: GET",
        "X-Method-Override: GET",
        "X-Forwarded-Method: GET",
    ] {
        let head =
            format!("POST /get/x?_method=GET HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n{more}\r\n");
        let answer = stage.raw(format!("{head}Content-Length: 11\r\n\r\n_method=GET"));
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{more}");
        let protected = head.replace("/get/", "/");
        let answer = stage.raw(format!("{protected}Content-Length: 11\r\n\r\n_method=GET"));
        assert_eq!(answer.status, 401, "{more}");
    }
    assert_eq!(stage.echo.count(), 0);
}

#[test]
fn a65_what_looks_like_our_own_path_is_never_the_applications() {
    let stage = Stage::new();
    let high = stage.high();
    for target in [
        "/.midgate/x",
        "/.midgate/",
        "/.midgate",
        "/.midgate/auth",
        "/%2emidgate/auth",
        "/.midgat%65/x",
        "/.midgate%2fauth",
        "/.midgate/../x",
        "/.midgate;x=1/auth",
        "//.midgate/auth",
        "/.midgate/session/x",
        "/.midgate/login/x",
    ] {
        for who in [&stage.none(), &high] {
            let answer = stage.get(who, target, "");
            assert!(matches!(answer.status, 400 | 403 | 404), "{target}: {answer:?}");
        }
    }
    assert_eq!(stage.echo.count(), 0);
    assert!(!cookie(&high).is_empty());
}
