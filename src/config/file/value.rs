//! Shapes of values that several keys share: one or many, words, secrets, `false`.
//! Pure.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::secret::Secret;

/// One value or a list of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Many<T> {
    One(T),
    List(Vec<T>),
}

impl<T> Many<T> {
    /// The values, however they were written.
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::List(values) => values,
        }
    }

    /// Whether it was written as a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Self::List(_))
    }
}

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// A list of words; one string with spaces or commas is taken too.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Words(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let many = Many::<String>::deserialize(deserializer)?;
        let split = |text: &String| {
            text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        Ok(Self(many.as_slice().iter().flat_map(split).collect()))
    }
}

impl JsonSchema for Words {
    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Many::<String>::json_schema(generator)
    }
}

/// The word `false`, which removes or switches off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct False;

impl Serialize for False {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(false)
    }
}

impl<'de> Deserialize<'de> for False {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match bool::deserialize(deserializer)? {
            false => Ok(Self),
            true => Err(de::Error::custom("only false has a meaning here")),
        }
    }
}

impl JsonSchema for False {
    fn schema_name() -> Cow<'static, str> {
        "False".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "boolean", "const": false })
    }
}

/// A text, or `false` for none at all.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OrFalse {
    Text(String),
    Off(False),
}

impl OrFalse {
    /// The text, where there is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Off(False) => None,
        }
    }
}

/// A secret as it stands in the file; written out it is `[secret]` (I8).
#[derive(Debug, Clone)]
pub(crate) struct Hidden(pub(crate) Secret);

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

impl JsonSchema for Hidden {
    fn schema_name() -> Cow<'static, str> {
        "Hidden".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}
