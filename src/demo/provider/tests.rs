//! A simulated provider plays a whole login, and its faults take effect.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::super::jose::sha256;
use super::*;

fn start(manner: Manner) -> Simulated {
    Simulated::start(Settings {
        manner,
        host: "127.0.0.1".into(),
        port: 0,
        client_id: "us".into(),
        client_secret: "a b".into(),
        interactive: false,
    })
    .unwrap()
}

fn ask(provider: &Simulated, method: &str, target: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", provider.port())).unwrap();
    let length = body.len();
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn login(provider: &Simulated) -> String {
    let challenge = sha256("verifier");
    let answer = ask(
        provider,
        "GET",
        &format!(
            "/authorize?response_type=code&client_id=us&redirect_uri=http://a/cb&scope=openid&state=s&nonce=n\
             &code_challenge_method=S256&code_challenge={challenge}"
        ),
        "",
        "",
    );
    let location = answer.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
    let url = url::Url::parse(location).unwrap();
    let code = url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let body =
        format!("grant_type=authorization_code&code={code}&redirect_uri=http://a/cb&code_verifier=verifier");
    // base64 of `us:a+b`.
    ask(provider, "POST", "/token", "Authorization: Basic dXM6YSti\r\n", &body)
}

#[test]
fn a_login_is_played_to_its_end() {
    let provider = start(Manner::Plain);
    let answer = login(&provider);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let bearer = format!("Authorization: Bearer {}\r\n", body["access_token"].as_str().unwrap());
    let userinfo = ask(&provider, "GET", "/userinfo", &bearer, "");
    assert!(userinfo.contains("Müller-François"), "{userinfo}");
    let calls = provider.calls();
    assert_eq!((calls.authorize, calls.token, calls.userinfo), (1, 1, 1));
}

#[test]
fn faults_take_effect_and_heal() {
    let provider = start(Manner::Plain);
    provider.fault("token-500", true);
    assert!(login(&provider).starts_with("HTTP/1.1 500"));
    provider.heal();
    assert!(login(&provider).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_refresh_token_is_good_once_and_its_second_use_ends_all_that_came_of_the_login() {
    let provider = start(Manner::Plain);
    let read = |answer: &str| -> Value {
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let token = |answer: &Value| answer["refresh_token"].as_str().unwrap().to_owned();
    let refresh = |token: &str| {
        let body = format!("grant_type=refresh_token&refresh_token={token}");
        ask(&provider, "POST", "/token", "Authorization: Basic dXM6YSti\r\n", &body)
    };
    let first = token(&read(&login(&provider)));
    let second = read(&refresh(&first));
    assert!(second["access_token"].is_string() && second["id_token"].is_string(), "{second}");
    assert!(refresh(&first).starts_with("HTTP/1.1 400"));
    assert!(refresh(&token(&second)).starts_with("HTTP/1.1 400"), "the whole family is revoked");
    assert_eq!((provider.calls().refresh, provider.calls().reused), (3, 1));
    assert!(refresh(&token(&read(&login(&provider)))).starts_with("HTTP/1.1 200"), "another login's is not");
}
