//! What is wrong with a configuration, and what is open: each with its key, its line and a hint.
//! Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Something that keeps the configuration from being used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// Path of the key, such as `provider[0].client_id`; empty for the file as a whole.
    pub(crate) key: String,
    /// The line of the file; none for what is not in the file.
    pub(crate) line: Option<usize>,
    /// What is wrong, and what is accepted.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
}

/// Something that works and that the operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Warning {
    /// Stable kebab-case word.
    pub(crate) name: &'static str,
    pub(crate) key: String,
    pub(crate) message: String,
}

/// Everything that was found out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Warning>,
    /// To be registered at the providers.
    pub(crate) redirect_uris: Vec<String>,
}

impl Warning {
    /// A route that asks for freshness of a provider that can show none; `route` is the route's key.
    pub(crate) fn may_never_be_fresh(route: &str, provider: &str) -> Self {
        let message = format!(
            "provider \"{provider}\" takes no max_age, and prompt=login does not go to it by PAR: a login is fresh only \
             if its ID token says auth_time"
        );
        Self { name: "may-never-be-fresh", key: format!("{route}.require.max_age"), message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}\n  hint: {}", self.message, self.hint)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.key, self.name, self.message)
    }
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Line(usize),
    /// The environment variable of this name.
    Environment(String),
}

/// Where every key was written, by its path.
pub(super) type Places = BTreeMap<String, Place>;

/// Collects what is found while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) places: Places,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

impl Report {
    /// Notes a problem, unless its key or one above or below it has one already: one mistake is told once.
    pub(super) fn problem(
        &mut self,
        key: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let key = key.into();
        if !self.has_problem(&key) {
            self.another(key, message, hint);
        }
    }

    /// Notes a problem beside others of its key.
    pub(super) fn another(
        &mut self,
        key: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let key = key.into();
        let (line, origin) = match self.place(&key) {
            Some(Place::Line(line)) => (Some(*line), None),
            Some(Place::Environment(name)) => (None, Some(name.clone())),
            None => (None, None),
        };
        let hint = match origin {
            Some(name) => format!("{} (it is set by the environment variable {name})", hint.into()),
            None => hint.into(),
        };
        self.problems.push(Problem { key, line, message: message.into(), hint });
    }

    /// Notes a warning.
    pub(super) fn warn(&mut self, name: &'static str, key: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Warning { name, key: key.into(), message: message.into() });
    }

    /// Whether a key, or one above it, has a problem already.
    pub(super) fn has_problem(&self, key: &str) -> bool {
        !key.is_empty() && self.problems.iter().any(|problem| lies_in(key, &problem.key))
    }

    /// Whether a key was written at all.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Where a key was written, or what it belongs to.
    fn place(&self, key: &str) -> Option<&Place> {
        let mut key = key;
        loop {
            if let Some(place) = self.places.get(key) {
                return Some(place);
            }
            key = key.get(..key.rfind(['.', '['])?)?;
        }
    }

    /// Problems in the order of the file.
    pub(super) fn sorted(mut self) -> (Vec<Problem>, Vec<Warning>) {
        self.problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        (self.problems, self.warnings)
    }
}

/// Whether `key` is `parent` or lies below it.
fn lies_in(key: &str, parent: &str) -> bool {
    !parent.is_empty()
        && key.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The path of a key of a table; a key that is no bare word is quoted, as in TOML.
pub(super) fn path(parent: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if parent.is_empty() { key } else { format!("{parent}.{key}") }
}

/// Joins names for a message.
pub(super) fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The known name that was probably meant.
pub(super) fn nearest<'n>(word: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let folded = word.to_ascii_lowercase();
    let far = 1 + folded.chars().count() / 3;
    let distance = |name: &str| strsim::damerau_levenshtein(&folded, &name.to_ascii_lowercase());
    known
        .into_iter()
        .map(|name| (distance(name), name))
        .filter(|(d, _)| *d <= far)
        .min()
        .map(|(_, name)| name)
}

/// A hint: the name that was probably meant, else all that are known.
pub(super) fn suggestion<'n>(word: &str, known: impl IntoIterator<Item = &'n str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("known: {}", listed(known)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_takes_the_line_of_its_key_or_of_what_it_belongs_to() {
        let places = Places::from([
            ("route[1]".to_owned(), Place::Line(7)),
            ("route[1].path".to_owned(), Place::Line(9)),
            ("session.store".to_owned(), Place::Environment("MIDGATE__SESSION__STORE".to_owned())),
        ]);
        let mut report = Report { places, ..Report::default() };
        for key in ["session.store", "route[1].upstream", "route[1].path", "route[1].path", "x"] {
            report.problem(key, "wrong", "mend it");
        }
        let (problems, _) = report.sorted();
        let seen: Vec<_> = problems.iter().map(|p| (p.key.as_str(), p.line)).collect();
        let expected = [
            ("route[1].upstream", Some(7)),
            ("route[1].path", Some(9)),
            ("session.store", None),
            ("x", None),
        ];
        assert_eq!(seen, expected);
        assert!(problems[2].hint.ends_with("MIDGATE__SESSION__STORE)"), "{}", problems[2].hint);
    }

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["access", "audience", "path"];
        assert_eq!(nearest("acess", known), Some("access"));
        assert_eq!(nearest("ACCESS", known), Some("access"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(suggestion("zzz", known), "known: access, audience, path");
    }

    #[test]
    fn a_key_that_is_no_bare_word_is_quoted() {
        assert_eq!(path("headers", "X-User"), "headers.X-User");
        assert_eq!(path("", "listen"), "listen");
        assert_eq!(path("route[0].headers", "a.b"), "route[0].headers.\"a.b\"");
    }
}
