//! What a login may take over from the request that begins it: names in `[provider.request]`, and the phone's text.
//! Pure.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::level4::is_level4;
use crate::identity::Identity;
use crate::provider::{ENROLLED, Settings};

/// Beside the route and the ask.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Given<'g> {
    /// The text that the phone shows, where the route has one of its own.
    pub(crate) dtbd: Option<&'g str>,
    /// Who is signed in already.
    pub(crate) identity: Option<&'g Identity>,
    /// Parameters of the visitor's request to the login endpoint.
    pub(crate) query: Option<&'g HashMap<String, String>>,
    pub(crate) from: CameFrom,
}

/// Whose doing it is that a login begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum CameFrom {
    /// The person's own, or that of a page or step of ours.
    Here,
    /// Another site's, or nobody can tell.
    #[default]
    Elsewhere,
}

/// Bytes of a value that a visitor may bring along.
const LONGEST: usize = 1024;

impl Given<'_> {
    /// The visitor's parameters that a provider's templates name: these must not be lost on the way to it.
    pub(crate) fn carried<'n>(&self, provider: &'n Settings) -> BTreeMap<&'n str, String> {
        let names = provider.request.iter().flat_map(|(_, value)| value.names());
        let named = names.filter_map(|name| name.strip_prefix("query."));
        named.filter_map(|name| Some((name, self.query?.get(name)?.clone()))).collect()
    }

    /// The level that the visitor's request names.
    pub(crate) fn level(&self) -> Option<(&'static str, String)> {
        Some(("acr", self.query?.get("acr")?.clone()))
    }

    /// Whether a login at `wanted` would make a phone ring that the provider is told of: the visitor's, or the
    /// signed-in person's.
    pub(super) fn rings(&self, provider: &Settings, wanted: Option<&str>) -> bool {
        let mut hints = provider.request.iter().filter(|(name, _)| name == "login_hint");
        let is_known = |name: &str| {
            let is_told = name.starts_with(ENROLLED) && wanted.is_some_and(is_level4);
            (is_told && self.is_signed_in(&provider.id)) || self.find(&provider.id, name).is_some()
        };
        hints.any(|(_, value)| value.names().into_iter().any(is_known))
    }

    fn is_signed_in(&self, provider: &str) -> bool {
        self.identity.is_some_and(|identity| *identity.provider == *provider)
    }

    /// Looks up a name of a template: `query.…`, or a name of the session's identity.
    ///
    /// A session tells things only to the provider that told them.
    pub(super) fn find(&self, provider: &str, name: &str) -> Option<Value> {
        if let Some(parameter) = name.strip_prefix("query.") {
            let value = self.query?.get(parameter)?;
            let is_sound = value.len() <= LONGEST && !value.chars().any(char::is_control);
            return is_sound.then(|| Value::from(value.as_str()));
        }
        let identity = self.identity.filter(|identity| *identity.provider == *provider)?;
        identity.find(name).map(|value| value.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_comes_from_the_named_place_and_no_other() {
        let identity = Identity {
            provider: "p".into(),
            issuer: "i".into(),
            subject: "s".into(),
            user_key: "k".into(),
            acr: None,
            amr: Box::default(),
            auth_time: None,
            claims: serde_json::from_value(json!({"phone_number": "+41791234567", "query.a": "x"})).unwrap(),
        };
        let query = [("login_hint", "+4179"), ("nul", "a\0b"), ("line", "a\r\nb"), ("c1", "a\u{85}b")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut query = HashMap::from(query);
        query.insert("fits".to_owned(), "x".repeat(1024));
        query.insert("long".to_owned(), "x".repeat(1025));
        let given = Given { identity: Some(&identity), query: Some(&query), ..Given::default() };
        for (name, value) in [
            ("phone_number", Some(json!("+41791234567"))),
            ("sub", Some(json!("s"))),
            ("query.login_hint", Some(json!("+4179"))),
            ("query.fits", Some(json!("x".repeat(1024)))),
            ("query.long", None),
            ("query.nul", None),
            ("query.line", None),
            ("query.c1", None),
            ("query.a", None),
            ("query.phone_number", None),
            ("login_hint", None),
            ("enrolled.sn", None),
        ] {
            assert_eq!(given.find("p", name), value, "{name}");
        }
        assert_eq!(given.find("other", "phone_number"), None, "another provider is told nothing");
        assert_eq!(Given::default().find("p", "query.login_hint"), None);
    }
}
