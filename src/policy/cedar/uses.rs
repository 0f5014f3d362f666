//! What a policy file speaks of: which claims, each as what, and what it asks for with `has`.
//! Pure.
//!
//! Claims are only known at run time and Cedar's types are static, so a claim's type is what the file uses it as.
//!
//! *Source:* Cedar's JSON policy format (docs.cedarpolicy.com/policies/json-format).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What a claim is used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Text,
    Number,
    Decimal,
    Flag,
    Texts,
    Numbers,
}

/// Claims by their names; one with children is a record.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) children: BTreeMap<String, Tree>,
    /// What it is used as; more than one is a contradiction.
    pub(super) kinds: BTreeSet<Kind>,
    /// The file asks with `has` whether it is there.
    pub(super) is_asked: bool,
    /// The value itself is used.
    pub(super) is_read: bool,
    /// Indices of the policies that name it.
    pub(super) policies: BTreeSet<usize>,
}

/// Everything that one file speaks of.
#[derive(Debug, Default)]
pub(super) struct Uses {
    pub(super) claims: Tree,
    person_asked: BTreeSet<String>,
    context_asked: BTreeSet<String>,
    context: BTreeSet<String>,
    /// `context` stands somewhere as a whole.
    has_whole_context: bool,
    /// Policies in which `principal.claims` stands as a whole, which no schema can describe.
    pub(super) whole_claims: BTreeSet<usize>,
}

impl Kind {
    /// As people read it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a whole number",
            Self::Decimal => "a decimal",
            Self::Flag => "true or false",
            Self::Texts => "a list of texts",
            Self::Numbers => "a list of whole numbers",
        }
    }

    fn list(self) -> Option<Self> {
        match self {
            Self::Text => Some(Self::Texts),
            Self::Number => Some(Self::Numbers),
            Self::Decimal | Self::Flag | Self::Texts | Self::Numbers => None,
        }
    }

    fn element(self) -> Option<Self> {
        match self {
            Self::Texts => Some(Self::Text),
            Self::Numbers => Some(Self::Number),
            Self::Text | Self::Number | Self::Decimal | Self::Flag => None,
        }
    }
}

impl Tree {
    /// What it is used as; `None` where the file only asks whether it is there.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.kinds.first().copied()
    }

    fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |tree, name| tree.children.get(*name))
    }

    fn at_mut(&mut self, path: &[&str]) -> &mut Self {
        path.iter().fold(self, |tree, name| tree.children.entry((*name).to_owned()).or_default())
    }

    /// Every claim that is not a record, with the names that lead to it joined by dots.
    pub(super) fn leaves(&self) -> Vec<(String, &Self)> {
        let mut found = Vec::new();
        for (name, child) in &self.children {
            if child.children.is_empty() {
                found.push((name.clone(), child));
            }
            found.extend(child.leaves().into_iter().map(|(rest, leaf)| (format!("{name}.{rest}"), leaf)));
        }
        found
    }
}

impl Uses {
    /// Takes in one policy, given in Cedar's JSON format.
    pub(super) fn take(&mut self, index: usize, policy: &Value) {
        let conditions = policy.get("conditions").and_then(Value::as_array).into_iter().flatten();
        let bodies: Vec<&Value> = conditions.filter_map(|condition| condition.get("body")).collect();
        // Twice: a claim that is compared with another is what the other turned out to be.
        for _ in 0..2 {
            for body in &bodies {
                Walk { uses: self, index }.walk(body, Some(Kind::Flag));
            }
        }
    }

    pub(super) fn asks_person(&self, name: &str) -> bool {
        self.person_asked.contains(name)
    }

    pub(super) fn asks_context(&self, name: &str) -> bool {
        self.context_asked.contains(name)
    }

    /// Whether requests must tell this; what nobody reads is not made.
    pub(super) fn reads_context(&self, name: &str) -> bool {
        self.has_whole_context || self.context.contains(name)
    }
}

struct Walk<'u> {
    uses: &'u mut Uses,
    index: usize,
}

impl Walk<'_> {
    /// Looks at an expression that stands where `want` is expected.
    fn walk(&mut self, expression: &Value, want: Option<Kind>) {
        if let Some(path) = claim(expression) {
            self.claim(&path, want);
            return;
        }
        let Some((operator, operand)) = operation(expression) else { return };
        let (left, right) = (operand.get("left"), operand.get("right"));
        if let (Some(left), Some(right)) = (left, right) {
            let (as_left, as_right) = (self.kind(left), self.kind(right));
            let (left_want, right_want) = match operator {
                "&&" | "||" => (Some(Kind::Flag), Some(Kind::Flag)),
                "+" | "-" | "*" => (Some(Kind::Number), Some(Kind::Number)),
                "<" | "<=" | ">" | ">=" => (as_right.or(Some(Kind::Number)), as_left.or(Some(Kind::Number))),
                "contains" => (as_right.and_then(Kind::list), as_left.and_then(Kind::element)),
                "==" | "!=" | "containsAll" | "containsAny" => (as_right, as_left),
                _ => (None, None),
            };
            self.walk(left, left_want);
            self.walk(right, right_want);
            return;
        }
        match operator {
            "." => self.attribute(operand),
            "has" => self.has(operand),
            "like" | "is" => {
                let want = (operator == "like").then_some(Kind::Text);
                left.into_iter().for_each(|left| self.walk(left, want));
                operand.get("in").into_iter().for_each(|group| self.walk(group, None));
            }
            "!" | "neg" => {
                let want = if operator == "!" { Kind::Flag } else { Kind::Number };
                operand.get("arg").into_iter().for_each(|argument| self.walk(argument, Some(want)));
            }
            "if-then-else" => {
                let part = |name: &str| operand.get(name);
                part("if").into_iter().for_each(|condition| self.walk(condition, Some(Kind::Flag)));
                let want = want.or_else(|| {
                    part("then")
                        .and_then(|e| self.kind(e))
                        .or_else(|| part("else").and_then(|e| self.kind(e)))
                });
                [part("then"), part("else")].into_iter().flatten().for_each(|e| self.walk(e, want));
            }
            "lessThan" | "lessThanOrEqual" | "greaterThan" | "greaterThanOrEqual" => {
                self.each(operand, Some(Kind::Decimal));
            }
            "Set" => self.each(operand, want.and_then(Kind::element)),
            "Var" if operand == "context" => self.uses.has_whole_context = true,
            "Value" | "Var" | "Slot" => {}
            _ => self.each(operand, None),
        }
    }

    /// Every operand of a list or record.
    fn each(&mut self, operands: &Value, want: Option<Kind>) {
        match operands {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item, want)),
            Value::Object(fields) => fields.values().for_each(|field| self.walk(field, want)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn claim(&mut self, path: &[&str], want: Option<Kind>) {
        let index = self.index;
        let tree = self.uses.claims.at_mut(path);
        tree.kinds.extend(want);
        tree.is_read = true;
        tree.policies.insert(index);
    }

    fn attribute(&mut self, operand: &Value) {
        let Some((left, name)) = operand.get("left").zip(operand.get("attr").and_then(Value::as_str)) else {
            return;
        };
        match variable(left) {
            Some("context") => {
                self.uses.context.insert(name.to_owned());
            }
            Some("principal") if name == "claims" => {
                self.uses.whole_claims.insert(self.index);
            }
            Some(_) => {}
            None => self.walk(left, None),
        }
    }

    /// `left has name` and `left has name.of.more`: each step is asked for.
    fn has(&mut self, operand: &Value) {
        let (Some(left), Some(written)) = (operand.get("left"), operand.get("attr")) else { return };
        let mut names: Vec<&str> = match written {
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            name => name.as_str().into_iter().collect(),
        };
        let prefix = match variable(left) {
            Some("context") => {
                if let Some(name) = names.first() {
                    self.uses.context.insert((*name).to_owned());
                    self.uses.context_asked.insert((*name).to_owned());
                }
                return;
            }
            Some("principal") if names.first() == Some(&"claims") => {
                names.remove(0);
                Vec::new()
            }
            Some("principal") => {
                self.uses.person_asked.extend(names.first().map(|name| (*name).to_owned()));
                return;
            }
            Some(_) => return,
            None if is_claims(left) => Vec::new(),
            None => match claim(left) {
                Some(path) => path,
                None => return self.walk(left, None),
            },
        };
        for length in 1..=names.len() {
            let path: Vec<&str> = prefix.iter().chain(names.iter().take(length)).copied().collect();
            let index = self.index;
            let tree = self.uses.claims.at_mut(&path);
            tree.is_asked = true;
            tree.policies.insert(index);
        }
    }

    /// What an expression is, as far as it can be told without its surroundings.
    fn kind(&self, expression: &Value) -> Option<Kind> {
        if let Some(path) = claim(expression) {
            return self.uses.claims.at(&path)?.kind();
        }
        let (operator, operand) = operation(expression)?;
        match operator {
            "Value" => match operand {
                Value::String(_) => Some(Kind::Text),
                Value::Number(_) => Some(Kind::Number),
                Value::Bool(_) => Some(Kind::Flag),
                Value::Array(items) => literal(items.first()?).and_then(Kind::list),
                Value::Null | Value::Object(_) => None,
            },
            "Set" => self.kind(operand.as_array()?.first()?)?.list(),
            "decimal" => Some(Kind::Decimal),
            "+" | "-" | "*" | "neg" => Some(Kind::Number),
            "&&" | "||" | "!" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "like" | "is" | "has"
            | "contains" | "containsAll" | "containsAny" | "isEmpty" => Some(Kind::Flag),
            "if-then-else" => self.kind(operand.get("then")?).or_else(|| self.kind(operand.get("else")?)),
            "." => match (variable(operand.get("left")?)?, operand.get("attr")?.as_str()?) {
                ("principal", "provider" | "issuer" | "subject" | "acr") => Some(Kind::Text),
                ("principal", "amr") => Some(Kind::Texts),
                ("context", "host" | "path" | "client_cert_subject" | "client_cert_sha256") => {
                    Some(Kind::Text)
                }
                ("context", "auth_age" | "weekday") => Some(Kind::Number),
                _ => None,
            },
            _ => None,
        }
    }
}

fn literal(value: &Value) -> Option<Kind> {
    match value {
        Value::String(_) => Some(Kind::Text),
        Value::Number(_) => Some(Kind::Number),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The one operator of an expression and what it is applied to.
fn operation(expression: &Value) -> Option<(&str, &Value)> {
    let (operator, operand) = expression.as_object()?.iter().next()?;
    Some((operator, operand))
}

fn variable(expression: &Value) -> Option<&str> {
    expression.get("Var")?.as_str()
}

/// Whether it is `principal.claims`.
fn is_claims(expression: &Value) -> bool {
    let operand = expression.get(".");
    let of = |name: &str| operand.and_then(|operand| operand.get(name));
    of("attr").is_some_and(|name| name == "claims") && of("left").and_then(variable) == Some("principal")
}

/// The names behind `principal.claims`, at least one.
fn claim(expression: &Value) -> Option<Vec<&str>> {
    let operand = expression.get(".")?;
    let (left, name) = (operand.get("left")?, operand.get("attr")?.as_str()?);
    if is_claims(left) {
        return Some(vec![name]);
    }
    let mut path = claim(left)?;
    path.push(name);
    Some(path)
}
