//! The page on which somebody plays the person with the phone.

use std::collections::BTreeMap;

use minijinja::{Environment, context};

use super::provider::Manner;
use super::provider::people;

/// What can happen on a phone besides approval: the name, the words on the button, the provider's answer.
const OUTCOMES: [(&str, &str, &str, &str); 5] = [
    ("cancel", "Cancel", "access_denied", "mid_auth_3010_A9W1GLUM - Authentication rejected by the user"),
    ("timeout", "Let it time out", "access_denied", "mid_auth_3012_B2X4TTKP - No answer in time"),
    ("number", "Pick the wrong number", "access_denied", "mid_auth_3013_C7K2WQRN - Wrong number chosen"),
    ("sim", "Phone has no SIM", "access_denied", "mid_auth_3070_D5M8SLVA - SIM needed"),
    ("outage", "Provider is out of order", "server_error", "mid_sys_9001_E1P6OUTG - Internal error"),
];

/// The error of an outcome.
pub(super) fn outcome(name: &str) -> Option<(&'static str, &'static str)> {
    OUTCOMES
        .iter()
        .find(|(known, ..)| *known == name)
        .map(|(_, _, error, description)| (*error, *description))
}

/// The page for one login.
pub(super) fn page(manner: Manner, id: &str, parameters: &BTreeMap<String, String>) -> String {
    let wallet = manner == Manner::Idemia;
    let acr = parameters.get("acr_values").map_or("no level in particular", String::as_str);
    let text = parameters.get("dtbd").map_or("Do you want to sign in to Gemeinde Seewil?", String::as_str);
    render(
        "phone",
        include_str!("pages/phone.html"),
        context! {
            wallet, id, acr, text,
            provider => if wallet { "mID Wallet" } else { "Mobile ID" },
            number => "47",
            people => people().map(|(key, name)| context! { key, name }).collect::<Vec<_>>(),
            outcomes => OUTCOMES.map(|(name, label, ..)| context! { name, label }).to_vec(),
        },
    )
}

/// A form that posts an authorization response (OAuth 2.0 Form Post Response Mode).
pub(super) fn form_post(action: &str, fields: &[(String, String)]) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, value)| context! { name, value }).collect();
    render("form", include_str!("pages/form_post.html"), context! { action, fields })
}

/// Renders one of the demo's templates, which are all embedded.
pub(super) fn render(name: &str, template: &str, values: minijinja::Value) -> String {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    environment
        .render_named_str(name, template, values)
        .unwrap_or_else(|error| format!("template {name}: {error}"))
}
