//! One rule of `require.claims`.
//! Pure.

use serde_json::Value;

use crate::identity::Identity;

/// A claim and what it must be; missing or of another type is not met.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ClaimRule {
    /// The claim equals one of the values, or is a list that contains one.
    AnyOf { name: String, values: Vec<Value> },
    /// The claim is a number between the bounds, both included.
    Range { name: String, min: Option<f64>, max: Option<f64> },
}

impl ClaimRule {
    /// The claim that the rule is about.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::AnyOf { name, .. } | Self::Range { name, .. } => name,
        }
    }

    /// Whether a login at another level may change the answer: it speaks of the login itself, or of a claim that this
    /// login did not bring, such as a country that only some levels tell.
    pub(crate) fn may_change_with_level(&self, identity: &Identity) -> bool {
        matches!(self.name(), "amr" | "acr" | "auth_time") || identity.find(self.name()).is_none()
    }

    /// Whether the identity meets the rule.
    pub(crate) fn holds(&self, identity: &Identity) -> bool {
        identity.find(self.name()).is_some_and(|claim| self.takes(&claim))
    }

    /// Whether a value is one that the rule wants.
    pub(super) fn takes(&self, claim: &Value) -> bool {
        match self {
            Self::AnyOf { values, .. } => match claim {
                Value::Array(items) => items.iter().any(|item| values.iter().any(|value| equal(item, value))),
                claim => values.iter().any(|value| equal(claim, value)),
            },
            Self::Range { min, max, .. } => claim.as_f64().is_some_and(|number| {
                min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max)
            }),
        }
    }
}

/// Equality by value: `18` and `18.0` are one number, `18` and `"18"` are not equal.
fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
