//! The gateway's own paths.
//! Pure.

use super::super::file;
use super::super::problem::Report;
use super::place;
use crate::route::{Endpoints, KEYS_PATH};

/// Builds `[endpoints]`.
pub(super) fn endpoints(section: &file::Endpoints, report: &mut Report) -> Option<Endpoints> {
    let prefix = section.prefix.strip_suffix('/').unwrap_or(&section.prefix);
    let named = [
        ("endpoints.prefix", prefix),
        ("endpoints.callback", section.callback.as_str()),
        ("endpoints.logged_out", section.logged_out.as_str()),
    ];
    let mut good = true;
    if prefix.is_empty() {
        let hint = "the paths below it are never proxied: choose one that no application uses, such as \"/.midgate\"";
        report.problem("endpoints.prefix", "\"/\" would leave nothing to the applications", hint);
        good = false;
    }
    for (key, path) in named.into_iter().filter(|(_, path)| !path.is_empty() || !prefix.is_empty()) {
        good &= place::path(path, key, report);
    }
    let taken = ["login", "logout", "session", "auth", "logout/backchannel", "logout/frontchannel"]
        .map(|name| format!("{prefix}/{name}"));
    let taken: Vec<&str> = taken.iter().map(String::as_str).chain([KEYS_PATH]).collect();
    for (key, path) in [named[1], named[2]] {
        let is_described = path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("/auth/"));
        if is_described || taken.contains(&path) {
            report.problem(
                key,
                format!("\"{path}\" is another path of the gateway's own"),
                "choose another one",
            );
            good = false;
        }
    }
    if section.callback == section.logged_out {
        report.problem("endpoints.logged_out", "the same path as endpoints.callback", "choose another one");
        good = false;
    }
    good.then(|| Endpoints {
        prefix: prefix.to_owned(),
        callback: section.callback.clone(),
        logged_out: section.logged_out.clone(),
    })
}
