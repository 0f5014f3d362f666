//! Does a document fit the schema? Every misfit is a problem, and is taken out so that the rest can be read.
//! Pure.
//!
//! *Source:* JSON Schema 2020-12, the part of it that the schema of gateway.toml uses.

use serde_json::{Map, Value};

use super::super::problem::{Report, listed, nearest, path, suggestion};
use super::super::unit::{LIMIT, Limit, SIZE, SIZE_HINT, Size, TIME, TIME_HINT, Time};

/// Checks a document and takes out what does not fit.
pub(super) fn check(schema: &Value, document: &mut Value, report: &mut Report) {
    Walk { report }.fits(schema, document, "");
}

/// Takes out of a generated schema what TOML does not know: null.
pub(in crate::config) fn simplify(schema: &mut schemars::Schema) {
    if let Some(object) = schema.as_object_mut() {
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        if object.get("default").is_some_and(Value::is_null) {
            object.remove("default");
        }
        if let Some(Value::Array(alternatives)) = object.get_mut("anyOf") {
            alternatives.retain(|alternative| alternative.get("type") != Some(&Value::from("null")));
            if let [Value::Object(only)] = alternatives.as_slice() {
                let only = only.clone();
                object.remove("anyOf");
                // A key's own description says more than that of its type.
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
        }
    }
    schemars::transform::transform_subschemas(&mut |schema: &mut schemars::Schema| simplify(schema), schema);
}

struct Walk<'r> {
    report: &'r mut Report,
}

impl Walk<'_> {
    /// Whether the value stays.
    fn fits(&mut self, schema: &Value, value: &mut Value, key: &str) -> bool {
        if let Some(alternatives) = alternatives(schema)
            && accepted_words(schema).is_none()
        {
            // Alternatives differ by type; of several tables the first decides.
            return match alternatives.iter().find(|alternative| has_type(alternative, value)) {
                Some(alternative) => self.fits(alternative, value, key),
                None => self.wrong_type(schema, value, key),
            };
        }
        if !has_type(schema, value) {
            return self.wrong_type(schema, value, key);
        }
        match value {
            Value::Object(map) => {
                self.fits_table(schema, map, key);
                true
            }
            Value::Array(items) => self.fits_list(schema, items, key),
            Value::String(text) => self.fits_text(schema, text, key),
            Value::Number(number) => self.fits_number(schema, number, key),
            Value::Bool(value) => match schema.get("const") {
                Some(only) if *only != Value::Bool(*value) => {
                    self.wrong_type(schema, &Value::Bool(*value), key)
                }
                _ => true,
            },
            Value::Null => true,
        }
    }

    fn fits_table(&mut self, schema: &Value, map: &mut Map<String, Value>, key: &str) {
        let no_properties = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&no_properties);
        let others = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
        map.retain(|name, value| {
            let own = path(key, name);
            match properties.get(name).unwrap_or(others) {
                Value::Bool(false) => {
                    let known = properties.keys().map(String::as_str);
                    self.report.problem(own, format!("unknown key \"{name}\""), suggestion(name, known));
                    false
                }
                schema => self.fits(schema, value, &own),
            }
        });
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !map.contains_key(name) {
                let hint = properties.get(name).map_or("write it", |schema| description(schema));
                self.report.problem(path(key, name), "missing", hint);
            }
        }
    }

    fn fits_list(&mut self, schema: &Value, items: &mut [Value], key: &str) -> bool {
        let Some(item_schema) = schema.get("items") else { return true };
        // A list without one of its elements would be another list: all or nothing.
        let mut fits = true;
        for (index, item) in items.iter_mut().enumerate() {
            fits &= self.fits(item_schema, item, &format!("{key}[{index}]"));
        }
        fits
    }

    fn fits_text(&mut self, schema: &Value, text: &str, key: &str) -> bool {
        if let Some(words) = accepted_words(schema) {
            if words.contains(&text) {
                return true;
            }
            let hint = match nearest(text, words.iter().copied()) {
                Some(word) => format!("did you mean \"{word}\"?"),
                None => description(schema).to_owned(),
            };
            let message = format!("unknown value \"{text}\"; accepted: {}", listed(words));
            self.report.problem(key, message, hint);
            return false;
        }
        let (good, hint) = match schema.get("format").and_then(Value::as_str) {
            Some(TIME) => (text.parse::<Time>().is_ok(), TIME_HINT),
            Some(SIZE) => (text.parse::<Size>().is_ok(), SIZE_HINT),
            Some(LIMIT) => (text.parse::<Limit>().is_ok(), SIZE_HINT),
            _ => return true,
        };
        if !good {
            self.report.problem(key, format!("\"{text}\" is not {}", named(schema)), format!("write {hint}"));
        }
        good
    }

    fn fits_number(&mut self, schema: &Value, number: &serde_json::Number, key: &str) -> bool {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let (least, most) = (bound("minimum"), bound("maximum"));
        let Some(value) = number.as_f64() else { return true };
        let good = least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most);
        if !good {
            let accepted = match (least, most) {
                (Some(least), Some(most)) => format!("a number from {least} to {most}"),
                _ => format!("a number of at least {}", least.unwrap_or_default()),
            };
            self.report.problem(
                key,
                format!("{number} is out of range; accepted: {accepted}"),
                description(schema),
            );
        }
        good
    }

    fn wrong_type(&mut self, schema: &Value, value: &Value, key: &str) -> bool {
        let message = format!("expected {}, found {}", named(schema), found(value));
        let hint = match schema.get("format").and_then(Value::as_str) {
            Some(TIME) => format!("write {TIME_HINT}"),
            Some(SIZE | LIMIT) => format!("write {SIZE_HINT}"),
            _ => description(schema).to_owned(),
        };
        self.report.problem(key, message, hint);
        false
    }
}

pub(super) fn alternatives(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array)
}

/// The words that a schema of words accepts.
fn accepted_words(schema: &Value) -> Option<Vec<&str>> {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return Some(words.iter().filter_map(Value::as_str).collect());
    }
    alternatives(schema)?.iter().map(|alternative| alternative.get("const")?.as_str()).collect()
}

fn has_type(schema: &Value, value: &Value) -> bool {
    if let Some(alternatives) = alternatives(schema) {
        return alternatives.iter().any(|alternative| has_type(alternative, value));
    }
    match schema.get("type") {
        Some(Value::String(kind)) => is_a(value, kind),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).any(|kind| is_a(value, kind)),
        _ => true,
    }
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

/// What a schema accepts, in words.
fn named(schema: &Value) -> String {
    if let Some(words) = accepted_words(schema) {
        return format!("one of {}", listed(words));
    }
    if let Some(alternatives) = alternatives(schema) {
        return alternatives.iter().map(named).collect::<Vec<_>>().join(" or ");
    }
    let text = |text: &str| text.to_owned();
    match (schema.get("type").and_then(Value::as_str), schema.get("format").and_then(Value::as_str)) {
        (_, Some(TIME)) => text("a duration"),
        (_, Some(SIZE)) => text("a size"),
        (_, Some(LIMIT)) => text("a size or \"unlimited\""),
        (Some("string"), _) => text("a text"),
        (Some("integer"), _) => text("a whole number"),
        (Some("number"), _) => text("a number"),
        (Some("boolean"), _) if schema.get("const").is_some() => text("false"),
        (Some("boolean"), _) => text("true or false"),
        (Some("array"), _) => match schema.get("items").map(named).as_deref() {
            Some("a text") => text("a list of texts"),
            Some("a table") => text("a list of tables"),
            _ => text("a list"),
        },
        (Some("object"), _) => text("a table"),
        _ => text("a value"),
    }
}

/// What a value is, without showing it: it may be a secret.
fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// The first line of a key's description.
fn description(schema: &Value) -> &str {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() { "see the schema: midgate schema" } else { line }
}
