//! Who the gateway is to a provider: keys that sign assertions, certificates in the handshake.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use midgate::demo::provider::{Manner, Proof, Simulated};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use ring::digest::{SHA256, digest};
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::{Value, json};

use crate::rig::gateway::{command, free_port};
use crate::rig::tls::Front;
use crate::rig::{Browser, Folder, Gateway, application, provider};

/// A provider without a secret, and a route to an application.
fn config(provider: &Simulated, more: &str, up: u16) -> String {
    format!(
        "\n[[provider]]\nid = \"op\"\nissuer = \"{}\"\nclient_id = \"us\"\n{more}\n\
         [[route]]\nupstream = \"http://127.0.0.1:{up}\"\n",
        provider.issuer()
    )
}

fn rsa(bits: usize) -> String {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).expect("a key");
    key.to_pkcs8_pem(LineEnding::LF).expect("PEM").to_string()
}

fn pem(kind: &'static rcgen::SignatureAlgorithm) -> String {
    KeyPair::generate_for(kind).expect("a key").serialize_pem()
}

/// What `check` prints for the registration form.
fn jwk(folder: &Folder) -> Value {
    let path = folder.path("gateway.toml").to_string_lossy().into_owned();
    let (code, out, err) = command(&["check", "--config", &path]);
    assert_eq!(code, 0, "{out}{err}");
    let mut lines =
        out.lines().skip_while(|line| !line.contains("public key to register at provider \"op\""));
    serde_json::from_str(lines.nth(1).unwrap_or_else(|| panic!("no key in {out}"))).expect("a JWK")
}

fn assertion(form: &[(String, String)]) -> (Value, Value) {
    let text = form.iter().find(|(name, _)| name == "client_assertion").map(|(_, value)| value.as_str());
    let mut parts = text.expect("an assertion").split('.').map(|part| URL_SAFE_NO_PAD.decode(part));
    let mut json = || serde_json::from_slice(&parts.next().expect("a part").expect("base64")).expect("JSON");
    (json(), json())
}

#[test]
fn a_key_of_each_kind_signs_the_assertions_of_push_and_token_request() {
    for (alg, key) in
        [("RS256", rsa(2048)), ("ES256", pem(&rcgen::PKCS_ECDSA_P256_SHA256)), ("EdDSA", pem(&PKCS_ED25519))]
    {
        let (op, application) = (provider(Manner::Plain), application());
        op.fault("offers-par", true);
        let folder = Folder::new();
        folder.write("client.pem", &key);
        let more = "client_auth = \"private_key_jwt\"\nclient_key_file = \"client.pem\"";
        let gateway = Gateway::start_in(folder, free_port(), &config(&op, more, application.port()));
        let jwk = jwk(&gateway.folder);
        assert_eq!((jwk["alg"].as_str(), jwk["use"].as_str()), (Some(alg), Some("sig")));
        assert!(jwk.get("d").is_none() && jwk.get("p").is_none(), "the private half stays here: {jwk}");
        op.register(Proof::Key(jwk.clone()));
        Browser::signed_in(&gateway, "/echo");
        let calls = op.calls();
        assert_eq!((calls.par, calls.token), (1, 1));
        let mut ids = Vec::new();
        for request in [&calls.par_request, &calls.token_request] {
            let form = request.form();
            assert_eq!(request.header("authorization"), None);
            for (name, times) in [
                ("client_id", 1),
                ("client_assertion_type", 1),
                ("client_assertion", 1),
                ("client_secret", 0),
            ] {
                assert_eq!(form.iter().filter(|(known, _)| known == name).count(), times, "{name}");
            }
            let (header, claims) = assertion(&form);
            assert_eq!((&header["alg"], &header["kid"]), (&json!(alg), &jwk["kid"]));
            assert_eq!(claims["aud"], json!(op.issuer()), "one plain string");
            assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("us"), Some("us")));
            let life = claims["exp"].as_u64().zip(claims["iat"].as_u64()).map(|(exp, iat)| exp - iat);
            assert_eq!(life, Some(60));
            ids.push(claims["jti"].clone());
        }
        assert_ne!(ids[0], ids[1]);
        assert!(!gateway.log().contains("eyJ"), "{}", gateway.log());
    }
}

#[test]
fn a_refresh_is_proved_like_a_login_and_takes_signed_userinfo() {
    let (op, application) = (provider(Manner::Plain), application());
    op.fault("userinfo-signed", true);
    op.expires_in(json!(1));
    let folder = Folder::new();
    folder.write("client.pem", &pem(&PKCS_ED25519));
    let more = "client_auth = \"private_key_jwt\"\nclient_key_file = \"client.pem\"\n[provider.claims]\nname = \"name\"";
    let gateway = Gateway::start_in(folder, free_port(), &config(&op, more, application.port()));
    op.register(Proof::Key(jwk(&gateway.folder)));
    let mut browser = Browser::signed_in(&gateway, "/echo");
    let (_, first) = assertion(&op.calls().token_request.form());
    op.patch_userinfo(json!({"name": "Zoë Neu"}));
    crate::rig::until("the session is refreshed", || {
        browser.echo("/echo", "").all("X-Auth-Name") == ["Zoë Neu"]
    });
    let calls = op.calls();
    assert!(calls.refresh >= 1 && calls.reused == 0, "{}", calls.refresh);
    let (_, second) = assertion(&calls.token_request.form());
    assert_eq!(second["aud"], json!(op.issuer()));
    assert_ne!(first["jti"], second["jti"]);
}

#[test]
fn the_key_id_is_the_thumbprint_of_the_public_key() {
    let (op, folder) = (provider(Manner::Plain), Folder::new());
    folder.write("client.pem", &pem(&PKCS_ED25519));
    let more = "client_auth = \"private_key_jwt\"\nclient_key_file = \"client.pem\"";
    folder.write("gateway.toml", &format!("public_url = \"http://localhost:1\"{}", config(&op, more, 3000)));
    let jwk = jwk(&folder);
    let members = format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":{}}}", jwk["x"]);
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()));
    assert_eq!(jwk["kid"], json!(thumbprint));
}

#[test]
fn an_assertion_that_the_provider_does_not_believe_is_a_page_and_one_call() {
    let (op, application) = (provider(Manner::Plain), application());
    let folder = Folder::new();
    folder.write("client.pem", &pem(&PKCS_ED25519));
    let more = "client_auth = \"private_key_jwt\"\nclient_key_file = \"client.pem\"";
    let gateway = Gateway::start_in(folder, free_port(), &config(&op, more, application.port()));
    let mut other = jwk(&gateway.folder);
    other["x"] = json!(URL_SAFE_NO_PAD.encode([7; 32]));
    op.register(Proof::Key(other));
    let mut browser = Browser::new(&gateway);
    let answer = browser.sign_in("/echo");
    assert_eq!(answer.status, 502);
    assert_eq!((op.calls().token, op.calls().userinfo), (1, 0));
    assert!(!browser.is_signed_in());
    crate::rig::until("it is logged", || gateway.log().contains("token-request-refused"));
}

#[test]
fn a_certificate_proves_who_we_are_at_the_addresses_for_it() {
    let (op, application) = (provider(Manner::Plain), application());
    op.fault("offers-par", true);
    let front = Front::start(op.port());
    let (ours, theirs) = (front.issue(), front.issue());
    op.set_tls_front(&format!("https://localhost:{}", front.port));
    op.register(Proof::Certificate(ours.hash.clone()));
    let folder = Folder::new();
    folder.write("ca.pem", &front.ca_pem);
    for (name, client) in [("ours", &ours), ("theirs", &theirs)] {
        folder.write(&format!("{name}.pem"), &client.cert_pem);
        folder.write(&format!("{name}.key"), &client.key_pem);
    }
    let more = |name: &str| {
        format!(
            "client_auth = \"tls_client_auth\"\nclient_key_file = \"{name}.key\"\nclient_cert_file = \"{name}.pem\"\n\
             ca_file = \"ca.pem\""
        )
    };
    let gateway = Gateway::start_in(folder, free_port(), &config(&op, &more("ours"), application.port()));
    Browser::signed_in(&gateway, "/echo");
    let calls = op.calls();
    assert_eq!((calls.par, calls.token, calls.userinfo), (1, 1, 1));
    for request in [&calls.par_request, &calls.token_request] {
        let form = request.form();
        assert_eq!(form.iter().filter(|(name, value)| name == "client_id" && value == "us").count(), 1);
        assert!(!form.iter().any(|(name, _)| name == "client_secret" || name == "client_assertion"));
        assert_eq!(request.header("authorization"), None);
    }
    // Another certificate of the same authority is not ours.
    gateway.configure(&config(&op, &more("theirs"), application.port()));
    gateway.signal("HUP");
    crate::rig::until("it is read", || gateway.metric("midgate_reloads_total{result=\"ok\"}") == Some(1.0));
    let mut browser = Browser::new(&gateway);
    assert_eq!(browser.open("/echo").status, 502);
    assert!(browser.cookies.is_empty());
}

#[test]
fn the_addresses_for_certificates_are_for_certificates_only() {
    let (op, application) = (provider(Manner::Plain), application());
    op.set_tls_front("https://localhost:1");
    let gateway = Gateway::start(&config(&op, "client_secret = \"SECRET_zz\"", application.port()));
    Browser::signed_in(&gateway, "/echo");
}

#[test]
fn files_that_prove_nothing_are_problems_of_their_keys() {
    let (op, folder) = (provider(Manner::Plain), Folder::new());
    let front = Front::start(op.port());
    let (one, two) = (front.issue(), front.issue());
    folder.write("one.pem", &one.cert_pem);
    folder.write("one.key", &one.key_pem);
    folder.write("two.key", &two.key_pem);
    folder.write("weak.key", &rsa(1024));
    folder.write("p384.key", &pem(&PKCS_ECDSA_P384_SHA384));
    folder.write("sec1.key", "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA==\n-----END EC PRIVATE KEY-----\n");
    folder.write("text.key", "hunter2");
    let jwt = |file: &str| format!("client_auth = \"private_key_jwt\"\nclient_key_file = \"{file}\"");
    let tls = |cert: &str, key: &str| {
        format!(
            "client_auth = \"tls_client_auth\"\nclient_cert_file = \"{cert}\"\nclient_key_file = \"{key}\""
        )
    };
    for (more, key, message) in [
        ("client_auth = \"private_key_jwt\"".to_owned(), "client_key_file", "missing"),
        (jwt("nowhere.key"), "client_key_file", "no such file"),
        (jwt("text.key"), "client_key_file", "no private key"),
        (jwt("sec1.key"), "client_key_file", "PKCS#8"),
        (jwt("weak.key"), "client_key_file", "2048"),
        (jwt("p384.key"), "client_key_file", "P-256"),
        (
            "client_auth = \"tls_client_auth\"\nclient_key_file = \"one.key\"".into(),
            "client_cert_file",
            "missing",
        ),
        (tls("one.key", "one.key"), "client_cert_file", "no certificate"),
        (tls("one.pem", "one.pem"), "client_key_file", "no private key"),
        (tls("one.pem", "two.key"), "client_key_file", "cannot be used together"),
        (tls("one.pem", "one.key"), "", ""),
        (jwt("one.key"), "", ""),
    ] {
        let text = format!("public_url = \"http://localhost:1\"{}", config(&op, &more, 3000));
        let path = folder.write("gateway.toml", &text).to_string_lossy().into_owned();
        let (code, out, err) = command(&["check", "--json", "--config", &path]);
        let found: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
        assert_eq!(code, if key.is_empty() { 0 } else { 2 }, "{more}: {found}");
        let problems = found["problems"].as_array().expect("a list");
        let is_told = problems.iter().any(|problem| {
            problem["key"] == format!("provider[0].{key}").as_str()
                && problem["message"].as_str().is_some_and(|text| text.contains(message))
        });
        assert!(key.is_empty() || is_told, "{more}: {found}");
        assert!(!out.contains("hunter2"), "{out}");
    }
}
