//! Templates of configuration values: `{name}`, `{name|default}`, `{{` for a brace.
//! Pure.

use std::borrow::Cow;

use serde_json::Value;

/// A compiled template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Name { name: Box<str>, default: Option<Box<str>> },
}

/// What is wrong with a template's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("a brace is opened and never closed; write {{{{ for a brace")]
    Unclosed,
    #[error("a closing brace stands alone; write }}}} for a brace")]
    Stray,
    #[error("an empty name between braces")]
    EmptyName,
}

impl Template {
    /// Parses a template's text.
    ///
    /// # Errors
    /// The text has an unclosed, stray or empty brace pair.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = brace.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = brace.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else if let Some(inner) = brace.strip_prefix('{') {
                let (name, after) = inner.split_once('}').ok_or(TemplateError::Unclosed)?;
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain).into()));
                }
                parts.push(name_part(name)?);
                rest = after;
            } else {
                return Err(TemplateError::Stray);
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Self { parts: parts.into() })
    }

    /// The names that the template looks up.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Name { name, .. } => Some(&**name),
            Part::Text(_) => None,
        })
    }

    /// Renders the template; a missing name without a default means no value.
    ///
    /// A list's elements are joined with `join`; an element that holds `join` itself would read as two, so
    /// the whole value is left out.
    pub(crate) fn render<'v>(
        &self,
        join: &str,
        find: impl Fn(&str) -> Option<Cow<'v, Value>>,
    ) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Name { name, default } => match find(name) {
                    Some(value) => out.push_str(&text_of(&value, join)?),
                    None => out.push_str(default.as_deref()?),
                },
            }
        }
        Some(out)
    }
}

fn name_part(inner: &str) -> Result<Part, TemplateError> {
    let (name, default) = match inner.split_once('|') {
        Some((name, default)) => (name, Some(default.into())),
        None => (inner, None),
    };
    let name = name.trim();
    if name.is_empty() || name.contains('{') {
        return Err(TemplateError::EmptyName);
    }
    Ok(Part::Name { name: name.into(), default })
}

/// A claim as text: strings as they are, numbers and booleans in JSON's spelling, lists joined, objects as JSON.
fn text_of(value: &Value, join: &str) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Some(value.to_string()),
        Value::Array(items) => {
            let texts = items.iter().map(|item| text_of(item, join)).collect::<Option<Vec<_>>>()?;
            let ambiguous = !join.is_empty() && texts.iter().any(|text| text.contains(join));
            (!ambiguous).then(|| texts.join(join))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(text: &str, claims: Value) -> Option<String> {
        let template = Template::parse(text).unwrap();
        template.render(",", |name| claims.get(name).map(Cow::Borrowed))
    }

    #[test]
    fn names_defaults_and_braces_are_rendered() {
        let claims = json!({"first": "Zoë", "n": 7, "ok": true, "list": ["a", "b"]});
        for (text, out) in [
            ("{first} {n}", Some("Zoë 7")),
            ("{none|x}-{ok}", Some("x-true")),
            ("{none}", None),
            ("a {none} b", None),
            ("{{{first}}}", Some("{Zoë}")),
            ("{list}", Some("a,b")),
            ("", Some("")),
            ("{none|}", Some("")),
        ] {
            assert_eq!(render(text, claims.clone()).as_deref(), out, "{text}");
        }
    }

    #[test]
    fn a_list_whose_element_holds_the_separator_has_no_value() {
        assert_eq!(render("{g}", json!({"g": ["a,admin", "c"]})), None);
        assert_eq!(render("{g}", json!({"g": ["a,admin"]})), None);
        assert_eq!(render("{g}", json!({"g": []})).as_deref(), Some(""));
    }

    #[test]
    fn a_broken_template_is_refused() {
        assert_eq!(Template::parse("{a"), Err(TemplateError::Unclosed));
        assert_eq!(Template::parse("a}"), Err(TemplateError::Stray));
        assert_eq!(Template::parse("{ }"), Err(TemplateError::EmptyName));
    }
}
