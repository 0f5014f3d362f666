//! The list of people of `require.allow_file`.
//! Pure.

use std::collections::HashSet;

use serde_json::Value;

use crate::identity::Identity;

/// A parsed list; every kind of entry is compared with its own claim only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AllowList {
    phones: HashSet<String>,
    emails: HashSet<String>,
    /// Provider id and subject.
    subjects: HashSet<(String, String)>,
    user_keys: HashSet<String>,
}

/// A line that is no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \"{entry}\" is no entry")]
pub(crate) struct BadEntry {
    pub(crate) line: usize,
    pub(crate) entry: String,
}

impl AllowList {
    /// Raw claims that a session must keep for the comparison.
    pub(crate) const CLAIMS: [&str; 4] = ["phone_number", "phone_number_verified", "email", "email_verified"];

    /// Parses a list: one entry a line, `#` begins a comment.
    ///
    /// # Errors
    /// Every line that is neither empty nor an entry.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<BadEntry>> {
        let mut list = Self::default();
        let mut bad = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if !entry.is_empty() && !list.take(entry) {
                bad.push(BadEntry { line: index + 1, entry: entry.to_owned() });
            }
        }
        if bad.is_empty() { Ok(list) } else { Err(bad) }
    }

    fn take(&mut self, entry: &str) -> bool {
        if let Some(digits) = entry.strip_prefix('+') {
            self.phones.insert(entry.to_owned());
            return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        }
        if let Some(rest) = entry.strip_prefix("sub:") {
            let Some((provider, subject)) = rest.split_once(':') else { return false };
            self.subjects.insert((provider.to_owned(), subject.to_owned()));
            return !provider.is_empty() && !subject.is_empty();
        }
        if entry.contains('@') {
            self.emails.insert(entry.to_ascii_lowercase());
            return true;
        }
        self.user_keys.insert(entry.to_owned());
        // base64url without padding of 32 bytes.
        entry.len() == 43 && entry.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    }

    /// Ids of the providers that entries name.
    pub(crate) fn providers(&self) -> impl Iterator<Item = &str> {
        self.subjects.iter().map(|(provider, _)| provider.as_str())
    }

    /// Whether nobody is listed.
    pub(crate) fn is_empty(&self) -> bool {
        self.phones.is_empty()
            && self.emails.is_empty()
            && self.subjects.is_empty()
            && self.user_keys.is_empty()
    }

    /// Whether the person is listed.
    pub(crate) fn lists(&self, identity: &Identity) -> bool {
        let verified = |name: &str| identity.find(name).is_some_and(|claim| *claim == Value::Bool(true));
        let listed = |set: &HashSet<String>, name: &str, fold: fn(&str) -> String| {
            identity
                .find(name)
                .is_some_and(|claim| claim.as_str().is_some_and(|text| set.contains(&fold(text))))
        };
        self.user_keys.contains(&*identity.user_key)
            || self.subjects.iter().any(|(p, s)| *p == *identity.provider && *s == *identity.subject)
            || (listed(&self.phones, "phone_number", str::to_owned) && verified("phone_number_verified"))
            || (listed(&self.emails, "email", str::to_ascii_lowercase) && verified("email_verified"))
    }
}
