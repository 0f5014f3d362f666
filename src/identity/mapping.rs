//! From a provider's claims to the gateway's names.
//! Pure.
//!
//! *Source:* OIDC Core §5.3.2 (UserInfo), §5.6 (claim types).

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::{Claims, Template, find_claim, names};

/// Where one gateway name comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    /// The provider's claim of that name or path; `default` counts only when the claim is missing.
    Claim { claim: String, default: Option<Value> },
    /// A text made of the provider's claims.
    Template(Template),
    /// Always this, whatever the provider sends.
    Constant(Value),
}

/// Every gateway name of one provider, and the raw claims to keep beside them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mapping {
    names: Vec<(String, Source)>,
    keep: BTreeSet<String>,
}

impl Mapping {
    /// A mapping of `names`, which also keeps the raw claims that the rest of the configuration names.
    pub(crate) fn new(names: Vec<(String, Source)>, keep: BTreeSet<String>) -> Self {
        Self { names, keep }
    }

    /// Whether the result may depend on a claim of this name.
    pub(crate) fn reads(&self, claim: &str) -> bool {
        self.keep.iter().any(|wanted| names(wanted, claim))
            || self.names.iter().any(|(_, source)| match source {
                Source::Claim { claim: wanted, .. } => names(wanted, claim),
                Source::Template(template) => template.names().any(|wanted| names(wanted, claim)),
                Source::Constant(_) => false,
            })
    }

    /// Maps what the provider said; UserInfo wins over the ID token, claim by claim.
    ///
    /// The result holds gateway names and kept raw claims, nothing else.
    pub(crate) fn apply(&self, id_token: &Claims, userinfo: Option<&Claims>) -> Claims {
        let find =
            |name: &str| userinfo.and_then(|u| find_claim(u, name)).or_else(|| find_claim(id_token, name));
        let mut out = Claims::new();
        for name in &self.keep {
            if let Some(value) = find(name) {
                out.insert(name.clone(), value.clone());
            }
        }
        for (name, source) in &self.names {
            let value = match source {
                Source::Claim { claim, default } => find(claim).cloned().or_else(|| default.clone()),
                Source::Template(template) => {
                    template.render(",", |name| find(name).map(Cow::Borrowed)).map(Value::String)
                }
                Source::Constant(value) => Some(value.clone()),
            };
            match value {
                Some(value) => out.insert(name.clone(), value),
                // A mapped name never falls back to a raw claim that happens to be called the same.
                None => out.remove(name),
            };
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        value.as_object().cloned().unwrap()
    }

    fn claim(claim: &str, default: Option<Value>) -> Source {
        Source::Claim { claim: claim.into(), default }
    }

    #[test]
    fn a_mapping_reads_what_it_names_and_the_first_step_of_a_path() {
        let names = vec![
            ("city".into(), claim("address.locality", None)),
            ("name".into(), Source::Template(Template::parse("{first} {last|x}").unwrap())),
            ("address2".into(), Source::Constant(json!("x"))),
        ];
        let mapping = Mapping::new(names, BTreeSet::from(["groups".to_owned()]));
        for (claim, is_read) in [
            ("address", true),
            ("address.locality", true),
            ("first", true),
            ("last", true),
            ("groups", true),
            ("name", false),
            ("address2", false),
            ("group", false),
        ] {
            assert_eq!(mapping.reads(claim), is_read, "{claim}");
        }
    }

    #[test]
    fn names_are_mapped_and_only_named_claims_are_kept() {
        let mapping = Mapping::new(
            vec![
                ("givenName".into(), claim("firstName1", None)),
                ("name".into(), Source::Template(Template::parse("{firstName1} {lastName1}").unwrap())),
                ("tenantId".into(), claim("tid", Some(json!("none")))),
                ("source".into(), Source::Constant(json!("social"))),
                ("missing".into(), claim("nowhere", None)),
            ],
            BTreeSet::from(["groups".to_owned(), "missing".to_owned()]),
        );
        let id_token = claims(json!({"firstName1": "old", "source": "mine", "groups": ["a"], "missing": 1}));
        let userinfo = claims(json!({"firstName1": "Zoë", "lastName1": "Müller", "other": 1}));
        let out = mapping.apply(&id_token, Some(&userinfo));
        let expected = json!({
            "givenName": "Zoë", "name": "Zoë Müller", "tenantId": "none", "source": "social", "groups": ["a"]
        });
        assert_eq!(Value::Object(out), expected);
    }
}
