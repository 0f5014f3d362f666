//! What a route demands of a session.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::file::{self, ClaimNeed, Many, Require};
use super::super::problem::{listed, path, suggestion};
use super::Desk;
use super::provider::Known;
use crate::policy::{AllowList, ClaimRule, LevelRule, Requirement};
use crate::request::Certificate;

/// Builds what a route demands, its `id` and policies still open; `providers` are those whose sessions count, never none, and
/// `bearers` the issuers whose tokens count beside them.
pub(super) fn requirement(
    require: Option<&Require>,
    providers: &[&Known],
    bearers: &[Arc<str>],
    key: &str,
    desk: &mut Desk<'_>,
) -> Option<Requirement> {
    let none = Require::default();
    let (require, key) = (require.unwrap_or(&none), format!("{key}.require"));
    let acr = require.acr.as_ref().map(Many::as_slice).unwrap_or_default();
    let mut levels = levels(acr, providers, &format!("{key}.acr"), desk);
    if let Some(levels) = &mut levels {
        levels.extend(bearers.iter().map(|id| (Arc::clone(id), level_of_machine(acr))));
    }
    let counting: Vec<&str> =
        providers.iter().map(|known| &*known.id).chain(bearers.iter().map(|id| &**id)).collect();
    let claims = claims(require, &format!("{key}.claims"), desk)
        .map(|rules| rules.into_iter().partition(|rule| Certificate::is_named(rule.name())));
    let allow = require.allow_file.as_deref();
    let allow = allow.map(|file| allow_list(file, &counting, &format!("{key}.allow_file"), desk));
    let max_age = require.max_age.filter(|age| super::positive(&format!("{key}.max_age"), *age, desk.report));
    let (certificate, claims) = claims?;
    Some(Requirement {
        id: 0,
        providers: levels?,
        order: providers.iter().map(|known| Arc::clone(&known.id)).collect(),
        acr: acr.to_vec(),
        max_age: max_age.map(|age| age.0),
        claims,
        certificate,
        allow: super::if_written(allow)?,
        policy: None,
    })
}

/// Each provider must know one of the wanted levels: that one a login asks for.
fn levels(
    wanted: &[String],
    providers: &[&Known],
    key: &str,
    desk: &mut Desk<'_>,
) -> Option<HashMap<Arc<str>, Option<LevelRule>>> {
    let mut levels = HashMap::new();
    for provider in providers {
        if wanted.is_empty() {
            levels.insert(Arc::clone(&provider.id), None);
            continue;
        }
        let Some(ask) = provider.ladder.first_known(wanted) else {
            let message = format!(
                "provider \"{}\" knows none of {}",
                provider.id,
                listed(wanted.iter().map(String::as_str))
            );
            let known: Vec<&str> = provider.ladder.rungs.iter().flatten().map(String::as_str).collect();
            let hint = match wanted.first() {
                _ if known.is_empty() => "write the provider's acr_ladder".to_owned(),
                Some(value) => suggestion(value, known),
                None => String::new(),
            };
            desk.report.problem(key, message, hint);
            return None;
        };
        let mut accepted: Vec<String> =
            wanted.iter().flat_map(|value| provider.ladder.accepted(value)).collect();
        accepted.sort_unstable();
        accepted.dedup();
        levels.insert(Arc::clone(&provider.id), Some(LevelRule { ask: ask.clone(), accepted }));
    }
    Some(levels)
}

/// An issuer of tokens has no ladder: each value is met by itself, and no login asks for one.
fn level_of_machine(wanted: &[String]) -> Option<LevelRule> {
    wanted.first().map(|first| LevelRule { ask: first.clone(), accepted: wanted.to_vec() })
}

fn claims(require: &Require, key: &str, desk: &mut Desk<'_>) -> Option<Vec<ClaimRule>> {
    let mut rules = Vec::new();
    let mut good = true;
    for (name, need) in &require.claims {
        let own = path(key, name);
        let values = match need {
            ClaimNeed::Range(file::Range { min: None, max: None }) => {
                desk.report.problem(own, "neither min nor max", "such as { min = 18 }");
                good = false;
                continue;
            }
            ClaimNeed::Range(file::Range { min, max }) => {
                if min.zip(*max).is_some_and(|(min, max)| min > max) {
                    desk.report.problem(own, "min is over max: nobody could enter", "exchange them");
                    good = false;
                }
                rules.push(ClaimRule::Range { name: name.clone(), min: *min, max: *max });
                continue;
            }
            ClaimNeed::AnyOf(values) => values.clone(),
            ClaimNeed::Text(text) => vec![text.as_str().into()],
            ClaimNeed::Number(number) => vec![number.clone().into()],
            ClaimNeed::Boolean(boolean) => vec![(*boolean).into()],
        };
        if values.is_empty() || values.iter().any(|value| value.is_array() || value.is_object()) {
            let message = "accepted: a text, a number, true or false, a list of those, or { min, max }";
            desk.report.problem(own, message, "such as [\"CH\", \"LI\"]");
            good = false;
            continue;
        }
        rules.push(ClaimRule::AnyOf { name: name.clone(), values });
    }
    good.then_some(rules)
}

fn allow_list(file: &str, counting: &[&str], key: &str, desk: &mut Desk<'_>) -> Option<AllowList> {
    let text = desk.material.watched_text(file, key, desk.report)?;
    match AllowList::parse(&text) {
        Ok(list) => {
            for provider in list.providers().filter(|id| !counting.contains(&&**id)) {
                let message =
                    format!("{file} names provider \"{provider}\", whose sessions do not count here");
                desk.report.warn("allow-list-of-another-provider", key, message);
            }
            if list.is_empty() {
                desk.report.warn(
                    "allow-list-is-empty",
                    key,
                    format!("{file} lists nobody: nobody may enter"),
                );
            }
            Some(list)
        }
        Err(bad) => {
            for entry in bad {
                let hint = "write +digits, an e-mail address, sub:<provider id>:<subject> or a user_key";
                desk.report.another(key, format!("{file}, {entry}"), hint);
            }
            None
        }
    }
}
