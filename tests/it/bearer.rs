//! Machines that come with an access token instead of a session.

use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use midgate::demo::application::Application;
use midgate::demo::provider::{Forgery, Manner, Simulated};
use serde_json::{Value, json};

use crate::rig::wire::connect;
use crate::rig::{Answer, Browser, Folder, Gateway, application, gateway, provider, provider_toml, until};

struct Setting {
    op: Simulated,
    issuer: Simulated,
    _application: Application,
    gateway: Gateway,
}

fn bearer_toml(id: &str, issuer: &Simulated, more: &str) -> String {
    format!(
        "[[bearer]]\nid = \"{id}\"\nissuer = \"{}\"\ndiscovery = \"{}\"\naudience = [\"for {id}\", \"api\"]\n{more}\n",
        issuer.issuer(),
        issuer.discovery()
    )
}

const ROUTES: &str = r#"
[[route]]
upstream = "{up}"
[[route]]
path = "/api/"
upstream = "{up}"
bearer = "batch"
[[route]]
path = "/open/"
upstream = "{up}"
access = "optional"
bearer = ["batch"]
[[route]]
path = "/level/"
upstream = "{up}"
bearer = ["batch"]
require = { acr = "high" }
[[route]]
path = "/fresh/"
upstream = "{up}"
bearer = ["batch"]
require = { max_age = "15m" }
[[route]]
path = "/team/"
upstream = "{up}"
bearer = ["batch"]
require = { claims = { team = "blue" } }
[[route]]
path = "/listed/"
upstream = "{up}"
bearer = ["batch"]
require = { allow_file = "list" }
[[route]]
path = "/pass/"
upstream = "{up}"
bearer = ["batch"]
pass_token = "access_token"
[[route]]
path = "/bare/"
upstream = "{up}"
bearer = ["batch"]
headers = { Authorization = "{none}" }
[[route]]
path = "/both/"
upstream = "{up}"
bearer = ["batch", "second"]
logout = ["/both/logout/echo"]
"#;

fn setting() -> Setting {
    let (op, issuer, application) = (provider(Manner::Plain), provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let config = format!(
        "\n{}\n{}\n{}\n{}",
        provider_toml("op", &op, "acr_ladder = [[\"low\"], [\"high\"]]"),
        bearer_toml("batch", &issuer, "scopes = \"read\"\n[bearer.claims]\nname = \"client_id\""),
        bearer_toml("second", &issuer, "scopes = [\"admin\"]").replace("\"api\"", "\"backup\""),
        ROUTES.replace("{up}", &up)
    );
    let folder = Folder::new();
    folder.write("list", "sub:batch:batch-7\n");
    let gateway = Gateway::start_in(folder, gateway::free_port(), &config);
    gateway.until_warm();
    Setting { op, issuer, _application: application, gateway }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs()
}

fn header(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn show(gateway: &Gateway, path: &str, token: &str) -> Answer {
    Browser::new(gateway).ask("GET", path, &header(token), b"")
}

impl Setting {
    fn good(&self, changes: Value) -> String {
        self.issuer.access_token(changes, Forgery::Nothing)
    }

    fn show(&self, path: &str, token: &str) -> Answer {
        show(&self.gateway, path, token)
    }
}

/// Status, `error` and `reason` of a refusal to a program.
fn refusal(answer: &Answer) -> (u16, String, String) {
    let body = answer.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    assert!(body["request_id"].is_string() && answer.header("location").is_none(), "{answer:?}");
    (answer.status, text("error"), text("reason"))
}

fn is(answer: &Answer, status: u16, error: &str, reason: &str) {
    assert_eq!(refusal(answer), (status, error.to_owned(), reason.to_owned()));
}

#[test]
fn a_machine_with_a_good_token_is_an_identity_of_its_own_kind() {
    let all = setting();
    for (changes, forgery) in [
        (json!({}), Forgery::Nothing),
        (json!({}), Forgery::Typ("JWT")),
        (json!({}), Forgery::Typ("")),
        (json!({}), Forgery::Typ("application/at+jwt")),
        (json!({"aud": ["elsewhere", "api"], "azp": "somebody"}), Forgery::Nothing),
        (json!({"scope": null, "scp": ["x", "read"]}), Forgery::Nothing),
        (json!({"scope": null, "scp": "read x"}), Forgery::Nothing),
        (json!({"exp": 4_000_000_000.5}), Forgery::Nothing),
    ] {
        let token = all.issuer.access_token(changes.clone(), forgery);
        let own = format!("{}X-Auth-Name: mallory\r\nX-Auth-Acr: high\r\n", header(&token));
        let echo = Browser::new(&all.gateway).echo("/api/echo", &own);
        assert_eq!(echo.one("X-Auth-Provider"), "batch", "{changes}");
        assert_eq!(echo.one("X-Auth-Name"), "batch-7");
        assert_eq!(echo.one("X-Auth-User").len(), 43);
        assert!(echo.all("X-Auth-Acr").is_empty(), "{changes}");
        // It is the client's own, and stays as it is.
        assert_eq!(echo.one("Authorization"), format!("Bearer {token}"));
    }
    let calls = all.issuer.calls();
    assert_eq!(
        (calls.discovery, calls.jwks, calls.userinfo),
        (2, 2, 0),
        "one fetch for each of the two issuers"
    );
    assert_eq!(all.gateway.metric("midgate_sessions"), Some(0.0), "no session was made");
    // Only the first look at a token costs a signature.
    assert_eq!(all.gateway.metric("midgate_bearer_tokens_total{bearer=\"batch\",result=\"ok\"}"), Some(8.0));
    let token = all.good(json!({}));
    for _ in 0..5 {
        assert_eq!(all.show("/api/echo", &token).status, 200);
    }
    let verified = all.gateway.metric("midgate_bearer_tokens_total{bearer=\"batch\",result=\"ok\"}");
    assert!(verified.is_some_and(|count| count <= 9.0), "{verified:?}");
}

#[test]
fn a_token_that_is_not_right_in_every_way_is_401_and_never_a_login() {
    let all = setting();
    let calls = all.issuer.calls();
    let issuer = all.issuer.issuer();
    let at = |seconds: i64| i64::try_from(now()).expect("a time") + seconds;
    let none = json!({});
    for (changes, forgery, reason) in [
        (none.clone(), Forgery::AlgNone, "algorithm-not-allowed"),
        (none.clone(), Forgery::Hs256WithSecret, "algorithm-not-allowed"),
        (none.clone(), Forgery::Hs256WithPublicKey, "algorithm-not-allowed"),
        (none.clone(), Forgery::Es256, "algorithm-not-allowed"),
        (none.clone(), Forgery::BadSignature, "bad-signature"),
        (none.clone(), Forgery::ForeignKey, "bad-signature"),
        (none.clone(), Forgery::Typ("logout+jwt"), "token-header"),
        (none.clone(), Forgery::Typ("dpop+jwt"), "token-header"),
        (json!({"iss": format!("{issuer}1")}), Forgery::Nothing, "unknown-issuer"),
        (json!({"iss": format!("{issuer}/")}), Forgery::Nothing, "unknown-issuer"),
        (json!({"iss": issuer.to_uppercase()}), Forgery::Nothing, "unknown-issuer"),
        (json!({"iss": all.op.issuer()}), Forgery::Nothing, "unknown-issuer"),
        (json!({"iss": null}), Forgery::Nothing, "unknown-issuer"),
        (json!({"aud": null}), Forgery::Nothing, "wrong-audience"),
        (json!({"aud": []}), Forgery::Nothing, "wrong-audience"),
        (json!({"aud": [1]}), Forgery::Nothing, "wrong-audience"),
        (json!({"aud": "us"}), Forgery::Nothing, "wrong-audience"),
        (json!({"aud": "ap"}), Forgery::Nothing, "wrong-audience"),
        (json!({"aud": "api "}), Forgery::Nothing, "wrong-audience"),
        (json!({"aud": "backup"}), Forgery::Nothing, "wrong-audience"),
        (json!({"exp": null}), Forgery::Nothing, "no-expiry"),
        (json!({"exp": at(-1)}), Forgery::Nothing, "expired"),
        (json!({"exp": "x"}), Forgery::Nothing, "bad-time"),
        (json!({"exp": -1}), Forgery::Nothing, "bad-time"),
        (json!({"exp": 1e300}), Forgery::Nothing, "bad-time"),
        (json!({"iat": null}), Forgery::Nothing, "bad-issue-time"),
        (json!({"iat": at(3600)}), Forgery::Nothing, "bad-issue-time"),
        (json!({"nbf": at(3600)}), Forgery::Nothing, "not-yet-valid"),
        (json!({"sub": null}), Forgery::Nothing, "bad-subject"),
        (json!({"sub": 7}), Forgery::Nothing, "bad-subject"),
        (json!({"sub": "s".repeat(300)}), Forgery::Nothing, "bad-subject"),
        (json!({"events": {}}), Forgery::Nothing, "not-an-access-token"),
        (json!({"cnf": {"jkt": "x"}}), Forgery::Nothing, "bound-to-a-key"),
    ] {
        let token = all.issuer.access_token(changes.clone(), forgery);
        for path in ["/api/echo", "/open/echo"] {
            let navigation = format!("{}{}", crate::rig::browser::NAVIGATION, header(&token));
            let answer = Browser::new(&all.gateway).ask("GET", path, &navigation, b"");
            is(&answer, 401, "invalid_token", reason);
            let challenge = answer.header("www-authenticate");
            assert_eq!(
                challenge,
                Some("Bearer realm=\"midgate\", error=\"invalid_token\""),
                "{changes} {forgery:?}"
            );
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
    assert_eq!(all.issuer.calls().jwks, calls.jwks, "a bad token costs no call");
    until("the refusals are noted", || all.gateway.log().contains("\"policy.reason\":\"bound-to-a-key\""));
    assert!(!all.gateway.log().contains("eyJ"), "no token is logged");
}

#[test]
fn odd_headers_and_payloads_of_tokens_are_refused_within_limits() {
    let all = setting();
    let calls = all.issuer.calls();
    let odd = |header: Value| all.issuer.odd_access_token(header, None);
    let of = |payload: &str| all.issuer.odd_access_token(json!({}), Some(payload));
    let elsewhere = format!("http://127.0.0.1:{}/elsewhere", all.issuer.port());
    let good = all.good(json!({}));
    let iss = all.issuer.issuer();
    let rest = format!("\"iss\":\"{iss}\",\"aud\":\"api\",\"iat\":1,\"exp\":4000000000,\"scope\":\"read\"");
    for (token, reason) in [
        (odd(json!({"crit": ["x"]})), "token-header"),
        (odd(json!({"enc": "A128GCM"})), "token-header"),
        (odd(json!({"zip": "DEF"})), "token-header"),
        (odd(json!({"b64": false})), "token-header"),
        (odd(json!({"kid": ["a"]})), "token-header"),
        (odd(json!({"kid": "k".repeat(1000)})), "token-header"),
        (odd(json!({"alg": "none"})), "algorithm-not-allowed"),
        (odd(json!({"alg": "nOnE"})), "algorithm-not-allowed"),
        (odd(json!({"alg": "PS256"})), "algorithm-not-allowed"),
        (odd(json!({"alg": "ES256K"})), "algorithm-not-allowed"),
        (odd(json!({"alg": null})), "algorithm-not-allowed"),
        (of(&format!("{{\"sub\":\"a\",\"sub\":\"b\",{rest}}}")), "token-malformed"),
        (
            of(&format!("{{\"sub\":\"a\",{rest},\"deep\":{}1{}}}", "[".repeat(1000), "]".repeat(1000))),
            "token-malformed",
        ),
        (of(&format!("{{\"sub\":\"a\",{rest},\"exp2\":1e400}}")), "token-malformed"),
        (of("[]"), "token-malformed"),
        (of(&format!("{{\"sub\":\"{}\",{rest}}}", "s".repeat(9000))), "token-too-large"),
        (format!("{good}.x"), "token-malformed"),
        (format!("{good}.x.y"), "token-malformed"),
        (good.rsplit_once('.').expect("parts").0.to_owned(), "token-malformed"),
        (format!("{}.", good.rsplit_once('.').expect("parts").0), "bad-signature"),
        (format!("{good}, Bearer {good}"), "token-malformed"),
        ("opaque-token".to_owned(), "token-malformed"),
        (String::new(), "token-malformed"),
        ("..".to_owned(), "token-malformed"),
        ("A".repeat(9000), "token-too-large"),
    ] {
        is(&all.show("/api/echo", &token), 401, "invalid_token", reason);
    }
    // Keys and addresses that a token brings along are never looked at.
    let brought =
        json!({"jku": elsewhere, "x5u": elsewhere, "jwk": {"kty": "oct", "k": "AAAA"}, "x5c": ["AAAA"]});
    assert_eq!(all.show("/api/echo", &odd(brought)).status, 200);
    let after = all.issuer.calls();
    assert_eq!((after.unknown, after.jwks), (calls.unknown, calls.jwks));
    let doubled = format!("{}{}", header(&good), header(&good).to_lowercase());
    assert_eq!(Browser::new(&all.gateway).ask("GET", "/api/echo", &doubled, b"").status, 400);
}

#[test]
fn a_scope_that_is_missing_is_403_and_says_which() {
    let all = setting();
    for scope in [json!({"scope": "write"}), json!({"scope": "reader"}), json!({"scope": null})] {
        let answer = all.show("/api/echo", &all.good(scope));
        is(&answer, 403, "insufficient_scope", "scope-missing");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some("Bearer realm=\"midgate\", error=\"insufficient_scope\", scope=\"read\""));
    }
    // The other issuer of the same name takes another audience and wants another scope.
    let backup = |scope: &str| all.good(json!({"aud": "backup", "scope": scope}));
    is(&all.show("/both/echo", &backup("read")), 403, "insufficient_scope", "scope-missing");
    let echo = Browser::new(&all.gateway).echo("/both/echo", &header(&backup("admin")));
    assert_eq!(echo.one("X-Auth-Provider"), "second");
    is(&all.show("/api/echo", &backup("admin")), 401, "invalid_token", "wrong-audience");
}

#[test]
fn requirements_hold_for_machines_and_lead_to_no_login() {
    let all = setting();
    let good = all.good(json!({"team": "red"}));
    for (path, reason) in
        [("/level/echo", "acr-not-met"), ("/fresh/echo", "not-fresh"), ("/team/echo", "claim-not-met")]
    {
        let navigation = format!("{}{}", crate::rig::browser::NAVIGATION, header(&good));
        let answer = Browser::new(&all.gateway).ask("GET", path, &navigation, b"");
        is(&answer, 403, "forbidden", reason);
    }
    assert_eq!(all.show("/listed/echo", &good).status, 200);
    is(&all.show("/listed/echo", &all.good(json!({"sub": "batch-8"}))), 403, "forbidden", "not-listed");
    let able = all.good(json!({"acr": "high", "auth_time": now(), "team": "blue"}));
    for path in ["/level/echo", "/fresh/echo", "/team/echo"] {
        let echo = Browser::new(&all.gateway).echo(path, &header(&able));
        assert_eq!(echo.one("X-Auth-Acr"), "high");
    }
}

#[test]
fn a24_a_route_without_bearer_leaves_authorization_alone_and_gives_no_identity() {
    let all = setting();
    let good = all.good(json!({}));
    let answer = all.show("/echo", &good);
    assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("login_required")));
    // Our own paths know no tokens either.
    assert_eq!(all.show("/.midgate/session", &good).status, 401);
    let mut browser = Browser::signed_in(&all.gateway, "/echo");
    let echo = browser.echo("/echo", &header(&good));
    assert_eq!(
        (echo.one("X-Auth-Provider"), echo.one("Authorization")),
        ("op".into(), format!("Bearer {good}"))
    );
    // Without a token, or with another scheme, such a route is like any other.
    assert_eq!(Browser::new(&all.gateway).open("/api/echo").status, 302);
    let mut nobody = Browser::new(&all.gateway);
    let basic = nobody.ask("GET", "/api/echo", "Authorization: Basic eDp5\r\n", b"");
    assert_eq!((basic.status, basic.json()["error"].as_str()), (401, Some("login_required")));
    let open = nobody.echo("/open/echo", "Authorization: Basic eDp5\r\n");
    assert_eq!((open.one("Authorization"), open.all("X-Auth-User").len()), ("Basic eDp5".into(), 0));
    // With `pass_token` the header is the gateway's, and it has no token of a provider's.
    assert!(nobody.echo("/pass/echo", &header(&good)).all("Authorization").is_empty());
    // And whoever wants to keep tokens from an application can.
    let bare = nobody.echo("/bare/echo", &header(&good));
    assert_eq!((bare.one("X-Auth-Provider").as_str(), bare.all("Authorization").len()), ("batch", 0));
}

#[test]
fn a_token_wins_over_a_cookie_beside_it_and_ends_no_session() {
    let all = setting();
    let mut browser = Browser::signed_in(&all.gateway, "/echo");
    assert_eq!(browser.echo("/both/echo", "").one("X-Auth-Provider"), "op");
    let good = all.good(json!({}));
    assert_eq!(browser.echo("/both/echo", &header(&good)).one("X-Auth-Provider"), "batch");
    let bad = all.issuer.access_token(json!({}), Forgery::BadSignature);
    is(&browser.ask("GET", "/both/echo", &header(&bad), b""), 401, "invalid_token", "bad-signature");
    let logout = browser.ask("GET", "/both/logout/echo", &header(&good), b"");
    assert_eq!((logout.status, logout.all("set-cookie").len()), (200, 0));
    assert!(browser.is_signed_in());
}

#[test]
fn an_id_token_or_a_logout_token_is_no_access_token() {
    let all = setting();
    let mut browser = Browser::signed_in(&all.gateway, "/echo");
    assert!(browser.is_signed_in());
    is(&all.show("/api/echo", &all.op.calls().id_token), 401, "invalid_token", "unknown-issuer");
    let logout = all.issuer.logout_token(json!({"sub": "a", "sid": "b"}), Forgery::Nothing);
    is(&all.show("/api/echo", &logout), 401, "invalid_token", "wrong-audience");
    let logout = all.issuer.logout_token(json!({"aud": "api", "sub": "a"}), Forgery::Typ("JWT"));
    is(&all.show("/api/echo", &logout), 401, "invalid_token", "not-an-access-token");
}

#[test]
fn a_token_counts_until_its_end_and_not_a_second_longer() {
    let all = setting();
    let ends = now() + 3;
    let token = all.good(json!({"exp": ends}));
    let begun = Instant::now();
    let mut stream = connect(all.gateway.port).expect("it listens");
    let request =
        format!("GET /api/sse HTTP/1.1\r\nHost: localhost:{}\r\n{}\r\n", all.gateway.port, header(&token));
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut seen = Vec::new();
    // The stream ends by itself, cut off by the gateway: the application would go on.
    let _ = std::io::Read::read_to_end(&mut stream, &mut seen);
    assert!(String::from_utf8_lossy(&seen).starts_with("HTTP/1.1 200"), "{}", String::from_utf8_lossy(&seen));
    assert!(begun.elapsed() < Duration::from_secs(20) && now() >= ends, "{:?}", begun.elapsed());
    is(&all.show("/api/echo", &token), 401, "invalid_token", "expired");
}

#[test]
fn a70_a_new_key_is_fetched_at_once_and_a_flood_of_unknown_ones_twice_a_minute() {
    let all = setting();
    all.issuer.rotate_keys();
    let calls = all.issuer.calls().jwks;
    assert_eq!(all.show("/api/echo", &all.good(json!({}))).status, 200);
    assert_eq!(all.issuer.calls().jwks, calls + 1);
    for number in 0..100 {
        let token = all.issuer.odd_access_token(json!({"kid": format!("random-{number}")}), None);
        is(&all.show("/api/echo", &token), 401, "invalid_token", "unknown-key");
    }
    assert_eq!(all.issuer.calls().jwks, calls + 2);
    assert_eq!(all.show("/api/echo", &all.good(json!({"jti": "another"}))).status, 200, "good ones go on");
    // A flood is noted in part, and counted whole.
    let refused = all.gateway.metric("midgate_bearer_tokens_total{bearer=\"batch\",result=\"unknown-key\"}");
    assert_eq!(refused, Some(100.0));
}

#[test]
fn a71_an_issuer_that_cannot_be_asked_is_503_and_degraded_not_401() {
    let (op, issuer, application) = (provider(Manner::Plain), provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let config = format!(
        "\n{}\n{}\n[[route]]\nupstream = \"{up}\"\nbearer = \"batch\"\n",
        provider_toml("op", &op, ""),
        bearer_toml("batch", &issuer, "")
    );
    let token = issuer.access_token(json!({}), Forgery::Nothing);
    issuer.stop();
    let gateway = Gateway::start(&config);
    until("the issuer was asked", || gateway.ready().1.contains("provider-unreachable"));
    let answer = show(&gateway, "/echo", &token);
    let (status, error, _) = refusal(&answer);
    assert_eq!((status, error.as_str()), (503, "temporarily_unavailable"));
    assert!(answer.header("retry-after").is_some() && answer.header("www-authenticate").is_none());
    let (status, body) = gateway.ready();
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, body["checks"]["bearers"]["batch"]["status"].as_str()), (200, Some("degraded")));
    // What is surely wrong needs no keys to be refused.
    is(&show(&gateway, "/echo", "opaque"), 401, "invalid_token", "token-malformed");
    for fault in ["jwks-500", "jwks-html", "jwks-empty", "enc-keys-only"] {
        issuer.fault(fault, true);
    }
    issuer.start_again();
    let (status, error, _) = refusal(&show(&gateway, "/echo", &token));
    assert_eq!((status, error.as_str()), (503, "temporarily_unavailable"), "no good key was had");
    issuer.heal();
    until("the issuer is back", || show(&gateway, "/echo", &token).status == 200);
    issuer.stop();
    let other = issuer.access_token(json!({"jti": "other"}), Forgery::Nothing);
    assert_eq!(show(&gateway, "/echo", &other).status, 200, "known keys go on");
}

#[test]
fn a_reload_forgets_tokens_of_an_issuer_that_is_gone_or_asks_for_more() {
    let (op, issuer, application) = (provider(Manner::Plain), provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let config = |scopes: &str| {
        format!(
            "\n{}\n{}\n[[route]]\nupstream = \"{up}\"\nbearer = \"batch\"\n",
            provider_toml("op", &op, ""),
            bearer_toml("batch", &issuer, scopes)
        )
    };
    let gateway = Gateway::start(&config(""));
    gateway.until_warm();
    let token = issuer.access_token(json!({}), Forgery::Nothing);
    assert_eq!(show(&gateway, "/echo", &token).status, 200);
    let calls = issuer.calls();
    gateway.configure(&config("scopes = [\"admin\"]"));
    gateway.signal("HUP");
    until("the configuration is reloaded", || {
        gateway.metric("midgate_reloads_total{result=\"ok\"}") == Some(1.0)
    });
    is(&show(&gateway, "/echo", &token), 403, "insufficient_scope", "scope-missing");
    assert_eq!(issuer.calls().jwks, calls.jwks, "its keys are known already");
}

/// Problems and warnings of a configuration with one provider.
fn checked(rest: &str) -> (i32, Value) {
    let folder = Folder::new();
    folder.write(
        "gateway.toml",
        &format!(
            "public_url = \"https://app.example.ch\"\n[[provider]]\nid = \"op\"\nissuer = \"https://op.test\"\n\
             client_id = \"us\"\nclient_secret = \"x\"\n{rest}"
        ),
    );
    let path = folder.path("gateway.toml").to_string_lossy().into_owned();
    let (code, out, _) = gateway::command(&["check", "--json", "--config", &path]);
    (code, serde_json::from_str(&out).expect("JSON"))
}

#[test]
fn what_is_wrong_with_an_issuer_is_told_with_key_and_remedy() {
    let bearer = "[[bearer]]\nid = \"batch\"\nissuer = \"https://op.test\"\naudience = \"api\"\n";
    let route = "[[route]]\nupstream = \"http://127.0.0.1:3000\"\nbearer = [\"batch\"]\n";
    assert_eq!(checked(&format!("{bearer}{route}")).0, 0);
    for (bearer, route, key) in [
        (bearer.replace("audience = \"api\"\n", ""), route.to_owned(), "bearer[0].audience"),
        (bearer.replace("\"api\"", "[]"), route.to_owned(), "bearer[0].audience"),
        (bearer.replace("\"api\"", "\"\""), route.to_owned(), "bearer[0].audience"),
        (bearer.replace("issuer = \"https://op.test\"\n", ""), route.to_owned(), "bearer[0].issuer"),
        (bearer.replace("https://op.test", "http://op.test"), route.to_owned(), "bearer[0].issuer"),
        (bearer.replace("https://op.test", "https://app.example.ch/"), route.to_owned(), "bearer[0].issuer"),
        (format!("{bearer}alg = [\"HS256\"]\n"), route.to_owned(), "bearer[0].alg"),
        (format!("{bearer}alg = \"none\"\n"), route.to_owned(), "bearer[0].alg"),
        (format!("{bearer}alg = []\n"), route.to_owned(), "bearer[0].alg"),
        (format!("{bearer}scopes = ['a\"b']\n"), route.to_owned(), "bearer[0].scopes"),
        (format!("{bearer}discovery = \"http://op.test/x\"\n"), route.to_owned(), "bearer[0].discovery"),
        (format!("{bearer}ca_file = \"nowhere.pem\"\n"), route.to_owned(), "bearer[0].ca_file"),
        (format!("{bearer}proxy = \"egress\"\n"), route.to_owned(), "bearer[0].proxy"),
        (format!("{bearer}claims = {{ sub = \"x\" }}\n"), route.to_owned(), "bearer[0].claims.sub"),
        (format!("{bearer}client_id = \"x\"\n"), route.to_owned(), "bearer[0].client_id"),
        (bearer.replace("\"batch\"", "\"op\""), route.replace("batch", "op"), "bearer[0].id"),
        (format!("{bearer}{bearer}"), route.to_owned(), "bearer[1].id"),
        (bearer.to_owned(), route.replace("batch", "bach"), "route[0].bearer"),
        (bearer.to_owned(), format!("{route}access = \"public\"\n"), "route[0].bearer"),
    ] {
        let (code, found) = checked(&format!("{bearer}{route}"));
        let problem = &found["problems"][0];
        assert_eq!((code, problem["key"].as_str()), (2, Some(key)), "{bearer}{route} {found}");
        assert!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{found}");
    }
    let twin = bearer.replace("batch", "twin");
    let (code, found) =
        checked(&format!("{bearer}{twin}{}", route.replace("[\"batch\"]", "[\"batch\", \"twin\"]")));
    assert_eq!((code, found["problems"][0]["key"].as_str()), (2, Some("route[0].bearer")), "{found}");
    let (_, nearest) = checked(&format!("{bearer}{}", route.replace("batch", "bach")));
    assert!(nearest["problems"][0]["hint"].as_str().is_some_and(|hint| hint.contains("batch")), "{nearest}");
    let warned = |text: &str, name: &str| {
        let (_, found) = checked(text);
        found["warnings"].as_array().is_some_and(|all| all.iter().any(|warning| warning["name"] == name))
    };
    let id_tokens = bearer.replace("\"api\"", "\"us\"");
    assert!(warned(&format!("{id_tokens}{route}"), "bearer-takes-id-tokens"));
    assert!(warned(&format!("{bearer}{route}"), "open-to-every-machine"));
    assert!(!warned(&format!("{bearer}scopes = \"read\"\n{route}"), "open-to-every-machine"));
}

#[test]
fn check_online_and_explain_speak_of_issuers() {
    let (op, issuer, application) = (provider(Manner::Plain), provider(Manner::Plain), application());
    let folder = Folder::new();
    folder.write(
        "gateway.toml",
        &format!(
            "public_url = \"https://app.example.ch\"\n{}\n{}\n[[route]]\npath = \"/api/\"\nupstream = \"http://127.0.0.1:{port}\"\n\
             bearer = \"batch\"\nrequire = {{ acr = \"high\" }}\n[[route]]\nupstream = \"http://127.0.0.1:{port}\"\n",
            provider_toml("op", &op, "acr_ladder = [[\"high\"]]"),
            bearer_toml("batch", &issuer, "scopes = \"read\""),
            port = application.port()
        ),
    );
    let path = |name: &str| folder.path(name).to_string_lossy().into_owned();
    let (code, out, err) = gateway::command(&["check", "--online", "--config", &path("gateway.toml")]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("bearer \"batch\" answers"), "{out}");
    issuer.stop();
    let (code, _, err) = gateway::command(&["check", "--online", "--config", &path("gateway.toml")]);
    assert!(code == 1 && err.contains("bearer[0]"), "{code} {err}");
    for (claims, url, decision, reason) in [
        (json!({"sub": "a", "scope": "read", "acr": "high"}), "/api/x", "permit", "met"),
        (json!({"sub": "a", "scope": "read"}), "/api/x", "forbid", "acr-not-met"),
        (json!({"sub": "a", "acr": "high"}), "/api/x", "forbid", "scope-missing"),
        (json!({"sub": "a", "scope": "read", "acr": "high"}), "/x", "login", "no-session"),
    ] {
        let file = folder.write("claims.json", &json!({"provider": "batch", "id_token": claims}).to_string());
        let url = format!("https://app.example.ch{url}");
        let arguments = ["explain", "--json", "--config", &path("gateway.toml"), "--url", &url, "--claims"];
        let arguments: Vec<&str> = arguments.into_iter().chain(file.to_str()).collect();
        let (code, out, err) = gateway::command(&arguments);
        assert_eq!(code, 0, "{err}");
        let said: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(
            (said["decision"].as_str(), said["reason"].as_str()),
            (Some(decision), Some(reason)),
            "{said}"
        );
        assert_eq!(
            said["requires"]["bearer"],
            if url.contains("/api/") { json!(["batch"]) } else { json!([]) }
        );
    }
}
