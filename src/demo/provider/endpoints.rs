//! The endpoints of a simulated provider.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::http::{Body, Request, Response};
use super::super::jose::{Key, sha256};
use super::super::phone;
use super::client::{CERTIFICATE, is_client};
use super::manner::PEOPLE;
use super::{CODE, EC, Grant, Manner, Proof, Shared, level4, logout, now, par};

/// Longer than any deadline of the gateway's.
pub(super) const SLOW: Duration = Duration::from_secs(20);

/// Answers one request.
pub(super) async fn answer(shared: &Shared, request: Request) -> Response {
    if shared.has("everything-slow") {
        tokio::time::sleep(SLOW).await;
    }
    let [authorize, token, userinfo, jwks, end_session, pushed] = shared.settings.manner.paths();
    let path = request.path().to_owned();
    let is = |known: &str| !known.is_empty() && path == known;
    if path.ends_with("/.well-known/openid-configuration") && shared.discovery().ends_with(&path) {
        shared.lock().calls.discovery += 1;
        return discovery(shared);
    }
    match path.as_str() {
        "/sim/fault" => switch(shared, &request),
        "/sim/decide" => decide(shared, &request),
        "/sim/frame" => logout::framed(shared, &request),
        _ if is(authorize) => start(shared, &request),
        _ if is(token) => exchange(shared, &request).await,
        _ if is(pushed) => par::push(shared, &request).await,
        _ if is(userinfo) => person(shared, &request).await,
        _ if is(jwks) => {
            shared.lock().calls.jwks += 1;
            keys(shared)
        }
        _ if is(end_session) => logout::end_session(shared, &request),
        _ => {
            shared.lock().calls.unknown += 1;
            Response::new(404, "text/plain", "not found")
        }
    }
}

fn discovery(shared: &Shared) -> Response {
    if shared.has("discovery-500") {
        return Response::new(500, "text/plain", "out of order");
    }
    Response::json(200, &shared.document())
}

fn keys(shared: &Shared) -> Response {
    if let Some(answer) = shared.scripted("jwks") {
        return answer;
    }
    let mut state = shared.lock();
    let ec = state.ec_key.get_or_insert_with(|| Key::of(EC, "ES256")).jwk("sig");
    let has = |fault: &str| state.faults.contains(fault);
    if has("jwks-500") {
        return Response::new(500, "text/plain", "out of order");
    }
    if has("jwks-html") {
        return Response::html("<html><body>please sign in</body></html>".to_owned());
    }
    let usage = if has("enc-keys-only") { "enc" } else { "sig" };
    let mut keys: Vec<Value> =
        if has("jwks-empty") { Vec::new() } else { state.keys.iter().map(|k| k.jwk(usage)).collect() };
    if has("odd-keys") {
        keys.insert(0, json!({"kty": "weird", "kid": "first"}));
        keys.insert(0, json!({"kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"}));
        keys.insert(0, json!({"kty": "oct", "k": "AAAA", "kid": "first"}));
        keys.push(json!({"kty": "RSA", "use": "enc", "n": "AAAA", "e": "AQAB"}));
    }
    if !has("jwks-empty") && !has("enc-keys-only") {
        keys.push(ec);
    }
    if has("keys-without-kid") {
        for key in &mut keys {
            key.as_object_mut().map(|key| key.remove("kid"));
        }
    }
    Response::json(200, &json!({ "keys": keys }))
}

/// The authorization endpoint.
fn start(shared: &Shared, request: &Request) -> Response {
    let front = request.query();
    {
        let mut state = shared.lock();
        state.calls.authorize += 1;
        state.calls.front.clone_from(&front);
    }
    let parameters = match par::resolve(shared, &front) {
        Ok(parameters) => parameters,
        Err(why) => return Response::new(400, "text/plain", why),
    };
    shared.lock().calls.authorization.clone_from(&parameters);
    let parameters: BTreeMap<String, String> = parameters.into_iter().collect();
    if let Err(refusal) = check(shared, &parameters) {
        return *refusal;
    }
    if let Some(origin) = parameters.get("redirect_uri").and_then(|uri| logout::origin(uri)) {
        shared.lock().origins.insert(origin);
    }
    if shared.has("answer-error") {
        let (error, description) = shared.lock().answer_error.clone();
        return refuse(shared, &parameters, &error, &description);
    }
    if !shared.settings.interactive {
        return approve(shared, parameters, 0);
    }
    let id = sha256(parameters.get("state").map_or("", String::as_str));
    let page = phone::page(shared.settings.manner, &id, &parameters);
    shared.lock().waiting.insert(id, parameters);
    Response::html(page)
}

fn check(shared: &Shared, parameters: &BTreeMap<String, String>) -> Result<(), Box<Response>> {
    let find = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    if find("client_id") != shared.settings.client_id || !find("redirect_uri").starts_with("http") {
        return Err(Box::new(Response::new(400, "text/plain", "unknown client or redirect_uri")));
    }
    match objection(shared, parameters) {
        Some((error, text)) => Err(Box::new(refuse(shared, parameters, error, &text))),
        None => Ok(()),
    }
}

/// What is wrong with a request, in OAuth's words and in Mobile ID's.
pub(super) fn objection(
    shared: &Shared,
    parameters: &BTreeMap<String, String>,
) -> Option<(&'static str, String)> {
    let manner = shared.settings.manner;
    let find = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    let invalid = |text: &str| Some(("invalid_request", text.to_owned()));
    if find("response_type") != "code" || find("state").is_empty() || find("nonce").is_empty() {
        return invalid("mid_req_1000_TRACE1000 - Missing parameter");
    }
    if find("code_challenge_method") != "S256" || find("code_challenge").len() != 43 {
        return invalid("PKCE with S256 is required");
    }
    if !find("scope").split(' ').any(|scope| scope == "openid") {
        return Some(("invalid_scope", "openid is missing".to_owned()));
    }
    if let Some(name) = manner.forbids().iter().find(|name| parameters.contains_key(**name)) {
        return invalid(&format!("mid_sec_2030_TRACE2030 - Unauthorized parameter {name}"));
    }
    let hint = find("login_hint");
    let is_object = || serde_json::from_str::<Value>(hint).is_ok_and(|hint| hint.is_object());
    if manner == Manner::MobileId && !hint.is_empty() && !is_object() {
        return invalid("mid_req_1030_TRACE1030 - login_hint is no JSON object");
    }
    let acr = find("acr_values");
    if manner == Manner::MobileId && acr.contains(' ') {
        return invalid("mid_req_1010_TRACE1010 - More than one acr_values");
    }
    if !acr.is_empty() && manner != Manner::B2c && !acr.split(' ').any(|acr| manner.levels().contains(&acr)) {
        return invalid("mid_req_1020_TRACE1020 - Unknown acr_values");
    }
    level4::objection(manner, parameters).and_then(invalid)
}

/// What the person did at the page.
fn decide(shared: &Shared, request: &Request) -> Response {
    let form: BTreeMap<String, String> = request.form().into_iter().collect();
    let find = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let Some(parameters) = shared.lock().waiting.remove(find("id")) else {
        return Response::new(400, "text/plain", "this sign-in is over");
    };
    let person = PEOPLE.iter().position(|person| person.key == find("approve"));
    match (person, phone::outcome(find("outcome"))) {
        (Some(person), _) => approve(shared, parameters, person),
        (None, Some((error, description))) => refuse(shared, &parameters, error, description),
        (None, None) => Response::new(400, "text/plain", "nothing was chosen"),
    }
}

fn approve(shared: &Shared, parameters: BTreeMap<String, String>, person: usize) -> Response {
    let Some(who) = PEOPLE.get(person) else { return Response::new(400, "text/plain", "nobody") };
    if level4::is_another(shared.settings.manner, &parameters, who) {
        let text = "mid_auth_3030_TRACE3030 - Serial number does not match";
        return refuse(shared, &parameters, "access_denied", text);
    }
    let code = format!("CODE_zz{}", sha256(&format!("{:?} {parameters:?}", Instant::now())));
    let fields = vec![("code".to_owned(), code.clone())];
    let reply = send_back(shared, &parameters, fields);
    let mut state = shared.lock();
    let family = state.refresh.new_family();
    state.codes.insert(code, Grant { parameters, person, at: Instant::now(), auth_time: now(), family });
    drop(state);
    reply
}

fn refuse(
    shared: &Shared,
    parameters: &BTreeMap<String, String>,
    error: &str,
    description: &str,
) -> Response {
    let fields = vec![
        ("error".to_owned(), error.to_owned()),
        ("error_description".to_owned(), description.to_owned()),
    ];
    send_back(shared, parameters, fields)
}

/// The authorization response, by query or by a form that posts itself.
fn send_back(
    shared: &Shared,
    parameters: &BTreeMap<String, String>,
    mut fields: Vec<(String, String)>,
) -> Response {
    let find = |name: &str| parameters.get(name).cloned().unwrap_or_default();
    let mangled = if shared.has("answer-wrong-state") { "x" } else { "" };
    fields.push(("state".to_owned(), find("state") + mangled));
    if shared.has("answer-wrong-iss") {
        fields.push(("iss".to_owned(), "https://evil.test/".to_owned()));
    } else if shared.settings.manner.sends_iss() && !shared.has("answer-missing-iss") {
        fields.push(("iss".to_owned(), shared.issuer()));
    }
    let mode = find("response_mode");
    if mode == "form_post" || (mode.is_empty() && shared.settings.manner.posts_by_default()) {
        return Response::html(phone::form_post(&find("redirect_uri"), &fields));
    }
    let Ok(mut url) = url::Url::parse(&find("redirect_uri")) else {
        return Response::new(400, "text/plain", "redirect_uri");
    };
    url.query_pairs_mut().extend_pairs(fields);
    Response::redirect(url.as_str())
}

/// The token endpoint.
async fn exchange(shared: &Shared, request: &Request) -> Response {
    let form: BTreeMap<String, String> = request.form().into_iter().collect();
    let is_refresh = form.get("grant_type").is_some_and(|grant| grant == "refresh_token");
    {
        let mut state = shared.lock();
        state.calls.token += 1;
        state.calls.refresh += usize::from(is_refresh);
        state.calls.token_request = request.clone();
    }
    if shared.has("token-slow") {
        tokio::time::sleep(SLOW).await;
    }
    while is_refresh && shared.has("refresh-held") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let fixed = [
        ("token-500", Response::new(500, "text/plain", "out of order")),
        ("token-429", Response::json(429, &json!({ "error": "invalid_grant" }))),
        ("token-html", Response::html("<html>please wait</html>".to_owned())),
        ("token-invalid-json", Response::new(200, "application/json", "{\"access_token\": ")),
        (
            "token-oversized",
            Response::new(200, "application/json", format!("{{\"x\": \"{}\"}}", "a".repeat(100_000))),
        ),
        ("token-redirect", Response::new(307, "text/plain", "").with("Location", "https://evil.test/token")),
        ("token-invalid-grant", Response::json(400, &json!({ "error": "invalid_grant" }))),
        ("token-closed", Response { status: 200, headers: Vec::new(), body: Body::Nothing }),
    ];
    for (fault, response) in fixed {
        if shared.has(fault) {
            return response;
        }
    }
    if let Some(answer) = shared.scripted("token") {
        return answer;
    }
    let error = |status: u16, error: &str| Response::json(status, &json!({ "error": error }));
    if !is_client(shared, request, &form) {
        return error(401, "invalid_client");
    }
    if is_refresh {
        return shared.refresh(&form);
    }
    let find = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let grant = shared.lock().codes.remove(find("code"));
    let Some(grant) = grant.filter(|grant| grant.at.elapsed() < CODE) else {
        return error(400, "invalid_grant");
    };
    let asked = |name: &str| grant.parameters.get(name).map(String::as_str).unwrap_or_default();
    let good = find("grant_type") == "authorization_code"
        && find("redirect_uri") == asked("redirect_uri")
        && sha256(find("code_verifier")) == asked("code_challenge");
    if !good {
        return error(400, "invalid_grant");
    }
    let refresh_token = shared.first_refresh_token(&grant);
    shared.tokens(grant, refresh_token)
}

/// The UserInfo endpoint: the token in the header only.
async fn person(shared: &Shared, request: &Request) -> Response {
    {
        let mut state = shared.lock();
        state.calls.userinfo += 1;
        state.calls.userinfo_request = request.clone();
    }
    // Until somebody switches it off again.
    while shared.has("userinfo-waits") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if shared.has("userinfo-slow") {
        tokio::time::sleep(SLOW).await;
    }
    if let Some(answer) = shared.scripted("userinfo") {
        return answer;
    }
    let token =
        request.header("authorization").and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
    let elsewhere = request.target.contains("access_token") || !request.body.is_empty();
    // RFC 8705 §3: the token belongs to the certificate.
    let is_bound = match &shared.lock().proof {
        Proof::Certificate(hash) => request.header(CERTIFICATE).is_some_and(|shown| shown == *hash),
        Proof::Secret | Proof::Key(_) => true,
    };
    let grant =
        token.filter(|_| !elsewhere && is_bound).and_then(|token| shared.lock().access.get(&token).cloned());
    match grant {
        Some(grant) => shared.userinfo(&grant),
        None => Response::json(401, &json!({ "error": "invalid_token" })),
    }
}

/// Faults can be switched from outside: `POST /sim/fault?name=…&on=1`.
fn switch(shared: &Shared, request: &Request) -> Response {
    let query: BTreeMap<String, String> = request.query().into_iter().collect();
    let on = query.get("on").is_some_and(|on| on == "1");
    match query.get("name") {
        Some(name) if request.method == "POST" => {
            shared.switch(name, on);
            Response::json(200, &json!({ "fault": name, "on": on }))
        }
        Some(_) | None => Response::new(400, "text/plain", "POST /sim/fault?name=…&on=1"),
    }
}
