//! Values of further parameters: a text with templates, or JSON with templates in it.
//! Pure.
//!
//! *Source:* OIDC Core §3.1.2.1 (`login_hint` is whatever provider and relying party agree on).

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::identity::{Template, TemplateError};

/// One value of `[provider.request]`, compiled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RequestValue {
    /// The language that the visitor reads.
    VisitorLanguage,
    Text(Template),
    Json(Node),
}

/// A JSON value whose texts are templates.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Text(Template),
    Fixed(Value),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

/// Looks up a name of a template.
type Find<'f> = dyn Fn(&str) -> Option<Value> + 'f;

impl RequestValue {
    /// Compiles JSON.
    ///
    /// # Errors
    /// A text in it is no template; the text comes along.
    pub(crate) fn json(value: &Value) -> Result<Self, (String, TemplateError)> {
        Node::read(value).map(Self::Json)
    }

    /// The names that are looked up.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::VisitorLanguage => Vec::new(),
            Self::Text(template) => template.names().collect(),
            Self::Json(node) => node.names(),
        }
    }

    /// The parameter's value; none when a template has none, or when nothing is left of it.
    pub(super) fn render(&self, language: Option<&str>, find: &Find<'_>) -> Option<String> {
        let text = match self {
            Self::VisitorLanguage => language?.to_owned(),
            Self::Text(template) => rendered(template, find)?,
            Self::Json(node) => node.render(find)?.to_string(),
        };
        (!text.is_empty()).then_some(text)
    }
}

impl Node {
    fn read(value: &Value) -> Result<Self, (String, TemplateError)> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(text).map_err(|error| (text.clone(), error))?),
            Value::Array(items) => Self::List(items.iter().map(Self::read).collect::<Result<_, _>>()?),
            Value::Object(map) => {
                let entry = |(name, value): (&String, &Value)| Ok((name.clone(), Self::read(value)?));
                Self::Table(map.iter().map(entry).collect::<Result<_, _>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Fixed(value.clone()),
        })
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Self::Text(template) => template.names().collect(),
            Self::Fixed(_) => Vec::new(),
            Self::List(items) => items.iter().flat_map(Self::names).collect(),
            Self::Table(entries) => entries.iter().flat_map(|(_, node)| node.names()).collect(),
        }
    }

    /// An entry without a value is left out, and so is a list or table that thereby becomes empty.
    fn render(&self, find: &Find<'_>) -> Option<Value> {
        match self {
            Self::Text(template) => rendered(template, find).map(Value::String),
            Self::Fixed(value) => Some(value.clone()),
            Self::List(items) => {
                let left: Vec<Value> = items.iter().filter_map(|item| item.render(find)).collect();
                (!left.is_empty() || items.is_empty()).then_some(Value::Array(left))
            }
            Self::Table(entries) => {
                let left: Map<String, Value> = entries
                    .iter()
                    .filter_map(|(name, node)| Some((name.clone(), node.render(find)?)))
                    .collect();
                (!left.is_empty() || entries.is_empty()).then_some(Value::Object(left))
            }
        }
    }
}

fn rendered(template: &Template, find: &Find<'_>) -> Option<String> {
    template.render(",", |name| find(name).map(Cow::Owned))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(value: Value, known: Value) -> Option<String> {
        RequestValue::json(&value).unwrap().render(None, &|name| known.get(name).cloned())
    }

    #[test]
    fn what_has_no_value_is_left_out_up_to_the_whole_parameter() {
        let hint = json!({ "hints": [{ "msisdn": "{phone_number}", "sn": "{enrolled.sn}" }] });
        for (known, out) in [
            (
                json!({"phone_number": "+41791234567", "enrolled.sn": "S1"}),
                Some(r#"{"hints":[{"msisdn":"+41791234567","sn":"S1"}]}"#),
            ),
            (json!({"phone_number": "+41791234567"}), Some(r#"{"hints":[{"msisdn":"+41791234567"}]}"#)),
            (json!({}), None),
        ] {
            assert_eq!(render(hint.clone(), known.clone()).as_deref(), out, "{known}");
        }
        let fixed = json!({ "enableManualInput": true, "n": 1, "none": [], "hints": ["{x}"], "t": "{{x}}" });
        let left = Some(r#"{"enableManualInput":true,"n":1,"none":[],"t":"{x}"}"#);
        assert_eq!(render(fixed, json!({})).as_deref(), left);
        assert_eq!(render(json!("{x|y}"), json!({})).as_deref(), Some("\"y\""));
        assert_eq!(render(json!(["{x}", "{x}"]), json!({})), None);
    }

    #[test]
    fn a_value_stays_inside_its_text() {
        let hint = json!({ "hints": [{ "msisdn": "{query.login_hint}" }] });
        let out = render(hint, json!({"query.login_hint": "\"},{\"msisdn\":\"+41790000000"})).unwrap();
        let read: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(read["hints"].as_array().map(Vec::len), Some(1));
        assert_eq!(read["hints"][0]["msisdn"], "\"},{\"msisdn\":\"+41790000000");
    }

    #[test]
    fn texts_and_the_language_are_rendered_or_not_sent() {
        let text = |text: &str| RequestValue::Text(Template::parse(text).unwrap());
        let find = |name: &str| (name == "a").then(|| json!(7));
        assert_eq!(text("x {a}").render(None, &find).as_deref(), Some("x 7"));
        assert_eq!(text("x {b}").render(None, &find), None);
        assert_eq!(text("{b|}").render(None, &find), None);
        assert_eq!(RequestValue::VisitorLanguage.render(Some("de"), &find).as_deref(), Some("de"));
        assert_eq!(RequestValue::VisitorLanguage.render(None, &find), None);
        assert_eq!(RequestValue::json(&json!({"a": ["{a}", {"b": "{c}"}]})).unwrap().names(), ["a", "c"]);
        assert!(RequestValue::json(&json!({"a": ["{a"]})).is_err());
    }
}
