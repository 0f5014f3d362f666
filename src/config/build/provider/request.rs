//! What is asked of a provider beside the protocol's own parameters, and what never is.

use serde_json::json;

use super::super::super::file::{self, OrFalse, RequestValue as Written, When};
use super::super::super::problem::path;
use super::super::{Desk, dtbd, headers};
use crate::provider::{ENROLLED, RequestValue};

/// Parameters that protect the login or that have a key of their own.
const OURS: [(&str, &str); 16] = [
    ("response_type", "it is always code"),
    ("client_id", "write client_id"),
    ("client_secret", "it never goes through the browser"),
    ("client_assertion", "write client_auth = \"private_key_jwt\""),
    ("client_assertion_type", "write client_auth = \"private_key_jwt\""),
    ("redirect_uri", "it follows from public_url and endpoints.callback"),
    ("scope", "write scopes"),
    ("state", "it is fresh for every login"),
    ("nonce", "it is fresh for every login"),
    ("code_challenge", "it is fresh for every login"),
    ("code_challenge_method", "it is always S256"),
    ("response_mode", "write response_mode"),
    ("acr_values", "write acr_values, or require.acr on a route"),
    ("max_age", "write require.max_age on a route"),
    ("request", "request objects are not sent"),
    ("request_uri", "request objects are not sent"),
];
/// Without these a login proves nothing.
const NEVER_FORBIDDEN: [&str; 8] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
];

/// Further parameters of the authorization request, none of them ours and none of them forbidden.
pub(super) fn request(
    provider: &file::Provider,
    key: &str,
    desk: &mut Desk<'_>,
) -> Option<Vec<(String, RequestValue)>> {
    let mut good = forbid(provider, key, desk);
    let mut request = Vec::new();
    for (name, written) in &provider.request {
        let own = path(&format!("{key}.request"), name);
        if let Some((_, instead)) = OURS.iter().find(|(ours, _)| ours == name) {
            desk.report.problem(own, format!("\"{name}\" is the gateway's own parameter"), *instead);
            good = false;
            continue;
        }
        if matches!(written, Written::Removed(_)) {
            continue;
        }
        let value = value(name, written, &own, desk);
        if let Some(value) = &value {
            check_the_way(provider, value, &own, desk);
        }
        if let (true, Written::Text(text)) = (name == "dtbd", written) {
            good &= dtbd::check(text, &own, desk.report);
        }
        match value {
            Some(value) => request.push((name.clone(), value)),
            None => good = false,
        }
    }
    if provider.takes_phone() && !provider.request.contains_key("login_hint") {
        // Without it the provider would have nothing to compare the phone with.
        let hint = json!({ "hints": [{
            "msisdn": "{enrolled.phone_number}", "sn": "{enrolled.sn}", "keyringId": "{enrolled.keyringId}"
        }] });
        let hint = RequestValue::json(&hint).ok()?;
        check_the_way(provider, &hint, &format!("{key}.pushed_authorization"), desk);
        request.push(("login_hint".to_owned(), hint));
    }
    good.then_some(request)
}

/// Names that the values of `request` look up, whether or not the values can be used.
pub(in crate::config::build) fn names(provider: &file::Provider) -> Vec<String> {
    let value = |written: &Written| match written {
        Written::Text(text) => crate::identity::Template::parse(text).ok().map(RequestValue::Text),
        Written::Json(json) => RequestValue::json(&json.json).ok(),
        Written::Removed(_) => None,
    };
    let values: Vec<RequestValue> = provider.request.values().filter_map(value).collect();
    values.iter().flat_map(RequestValue::names).map(str::to_owned).collect()
}

fn value(name: &str, written: &Written, key: &str, desk: &mut Desk<'_>) -> Option<RequestValue> {
    match written {
        Written::Text(text) if name == "ui_locales" && text == "auto" => Some(RequestValue::VisitorLanguage),
        Written::Text(text) => headers::template(text, key, desk.report).map(RequestValue::Text),
        Written::Json(json) => match RequestValue::json(&json.json) {
            Ok(value) => Some(value),
            Err((text, error)) => {
                let hint = "a name in braces is looked up: \"{phone_number}\"; write {{ for a brace";
                desk.report.problem(key, format!("\"{text}\" is no template: {error}"), hint);
                None
            }
        },
        Written::Removed(_) => None,
    }
}

/// What the person at the browser must not read or change goes by PAR.
fn check_the_way(provider: &file::Provider, value: &RequestValue, key: &str, desk: &mut Desk<'_>) {
    if provider.pushed_authorization != When::Never {
        return;
    }
    let names = value.names();
    if names.iter().any(|name| name.starts_with(ENROLLED)) {
        let message = "an enrolled value must go by PAR, and pushed_authorization = \"never\"";
        desk.report.problem(key, message, "leave pushed_authorization at auto");
    } else if names.iter().any(|name| !name.starts_with("query.")) {
        let message = "pushed_authorization = \"never\": what the session says goes through the browser's address, where \
                       others may read it";
        desk.report.warn("confidential-in-address", key, message);
    }
}

/// A parameter cannot be sent and forbidden at once.
fn forbid(provider: &file::Provider, key: &str, desk: &mut Desk<'_>) -> bool {
    let sent = |name: &str| match name {
        "response_mode" => provider.response_mode != file::ResponseMode::None,
        "acr_values" => provider.acr_values.as_ref().and_then(OrFalse::text).is_some(),
        name => provider.request.get(name).is_some_and(|value| !matches!(value, Written::Removed(_))),
    };
    let mut good = true;
    for (index, name) in provider.forbid.iter().enumerate() {
        let own = format!("{key}.forbid[{index}]");
        if NEVER_FORBIDDEN.contains(&name.as_str()) {
            let message = format!("\"{name}\" protects every login and cannot be forbidden");
            desk.report.problem(own, message, "remove it");
            good = false;
        } else if sent(name) {
            let message = format!("\"{name}\" is forbidden here, and configured to be sent");
            desk.report.problem(own, message, "remove it from one of the two places");
            good = false;
        }
    }
    good
}
