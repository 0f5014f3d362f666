//! Settings of known providers, and how what is written beside `preset` is laid over them.
//! Pure.
//!
//! *Source:* the providers' own documents, as named in each file of `presets/`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `provider.preset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Preset {
    #[serde(rename = "mobileid-ch")]
    MobileidCh,
    #[serde(rename = "idemia")]
    Idemia,
    #[serde(rename = "azure-b2c")]
    AzureB2c,
}

/// Tables that are merged key by key; everything else is replaced as a whole.
const MERGED: [&str; 3] = ["claims", "request", "endpoints"];
/// What goes when another issuer or discovery is written.
const OF_THE_ISSUER: [&str; 3] = ["issuer", "discovery", "endpoints"];

impl Preset {
    fn text(self) -> &'static str {
        match self {
            Self::MobileidCh => include_str!("presets/mobileid-ch.toml"),
            Self::Idemia => include_str!("presets/idemia.toml"),
            Self::AzureB2c => include_str!("presets/azure-b2c.toml"),
        }
    }

    /// The preset as a `[[provider]]` table.
    pub(super) fn table(self) -> Map<String, Value> {
        toml::from_str(self.text()).expect("a preset is valid TOML, a test reads each")
    }
}

/// Lays every provider of a document over its preset; `false` removes a key.
pub(super) fn apply(document: &mut Value) {
    let providers = document.get_mut("provider").and_then(Value::as_array_mut);
    for provider in providers.into_iter().flatten().filter_map(Value::as_object_mut) {
        let preset =
            provider.get("preset").cloned().and_then(|name| serde_json::from_value::<Preset>(name).ok());
        let base = preset.map(Preset::table).unwrap_or_default();
        *provider = merged(base, std::mem::take(provider));
    }
}

fn merged(mut base: Map<String, Value>, written: Map<String, Value>) -> Map<String, Value> {
    if written.contains_key("issuer") || written.contains_key("discovery") {
        OF_THE_ISSUER.iter().for_each(|key| drop(base.remove(*key)));
    }
    if written.contains_key("acr_ladder") {
        base.remove("acr_also");
    }
    for (key, value) in written {
        match (MERGED.contains(&key.as_str()), value) {
            (true, Value::Object(table)) => {
                let slot = base.entry(key).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(merged) = slot {
                    merged.extend(table);
                    merged.retain(|_, value| *value != Value::Bool(false));
                }
            }
            (_, value) => drop(base.insert(key, value)),
        }
    }
    base
}
