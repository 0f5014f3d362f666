//! A client that lies about itself: spoofed headers, odd paths, foreign targets, tampered cookies.

use std::io::Write;

use url::Url;

use crate::rig::browser::NAVIGATION;
use crate::rig::wire::{connect, read};
use crate::rig::{Answer, Browser, Plain, plain, send, shared};

const SPELLINGS: [&str; 26] = [
    "X-Auth-Acr",
    "x-auth-acr",
    "X-AUTH-ACR",
    "X_Auth_Acr",
    "x_auth_acr",
    "X-Auth_Acr",
    "x_auth-acr",
    "X.Auth.Acr",
    "X-Auth.Acr",
    "x~auth~acr",
    "X-Auth-User",
    "X_AUTH_USER",
    "x-auth-name",
    "X_Auth_Name",
    "X-Auth-Document-Id",
    "X_Auth_Document_Id",
    "x-auth-document_id",
    "X-Auth-Provider",
    "X-Auth-Anything",
    "X-Midgate-User",
    "X_Midgate_Jwt_Assertion",
    "X-Midgate-Route",
    "Remote-User",
    "REMOTE_USER",
    "X-Remote-User",
    "OIDC_CLAIM_sub",
];

fn raw(text: &str) -> Answer {
    raw_at(shared(), text)
}

fn raw_at(setting: &Plain, text: &str) -> Answer {
    let port = setting.gateway.port;
    let text = text.replace("{host}", &format!("localhost:{port}"));
    send(port, text.as_bytes()).unwrap_or_default()
}

/// A setting of its own, whose application counts nobody else's requests.
fn own() -> Plain {
    plain(
        "",
        "",
        "[[route]]\nupstream = \"{up}\"\n[[route]]\npath = \"/public/\"\nupstream = \"{up}\"\naccess = \"public\"\n",
    )
}

#[test]
fn identity_headers_of_a_client_arrive_in_no_spelling_on_no_route() {
    let mut signed = Browser::signed_in(&shared().gateway, "/echo");
    let mut nobody = Browser::new(&shared().gateway);
    for name in SPELLINGS {
        let lines = format!("{name}: mallory\r\n{name}: mallory\r\n");
        for target in ["/echo", "/open/echo", "/public/echo"] {
            assert!(!signed.echo(target, &lines).0.to_string().contains("mallory"), "{name} on {target}");
        }
        for target in ["/open/echo", "/public/echo"] {
            assert!(!nobody.echo(target, &lines).0.to_string().contains("mallory"), "{name} on {target}");
        }
    }
    let all: String = SPELLINGS.iter().map(|name| format!("{name}: mallory\r\n")).collect();
    let echo = signed.echo("/echo", &all);
    assert!(!echo.0.to_string().contains("mallory"));
    assert_eq!(echo.one("X-Auth-Acr"), "low");
    assert_eq!(echo.one("X-Auth-Provider"), "op");
    assert!(echo.all("X-Auth-Document-Id").is_empty(), "the claim is missing: so is the header");
}

#[test]
fn identity_goes_up_only_where_a_permit_says_so() {
    let mut signed = Browser::signed_in(&shared().gateway, "/echo");
    assert_eq!(signed.echo("/open/echo", "").one("X-Auth-Provider"), "op");
    assert!(signed.echo("/public/echo", "").all("X-Auth-Provider").is_empty());
    assert!(Browser::new(&shared().gateway).echo("/open/echo", "").all("X-Auth-Provider").is_empty());
}

#[test]
fn a_connection_header_names_none_of_ours_away() {
    let mut browser = Browser::signed_in(&shared().gateway, "/echo");
    let cookie = format!("midgate={}", browser.cookies["midgate"]);
    let answer = raw(&format!(
        "GET /echo HTTP/1.1\r\nHost: {{host}}\r\nCookie: {cookie}\r\nX_Auth_Acr: evil\r\n\
         Connection: close, X-Auth-Acr, x-auth-name, X-Auth-User\r\nTE: trailers\r\nKeep-Alive: 5\r\n\r\n"
    ));
    assert_eq!(answer.status, 200);
    let echo = crate::rig::browser::Echo(answer.json());
    assert_eq!(echo.one("X-Auth-Acr"), "low");
    assert_eq!(echo.all("X-Auth-User").len(), 1);
    for name in ["TE", "Keep-Alive", "Proxy-Connection"] {
        assert!(echo.all(name).is_empty(), "{name}");
    }
    assert!(browser.is_signed_in());
}

#[test]
fn the_gateways_cookies_stay_here_and_others_arrive_byte_for_byte() {
    let mut browser = Browser::signed_in(&shared().gateway, "/echo");
    let session = browser.cookies["midgate"].clone();
    browser.cookies.clear();
    for (line, arrives) in [
        (format!("midgate={session}"), None),
        (format!("a=\"1 2\"; midgate={session}; b=%22=; c"), Some("a=\"1 2\"; b=%22=; c")),
        (format!("midgate-login-abc=x; midgate={session}; __Host-midgate=y; z=1"), Some("z=1")),
    ] {
        let echo = browser.echo("/echo", &format!("Cookie: {line}\r\n"));
        assert_eq!(echo.all("cookie").first().map(String::as_str), arrives, "{line}");
    }
    let two = browser.echo("/echo", &format!("Cookie: a=1\r\nCookie: midgate={session}; b=2\r\n"));
    assert_eq!(two.all("cookie"), ["a=1; b=2"]);
}

#[test]
fn an_application_cannot_set_the_gateways_cookies() {
    let mut browser = Browser::signed_in(&shared().gateway, "/echo");
    let answer = browser.open("/set-cookie?midgate=x&midgate-login-a=x&__Host-midgate=x&own=1");
    assert_eq!(answer.all("set-cookie"), ["own=1; Path=/"]);
    let hop = browser.open("/hop");
    for name in ["x-hop", "keep-alive", "x-midgate-jwt-assertion"] {
        assert_eq!(hop.header(name), None, "{name}");
    }
}

#[test]
fn paths_that_two_servers_could_read_differently_are_400() {
    let own = own();
    for target in [
        "/public/../admin/x",
        "/public/./../x",
        "/./x",
        "/x/../y",
        "/public/%2e%2e/x",
        "/public/.%2e/x",
        "/public/%252e%252e/x",
        "/public/%c0%ae%c0%ae/x",
        "/public/..%2fx",
        "/x%2fy",
        "/x%5Cy",
        "/x\\y",
        "/public/..\\x",
        "//x",
        "/public//x",
        "//evil.test/x",
        "/public/..;/x",
        "/x/..;/public/y",
        "/public/;/../x",
        "/x%00/y",
        "/public/%00",
        "/%zz",
        "/%",
        "/a%0d%0ab",
        "/public/x#/../y",
        "/x\u{1}",
        "/x\u{7f}",
        "/é",
        "admin/x",
        "*",
    ] {
        let answer =
            raw_at(&own, &format!("GET {target} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\r\n"));
        assert!(matches!(answer.status, 400 | 405), "{target}: {}", answer.status);
    }
    assert_eq!(raw_at(&own, "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n").status, 405);
    assert_eq!(own.application.count(), 0, "nothing arrived");
}

#[test]
fn what_is_decided_on_is_what_is_sent() {
    let mut browser = Browser::signed_in(&shared().gateway, "/echo");
    for (target, arrives) in [
        ("/a%20b/echo?x=%2e%2e/&y=/../", "/a%20b/echo?x=%2e%2e/&y=/../"),
        // The HTTP library writes a raw blank as an escape before anything is decided.
        ("/a b/echo", "/a%20b/echo"),
        ("/caf%c3%a9;jsessionid=1/echo", "/caf%c3%a9;jsessionid=1/echo"),
        ("/files/a%2Fb/echo", "/files/a%2Fb/echo"),
        ("/%61/echo", "/%61/echo"),
        ("/x%3F/echo?", "/x%3F/echo?"),
        ("/api/x/echo?q", "/x/echo?q"),
        ("/%61pi/echo", "/echo"),
        ("/api;v=1/a;b/echo", "/a;b/echo"),
    ] {
        assert_eq!(browser.echo(target, "").target(), arrives, "{target}");
    }
    assert_eq!(browser.echo("/api/echo", "").target(), "/echo");
    let absolute = format!("http://localhost:{}/abs/echo", shared().gateway.port);
    assert_eq!(browser.echo(&absolute, "").target(), "/abs/echo");
}

#[test]
fn an_encoded_path_never_meets_a_weaker_policy() {
    let mut browser = Browser::new(&shared().gateway);
    assert_eq!(browser.fetch("/%70ublic/echo").status, 200);
    for target in ["/publicx/echo", "/PUBLIC/echo", "/public%3F/echo", "/x?/public/echo", "/x%23/public/echo"]
    {
        assert_eq!(browser.fetch(target).status, 401, "{target}");
    }
}

#[test]
fn hosts_are_read_strictly() {
    let port = shared().gateway.port;
    let ask =
        |hosts: &str| raw(&format!("GET /public/echo HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n")).status;
    for (hosts, good) in [
        (format!("Host: LOCALHOST:{port}\r\n"), true),
        (format!("Host: localhost.:{port}\r\n"), true),
        ("Host: localhost\r\n".to_owned(), true),
    ] {
        assert!(matches!(ask(&hosts), 200 | 421), "{hosts}");
        assert!(good);
    }
    for hosts in [
        "",
        "Host: \r\n",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost, evil.test\r\n",
        "Host: localhost/admin\r\n",
        "Host: a@localhost\r\n",
    ] {
        assert_eq!(ask(hosts), 400, "{hosts:?}");
    }
    for hosts in ["Host: evil.test\r\n", "Host: evil.test\r\nX-Forwarded-Host: localhost\r\n"] {
        assert_eq!(ask(hosts), 421, "{hosts:?}");
    }
    let absolute =
        raw("GET http://other.test/public/echo HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert!(matches!(absolute.status, 400 | 421), "{}", absolute.status);
}

#[test]
fn framing_with_two_readings_is_400_and_closes() {
    let own = own();
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: y\r\n folded\r\n",
        "X: y\n",
        "X: a\0b\r\n",
        "X y\r\n",
        ": x\r\n",
        "X-Auth-Acr : loa-4\r\n",
        " X: y\r\n",
        "X(Auth): y\r\n",
    ] {
        let answer =
            raw_at(&own, &format!("POST /public/echo HTTP/1.1\r\nHost: {{host}}\r\n{framing}\r\n0\r\n\r\n"));
        assert_eq!(answer.status, 400, "{framing:?}");
    }
    assert_eq!(
        raw_at(
            &own,
            "POST /public/echo HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        .status,
        400
    );
    assert_eq!(own.application.count(), 0, "nothing arrived");
    let two = raw(
        "GET /public/echo HTTP/1.1\r\nHost: {host}\r\nAuthorization: a\r\nAuthorization: b\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(two.status, 400);
}

#[test]
fn the_body_of_a_refused_request_never_becomes_a_request() {
    let mut stream = connect(shared().gateway.port).expect("it listens");
    let host = format!("localhost:{}", shared().gateway.port);
    let hidden = format!("GET /public/hidden/echo HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let head = format!("POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n", hidden.len());
    let next = format!("GET /public/next/echo HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{head}{hidden}").as_bytes()).expect("sent");
    assert_eq!(read(&mut stream, false).expect("an answer").status, 401);
    let _ = stream.write_all(next.as_bytes());
    if let Ok(answer) = read(&mut stream, false) {
        assert_eq!(answer.json()["target"], "/public/next/echo");
    }
}

#[test]
fn return_targets_stay_at_home_as_a_browser_reads_them() {
    let gateway = &shared().gateway;
    let home = Url::parse(&format!("http://localhost:{}/", gateway.port)).expect("a URL");
    let hostile = [
        "//evil.test/x",
        "///evil.test",
        "/\\evil.test",
        "/%5Cevil.test",
        "\\\\evil.test",
        "\\/evil.test",
        "/.\\evil.test",
        "/./\\evil.test",
        "%2f%2fevil.test",
        "/%09/evil.test",
        "/%0a/evil.test",
        "/%0d%0a//evil.test",
        "/%20/evil.test",
        "/%0b/evil.test",
        "/%00/evil.test",
        "%09//evil.test",
        "http:evil.test",
        "http:///evil.test",
        "http:\\\\evil.test",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://localhost@evil.test",
        "http://localhost\\@evil.test/",
        "http://localhost:80@evil.test",
        "http://evil.test\\.localhost",
        "http://evil.test#.localhost",
        "https://evil.test/",
        "http://localhost.evil.test/",
        "http://localhost:1/",
        "https://evil\u{3002}test/",
        "http:\u{ff0f}\u{ff0f}evil.test",
        "\u{a0}//evil.test",
        "/..//evil.test",
    ];
    for target in hostile {
        for encode in [true, false] {
            let written = if encode {
                url::form_urlencoded::byte_serialize(target.as_bytes()).collect::<String>()
            } else if target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
                target.to_owned()
            } else {
                continue;
            };
            let mut browser = Browser::new(gateway);
            let start = browser.open(&format!("/.midgate/login?rd={written}"));
            if start.status == 302 {
                let callback = browser.visit_provider(start.location());
                let end = browser.deliver(&callback);
                assert_eq!(end.status, 303);
                let landed = home.join(end.location()).expect("a URL");
                assert_eq!(landed.origin(), home.origin(), "{target} led to {landed}");
            } else {
                assert_eq!(start.status, 400, "{target}");
            }
            let mut browser = Browser::signed_in(gateway, "/echo");
            let out = browser.sign_out(&format!("/.midgate/logout?rd={written}"));
            assert!(matches!(out.status, 303 | 400), "{target}: {}", out.status);
            if out.status == 303 {
                let landed = home.join(out.location()).expect("a URL");
                assert_eq!(landed.origin(), home.origin(), "{target} led to {landed}");
            }
        }
    }
}

#[test]
fn parameters_of_a_visitor_change_nothing_in_the_authorization_request() {
    let mut browser = Browser::new(&shared().gateway);
    let start = browser.open("/.midgate/login?rd=/echo&scope=admin&client_id=evil&redirect_uri=https://evil.test&nonce=1&response_mode=fragment");
    let url = Url::parse(start.location()).expect("a URL");
    let all: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    for (name, value) in [("client_id", "us"), ("scope", "openid")] {
        let found: Vec<&str> = all.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
        assert_eq!(found, [value]);
    }
    assert!(!start.location().contains("evil"), "{}", start.location());
    for bad in ["acr=loa-4%26prompt=none", "provider=evil", "iss=https://evil.test/", "rd=/a&rd=/b"] {
        assert_eq!(
            Browser::new(&shared().gateway).open(&format!("/.midgate/login?{bad}")).status,
            400,
            "{bad}"
        );
    }
}

#[test]
fn an_odd_callback_is_400_without_a_call() {
    let gateway = &shared().gateway;
    for query in [
        "",
        "&",
        "=",
        "&&=",
        "code=x",
        "state=y",
        "code=&state=y",
        "code=x&state=",
        "code=x&code=x&state=y",
        "code=x&state=y&state=y",
        "code=x&state=y&error=z",
        "error=access_denied",
        "error=access_denied&state=y",
        "code=x&state=y",
        "%zz=%zz",
        "code=x&state=y&iss=a&iss=a",
    ] {
        let answer = Browser::new(gateway).open(&format!("/.midgate/callback?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.all("set-cookie").is_empty(), "{query}");
    }
    let mut browser = Browser::new(gateway);
    for (kind, body) in [
        ("", ""),
        ("", "code=x&state=y"),
        ("Content-Type: application/json\r\n", "{\"code\":\"x\",\"state\":\"y\"}"),
        ("Content-Type: multipart/form-data; boundary=x\r\n", "--x--"),
    ] {
        let answer = browser.ask("POST", "/.midgate/callback", kind, body.as_bytes());
        assert_eq!(answer.status, 400, "{kind} {body}");
    }
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    assert_eq!(browser.ask("POST", "/.midgate/callback?code=x&state=y", form, b"code=x&state=y").status, 400);
}

#[test]
fn a_tampered_cookie_is_no_cookie() {
    let gateway = &shared().gateway;
    let mut browser = Browser::new(gateway);
    let start = browser.open("/echo");
    let callback = browser.visit_provider(start.location());
    let (name, value) =
        browser.cookies.iter().next().map(|(n, v)| (n.clone(), v.clone())).expect("a login cookie");
    for at in (0..value.len()).step_by(7) {
        let mut bytes = value.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let mut tampered = browser.clone();
        tampered.cookies.insert(name.clone(), String::from_utf8(bytes).expect("ASCII"));
        assert_eq!(tampered.deliver(&callback).status, 400, "{at}");
    }
    let mut swapped = Browser::new(gateway);
    for junk in [value.as_str(), "", "=", "%", "%s%n", &"A".repeat(8000), &"A".repeat(43)] {
        swapped.cookies.insert("midgate".into(), junk.to_owned());
        assert_eq!(swapped.fetch("/echo").status, 401, "{junk}");
    }
    assert_eq!(browser.deliver(&callback).status, 303);
    let good = browser.cookies["midgate"].clone();
    for doubled in [format!("midgate=bad; midgate={good}"), format!("midgate={good}; midgate=bad")] {
        let answer = Browser::new(gateway).ask("GET", "/echo", &format!("Cookie: {doubled}\r\n"), b"");
        assert_eq!(answer.status, 401, "{doubled}");
    }
    for odd in [";", ";;;", "=", "a", "   ", "midgate-login-x"] {
        let answer = Browser::new(gateway).ask("GET", "/public/echo", &format!("Cookie: {odd}\r\n"), b"");
        assert_eq!(answer.status, 200, "{odd:?}");
    }
}

#[test]
fn headers_of_a_stranger_change_no_decision() {
    for line in [
        "X-Forwarded-For: 127.0.0.9",
        "X-Real-IP: 10.0.0.1",
        "Forwarded: for=10.1.2.3;host=evil.test",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Port: 1",
        "X-Original-URL: /public/x",
        "X-Rewrite-URL: /public/x",
        "X-Forwarded-Uri: /public/x",
        "X-Original-Path: /public/x",
        "X-Forwarded-Method: OPTIONS",
        "X-HTTP-Method-Override: GET",
        "User-Agent: kube-probe/1.30",
        "X-Midgate-Route: public",
        "X-Forwarded-Prefix: /public",
    ] {
        let mut browser = Browser::new(&shared().gateway);
        assert_eq!(browser.ask("GET", "/x", &format!("{line}\r\n"), b"").status, 401, "{line}");
        let echo = browser.echo("/public/echo", &format!("{line}\r\n"));
        let (name, value) = line.split_once(": ").expect("a line");
        if !matches!(name, "User-Agent" | "X-HTTP-Method-Override") {
            assert!(!echo.all(name).contains(&value.to_owned()), "{line} in {}", echo.0);
        }
        assert_eq!(echo.one("X-Forwarded-For"), "127.0.0.1");
        assert_eq!(echo.one("X-Forwarded-Proto"), "http");
    }
    let navigation =
        format!("{NAVIGATION}X-Auth-Request-Redirect: https://evil.test/\r\nReferer: https://evil.test/\r\n");
    let mut browser = Browser::new(&shared().gateway);
    let start = browser.ask("GET", "/echo?rd=/other", &navigation, b"");
    let callback = browser.visit_provider(start.location());
    assert_eq!(browser.deliver(&callback).location(), "/echo?rd=/other");
}
