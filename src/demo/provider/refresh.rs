//! Refresh tokens of a simulated provider: each good once, and a second use of one ends all that came of its login.
//!
//! *Source:* RFC 6749 §6, RFC 9700 §4.14.2; OIDC Core §11 (`offline_access`).

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::json;

use super::super::http::Response;
use super::super::jose::sha256;
use super::{Grant, Manner, Shared};

/// Every refresh token that was ever given.
#[derive(Default)]
pub(super) struct Tokens {
    good: HashMap<String, Grant>,
    /// Replaced ones, with their families.
    used: HashMap<String, usize>,
    revoked: HashSet<usize>,
    families: usize,
    given: usize,
}

impl Tokens {
    pub(super) fn new_family(&mut self) -> usize {
        self.families += 1;
        self.families
    }

    fn give(&mut self, grant: &Grant) -> String {
        self.given += 1;
        let token = format!("REFRESH_zz{}", sha256(&format!("{:?} {}", grant.at, self.given)));
        self.good.insert(token.clone(), grant.clone());
        token
    }
}

impl Shared {
    /// The refresh token of a login: by scope, but from a provider without manners always.
    pub(super) fn first_refresh_token(&self, grant: &Grant) -> Option<String> {
        let scope = grant.parameters.get("scope").map(String::as_str).unwrap_or_default();
        let is_asked = scope.split(' ').any(|scope| scope == "offline_access");
        (is_asked || self.settings.manner == Manner::Plain).then(|| self.lock().refresh.give(grant))
    }

    /// The answer to a refresh token.
    pub(super) fn refresh(&self, form: &BTreeMap<String, String>) -> Response {
        let refused = || Response::json(400, &json!({ "error": "invalid_grant" }));
        let token = form.get("refresh_token").map(String::as_str).unwrap_or_default();
        let keeps = self.has("refresh-no-rotation");
        let (grant, next) = {
            let mut state = self.lock();
            if let Some(family) = state.refresh.used.get(token).copied() {
                state.calls.reused += 1;
                state.refresh.revoked.insert(family);
                return refused();
            }
            let Some(grant) = state.refresh.good.get(token).cloned() else { return refused() };
            if state.refresh.revoked.contains(&grant.family) {
                return refused();
            }
            if form.contains_key("scope") {
                // Nobody here has a reason to ask for anything else than at the login.
                return Response::json(400, &json!({ "error": "invalid_scope" }));
            }
            let next = (!keeps).then(|| {
                state.refresh.good.remove(token);
                state.refresh.used.insert(token.to_owned(), grant.family);
                state.refresh.give(&grant)
            });
            (grant, next)
        };
        self.tokens(grant, next)
    }
}
