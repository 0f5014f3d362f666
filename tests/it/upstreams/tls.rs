//! How servers prove themselves, and we to them: own authority, name, client certificate, connections used again.

use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::app;
use crate::rig::gateway::{command, free_port};
use crate::rig::servers::{EMPTY, Scripted, Seen, read_request};
use crate::rig::{Browser, Folder, Gateway};

struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What the server learnt of its last connection and request.
#[derive(Default)]
struct Learnt {
    name: Option<String>,
    certificate: Option<Vec<u8>>,
    seen: Seen,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root"))
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.signed_by(&key, &self.0).expect("a certificate"), key)
    }

    /// A server with this name that talks to those only to whom the authority has given a certificate.
    fn server(&self, name: &str) -> (Scripted, Arc<Mutex<Learnt>>) {
        let (certificate, key) = self.issue(name);
        let crypto = Arc::new(default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&crypto));
        let mut config = ServerConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("a verifier"))
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
            )
            .expect("a pair");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (config, learnt) = (Arc::new(config), Arc::new(Mutex::new(Learnt::default())));
        let noted = Arc::clone(&learnt);
        let server = Scripted::start(move |stream, _| {
            let _ = serve(stream, &config, &noted);
        });
        (server, learnt)
    }
}

fn serve(stream: TcpStream, config: &Arc<ServerConfig>, learnt: &Mutex<Learnt>) -> Option<()> {
    use std::io::Write as _;
    let connection = ServerConnection::new(Arc::clone(config)).ok()?;
    let mut stream = StreamOwned::new(connection, stream);
    loop {
        let seen = read_request(&mut stream)?;
        let shown = stream.conn.peer_certificates().and_then(|chain| chain.first());
        *learnt.lock().expect("nobody panics") = Learnt {
            name: stream.conn.server_name().map(str::to_owned),
            certificate: shown.map(|shown| shown.to_vec()),
            seen,
        };
        stream.write_all(EMPTY).ok()?;
    }
}

fn files(authority: &Authority) -> (Folder, Vec<u8>) {
    let folder = Folder::new();
    let (certificate, key) = authority.issue("gateway");
    folder.write("ca.pem", &authority.0.pem());
    folder.write("our.pem", &certificate.pem());
    folder.write("our.key", &key.serialize_pem());
    (folder, certificate.der().to_vec())
}

const ROUTE: &str = "[[route]]\nupstream = \"app\"\naccess = \"public\"\n";

#[test]
fn both_sides_prove_themselves_and_connections_are_used_again() {
    let authority = Authority::new();
    let (server, learnt) = authority.server("erp.internal");
    let (folder, ours) = files(&authority);
    let tls = "tls = { ca_file = \"ca.pem\", cert_file = \"our.pem\", key_file = \"our.key\", server_name = \"erp.internal\" }";
    let config = app(&[format!("https://localhost:{}", server.port)], tls) + ROUTE;
    let gateway = Gateway::start_in(folder, free_port(), &format!("\n{config}"));
    let mut browser = Browser::new(&gateway);
    for _ in 0..10 {
        assert_eq!(browser.fetch("/x").status, 200);
    }
    assert_eq!(server.accepted(), 1);
    let learnt = learnt.lock().expect("nobody panics");
    assert_eq!(learnt.name.as_deref(), Some("erp.internal"));
    assert_eq!(learnt.certificate.as_ref(), Some(&ours));
    assert_eq!(learnt.seen.header("host"), Some(format!("localhost:{}", gateway.port).as_str()));
}

#[test]
fn whoever_proves_nothing_gets_nothing() {
    let authority = Authority::new();
    let (server, _) = authority.server("erp.internal");
    let address = format!("https://localhost:{}", server.port);
    for (what, tls) in [
        ("no certificate of ours", "ca_file = \"ca.pem\", server_name = \"erp.internal\""),
        (
            "an authority nobody knows",
            "cert_file = \"our.pem\", key_file = \"our.key\", server_name = \"erp.internal\"",
        ),
        ("another name", "ca_file = \"ca.pem\", cert_file = \"our.pem\", key_file = \"our.key\""),
    ] {
        let (folder, _) = files(&authority);
        let config = app(std::slice::from_ref(&address), &format!("tls = {{ {tls} }}")) + ROUTE;
        let gateway = Gateway::start_in(folder, free_port(), &format!("\n{config}"));
        let answer = Browser::new(&gateway).fetch("/x");
        assert_eq!(
            (answer.status, &answer.json()["reason"]),
            (502, &serde_json::json!("upstream-down")),
            "{what}"
        );
    }
}

#[test]
fn the_host_header_is_as_configured() {
    let application = crate::rig::application();
    let address = format!("http://127.0.0.1:{}", application.port());
    for (how, host) in [("upstream", address.trim_start_matches("http://")), ("erp.internal", "erp.internal")]
    {
        let config = app(std::slice::from_ref(&address), &format!("host_header = \"{how}\"")) + ROUTE;
        let shared = crate::rig::plain("", "", &config);
        let echo = Browser::new(&shared.gateway).echo("/echo", "");
        assert_eq!(echo.one("host"), host);
        assert_eq!(echo.one("x-forwarded-host"), format!("localhost:{}", shared.gateway.port));
    }
}

#[test]
fn check_online_says_what_is_spoken_and_what_is_not_well() {
    let authority = Authority::new();
    let (server, _) = authority.server("localhost");
    let (folder, _) = files(&authority);
    let address = format!("https://localhost:{}", server.port);
    let top = "public_url = \"http://localhost:8080\"\n";
    let keys = "ca_file = \"ca.pem\", cert_file = \"our.pem\", key_file = \"our.key\"";
    let check = |tls: &str, more: &str| {
        let text = top.to_owned()
            + &app(std::slice::from_ref(&address), &format!("tls = {{ {tls} }}\n{more}"))
            + ROUTE;
        let file = folder.write("gateway.toml", &text);
        command(&["check", "--online", "--config", &file.to_string_lossy()])
    };
    let (code, told, _) = check(keys, "health_check = { path = \"/well\", interval = \"10s\" }");
    assert_eq!(code, 0, "{told}");
    assert!(told.contains(&format!("{address} speaks HTTP/1.1 and is well: /well is 200")), "{told}");
    let (code, _, errors) = check("server_name = \"localhost\"", "");
    assert_eq!(code, 1);
    assert!(errors.contains("upstream \"app\" cannot be used at https://localhost"), "{errors}");
}
