//! Listeners besides the plain one: TLS, sockets, health, administration.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::rig::gateway::{command, free_port};
use crate::rig::wire::{connect, read};
use crate::rig::{Answer, Browser, Folder, Gateway, application, plain, provider, provider_toml, until};
use midgate::demo::provider::Manner;

#[test]
fn the_health_listener_says_how_things_are_and_nothing_personal() {
    let shared = plain("", "", "[[route]]\nid = \"app\"\nupstream = \"{up}\"\n");
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    browser.fetch("/echo");
    until("the session is counted", || shared.gateway.metric("midgate_sessions ") == Some(1.0));
    assert_eq!(shared.gateway.health("/livez").0, 200);
    let (status, body) = shared.gateway.ready();
    assert_eq!(status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
    let (_, metrics) = shared.gateway.health("/metrics");
    for name in [
        "midgate_requests_total",
        "midgate_request_duration_seconds",
        "midgate_logins_total",
        "midgate_sessions",
        "midgate_reloads_total",
        "midgate_build_info",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    assert!(metrics.contains("route=\"app\""), "{metrics}");
    for secret in ["Zoë", "M\u{fc}ller", "SECRET_zz", browser.cookies["midgate"].as_str()] {
        assert!(!metrics.contains(secret) && !body.contains(secret));
    }
    assert_eq!(shared.gateway.health("/sessions").0, 404);
    let path = shared.gateway.folder.path("gateway.toml").to_string_lossy().into_owned();
    assert_eq!(command(&["health", "--config", &path]).0, 0);
    assert_eq!(command(&["health", "--live", "--config", &path]).0, 0);
    // On the public listener these are paths of the application.
    for path in ["/livez", "/readyz", "/metrics", "/sessions", "/debug/pprof/"] {
        assert_eq!(Browser::new(&shared.gateway).fetch(path).status, 401, "{path}");
    }
    shared.provider.fault("token-500", true);
    Browser::new(&shared.gateway).sign_in("/echo");
    assert!(shared.gateway.metric("midgate_provider_errors_total").is_some());
}

#[test]
fn sessions_are_listed_shown_and_revoked_over_the_admin_socket() {
    let shared =
        plain("", "", "[listen]\nadmin = \"unix:{folder}/admin.sock\"\n[[route]]\nupstream = \"{up}\"\n");
    let mut browser = Browser::signed_in(&shared.gateway, "/echo");
    let path = shared.gateway.folder.path("gateway.toml").to_string_lossy().into_owned();
    let mode =
        std::fs::metadata(shared.gateway.folder.path("admin.sock")).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, list, err) = command(&["sessions", "list", "--json", "--config", &path]);
    // Options of the subcommand and of the command may stand in either place.
    let (code, list) = if code == 2 {
        let (c, l, _) = command(&["sessions", "--config", &path, "list", "--json"]);
        (c, l)
    } else {
        (code, list)
    };
    assert_eq!(code, 0, "{err}");
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    let reference = list["sessions"][0]["ref"].as_str().expect("one session").to_owned();
    let show = |reference: &str| command(&["sessions", "--config", &path, "show", reference]);
    let (code, shown, _) = show(&reference);
    assert_eq!(code, 0);
    assert!(!shown.contains("Zoë") && !shown.contains(&browser.cookies["midgate"]), "{shown}");
    assert_eq!(show("nobody").0, 1);
    assert!(browser.is_signed_in());
    assert_eq!(command(&["sessions", "--config", &path, "revoke", &reference]).0, 0);
    assert!(!browser.is_signed_in());
    let mut stream = UnixStream::connect(shared.gateway.folder.path("admin.sock")).expect("it listens");
    stream.write_all(b"GET /sessions HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.test\r\nConnection: close\r\n\r\n").expect("sent");
    assert_eq!(read(&mut stream, false).expect("an answer").status, 403);
}

/// One exchange over TLS with a certificate that only this test knows.
fn over_tls(
    port: u16,
    certificate: &rcgen::CertifiedKey<rcgen::KeyPair>,
    request: &str,
) -> std::io::Result<Answer> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).expect("a certificate");
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let connection = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = rustls::StreamOwned::new(connection, connect(port)?);
    stream.write_all(request.as_bytes())?;
    read(&mut stream, false)
}

#[test]
fn tls_is_served_and_its_certificate_renewed_by_reload() {
    let folder = Folder::new();
    let make = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let write = |folder: &Folder, certificate: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        folder.write("cert.pem", &certificate.cert.pem());
        let key = folder.write("key.pem", &certificate.signing_key.serialize_pem());
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).expect("ours");
    };
    let (old, new) = (make(), make());
    write(&folder, &old);
    let (op, application) = (provider(Manner::Plain), application());
    let port = free_port();
    let config = format!(
        "public_url = \"https://localhost:{port}\"\n[listen]\ntls = {{ cert_file = \"cert.pem\", key_file = \"key.pem\" }}\n{}\n\
         [[route]]\nupstream = \"http://127.0.0.1:{}\"\n",
        provider_toml("op", &op, ""),
        application.port()
    );
    let gateway = Gateway::start_in(folder, port, &config);
    let request = format!(
        "GET /echo HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
    );
    let answer = over_tls(port, &old, &request).expect("an answer");
    assert_eq!(answer.status, 302);
    let cookie = answer.header("set-cookie").unwrap_or_default();
    for part in ["__Host-midgate-login-", "Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert!(
        answer
            .location()
            .contains(&format!("redirect_uri=https%3A%2F%2Flocalhost%3A{port}%2F.midgate%2Fcallback"))
    );
    assert!(over_tls(port, &new, &request).is_err());
    write(&gateway.folder, &new);
    gateway.signal("HUP");
    until("the new certificate is served", || over_tls(port, &new, &request).is_ok());
    let mut plain = connect(port).expect("it listens");
    let _ = plain.write_all(request.as_bytes());
    let mut nothing = Vec::new();
    let _ = plain.read_to_end(&mut nothing);
    assert!(!nothing.starts_with(b"HTTP"), "plain http is not spoken there");
}

#[test]
fn a_unix_socket_serves_too() {
    let folder = Folder::new();
    let socket = folder.path("gw.sock");
    let (op, application) = (provider(Manner::Plain), application());
    let (port, health) = (free_port(), free_port());
    let config = format!(
        "public_url = \"http://localhost:{port}\"\n[listen]\naddress = [\"unix:{}\", \"127.0.0.1:{port}\"]\nhealth = \"127.0.0.1:{health}\"\n{}\n\
         [[route]]\nupstream = \"http://127.0.0.1:{}\"\naccess = \"optional\"\n",
        socket.display(),
        provider_toml("op", &op, ""),
        application.port()
    );
    folder.write("gateway.toml", &config);
    let mut gateway = Gateway::bare(folder, port, health);
    gateway.run();
    assert_eq!(std::fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777, 0o660);
    let mut stream = UnixStream::connect(&socket).expect("it listens");
    write!(stream, "GET /echo HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n")
        .expect("sent");
    assert_eq!(read(&mut stream, false).expect("an answer").status, 200);
}

#[test]
fn a_taken_port_is_told_by_its_key() {
    let shared = plain("", "", "[[route]]\nupstream = \"{up}\"\n");
    let path = shared.gateway.folder.path("gateway.toml").to_string_lossy().into_owned();
    let (code, out, err) = command(&["run", "--config", &path]);
    assert_eq!(code, 1);
    assert!((out + &err).contains("listen.address"), "the key is named");
}

#[test]
fn the_client_behind_a_trusted_proxy_is_the_one_that_is_logged() {
    let top = "[listen]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let shared = plain("", "", &format!("{top}[[route]]\nupstream = \"{{up}}\"\naccess = \"public\"\n"));
    let mut browser = Browser::new(&shared.gateway);
    let headers = "X-Forwarded-For: 198.51.100.1, 203.0.113.9, 127.0.0.7\r\nX-Request-Id: behind-a-proxy\r\n";
    let echo = browser.echo("/echo", headers);
    assert_eq!(echo.one("X-Forwarded-For"), "198.51.100.1, 203.0.113.9, 127.0.0.7, 127.0.0.1");
    until("the event is written", || shared.gateway.log().contains("behind-a-proxy"));
    let log = shared.gateway.log();
    let line = log.lines().find(|line| line.contains("behind-a-proxy")).unwrap_or_default();
    assert!(line.contains("\"client.address\":\"203.0.113.9\""), "{line}");
}
