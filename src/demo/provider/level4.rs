//! Level 4 in the manner of Mobile ID: the request names the phone that must answer.
//!
//! *Source:* Mobile ID's integration guide on level 4 (`sn`, `keyringId`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::Manner;
use super::manner::Person;

/// What the phone of a person says of itself.
pub(super) fn serial(person: &Person) -> String {
    format!("MIDCHE{}", person.document)
}

/// What is wrong with a level-4 request: it says nothing of a phone.
pub(super) fn objection(manner: Manner, parameters: &BTreeMap<String, String>) -> Option<&'static str> {
    let hint = hint(manner, parameters)?;
    let names = |name: &str| hint.pointer(&format!("/hints/0/{name}")).is_some_and(Value::is_string);
    let is_said = names("sn") || names("keyringId");
    (!is_said).then_some("mid_req_1040_TRACE1040 - Serial number or keyring id is missing")
}

/// Whether the phone of a person is another one than the request names.
pub(super) fn is_another(manner: Manner, parameters: &BTreeMap<String, String>, person: &Person) -> bool {
    let hint = hint(manner, parameters);
    let sn = hint.as_ref().and_then(|hint| hint.pointer("/hints/0/sn")?.as_str());
    sn.is_some_and(|sn| sn != serial(person))
}

/// The hint of a level-4 request; none for any other request.
fn hint(manner: Manner, parameters: &BTreeMap<String, String>) -> Option<Value> {
    let is_level4 = parameters.get("acr_values").is_some_and(|acr| acr.starts_with("mid_al4"));
    let hint = parameters.get("login_hint").and_then(|hint| serde_json::from_str(hint).ok());
    (manner == Manner::MobileId && is_level4).then(|| hint.unwrap_or(Value::Null))
}
