//! Keys that are known and whose capability this version does not have: asking for one is a problem (I7).
//! Pure.
//!
//! A version that gains the capability deletes its line.

use serde_json::Value;

use self::Asks::{AtAll, Beyond};
use super::problem::{Report, listed, path};

/// When a key asks for more than there is.
enum Asks {
    /// Whenever it is written, unless it is `false` or empty.
    AtAll,
    /// With any value but these.
    Beyond(&'static [&'static str]),
}

/// The key, when it asks for the capability, and what to do without it.
const TABLE: &[(&str, Asks, &str)] = &[
    ("telemetry", AtAll, "metrics are at /metrics of the health listener"),
    ("session.store", Beyond(&["memory"]), "sessions live in the memory of one gateway"),
];

/// Notes every key that asks for something that is not there.
pub(super) fn check(document: &Value, report: &mut Report) {
    for (pattern, asks, instead) in TABLE {
        let steps: Vec<&str> = pattern.split('.').collect();
        visit(document, &steps, "", &mut |value, key| {
            let message = match asks {
                AtAll if is_nothing(value) => return,
                AtAll => "not available in this version".to_owned(),
                Beyond(known) if value.as_str().is_none_or(|text| known.contains(&text)) => return,
                Beyond(known) => {
                    let text = value
                        .as_str()
                        .unwrap_or_default()
                        .split_once(':')
                        .map_or(value.as_str(), |(s, _)| Some(s));
                    let text = text.unwrap_or_default();
                    format!(
                        "\"{text}\" is not available in this version; accepted: {}",
                        listed(known.iter().copied())
                    )
                }
            };
            report.problem(key, message, *instead);
        });
    }
}

fn is_nothing(value: &Value) -> bool {
    *value == Value::Bool(false) || value.as_array().is_some_and(Vec::is_empty) || value.as_str() == Some("")
}

fn visit(value: &Value, steps: &[&str], key: &str, found: &mut dyn FnMut(&Value, &str)) {
    match (steps, value) {
        ([], value) => found(value, key),
        ([step, rest @ ..], Value::Object(map)) => {
            if let Some(value) = map.get(*step) {
                visit(value, rest, &path(key, step), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_there_cannot_be_asked_for() {
        let document =
            json!({ "session": {"store": "redis://user:hunter2@r"}, "telemetry": {"otlp": "http://x"} });
        let mut report = Report::default();
        check(&document, &mut report);
        let keys: Vec<_> = report.problems.iter().map(|p| p.key.as_str()).collect();
        assert_eq!(keys, ["telemetry", "session.store"]);
        assert!(report.problems.iter().all(|p| p.message.contains("not available in this version")));
        assert!(!report.problems[1].message.contains("hunter2"));
        for nothing in [json!({ "telemetry": false }), json!({ "session": {"store": "memory"} })] {
            let mut report = Report::default();
            check(&nothing, &mut report);
            assert!(report.problems.is_empty(), "{nothing}");
        }
    }
}
