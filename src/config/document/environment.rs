//! Environment variables laid over the document: `MIDGATE__SESSION__IDLE_TIMEOUT=15m`.
//! Pure.
//!
//! *Never:* the process's own environment; it is an argument.
//! *Source:* the head of gateway.toml.

use serde_json::{Map, Value};

use super::super::problem::{Place, Report, nearest, path};
use super::Environment;
use super::shape::alternatives;

const PREFIX: &str = "MIDGATE__";
const SEPARATOR: &str = "__";

/// Sets every `MIDGATE__` variable in the document; one that names nothing is a problem.
pub(super) fn overlay(document: &mut Value, environment: &Environment, schema: &Value, report: &mut Report) {
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let at = Spot { schema, key: String::new(), spoken: PREFIX.to_owned() };
        let default_ids = route_ids(document);
        match set(document, at, rest, text, &default_ids) {
            Ok(key) => replace_twin(document, &key, report, name),
            Err(hint) => report.problem(name, "unknown environment variable", hint),
        }
    }
}

/// A place in the document while a name is followed.
struct Spot<'s> {
    schema: &'s Value,
    /// Path of the key so far.
    key: String,
    /// The part of the variable's name that was understood.
    spoken: String,
}

/// Follows a name and sets the value; gives the key, or a hint.
fn set(value: &mut Value, at: Spot<'_>, rest: &str, text: &str, ids: &[String]) -> Result<String, String> {
    if let Some(schema) = of_type(at.schema, "object")
        && !value.is_array()
    {
        let properties = schema.get("properties").and_then(Value::as_object);
        let Some(properties) = properties else {
            return Err(format!(
                "{} has free keys and cannot be set from the environment; write it in the file",
                at.key
            ));
        };
        let (name, below) = longest(properties.keys().map(String::as_str), rest)
            .ok_or_else(|| unknown(&at.spoken, rest, properties.keys().map(String::as_str)))?;
        let schema = properties.get(name).unwrap_or(&Value::Null);
        let next = Spot { schema, key: path(&at.key, name), spoken: format!("{}{}", at.spoken, fold(name)) };
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        let Value::Object(map) = value else { return Err(at.key) };
        return match below {
            None => {
                let key = next.key.clone();
                map.insert(name.to_owned(), typed(schema, text).ok_or_else(|| cannot(&next))?);
                Ok(key)
            }
            Some(below) => {
                let made = !map.contains_key(name);
                let slot = map.entry(name).or_insert(Value::Null);
                let next = Spot { spoken: format!("{}{SEPARATOR}", next.spoken), ..next };
                let done = set(slot, next, below, text, ids);
                if done.is_err() && made {
                    map.remove(name);
                }
                done
            }
        };
    }
    match (of_type(at.schema, "array").and_then(|list| list.get("items")), value) {
        (Some(items), value) if of_type(items, "object").is_some() => {
            set_element(value, items, at, rest, text, ids)
        }
        _ => Err(format!("{} holds one value; end the name there", at.key)),
    }
}

/// Follows a name into the element that its id picks.
fn set_element(
    value: &mut Value,
    items: &Value,
    at: Spot<'_>,
    rest: &str,
    text: &str,
    route_ids: &[String],
) -> Result<String, String> {
    let elements = value.as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
    let of = |element: &Value| element.get("id").and_then(Value::as_str).map(str::to_owned);
    let ids: Vec<String> = elements
        .iter()
        .enumerate()
        .map(|(index, element)| {
            of(element)
                .or_else(|| route_ids.get(index).filter(|_| at.key == "route").cloned())
                .unwrap_or_default()
        })
        .collect();
    let (id, below) = longest(ids.iter().map(String::as_str), rest)
        .ok_or_else(|| unknown(&at.spoken, rest, ids.iter().map(String::as_str)))?;
    let mut same = ids.iter().enumerate().filter(|(_, other)| fold(other) == fold(id));
    let (Some((index, _)), None) = (same.next(), same.next()) else {
        return Err(format!(
            "several elements of {} are called {} here; give them ids that differ",
            at.key,
            fold(id)
        ));
    };
    let element = elements.get_mut(index);
    let spoken = format!("{}{}{SEPARATOR}", at.spoken, fold(id));
    match (element, below) {
        (Some(element), Some(below)) => set(
            element,
            Spot { schema: items, key: format!("{}[{index}]", at.key), spoken },
            below,
            text,
            route_ids,
        ),
        _ => Err(format!("a key is missing after {spoken}")),
    }
}

/// A name of the environment: upper case, and everything that is no letter or digit is `_`.
fn fold(name: &str) -> String {
    let folded: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    folded.trim_matches('_').to_owned()
}

/// The longest known name that `rest` begins with, and what follows it.
fn longest<'k, 'r>(
    known: impl Iterator<Item = &'k str>,
    rest: &'r str,
) -> Option<(&'k str, Option<&'r str>)> {
    let begins = |name: &'k str| {
        let folded = fold(name);
        let after = rest.strip_prefix(folded.as_str()).filter(|_| !folded.is_empty())?;
        let below = if after.is_empty() { None } else { Some(after.strip_prefix(SEPARATOR)?) };
        Some((folded.len(), name, below))
    };
    known.filter_map(begins).max_by_key(|(length, _, _)| *length).map(|(_, name, below)| (name, below))
}

fn unknown<'k>(spoken: &str, rest: &str, known: impl Iterator<Item = &'k str>) -> String {
    let word = rest.split(SEPARATOR).next().unwrap_or(rest);
    let known: Vec<String> = known.map(fold).filter(|name| !name.is_empty()).collect();
    match nearest(word, known.iter().map(String::as_str)) {
        Some(name) => format!("did you mean {spoken}{name}{}?", rest.strip_prefix(word).unwrap_or_default()),
        None if known.is_empty() => format!("the file has no element that {spoken}{word} could mean"),
        None => format!("after {spoken} may come: {}", known.join(", ")),
    }
}

fn cannot(at: &Spot<'_>) -> String {
    match of_type(at.schema, "object") {
        Some(_) => format!("{} is a table: name one of its keys after {}{SEPARATOR}", at.key, at.spoken),
        None => format!("{} cannot be set from the environment; write it in the file", at.key),
    }
}

/// The schema itself, or the alternative of it, that has a type.
fn of_type<'s>(schema: &'s Value, kind: &str) -> Option<&'s Value> {
    if schema
        .get("type")
        .is_some_and(|t| t == kind || t.as_array().is_some_and(|all| all.iter().any(|t| t == kind)))
    {
        return Some(schema);
    }
    alternatives(schema)?.iter().find_map(|alternative| of_type(alternative, kind))
}

/// Reads a text as what the schema expects; what does not fit stays a text, and the schema's check says so.
fn typed(schema: &Value, text: &str) -> Option<Value> {
    let is = |kind| of_type(schema, kind).is_some();
    if of_type(schema, "array")
        .and_then(|list| list.get("items"))
        .is_some_and(|items| of_type(items, "object").is_some())
    {
        return None;
    }
    if is("boolean") && matches!(text, "true" | "false") {
        return Some(Value::Bool(text == "true"));
    }
    if (is("integer") || is("number"))
        && let Ok(number) = text.replace('_', "").parse::<serde_json::Number>()
    {
        return Some(Value::Number(number));
    }
    if is("array") {
        if let Some(list) = written_list(text) {
            return Some(list);
        }
        if !is("string") || text.contains(',') {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            return Some(items.map(Value::from).collect());
        }
    }
    let is_scalar = is("string") || is("boolean") || is("integer") || is("number");
    let is_words = schema.get("enum").is_some() || schema.get("oneOf").is_some();
    (is_scalar || is_words).then(|| Value::from(text))
}

/// A list in TOML's or JSON's spelling.
fn written_list(text: &str) -> Option<Value> {
    if !text.trim_start().starts_with('[') {
        return None;
    }
    let table: toml::Table = toml::from_str(&format!("list = {text}")).ok()?;
    serde_json::to_value(table.get("list")?).ok()
}

/// `x` from the environment replaces `x_file` from the file, and the other way round.
fn replace_twin(document: &mut Value, key: &str, report: &mut Report, name: &str) {
    report.places.insert(key.to_owned(), Place::Environment(name.to_owned()));
    let twin = match key.strip_suffix("_file") {
        Some(plain) => plain.to_owned(),
        None => format!("{key}_file"),
    };
    if matches!(report.places.get(&twin), Some(Place::Line(_))) {
        report.places.remove(&twin);
        let (parent, last) = twin.rsplit_once('.').unwrap_or(("", &twin));
        let pointer: String =
            parent.split(['.', '[']).map(|step| format!("/{}", step.trim_end_matches(']'))).collect();
        if let Some(Value::Object(table)) = document.pointer_mut(&pointer) {
            table.remove(last);
        }
    }
}

/// The ids that routes without one go by: host and path.
fn route_ids(document: &Value) -> Vec<String> {
    let public = document.get("public_url").and_then(Value::as_str).unwrap_or_default();
    let public = url::Url::parse(public).ok();
    let public_host = public.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    let text = |route: &Value, key: &str| route.get(key).and_then(Value::as_str).map(str::to_owned);
    let id = |route: &Value| {
        let host = text(route, "host").unwrap_or_else(|| public_host.to_owned());
        format!("{host}{}", text(route, "path").unwrap_or_else(|| "/".to_owned()))
    };
    document.get("route").and_then(Value::as_array).into_iter().flatten().map(id).collect()
}
