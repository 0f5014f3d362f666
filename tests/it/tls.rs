//! TLS with browsers: certificates by name, HTTP/2, certificates of visitors, and the way from plain http.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ring::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    StreamOwned, SupportedProtocolVersion,
};

use crate::rig::browser::Echo;
use crate::rig::gateway::{command, free_port};
use crate::rig::http2::{Http2, NONE};
use crate::rig::wire::{connect, read, send};
use crate::rig::{Browser, Folder, Gateway, application, provider, provider_toml, until};
use midgate::demo::application::Application;
use midgate::demo::provider::{Manner, Simulated};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Which certificate came is what a story asks, not whether anybody vouches for it.
#[derive(Debug)]
struct Anything(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Somebody who connects over TLS.
struct Visitor<'v> {
    name: &'static str,
    alpn: &'static [&'static [u8]],
    certificate: Option<&'v (Vec<u8>, Vec<u8>)>,
    versions: &'static [&'static SupportedProtocolVersion],
}

const PLAIN: Visitor<'static> =
    Visitor { name: "localhost", alpn: &[b"http/1.1"], certificate: None, versions: rustls::ALL_VERSIONS };

impl Visitor<'_> {
    fn connect(&self, port: u16) -> Tls {
        let provider = Arc::new(default_provider());
        let mut roots = RootCertStore::empty();
        let any = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).expect("a certificate");
        roots.add(any.cert.der().clone()).expect("a root");
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything(verifier.expect("a verifier"))));
        let mut config = match self.certificate {
            None => config.with_no_client_auth(),
            Some((cert, key)) => config
                .with_client_auth_cert(
                    vec![CertificateDer::from(cert.clone())],
                    PrivateKeyDer::try_from(key.clone()).expect("a key"),
                )
                .expect("a pair"),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        let name = self.name.try_into().expect("a name");
        StreamOwned::new(
            ClientConnection::new(Arc::new(config), name).expect("a client"),
            connect(port).expect("it listens"),
        )
    }

    /// One exchange over HTTP/1.1.
    fn ask(&self, port: u16, request: &str) -> std::io::Result<crate::rig::Answer> {
        let mut stream = self.connect(port);
        stream.write_all(request.as_bytes())?;
        read(&mut stream, false)
    }

    /// The certificate that the gateway showed.
    fn shown(&self, port: u16) -> Option<Vec<u8>> {
        let mut stream = self.connect(port);
        stream.write_all(b"x").ok()?;
        stream.conn.peer_certificates()?.first().map(|cert| cert.to_vec())
    }
}

fn request(port: u16, path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n{more}\r\n")
}

/// Writes a certificate with its key; gives the certificate as DER.
fn write(folder: &Folder, file: &str, names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let pair = rcgen::generate_simple_self_signed(names).expect("a certificate");
    folder.write(&format!("{file}.pem"), &pair.cert.pem());
    let key = folder.write(&format!("{file}.key"), &pair.signing_key.serialize_pem());
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).expect("ours");
    pair.cert.der().to_vec()
}

/// An authority for visitors.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root")
}

/// A certificate of a visitor, with its key.
fn issued(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (Vec<u8>, Vec<u8>) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Seewil");
    params.distinguished_name.push(DnType::CommonName, name);
    let cert = params.signed_by(&key, authority).expect("a certificate");
    (cert.der().to_vec(), key.serialize_der())
}

struct Setting {
    gateway: Gateway,
    port: u16,
    application: Application,
    _provider: Simulated,
}

/// A gateway with TLS; `tls` is the value of its key, `routes` may use `{up}`.
fn setting(folder: Folder, tls: &str, routes: &str) -> Setting {
    let (provider, application, port) = (provider(Manner::Plain), application(), free_port());
    let up = format!("http://127.0.0.1:{}", application.port());
    let config = format!(
        "public_url = \"https://localhost:{port}\"\n[listen]\ntls = {tls}\n{}\n{}",
        provider_toml("op", &provider, ""),
        routes.replace("{up}", &up)
    );
    let gateway = Gateway::start_in(folder, port, &config);
    Setting { gateway, port, application, _provider: provider }
}

const PUBLIC: &str = "[[route]]\nupstream = \"{up}\"\naccess = \"public\"\n";
const ONE: &str = "cert_file = \"one.pem\", key_file = \"one.key\"";

#[test]
fn http2_is_chosen_by_alpn_and_http1_stays() {
    let folder = Folder::new();
    write(&folder, "one", &["localhost"]);
    let setting = setting(folder, &format!("{{ {ONE} }}"), PUBLIC);
    let host = format!("localhost:{}", setting.port);
    let mut client = Http2::over(Visitor { alpn: &[b"h2", b"http/1.1"], ..PLAIN }.connect(setting.port));
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", &host), (":path", "/echo")];
    let answer = client.request(&fields, b"", NONE);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(Echo(answer.json()).one("x-forwarded-proto"), "https");
    assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    // No promise that nobody asked for.
    assert_eq!(answer.header("strict-transport-security"), None);
    assert_eq!(PLAIN.ask(setting.port, &request(setting.port, "/echo", "")).expect("an answer").status, 200);
    // A connection without TLS is told nothing.
    assert!(send(setting.port, request(setting.port, "/echo", "").as_bytes()).is_err());
    static EACH: [[&SupportedProtocolVersion; 1]; 2] = [[&rustls::version::TLS12], [&rustls::version::TLS13]];
    for versions in &EACH {
        let visitor = Visitor { versions, ..PLAIN };
        assert_eq!(visitor.ask(setting.port, &request(setting.port, "/echo", "")).expect("ok").status, 200);
    }
}

#[test]
fn the_name_that_is_asked_for_chooses_the_certificate() {
    let folder = Folder::new();
    let one = write(&folder, "one", &["localhost"]);
    let two = write(&folder, "two", &["*.wild.test", "exact.wild.test"]);
    let three = write(&folder, "three", &["app.wild.test"]);
    let entry = |name: &str| format!("{{ cert_file = \"{name}.pem\", key_file = \"{name}.key\" }}");
    let list = format!("[{}, {}, {}]", entry("one"), entry("two"), entry("three"));
    let setting = setting(folder, &list, PUBLIC);
    let shown = |name| Visitor { name, ..PLAIN }.shown(setting.port);
    for (name, certificate) in [
        ("localhost", &one),
        ("any.wild.test", &two),
        ("exact.wild.test", &two),
        ("app.wild.test", &three),
        ("a.b.wild.test", &one),
        ("elsewhere.test", &one),
        // An address is never sent as a name.
        ("127.0.0.1", &one),
    ] {
        assert_eq!(shown(name).as_ref(), Some(certificate), "{name}");
    }
    // A renewed certificate is served without anybody being asked, and connections that are open go on.
    let mut open = PLAIN.connect(setting.port);
    let keep = request(setting.port, "/echo", "").replace("Connection: close\r\n", "");
    open.write_all(keep.as_bytes()).expect("sent");
    assert_eq!(read(&mut open, false).expect("an answer").status, 200);
    let renewed = write(&setting.gateway.folder, "two", &["*.wild.test"]);
    until("the renewed one is served", || shown("any.wild.test").as_ref() == Some(&renewed));
    assert_eq!(shown("localhost").as_ref(), Some(&one));
    open.write_all(keep.as_bytes()).expect("still open");
    assert_eq!(read(&mut open, false).expect("an answer").status, 200);
}

#[test]
fn browsers_are_told_to_come_by_https_only() {
    let folder = Folder::new();
    write(&folder, "one", &["localhost"]);
    let routes = format!(
        "{PUBLIC}[[route]]\nid = \"in\"\npath = \"/in/\"\nupstream = \"{{up}}\"\n\
         [[route]]\nid = \"down\"\npath = \"/down/\"\nupstream = \"http://127.0.0.1:9\"\naccess = \"public\"\n"
    );
    let setting = setting(folder, &format!("{{ {ONE}, hsts = \"1d\" }}"), &routes);
    for path in ["/echo", "/in/x", "/.midgate/nothing", "/down/x", "/a/../b"] {
        let answer = PLAIN.ask(setting.port, &request(setting.port, path, "")).expect("an answer");
        assert_eq!(answer.all("strict-transport-security"), ["max-age=86400"], "{path} {answer:?}");
    }
}

#[test]
fn plain_http_is_led_to_https_and_nothing_else() {
    let folder = Folder::new();
    write(&folder, "one", &["localhost"]);
    let plain = free_port();
    let tls = format!("{{ {ONE}, hsts = \"1y\", redirect_http = \"127.0.0.1:{plain}\" }}");
    let routes =
        format!("{PUBLIC}[[route]]\nhost = \"other.test\"\nupstream = \"{{up}}\"\naccess = \"public\"\n");
    let setting = setting(folder, &tls, &routes);
    let own = setting.port;
    let ask = |method: &str, target: &str, host: &str| {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        send(plain, request.as_bytes()).expect("an answer")
    };
    for (target, host, location) in [
        ("/a/b?c=d", "localhost".to_owned(), format!("https://localhost:{own}/a/b?c=d")),
        ("/", format!("LOCALHOST:{plain}"), format!("https://localhost:{own}/")),
        (
            "/.midgate/login?rd=/x",
            "localhost".to_owned(),
            format!("https://localhost:{own}/.midgate/login?rd=/x"),
        ),
        ("/x", "other.test:80".to_owned(), format!("https://other.test:{own}/x")),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = ask(method, target, &host);
            assert_eq!(
                (answer.status, answer.location()),
                (308, location.as_str()),
                "{method} {host}{target}"
            );
            // RFC 6797 §7.2: never over plain http.
            assert_eq!(answer.header("strict-transport-security"), None);
        }
    }
    assert_eq!(ask("GET", "/", "evil.test").status, 421);
    assert_eq!(ask("GET", "/", "a/b").status, 400);
    assert_eq!(ask("GET", "/a/../b", "localhost").status, 400);
    let posted = ask("POST", "/x", "localhost");
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(setting.application.count(), 0);
}

#[test]
fn a_visitors_certificate_goes_up_and_is_demanded_where_a_route_says_so() {
    let folder = Folder::new();
    write(&folder, "one", &["localhost"]);
    let authority = authority();
    folder.write("visitors.pem", &authority.pem());
    let routes = r#"
[[route]]
upstream = "{up}"
headers = { "X-Cert" = "{client_cert_subject}", "X-Cert-Hash" = "{client_cert_sha256|none}" }
[[route]]
id = "machines"
path = "/machines/"
upstream = "{up}"
require = { claims = { client_cert_subject = "CN=batch,O=Seewil" } }
[[route]]
id = "open"
path = "/open/"
upstream = "{up}"
access = "optional"
headers = { "X-Cert" = "{client_cert_subject}" }
require = { claims = { client_cert_subject = "CN=batch,O=Seewil" } }
"#;
    let tls = format!("{{ {ONE}, client_ca_file = \"visitors.pem\" }}\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let setting = setting(folder, &tls, routes);
    let port = setting.port;
    let batch = issued(&authority, "batch");
    let other = issued(&authority, "Zo\u{eb}, \"x\"");
    let with = |certificate| Visitor { certificate: Some(certificate), ..PLAIN };
    let accept = "Accept: text/html\r\n";
    // A certificate is no session: sign in first; without one the route is closed before anybody is sent to a phone.
    let start = PLAIN.ask(port, &request(port, "/echo", accept)).expect("an answer");
    assert_eq!(start.status, 302, "{start:?}");
    let refused = PLAIN.ask(port, &request(port, "/machines/echo", "")).expect("an answer");
    assert_eq!(
        (refused.status, refused.json()["reason"].as_str()),
        (403, Some("client-certificate-not-met"))
    );
    assert_eq!(with(&batch).ask(port, &request(port, "/machines/echo", "")).expect("ok").status, 401);
    let browser = Browser::new(&setting.gateway);
    let cookie = |answer: &crate::rig::Answer| {
        let all = answer.all("set-cookie");
        let pair = all.iter().find(|line| !line.contains("Max-Age=0")).expect("a cookie");
        pair.split(';').next().unwrap_or_default().to_owned()
    };
    let callback = browser.visit_provider(start.location());
    let login = format!("{accept}Cookie: {}\r\n", cookie(&start));
    let done = PLAIN.ask(port, &request(port, &callback.target, &login)).expect("an answer");
    assert_eq!(done.status, 303, "{done:?}");
    let session = done.all("set-cookie").into_iter().find(|line| line.starts_with("__Host-midgate="));
    let session =
        format!("Cookie: {}\r\n", session.expect("a session").split(';').next().unwrap_or_default());
    let spoofed =
        format!("{session}X-Cert: CN=batch\r\nx_cert_hash: 1\r\nX-Forwarded-Client-Cert: Hash=1\r\n");
    let echo = |visitor: &Visitor<'_>, path: &str| {
        let answer = visitor.ask(port, &request(port, path, &spoofed)).expect("an answer");
        assert_eq!(answer.status, 200, "{path} {answer:?}");
        let echo = Echo(answer.json());
        assert!(echo.all("x-forwarded-client-cert").is_empty() && echo.all("x_cert_hash").is_empty());
        echo
    };
    let hash: String = digest(&SHA256, &batch.0).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let seen = echo(&with(&batch), "/echo");
    assert_eq!((seen.one("x-cert"), seen.one("x-cert-hash")), ("CN=batch,O=Seewil".to_owned(), hash));
    assert_eq!(echo(&with(&other), "/echo").one("x-cert"), "CN=Zo\u{eb}\\, \\\"x\\\",O=Seewil");
    // The same session over a connection without one: nothing is remembered.
    let bare = echo(&PLAIN, "/echo");
    assert_eq!((bare.all("x-cert"), bare.one("x-cert-hash")), (Vec::new(), "none".to_owned()));
    assert_eq!(echo(&with(&batch), "/machines/echo").one("x-auth-provider"), "op");
    for visitor in [&PLAIN, &with(&other)] {
        let refused = visitor.ask(port, &request(port, "/machines/echo", &spoofed)).expect("an answer");
        assert_eq!(
            (refused.status, refused.json()["reason"].as_str()),
            (403, Some("client-certificate-not-met"))
        );
        assert!(echo(visitor, "/open/echo").all("x-auth-provider").is_empty());
    }
    assert_eq!(echo(&with(&batch), "/open/echo").one("x-cert"), "CN=batch,O=Seewil");
    // At the authorization endpoint it is the other proxy's own, and says nothing of its visitor.
    let described = format!(
        "{session}X-Original-URL: https://localhost:{port}/machines/echo\r\nX-Original-Method: GET\r\n"
    );
    let asked = with(&batch).ask(port, &request(port, "/.midgate/auth", &described)).expect("an answer");
    assert_eq!(asked.status, 403, "{asked:?}");
    // Over HTTP/2 too, and one that nobody known vouches for ends the handshake.
    let stream = Visitor { alpn: &[b"h2"], ..with(&batch) }.connect(port);
    let host = format!("localhost:{port}");
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", &host), (":path", "/echo")];
    let answer = Http2::over(stream).request(
        &[&fields[..], &[("cookie", session["Cookie: ".len()..].trim_end())]].concat(),
        b"",
        NONE,
    );
    assert_eq!(Echo(answer.json()).one("x-cert"), "CN=batch,O=Seewil");
    let stranger = issued(&self::authority(), "batch");
    assert!(with(&stranger).ask(port, &request(port, "/echo", "")).is_err());
    let own = {
        let key = KeyPair::generate().expect("a key");
        let cert =
            CertificateParams::new(Vec::new()).expect("none").self_signed(&key).expect("a certificate");
        (cert.der().to_vec(), key.serialize_der())
    };
    assert!(with(&own).ask(port, &request(port, "/echo", "")).is_err());
}

#[test]
fn the_certificate_of_a_proxy_that_asks_is_not_the_visitors() {
    let folder = Folder::new();
    write(&folder, "one", &["localhost"]);
    let authority = authority();
    folder.write("visitors.pem", &authority.pem());
    let routes = "[[route]]\nrequire = { claims = { client_cert_subject = \"CN=batch,O=Seewil\" } }\n";
    let more = "trusted_proxies = [\"127.0.0.0/8\"]\n";
    let setting = setting(folder, &format!("{{ {ONE}, client_ca_file = \"visitors.pem\" }}\n{more}"), routes);
    let (port, batch) = (setting.port, issued(&authority, "batch"));
    let proxy = Visitor { certificate: Some(&batch), ..PLAIN };
    let told = format!("X-Original-URL: https://localhost:{port}/x\r\nX-Original-Method: GET\r\n");
    let answer = proxy.ask(port, &request(port, "/.midgate/auth", &told)).expect("an answer");
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (403, Some("client-certificate-not-met")));
}

#[test]
fn a_proxy_header_stands_before_the_handshake() {
    let folder = Folder::new();
    write(&folder, "one", &["localhost"]);
    let more = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let setting = setting(folder, &format!("{{ {ONE} }}\n{more}"), PUBLIC);
    let mut stream = PLAIN.connect(setting.port);
    stream.sock.write_all(b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n").expect("sent");
    stream.write_all(request(setting.port, "/echo", "").as_bytes()).expect("sent");
    let answer = read(&mut stream, false).expect("an answer");
    assert_eq!(Echo(answer.json()).one("x-forwarded-for"), "203.0.113.9");
    // Without it, and with a broken one, there is no handshake.
    for opening in [&b""[..], b"PROXY TCP4 x\r\n"] {
        let mut stream = PLAIN.connect(setting.port);
        stream.sock.write_all(opening).expect("sent");
        let _ = stream.write_all(b"x");
        assert!(
            stream.conn.peer_certificates().is_none() && stream.read(&mut [0; 1]).is_err(),
            "{opening:?}"
        );
    }
}

#[test]
fn what_cannot_be_served_over_tls_is_told_with_its_key() {
    let folder = Folder::new();
    write(&folder, "one", &["localhost"]);
    write(&folder, "two", &["two.test"]);
    folder.write("none.pem", "nothing\n");
    let check = |public: &str, tls: &str, routes: &str| {
        let text = format!(
            "public_url = \"{public}\"\n[listen]\nproxy_protocol = true\n{tls}\n[[provider]]\nid = \"op\"\n\
             issuer = \"https://op.test\"\nclient_id = \"us\"\nclient_secret = \"x\"\n\
             [[route]]\nupstream = \"http://127.0.0.1:9\"\n{routes}\n"
        );
        let path = folder.write("gateway.toml", &text);
        let (code, out, _) = command(&["check", "--json", "--config", &path.to_string_lossy()]);
        let report: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        let list = |name: &str, field: &str| -> Vec<String> {
            let all = report[name].as_array().expect("a list").iter();
            all.map(|item| item[field].as_str().unwrap_or_default().to_owned()).collect()
        };
        (code, list("problems", "key"), list("warnings", "name"))
    };
    let (code, problems, _) = check(
        "http://localhost:8080",
        "tls = [{ cert_file = \"one.pem\", key_file = \"one.key\", redirect_http = \"127.0.0.1:80\", client_ca_file = \"none.pem\" }, \
         { cert_file = \"two.pem\", key_file = \"one.key\", hsts = \"1y\" }]",
        "",
    );
    assert_eq!(code, 2);
    let expected = [
        "listen.proxy_protocol",
        "listen.tls[0].client_ca_file",
        "listen.tls[0].redirect_http",
        "listen.tls[1].hsts",
        "listen.tls[1].key_file",
    ];
    for key in expected {
        assert!(problems.iter().any(|known| known == key), "{key} in {problems:?}");
    }
    let claims = "require = { claims = { client_cert_subject = \"CN=x\" } }\nheaders = { \"X-C\" = \"{client_cert_sha256}\" }";
    let (code, problems, warnings) =
        check("http://localhost:8080", "trusted_proxies = [\"10.0.0.1\"]", claims);
    assert_eq!((code, problems), (2, vec!["route[0].require.claims.client_cert_subject".to_owned()]));
    assert!(warnings.iter().any(|name| name == "client-certificate-not-asked-for"), "{warnings:?}");
    let (code, problems, _) =
        check("http://localhost:8080", "trusted_proxies = [\"10.0.0.1\"]\ntls = []", "");
    assert!(code == 2 && problems.iter().all(|key| key.starts_with("listen.tls")), "{problems:?}");
}
