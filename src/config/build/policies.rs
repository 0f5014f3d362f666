//! The policy files of all routes: each is read once, whichever routes name it.

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;

use super::super::file::{File, Many, Route};
use super::Desk;
use crate::policy::{Fault, PolicyFile, Surroundings};

/// Policy files by their names as written; none where a file is wrong, which is told already.
pub(super) type Policies = BTreeMap<String, Option<Arc<PolicyFile>>>;

/// Reads every `require.policy_file`.
pub(super) fn policies(file: &File, public: Option<&Url>, desk: &mut Desk<'_>) -> Policies {
    let around = Surroundings {
        routes: file.route.iter().filter_map(|route| route_id(route, public)).collect(),
        methods: file.route.iter().flat_map(methods).collect(),
    };
    let mut policies = Policies::new();
    for (index, route) in file.route.iter().enumerate() {
        let written = route.require.as_ref().and_then(|require| require.policy_file.as_ref());
        let Some(written) = written.filter(|written| !policies.contains_key(*written)) else { continue };
        let key = format!("route[{index}].require.policy_file");
        let policy = read(policies.len(), written, &key, &around, desk);
        policies.insert(written.clone(), policy.map(Arc::new));
    }
    policies
}

fn read(
    id: usize,
    written: &str,
    key: &str,
    around: &Surroundings,
    desk: &mut Desk<'_>,
) -> Option<PolicyFile> {
    let text = desk.material.watched_text(written, key, desk.report)?;
    let at = |fault: &Fault| match fault.line {
        Some(line) => format!("{written}:{line}: {}", fault.message),
        None => format!("{written}: {}", fault.message),
    };
    match PolicyFile::read(id, written, &text, around) {
        Ok((policy, odd)) => {
            for fault in odd {
                desk.report.warn("policy-looks-wrong", key, at(&fault));
            }
            if policy.permits_nobody() {
                let message = format!("{written} holds no permit: nobody may enter");
                desk.report.warn("policy-permits-nobody", key, message);
            }
            Some(policy)
        }
        Err(faults) => {
            for fault in faults {
                desk.report.another(key, at(&fault), fault.hint.as_str());
            }
            None
        }
    }
}

/// A route's id as it will be; one that cannot be built is told where routes are.
fn route_id(route: &Route, public: Option<&Url>) -> Option<String> {
    let host = || match &route.host {
        Some(host) => Some(host.to_ascii_lowercase()),
        None => public.and_then(Url::host_str).map(str::to_owned),
    };
    match &route.id {
        Some(id) => Some(id.clone()),
        None => Some(format!("{}{}", host()?, route.path)),
    }
}

/// The methods that a route names; a word that is none is told where routes are.
fn methods(route: &Route) -> Vec<String> {
    let written = route.methods.as_ref().map(Many::as_slice).unwrap_or_default();
    let is_good =
        |text: &&String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    written.iter().filter(is_good).cloned().collect()
}
