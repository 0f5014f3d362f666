//! What a policy file can speak of: the schema that it is validated against, and nothing else.
//! Pure.
//!
//! *Source:* Cedar's schema language (docs.cedarpolicy.com/schema); README "Policy files".

use std::fmt::Write as _;

use super::uses::{Kind, Tree, Uses};

/// Attributes of a person beside `claims`: name, type, and whether everybody has it.
pub(super) const PERSON: [(&str, &str, bool); 5] = [
    ("provider", "String", true),
    ("issuer", "String", true),
    ("subject", "String", true),
    ("acr", "String", false),
    ("amr", "Set<String>", true),
];

/// Attributes of a request: name, type, and whether each has it.
pub(super) const REQUEST: [(&str, &str, bool); 8] = [
    ("host", "String", true),
    ("path", "String", true),
    ("auth_age", "Long", false),
    ("client", "ipaddr", false),
    ("client_cert_subject", "String", false),
    ("client_cert_sha256", "String", false),
    ("now", "datetime", true),
    ("weekday", "Long", true),
];

/// The methods that every schema knows. GET stands for HEAD too, as in `methods` of a route.
pub(super) const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The schema for one file, in Cedar's own language.
///
/// What may be missing is optional where the file asks for it with `has`, so that the validator demands the question
/// everywhere; where the file never asks, it is taken to be there, and a policy that finds it missing fails.
pub(super) fn schema(uses: &Uses, methods: &[String], routes: &[String]) -> String {
    let mut text = String::from("entity Person = {\n");
    attributes(&mut text, &PERSON, |name| uses.asks_person(name));
    text.push_str("  claims: Claims,\n};\ntype Claims = ");
    record(&mut text, &uses.claims, 1);
    text.push_str(";\ntype Request = {\n");
    attributes(&mut text, &REQUEST, |name| uses.asks_context(name));
    text.push_str("};\n");
    let quoted =
        |names: &[String]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let (routes, methods) = (quoted(routes), quoted(methods));
    // Writing to a String does not fail.
    let _ = writeln!(text, "entity Route enum [{routes}];");
    let _ = writeln!(
        text,
        "action {methods} appliesTo {{ principal: [Person], resource: [Route], context: Request }};"
    );
    text
}

fn attributes(text: &mut String, known: &[(&str, &str, bool)], asks: impl Fn(&str) -> bool) {
    for (name, kind, always) in known {
        let mark = if !always && asks(name) { "?" } else { "" };
        let _ = writeln!(text, "  {name}{mark}: {kind},");
    }
}

fn record(text: &mut String, tree: &Tree, depth: usize) {
    text.push_str("{\n");
    for (name, child) in &tree.children {
        let mark = if child.is_asked { "?" } else { "" };
        let _ = write!(text, "{}{name:?}{mark}: ", "  ".repeat(depth));
        match child.kind() {
            _ if !child.children.is_empty() => record(text, child, depth + 1),
            kind => text.push_str(cedar_type(kind)),
        }
        text.push_str(",\n");
    }
    let _ = write!(text, "{}}}", "  ".repeat(depth.saturating_sub(1)));
}

/// A claim of which the file only asks whether it is there stands for `true`.
fn cedar_type(kind: Option<Kind>) -> &'static str {
    match kind {
        Some(Kind::Text) => "String",
        Some(Kind::Number) => "Long",
        Some(Kind::Decimal) => "decimal",
        Some(Kind::Flag) | None => "Bool",
        Some(Kind::Texts) => "Set<String>",
        Some(Kind::Numbers) => "Set<Long>",
    }
}
