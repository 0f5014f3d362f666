//! The endpoint for pushed authorization requests.
//!
//! *Source:* RFC 9126.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::http::{Body, Request, Response};
use super::super::jose::sha256;
use super::Shared;
use super::client::is_client;
use super::endpoints::{SLOW, objection};

/// A reference of Mobile ID's lives this long.
const LIFETIME: Duration = Duration::from_secs(60);

/// A request that waits for its browser.
#[derive(Clone)]
pub(super) struct Pushed {
    parameters: Vec<(String, String)>,
    at: Instant,
}

/// Takes a request and gives a reference to it.
pub(super) async fn push(shared: &Shared, request: &Request) -> Response {
    {
        let mut state = shared.lock();
        state.calls.par += 1;
        state.calls.par_request = request.clone();
    }
    if shared.has("par-slow") {
        tokio::time::sleep(SLOW).await;
    }
    if let Some(response) = fault(shared) {
        return response;
    }
    let form = request.form();
    let parameters: BTreeMap<String, String> = form.iter().cloned().collect();
    let error = |status: u16, error: &str, text: &str| {
        Response::json(status, &json!({ "error": error, "error_description": text }))
    };
    if shared.has("par-401") || !is_client(shared, request, &parameters) {
        return error(401, "invalid_client", "who are you?");
    }
    if request.method != "POST" || form.len() != parameters.len() || parameters.contains_key("request_uri") {
        return error(400, "invalid_request", "mid_req_1001_TRACE1001 - not a pushed request");
    }
    if shared.has("par-error") {
        let (code, text) = shared.lock().answer_error.clone();
        return error(400, &code, &text);
    }
    if let Some((code, text)) = objection(shared, &parameters) {
        return error(400, code, &text);
    }
    let reference = sha256(&format!("{:?} {form:?}", Instant::now()));
    let uri = format!("urn:ietf:params:oauth:request_uri:{reference}");
    // The proof of the client is not part of its request.
    let ours = |(name, _): &(String, String)| !name.starts_with("client_") || name == "client_id";
    let pushed = Pushed { parameters: form.into_iter().filter(ours).collect(), at: Instant::now() };
    shared.lock().pushed.insert(uri.clone(), pushed);
    let status = if shared.has("par-200") { 200 } else { 201 };
    Response::json(status, &json!({ "request_uri": uri, "expires_in": 60 }))
}

/// What a browser's request stands for: itself, or what was pushed before.
pub(super) fn resolve(
    shared: &Shared,
    front: &[(String, String)],
) -> Result<Vec<(String, String)>, &'static str> {
    let find = |name: &str| front.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let Some(uri) = find("request_uri") else {
        return if shared.has("par-required") {
            Err("a pushed request is required")
        } else {
            Ok(front.to_vec())
        };
    };
    let pushed = {
        let mut state = shared.lock();
        // RFC 9126 §4: once, but a person may load the page again.
        let is_kept = shared.settings.interactive;
        if is_kept { state.pushed.get(uri).cloned() } else { state.pushed.remove(uri) }
    };
    let pushed = pushed.filter(|pushed| pushed.at.elapsed() < LIFETIME).ok_or("unknown request_uri")?;
    if find("client_id") != Some(&shared.settings.client_id) {
        return Err("client_id is not that of the request");
    }
    // RFC 9126 §4: parameters of the address do not count; those of the endpoint itself are kept for the record.
    let own = front.iter().filter(|(name, _)| name != "request_uri" && name != "client_id").cloned();
    Ok(pushed.parameters.into_iter().chain(own).collect())
}

fn fault(shared: &Shared) -> Option<Response> {
    let json = |text: String| Response::new(201, "application/json", text);
    let response = match () {
        () if shared.has("par-no-request-uri") => json("{\"expires_in\": 60}".to_owned()),
        () if shared.has("par-odd-request-uri") => json("{\"request_uri\": \"urn:a b\\r\\nc\"}".to_owned()),
        () if shared.has("par-number") => json("{\"request_uri\": 7}".to_owned()),
        () if shared.has("par-oversized") => {
            json(format!("{{\"request_uri\": \"urn:x\", \"x\": \"{}\"}}", "a".repeat(100_000)))
        }
        () if shared.has("par-500") => Response::new(500, "text/plain", "out of order"),
        () if shared.has("par-html") => Response::html("<html>please wait</html>".to_owned()),
        () if shared.has("par-invalid-json") => json("{\"request_uri\": ".to_owned()),
        () if shared.has("par-redirect") => {
            Response::new(307, "text/plain", "").with("Location", "https://evil.test/par")
        }
        () if shared.has("par-closed") => Response { status: 200, headers: Vec::new(), body: Body::Nothing },
        () => return None,
    };
    Some(response)
}
