//! From a provider's claims to the gateway's names, as `[provider.claims]` says.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::super::file::{ClaimSource, ClaimTable};
use super::super::problem::{Report, listed, path};
use super::headers::template;
use crate::identity::{Mapping, RESERVED, Source};

/// Builds a mapping that also keeps the raw claims of `keep`.
pub(super) fn mapping(
    written: &BTreeMap<String, ClaimSource>,
    keep: &BTreeSet<String>,
    key: &str,
    report: &mut Report,
) -> Option<Mapping> {
    let mut good = true;
    let mut names = Vec::new();
    for (name, source) in written {
        let own = path(key, name);
        if RESERVED.contains(&name.as_str()) {
            let message =
                format!("\"{name}\" always comes from the verified login; reserved: {}", listed(RESERVED));
            report.problem(own, message, "choose another name");
            good = false;
            continue;
        }
        let source = match source {
            ClaimSource::Removed(_) => continue,
            ClaimSource::Claim(claim) => Some(Source::Claim { claim: claim.clone(), default: None }),
            ClaimSource::Table(table) => read(table, &own, report),
        };
        match source {
            Some(source) => names.push((name.clone(), source)),
            None => good = false,
        }
    }
    good.then(|| Mapping::new(names, keep.clone()))
}

fn read(table: &ClaimTable, key: &str, report: &mut Report) -> Option<Source> {
    let source = match (&table.claim, &table.template, &table.value) {
        (Some(claim), None, None) => {
            return Some(Source::Claim { claim: claim.clone(), default: table.default.clone() });
        }
        (None, Some(text), None) => template(text, key, report).map(Source::Template),
        (None, None, Some(value)) => Some(Source::Constant(value.clone())),
        _ => {
            let message = "exactly one of claim, template and value is expected";
            report.problem(key, message, "such as { claim = \"tid\", default = \"none\" }");
            return None;
        }
    };
    if table.default.is_some() {
        let message = "default goes with claim only";
        report.problem(key, message, "in a template write it behind the name: \"{tid|none}\"");
        return None;
    }
    source
}
