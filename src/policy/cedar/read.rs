//! From a policy file's text to policies that are known to be sound; every fault is told at once.
//! Pure.

use std::str::FromStr as _;

use cedar_policy::{
    Authorizer, EntityId, EntityTypeName, EntityUid, Policy, PolicySet, Schema, ValidationMode, Validator,
};
use http::Method;
use miette::Diagnostic;

use super::offer::{METHODS, schema};
use super::uses::{Kind, Tree, Uses};
use super::{PolicyFile, Rule};

/// What a policy file stands in.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// Ids of all routes.
    pub(crate) routes: Vec<String>,
    /// Methods that routes name.
    pub(crate) methods: Vec<String>,
}

/// Something that is wrong with a policy file, or odd about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    /// None for the file as a whole.
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// What is said where Cedar has no advice of its own.
const HINT: &str = "what a policy can speak of stands in README, \"Policy files\"";

impl Fault {
    fn new(line: Option<usize>, message: impl Into<String>, hint: &str) -> Self {
        Self { line, message: message.into(), hint: hint.to_owned() }
    }

    /// What Cedar says, at the line that it points to.
    fn of(error: &dyn Diagnostic, text: &str) -> Self {
        let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
        let hint = error.help().map_or_else(|| HINT.to_owned(), |help| help.to_string());
        Self { line: offset.map(|offset| line(text, offset)), message: plain(&error.to_string()), hint }
    }
}

impl PolicyFile {
    /// Reads a policy file; beside it what works and looks like a mistake.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(crate) fn read(
        id: usize,
        name: &str,
        text: &str,
        around: &Surroundings,
    ) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        let policies = PolicySet::from_str(text)
            .map_err(|errors| errors.iter().map(|error| Fault::of(error, text)).collect::<Vec<_>>())?;
        let ordered = ordered(&policies, text);
        let lines: Vec<usize> = ordered.iter().map(|(_, line)| *line).collect();
        let mut faults = templates(&policies);
        let mut uses = Uses::default();
        for (index, (policy, line)) in ordered.iter().enumerate() {
            match policy.to_json() {
                Ok(json) => uses.take(index, &json),
                Err(error) => faults.push(Fault::new(Some(*line), error.to_string(), HINT)),
            }
        }
        for line in uses.whole_claims.iter().filter_map(|at| lines.get(*at)) {
            let message = "principal.claims can only be asked for its claims";
            faults.push(Fault::new(Some(*line), message, "such as principal.claims.department == \"HR\""));
        }
        types(&uses.claims, "", &lines, &mut faults);
        let rules = rules(&ordered, &mut faults);
        people(&ordered, &mut faults);
        let methods = methods(around);
        let odd = match validate(&policies, text, &schema(&uses, &methods, &around.routes)) {
            // Where a claim has no type, the schema lacks it, and Cedar would say the same again.
            Ok(odd) if faults.is_empty() => odd,
            Ok(_) => return Err(sorted(faults)),
            Err(found) => {
                faults.extend(found);
                return Err(sorted(faults));
            }
        };
        let file = Self {
            id,
            name: name.to_owned(),
            by_id: ordered.iter().enumerate().map(|(at, (policy, _))| (policy.id().clone(), at)).collect(),
            policies,
            authorizer: Authorizer::new(),
            rules,
            uses,
            person: entity_type("Person"),
            actions: methods
                .iter()
                .filter_map(|name| Some((Method::from_str(name).ok()?, uid("Action", name))))
                .collect(),
            routes: around.routes.iter().map(|route| (route.clone(), uid("Route", route))).collect(),
        };
        Ok((file, odd))
    }
}

fn validate(policies: &PolicySet, text: &str, schema: &str) -> Result<Vec<Fault>, Vec<Fault>> {
    let schema = match Schema::from_cedarschema_str(schema) {
        Ok((schema, _)) => schema,
        Err(error) => return Err(vec![Fault::new(None, error.to_string(), HINT)]),
    };
    let found = Validator::new(schema).validate(policies, ValidationMode::Strict);
    let errors: Vec<Fault> = found.validation_errors().map(|error| Fault::of(error, text)).collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(sorted(found.validation_warnings().map(|warning| Fault::of(warning, text)).collect()))
}

/// The policies as they stand in the file, each with the line on which it begins.
fn ordered<'p>(policies: &'p PolicySet, text: &str) -> Vec<(&'p Policy, usize)> {
    let mut all: Vec<&Policy> = policies.policies().collect();
    // Cedar numbers them: policy0, policy1, …
    all.sort_by_key(|policy| policy.id().to_string().trim_start_matches("policy").parse::<usize>().ok());
    let mut from = 0;
    all.into_iter()
        .map(|policy| {
            let own = policy.to_string();
            let at = text.get(from..).and_then(|rest| rest.find(&own)).map_or(from, |at| from + at);
            from = at + own.len();
            (policy, line(text, at))
        })
        .collect()
}

/// A template speaks of nobody until somebody links it, which nothing here does.
fn templates(policies: &PolicySet) -> Vec<Fault> {
    let slot = "?principal and ?resource stand for nothing here";
    policies.templates().map(|_| Fault::new(None, slot, "name the person or the route")).collect()
}

/// The name of each policy; a name that two have would explain nothing.
fn rules(ordered: &[(&Policy, usize)], faults: &mut Vec<Fault>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for (policy, line) in ordered {
        let name = match policy.annotation("id") {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => format!("line {line}"),
        };
        if rules.iter().any(|rule| rule.name == name) {
            let message = format!("a second policy is called \"{name}\"");
            faults.push(Fault::new(Some(*line), message, "give each an @id of its own"));
        }
        rules.push(Rule { name, effect: policy.effect() });
    }
    rules
}

/// People are named by their keys: anything else would be nobody.
fn people(ordered: &[(&Policy, usize)], faults: &mut Vec<Fault>) {
    let person = entity_type("Person");
    for (policy, line) in ordered {
        for literal in policy.entity_literals().iter().filter(|literal| *literal.type_name() == person) {
            let key: &str = literal.id().unescaped();
            let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            // base64url without padding of 32 bytes.
            if key.len() != 43 || !key.bytes().all(good) {
                let message = format!("Person::{key:?} is nobody: a person is named by the user_key");
                faults.push(Fault::new(Some(*line), message, "GET /.midgate/session shows a person's own"));
            }
        }
    }
}

/// Every claim is used as one thing.
fn types(tree: &Tree, prefix: &str, lines: &[usize], faults: &mut Vec<Fault>) {
    for (name, child) in &tree.children {
        let path = format!("{prefix}{name}");
        let at = child.policies.first().and_then(|policy| lines.get(*policy)).copied();
        let kinds: Vec<&str> = child.kinds.iter().map(|kind: &Kind| kind.words()).collect();
        if !child.children.is_empty() {
            if child.is_read {
                let message = format!("claim \"{path}\" is used as a value and as a record of claims");
                faults.push(Fault::new(at, message, "use one of them"));
            }
            types(child, &format!("{path}."), lines, faults);
        } else if kinds.len() > 1 {
            let message = format!("claim \"{path}\" is used as {}", kinds.join(" and as "));
            faults.push(Fault::new(at, message, "a claim has one type in all of a file"));
        } else if kinds.is_empty() && child.is_read {
            let message = format!("claim \"{path}\" is used in a way that does not tell its type");
            faults.push(Fault::new(
                at,
                message,
                "compare it with a text, a number, true, a decimal or a list",
            ));
        }
    }
}

/// The methods of a schema; HEAD counts as GET.
fn methods(around: &Surroundings) -> Vec<String> {
    let named = around.methods.iter().filter(|name| *name != "HEAD").cloned();
    let mut methods: Vec<String> = METHODS.map(str::to_owned).into_iter().chain(named).collect();
    methods.sort_unstable();
    methods.dedup();
    methods
}

fn entity_type(name: &str) -> EntityTypeName {
    EntityTypeName::from_str(name).expect("one of our own names, which are identifiers")
}

fn uid(kind: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(entity_type(kind), EntityId::new(id))
}

/// Without what nobody wrote: Cedar numbers policies, and says the same for each action.
fn plain(message: &str) -> String {
    let message = message
        .strip_prefix("for policy `")
        .and_then(|rest| rest.split_once("`, "))
        .map_or(message, |(_, rest)| rest);
    match message.split_once(" for Action::\"") {
        Some((before, rest)) => format!("{before}{}", rest.split_once('"').map_or("", |(_, after)| after)),
        None => message.to_owned(),
    }
}

fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn sorted(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort();
    faults.dedup();
    faults
}
