//! The configuration as one document: the file, the environment over it, both held against the schema.
//!
//! *Never:* what a value means.
//! *Source:* TOML 1.0.

mod environment;
mod shape;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Places, Problem, Report, path};

pub(super) use self::shape::simplify;

/// Environment variables by name.
pub(crate) type Environment = BTreeMap<String, String>;

/// Reads a document: every key that is left in the value fits the schema, everything else is a problem.
///
/// # Errors
/// The text is no TOML.
pub(super) fn read(
    text: &str,
    environment: &Environment,
    schema: &Value,
) -> Result<(Value, Report), Problem> {
    let (mut value, places) = parse(text)?;
    let mut report = Report { places, ..Report::default() };
    environment::overlay(&mut value, environment, schema, &mut report);
    shape::check(schema, &mut value, &mut report);
    Ok((value, report))
}

/// Parses TOML to JSON's model, and notes where each key stands.
fn parse(text: &str) -> Result<(Value, Places), Problem> {
    let lines = Lines(text);
    let table = DeTable::parse(text).map_err(|error| Problem {
        key: String::new(),
        line: error.span().map(|span| lines.of(span.start)),
        message: format!("not valid TOML: {}", error.message().replace('\n', ", ")),
        hint: "texts stand in quotes, tables begin with [name], lists of tables with [[name]]".to_owned(),
    })?;
    let mut places = Places::from([(String::new(), Place::Line(1))]);
    let value = table_of(table.get_ref(), "", lines, &mut places);
    Ok((value, places))
}

/// Turns offsets into line numbers.
#[derive(Clone, Copy)]
struct Lines<'t>(&'t str);

impl Lines<'_> {
    fn of(self, offset: usize) -> usize {
        1 + self.0.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

fn table_of(table: &DeTable<'_>, parent: &str, lines: Lines<'_>, places: &mut Places) -> Value {
    let mut map = Map::new();
    for (key, value) in table {
        let own = path(parent, key.get_ref());
        places.insert(own.clone(), Place::Line(lines.of(key.span().start)));
        map.insert(key.get_ref().to_string(), value_of(value, &own, lines, places));
    }
    Value::Object(map)
}

fn value_of(value: &Spanned<DeValue<'_>>, own: &str, lines: Lines<'_>, places: &mut Places) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(number.as_str()),
        },
        // JSON has no infinity; as a text it is refused wherever a number is expected.
        DeValue::Float(number) => {
            let number = number.as_str();
            number
                .parse()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map_or(Value::from(number), Value::Number)
        }
        DeValue::Boolean(boolean) => Value::from(*boolean),
        DeValue::Datetime(date) => Value::from(date.to_string()),
        DeValue::Array(items) => {
            let element = |(index, item): (usize, &Spanned<DeValue<'_>>)| {
                let own = format!("{own}[{index}]");
                places.insert(own.clone(), Place::Line(lines.of(item.span().start)));
                value_of(item, &own, lines, places)
            };
            Value::Array(items.iter().enumerate().map(element).collect())
        }
        DeValue::Table(table) => table_of(table, own, lines, places),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_line() {
        let text = "a = 1\n\n[[route]]\npath = \"/\"\n\n[[route]]\nrequire = { acr = [\n  \"x\",\n] }\n[t.u]\nv = 1.5\n";
        let (value, places) = parse(text).unwrap();
        assert_eq!(value["route"][1]["require"]["acr"][0], "x");
        for (key, line) in [
            ("a", 1),
            ("route[0]", 3),
            ("route[0].path", 4),
            ("route[1]", 6),
            ("route[1].require.acr", 7),
            ("route[1].require.acr[0]", 8),
            ("t.u.v", 11),
        ] {
            assert_eq!(places.get(key), Some(&Place::Line(line)), "{key}");
        }
    }

    #[test]
    fn a_syntax_error_is_one_problem_with_its_line() {
        let problem = parse("a = 1\nb = \n").unwrap_err();
        assert_eq!((problem.key.as_str(), problem.line), ("", Some(2)));
        assert!(problem.message.starts_with("not valid TOML: "), "{}", problem.message);
        assert_eq!(parse("a = 1\na = 2\n").unwrap_err().line, Some(2));
    }
}
