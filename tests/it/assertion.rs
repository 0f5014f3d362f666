//! Signed identities: what an application can verify without believing the way that a request took.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use midgate::demo::provider::{Forgery, Manner};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::{Value, json};

use crate::rig::gateway::{command, free_port};
use crate::rig::{Browser, Folder, Gateway, application, provider, provider_toml, send, until};

const HEADER: &str = "X-Midgate-Jwt-Assertion";
const JWKS: &str = "/.well-known/midgate/jwks.json";
const MAPPING: &str = "acr_ladder = [[\"low\"], [\"high\"]]\n[provider.claims]\nname = \"name\"\ngroups = \"groups\"\nphone = \"phone_number\"\n";
const ROUTES: &str = r#"
[[route]]
id = "root"
upstream = "{up}"
[[route]]
id = "erp"
path = "/erp/"
upstream = "{up}"
audience = "https://erp.test"
headers = { "X-Groups" = "{groups}" }
[[route]]
path = "/high/"
upstream = "{up}"
audience = "https://erp.test"
require = { acr = "high" }
[[route]]
path = "/open/"
upstream = "{up}"
access = "optional"
[[route]]
path = "/public/"
upstream = "{up}"
access = "public"
[[route]]
path = "/second/"
upstream = "pair"
"#;

fn p256() -> String {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key").serialize_pem()
}

fn rsa(bits: usize) -> String {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).expect("a key");
    key.to_pkcs8_pem(LineEnding::LF).expect("PEM").to_string()
}

struct Setting {
    provider: midgate::demo::provider::Simulated,
    application: midgate::demo::application::Application,
    gateway: Gateway,
}

impl Setting {
    /// A gateway that signs with `one.pem`; `section` follows in `[assertion]`, and then more tables may.
    fn start(key: &str, section: &str) -> Self {
        let (provider, application) = (provider(Manner::Plain), application());
        let folder = Folder::new();
        folder.write("one.pem", key);
        let up = format!("http://127.0.0.1:{}", application.port());
        let gateway = Gateway::start_in(folder, free_port(), &config(&provider, &up, section));
        Self { provider, application, gateway }
    }

    fn up(&self) -> String {
        format!("http://127.0.0.1:{}", self.application.port())
    }

    fn keys(&self) -> Vec<Value> {
        let answer = Browser::new(&self.gateway).ask("GET", JWKS, "", b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["keys"].as_array().cloned().expect("a list")
    }

    /// The claims of an assertion that one of the published keys verifies.
    fn verified(&self, assertion: &str) -> Value {
        let (head, claims) = opened(assertion);
        let keys = self.keys();
        let key = keys.iter().find(|key| key["kid"] == head["kid"]);
        let key = key.unwrap_or_else(|| panic!("{head} is signed by none of {keys:?}"));
        assert_eq!((&head["alg"], &head["typ"]), (&key["alg"], &json!("midgate-assertion+jwt")));
        assert!(verifies(key, assertion), "{assertion}");
        claims
    }
}

fn config(provider: &midgate::demo::provider::Simulated, up: &str, section: &str) -> String {
    let pair =
        format!("[[upstream]]\nid = \"pair\"\nservers = [\"http://127.0.0.1:{}\", \"{up}\"]\n", free_port());
    let section = if section.contains("signing_key_files") {
        section.into()
    } else {
        format!("signing_key_files = [\"one.pem\"]\n{section}")
    };
    format!(
        "\n{}\n{pair}{}\n[assertion]\n{section}\n",
        provider_toml("op", provider, MAPPING),
        ROUTES.replace("{up}", up)
    )
}

fn opened(assertion: &str) -> (Value, Value) {
    let mut parts = assertion.split('.').map(|part| URL_SAFE_NO_PAD.decode(part));
    let mut json =
        || serde_json::from_slice(&parts.next().expect("a part").expect("base64url")).expect("JSON");
    (json(), json())
}

fn verifies(key: &Value, assertion: &str) -> bool {
    let (signed, signature) = assertion.rsplit_once('.').expect("three parts");
    let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().expect("a member")).expect("base64url");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let signed = signed.as_bytes();
    let result = match key["alg"].as_str() {
        Some("ES256") => {
            let point = [vec![4], part("x"), part("y")].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, &signature)
        }
        Some("EdDSA") => UnparsedPublicKey::new(&ED25519, part("x")).verify(signed, &signature),
        Some("RS256") => RsaPublicKeyComponents { n: part("n"), e: part("e") }.verify(
            &RSA_PKCS1_2048_8192_SHA256,
            signed,
            &signature,
        ),
        other => panic!("{other:?}"),
    };
    result.is_ok()
}

#[test]
fn a_key_of_each_kind_signs_what_its_published_half_verifies() {
    for (alg, key) in [
        ("ES256", p256()),
        ("EdDSA", KeyPair::generate_for(&PKCS_ED25519).expect("a key").serialize_pem()),
        ("RS256", rsa(2048)),
    ] {
        let setting = Setting::start(&key, "");
        let keys = setting.keys();
        assert_eq!((keys.len(), &keys[0]["alg"]), (1, &json!(alg)));
        for secret in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(keys[0].get(secret).is_none(), "the private half stays here: {keys:?}");
        }
        let mut browser = Browser::signed_in(&setting.gateway, "/echo");
        let echo = browser.echo("/echo", "");
        let mut claims = setting.verified(&echo.one(HEADER));
        let session = browser.fetch("/.midgate/session").json();
        let claim = |name: &str| claims[name].as_u64().unwrap_or_else(|| panic!("{name} in {claims}"));
        assert_eq!(claim("exp") - claim("iat"), 300);
        assert!(claims["jti"].as_str().is_some_and(|id| id.len() == 22), "{claims}");
        for name in ["iat", "exp", "jti"] {
            claims.as_object_mut().expect("an object").remove(name);
        }
        // `groups` and `phone` are mapped, and no header of this route speaks of them.
        let expected = json!({
            "iss": format!("http://localhost:{}", setting.gateway.port), "aud": setting.up(), "idp": "op",
            "sub": echo.one("X-Auth-User"), "name": echo.one("X-Auth-Name"), "acr": "low", "amr": session["amr"],
            "auth_time": session["auth_time"], "documentId": echo.one("X-Auth-Document-Id")
        });
        assert_eq!(claims, expected);
        assert!(!setting.gateway.log().contains("eyJ"), "{}", setting.gateway.log());
    }
}

#[test]
fn a116_each_application_gets_a_statement_of_its_own_and_keeps_it_for_minutes() {
    let setting = Setting::start(&p256(), "");
    let mut browser = Browser::signed_in(&setting.gateway, "/echo");
    let (root, erp) = (browser.echo("/echo", "").one(HEADER), browser.echo("/erp/echo", "").one(HEADER));
    assert_eq!(browser.echo("/echo", "").one(HEADER), root, "made once");
    assert_eq!(browser.echo("/erp/echo", "").one(HEADER), erp);
    let (root, erp) = (setting.verified(&root), setting.verified(&erp));
    assert_eq!((&root["aud"], &erp["aud"]), (&json!(setting.up()), &json!("https://erp.test")));
    assert_ne!(root["jti"], erp["jti"]);
    assert!(root.get("groups").is_none() && erp["groups"].is_array(), "{root} {erp}");
    // Where an upstream has an id, that is its name; the first of these servers is not there.
    assert_eq!(setting.verified(&browser.echo("/second/echo", "").one(HEADER))["aud"], "pair");
    let other = Browser::signed_in(&setting.gateway, "/echo").echo("/echo", "").one(HEADER);
    assert_ne!(setting.verified(&other)["jti"], root["jti"]);
}

#[test]
fn a119_a_statement_never_outlives_its_session() {
    let setting = Setting::start(&p256(), "[session]\nlifetime = \"100s\"\nidle_timeout = \"100s\"\n");
    let mut browser = Browser::signed_in(&setting.gateway, "/echo");
    let claims = setting.verified(&browser.echo("/echo", "").one(HEADER));
    assert_eq!(claims["exp"], browser.fetch("/.midgate/session").json()["expires"]);
    let setting = Setting::start(&p256(), "[session]\nidle_timeout = \"60s\"\n");
    let claims =
        setting.verified(&Browser::signed_in(&setting.gateway, "/echo").echo("/echo", "").one(HEADER));
    assert_eq!(claims["exp"].as_u64().zip(claims["iat"].as_u64()).map(|(exp, iat)| exp - iat), Some(60));
}

#[test]
fn a_machine_is_stated_like_a_person_for_as_long_as_its_token_lives() {
    let issuer = provider(Manner::Plain);
    let application = application();
    let section = format!(
        "[session]\nidle_timeout = \"60s\"\n[[bearer]]\nid = \"batch\"\nissuer = \"{}\"\ndiscovery = \"{}\"\n\
         audience = \"api\"\n[bearer.claims]\nname = \"client_id\"\n\
         [[route]]\npath = \"/api/\"\nupstream = \"http://127.0.0.1:{}\"\nbearer = [\"batch\"]\naudience = \"api\"\n",
        issuer.issuer(),
        issuer.discovery(),
        application.port()
    );
    let setting = Setting::start(&p256(), &section);
    setting.gateway.until_warm();
    for (life, stated) in [(100, 100), (5000, 300)] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs();
        let token = issuer.access_token(json!({ "exp": now + life }), Forgery::Nothing);
        let line = format!("Authorization: Bearer {token}\r\n");
        let claims = setting.verified(&Browser::new(&setting.gateway).echo("/api/echo", &line).one(HEADER));
        assert_eq!(
            (&claims["idp"], &claims["aud"], &claims["name"]),
            (&json!("batch"), &json!("api"), &json!("batch-7"))
        );
        // A machine has no idle time; a token of another life ends with itself.
        let (iat, exp) = (claims["iat"].as_u64().expect("a time"), claims["exp"].as_u64().expect("a time"));
        assert!(exp <= now + life && (stated - 10..=stated).contains(&(exp - iat)), "{claims}");
    }
}

#[test]
fn a119_a_step_up_is_stated_at_once() {
    let setting = Setting::start(&p256(), "");
    let mut browser = Browser::signed_in(&setting.gateway, "/erp/echo");
    assert_eq!(setting.verified(&browser.echo("/erp/echo", "").one(HEADER))["acr"], "low");
    assert_eq!(browser.sign_in("/high/echo").status, 303);
    for path in ["/high/echo", "/erp/echo"] {
        assert_eq!(setting.verified(&browser.echo(path, "").one(HEADER))["acr"], "high", "{path}");
    }
}

#[test]
fn a118_nobody_else_says_what_stands_in_the_header() {
    for (header, section) in [(HEADER, ""), ("Signed_By.Gateway", "header = \"Signed_By.Gateway\"\n")] {
        let setting = Setting::start(&p256(), section);
        let mut browser = Browser::signed_in(&setting.gateway, "/echo");
        let folded = header.to_ascii_lowercase().replace(['_', '.'], "-");
        let spellings =
            [header.to_owned(), folded.clone(), folded.replace('-', "_"), folded.replace('-', ".")];
        let forged: String = spellings.iter().map(|name| format!("{name}: mallory\r\n")).collect();
        for path in ["/echo", "/erp/echo", "/open/echo", "/second/echo"] {
            let echo = browser.echo(path, &forged);
            assert!(echo.one(header).starts_with("eyJ") && !echo.0.to_string().contains("mallory"), "{path}");
        }
        // Without an identity there is nothing to state.
        let mut nobody = Browser::new(&setting.gateway);
        for echo in [browser.echo("/public/echo", &forged), nobody.echo("/open/echo", &forged)] {
            assert!(echo.all(header).is_empty() && !echo.0.to_string().contains("mallory"), "{}", echo.0);
        }
    }
}

#[test]
fn a118_an_applications_answer_does_not_name_the_header() {
    let setting = Setting::start(&p256(), "header = \"X-Hop-By\"\n");
    let mut browser = Browser::signed_in(&setting.gateway, "/echo");
    assert!(browser.echo("/echo", "").one("X-Hop-By").starts_with("eyJ"));
    let answer = browser.open("/answer?X-Hop-By=forged&X-Midgate-Jwt-Assertion=forged&X-Other=kept");
    assert_eq!((answer.header("x-hop-by"), answer.header(HEADER)), (None, None));
    assert_eq!(answer.header("x-other"), Some("kept"));
}

#[test]
fn a119_the_keys_are_public_and_may_be_kept_for_minutes() {
    let setting = Setting::start(&p256(), "");
    let mut nobody = Browser::new(&setting.gateway);
    let answer = nobody.ask("GET", JWKS, "", b"");
    assert_eq!(answer.all("content-type"), ["application/jwk-set+json"]);
    assert_eq!(answer.all("cache-control"), ["public, max-age=300"]);
    let etag = answer.header("etag").expect("a tag").to_owned();
    let head = nobody.ask("HEAD", JWKS, "", b"");
    assert_eq!((head.status, head.header("etag")), (200, Some(etag.as_str())));
    assert_eq!(head.header("content-length"), Some(answer.body.len().to_string().as_str()));
    for known in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
        let same = nobody.ask("GET", JWKS, &format!("If-None-Match: {known}\r\n"), b"");
        assert_eq!((same.status, same.header("content-length")), (304, None), "{known}");
        assert_eq!(same.header("etag"), Some(etag.as_str()));
    }
    assert_eq!(nobody.ask("GET", JWKS, "If-None-Match: \"x\"\r\n", b"").status, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = nobody.ask(method, JWKS, "", b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    nobody.host = "elsewhere.test".to_owned();
    assert_eq!(nobody.ask("GET", JWKS, "", b"").status, 421);
}

#[test]
fn without_an_assertion_the_path_is_there_for_nobody() {
    let plain = crate::rig::shared();
    let mut browser = Browser::signed_in(&plain.gateway, "/echo");
    for method in ["GET", "HEAD"] {
        assert_eq!(browser.ask(method, JWKS, "", b"").status, 404);
    }
    assert!(browser.echo("/echo", "").all(HEADER).is_empty());
}

#[test]
fn keys_roll_without_a_restart() {
    let setting = Setting::start(&p256(), "");
    let mut browser = Browser::signed_in(&setting.gateway, "/echo");
    let kid = |keys: &[Value], at: usize| keys[at]["kid"].clone();
    let before = setting.keys();
    let signed_by = |browser: &mut Browser| opened(&browser.echo("/echo", "").one(HEADER)).0["kid"].clone();
    assert_eq!(signed_by(&mut browser), kid(&before, 0));
    let load = |files: &str| {
        let section = format!("signing_key_files = [{files}]\n");
        setting.gateway.configure(&config(&setting.provider, &setting.up(), &section));
        setting.gateway.signal("HUP");
    };
    // The second is published first, and signs after that.
    setting.gateway.folder.write("two.pem", &p256());
    load("\"one.pem\", \"two.pem\"");
    until("the second key is published", || setting.keys().len() == 2);
    let both = setting.keys();
    assert_eq!((kid(&both, 0), signed_by(&mut browser)), (kid(&before, 0), kid(&before, 0)));
    load("\"two.pem\", \"one.pem\"");
    until("the second key signs", || signed_by(&mut browser) == kid(&both, 1));
    setting.verified(&browser.echo("/echo", "").one(HEADER));
    load("\"two.pem\"");
    until("the first key is gone", || setting.keys().len() == 1);
    // A file that changes is taken over by itself, and one that cannot be used changes nothing.
    setting.gateway.folder.write("two.pem", "no key\n");
    until("the reload failed", || {
        setting.gateway.metric("midgate_reloads_total{result=\"failed\"}").is_some_and(|count| count >= 1.0)
    });
    assert_eq!(signed_by(&mut browser), kid(&both, 1));
    setting.gateway.folder.write("two.pem", &p256());
    until("the third key signs", || setting.keys()[0]["kid"] != kid(&both, 1));
    assert_ne!(signed_by(&mut browser), kid(&both, 1));
}

#[test]
fn a117_an_assertion_is_good_for_nothing_here() {
    let admin = free_port();
    let setting = Setting::start(
        &p256(),
        &format!("[listen]\nadmin = \"127.0.0.1:{admin}\"\nadmin_token = \"SECRET_zz\"\n"),
    );
    let mut browser = Browser::signed_in(&setting.gateway, "/echo");
    let assertion = browser.echo("/echo", "").one(HEADER);
    let mut thief = Browser::new(&setting.gateway);
    for cookie in ["midgate", "__Host-midgate", "midgate-login-x"] {
        thief.cookies.insert(cookie.to_owned(), assertion.clone());
        assert_eq!(thief.fetch("/echo").status, 401, "{cookie}");
    }
    thief.cookies.clear();
    for line in [format!("Authorization: Bearer {assertion}"), format!("{HEADER}: {assertion}")] {
        assert_eq!(thief.ask("GET", "/echo", &format!("{line}\r\n"), b"").status, 401);
    }
    let state = format!("/.midgate/callback?code=x&state={assertion}");
    assert_eq!(thief.open(&state).status, 400);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let token = format!("logout_token={assertion}");
    let answer = thief.ask("POST", "/.midgate/logout/backchannel", form, token.as_bytes());
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_request")));
    let request = format!(
        "GET /sessions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {assertion}\r\nConnection: close\r\n\r\n"
    );
    assert!(matches!(send(admin, request.as_bytes()).expect("an answer").status, 401 | 403));
    assert!(browser.is_signed_in());
    // The other way round: what a provider signs is for nobody who verifies ours.
    let token = setting.provider.logout_token(json!({}), Forgery::Nothing);
    let kid = opened(&token).0["kid"].clone();
    assert!(
        setting
            .keys()
            .iter()
            .all(|key| key["kid"] != kid && !(key["alg"] == "RS256" && verifies(key, &token)))
    );
}

/// What `check` says of an `[assertion]`, with the problem's key and a word of its message.
fn problems(section: &str, route: &str) -> Vec<(String, String)> {
    let folder = Folder::new();
    folder.write("good.pem", &p256());
    folder.write("weak.pem", &rsa(1024));
    folder.write("p384.pem", &KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key").serialize_pem());
    folder.write("none.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    // RFC 8037 Appendix A.1, and a key of one letter.
    let der = |seed: &[u8]| {
        let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let text = base64::engine::general_purpose::STANDARD.encode([&head[..], seed].concat());
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    };
    let sample = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").expect("base64url");
    folder.write("sample.pem", &der(&sample));
    folder.write("letter.pem", &der(&[b'A'; 32]));
    let section = section.replace("GOOD", "signing_key_files = [\"good.pem\"]");
    let text = format!(
        "public_url = \"https://app.example.ch\"\n{section}[[provider]]\nid = \"op\"\nissuer = \"https://op.test\"\n\
         client_id = \"us\"\nclient_secret = \"x\"\n[[route]]\nupstream = \"http://127.0.0.1:3000\"\n{route}"
    );
    let path = folder.write("gateway.toml", &text).to_string_lossy().into_owned();
    let (code, out, err) = command(&["check", "--json", "--config", &path]);
    let found: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let list = found["problems"].as_array().expect("a list");
    assert_eq!(code == 2, !list.is_empty(), "{found}");
    let text = |problem: &Value, name: &str| problem[name].as_str().expect("a text").to_owned();
    list.iter().map(|problem| (text(problem, "key"), text(problem, "message"))).collect()
}

#[test]
fn keys_and_names_that_cannot_be_meant_are_exit_2() {
    assert_eq!(problems("[assertion]\nGOOD\n", "audience = \"erp\"\n"), []);
    for (section, route, key, word) in [
        ("[assertion]\n", "", "assertion.signing_key_files", "no key"),
        ("[assertion]\nsigning_key_files = []\n", "", "assertion.signing_key_files", "no key"),
        (
            "[assertion]\nsigning_key_files = [\"gone.pem\"]\n",
            "",
            "assertion.signing_key_files[0]",
            "cannot read",
        ),
        (
            "[assertion]\nsigning_key_files = [\"none.pem\"]\n",
            "",
            "assertion.signing_key_files[0]",
            "no private key",
        ),
        ("[assertion]\nsigning_key_files = [\"weak.pem\"]\n", "", "assertion.signing_key_files[0]", "2048"),
        ("[assertion]\nsigning_key_files = [\"p384.pem\"]\n", "", "assertion.signing_key_files[0]", "P-256"),
        (
            "[assertion]\nsigning_key_files = [\"sample.pem\"]\n",
            "",
            "assertion.signing_key_files[0]",
            "sample",
        ),
        (
            "[assertion]\nsigning_key_files = [\"letter.pem\"]\n",
            "",
            "assertion.signing_key_files[0]",
            "random",
        ),
        (
            "[assertion]\nsigning_key_files = [\"good.pem\", \"good.pem\"]\n",
            "",
            "assertion.signing_key_files[1]",
            "already",
        ),
        ("[assertion]\nGOOD\nheader = \"Authorization\"\n", "", "assertion.header", "scheme"),
        ("[assertion]\nGOOD\nheader = \"Host\"\n", "", "assertion.header", "message itself"),
        ("[assertion]\nGOOD\nheader = \"a b\"\n", "", "assertion.header", "name of a header"),
        ("[assertion]\nGOOD\nheader = \"X_Auth_User\"\n", "", "assertion.header", "X-Auth-User"),
        (
            "[assertion]\nGOOD\nheader = \"X-Own\"\n",
            "headers = { \"x_own\" = \"{name}\" }\n",
            "assertion.header",
            "x_own",
        ),
        (
            "[assertion]\nGOOD\n",
            "[[provider]]\nid = \"b\"\nissuer = \"https://b.test\"\nclient_id = \"us\"\n\
             client_auth = \"private_key_jwt\"\nclient_key_file = \"good.pem\"\n",
            "assertion.signing_key_files[0]",
            "client_key_file of provider",
        ),
        ("", "audience = \"erp\"\n", "route[0].audience", "no [assertion]"),
        ("[assertion]\nGOOD\n", "audience = \"\"\n", "route[0].audience", "empty"),
        ("[assertion]\nGOOD\n", "audience = \"a b\"\n", "route[0].audience", "blanks"),
        ("[assertion]\nGOOD\n", "audience = \"erp\"\naccess = \"public\"\n", "route[0].audience", "public"),
        (
            "[endpoints]\ncallback = \"/.well-known/midgate/jwks.json\"\n",
            "",
            "endpoints.callback",
            "the gateway's own",
        ),
    ] {
        let found = problems(section, route);
        assert!(
            found.len() == 1 && found[0].0 == key && found[0].1.contains(word),
            "{section}{route}: {found:?}"
        );
    }
}

#[test]
fn check_and_explain_tell_what_applications_verify_by() {
    let setting = Setting::start(&p256(), "");
    let path = setting.gateway.folder.path("gateway.toml").to_string_lossy().into_owned();
    let (code, out, err) = command(&["check", "--config", &path]);
    assert_eq!(code, 0, "{out}{err}");
    let kid = setting.keys()[0]["kid"].as_str().expect("a kid").to_owned();
    let issuer = format!("http://localhost:{}", setting.gateway.port);
    for line in [
        format!("  header    {HEADER}\n"),
        format!("  issuer    {issuer}\n"),
        format!("  keys      {issuer}{JWKS}\n"),
        format!("  key       ES256 {kid} signs\n"),
        "  audience  https://erp.test (route \"erp\")\n".to_owned(),
        format!("  audience  {} (route \"root\")\n", setting.up()),
    ] {
        assert!(out.contains(&line), "{line} in {out}");
    }
    assert!(!out.contains("/public/"), "nothing is signed there: {out}");
    // A file that others can read is told.
    assert!(out.contains("key-readable-by-all"), "{out}");
    let claims = json!({ "provider": "op", "id_token": { "sub": "1", "iss": "https://op.test", "name": "Zoë", "acr": "low" } });
    let file =
        setting.gateway.folder.write("claims.json", &claims.to_string()).to_string_lossy().into_owned();
    let explain = |target: &str, more: &[&str]| -> Value {
        let url = format!("{issuer}{target}");
        let all = [&["explain", "--json", "--config", &path, "--url", &url][..], more].concat();
        let (code, out, err) = command(&all);
        assert_eq!(code, 0, "{err}");
        serde_json::from_str(&out).expect("JSON")
    };
    let told = explain("/erp/x", &["--claims", &file]);
    let text = told["headers"][HEADER].as_str().unwrap_or_else(|| panic!("{told}"));
    assert!(text.contains("not signed here") && text.contains("\"aud\":\"https://erp.test\""), "{text}");
    assert!(text.contains("\"name\":\"Zoë\"") && !text.contains("eyJ"), "{text}");
    for told in [explain("/public/x", &["--claims", &file]), explain("/open/x", &[])] {
        assert!(told["decision"] == "permit" && told["headers"].get(HEADER).is_none(), "{told}");
    }
}

#[test]
fn keygen_writes_keys_that_the_gateway_takes() {
    for (arguments, alg) in
        [(&["keygen", "assertion"][..], "ES256"), (&["keygen", "assertion", "--alg", "eddsa"], "EdDSA")]
    {
        let (code, pem, _) = command(arguments);
        assert!(code == 0 && pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{pem}");
        let setting = Setting::start(&pem, "");
        assert_eq!(setting.keys()[0]["alg"], alg);
        let mut browser = Browser::signed_in(&setting.gateway, "/echo");
        setting.verified(&browser.echo("/echo", "").one(HEADER));
    }
    let (plain, session) = (command(&["keygen"]), command(&["keygen", "session"]));
    assert_eq!((plain.1.trim().len(), session.1.trim().len()), (43, 43));
    assert_eq!(command(&["keygen", "assertion", "--alg", "rs256"]).0, 2);
}

#[test]
fn a_proxy_that_asks_gets_the_assertion_and_overwrites_a_clients() {
    let setting = Setting::start(&p256(), "[listen]\ntrusted_proxies = [\"127.0.0.0/8\"]\n");
    let about = |path: &str| {
        let port = setting.gateway.port;
        format!(
            "X-Original-URL: http://localhost:{port}{path}\r\nX-Original-Method: GET\r\n{HEADER}: forged\r\n"
        )
    };
    let mut browser = Browser::signed_in(&setting.gateway, "/echo");
    let answer = browser.ask("GET", "/.midgate/auth", &about("/erp/x"), b"");
    assert_eq!((answer.status, answer.all(HEADER).len()), (200, 1), "{answer:?}");
    assert_eq!(setting.verified(answer.all(HEADER)[0])["aud"], "https://erp.test");
    let public = browser.ask("GET", "/.midgate/auth", &about("/public/x"), b"");
    assert_eq!((public.status, public.all(HEADER)), (200, vec![""]));
}
