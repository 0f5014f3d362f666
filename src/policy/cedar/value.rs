//! From what a provider said to a value that a policy can compare: by type, and nothing is turned into anything else.
//! Pure.

use cedar_policy::RestrictedExpression;
use serde_json::Value;

use super::uses::Kind;

/// The claim as a value of this kind; `None` when it is of another type.
///
/// A single value where a list is expected is a list of one, since providers send a single group in either way.
pub(super) fn typed(kind: Kind, claim: &Value) -> Option<RestrictedExpression> {
    match kind {
        Kind::Text => claim.as_str().map(text),
        Kind::Number => whole(claim).map(RestrictedExpression::new_long),
        Kind::Decimal => decimal(claim).map(RestrictedExpression::new_decimal),
        Kind::Flag => claim.as_bool().map(RestrictedExpression::new_bool),
        Kind::Texts => each(claim, |item| item.as_str().map(text)),
        Kind::Numbers => each(claim, |item| whole(item).map(RestrictedExpression::new_long)),
    }
}

/// A text.
pub(super) fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn each(
    claim: &Value,
    typed: impl Fn(&Value) -> Option<RestrictedExpression>,
) -> Option<RestrictedExpression> {
    let items = match claim {
        Value::Array(items) => items.iter().map(typed).collect::<Option<Vec<_>>>()?,
        single => vec![typed(single)?],
    };
    Some(RestrictedExpression::new_set(items))
}

/// `18` and `18.0` are one number; `18.5`, `"18"` and what no 64 bits hold are no whole number.
fn whole(claim: &Value) -> Option<i64> {
    /// Beyond this, neighbouring numbers are one and the same in a JSON parser of 64-bit floats.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    claim.as_i64().or_else(|| {
        let number = claim.as_f64().filter(|_| !claim.is_u64())?;
        #[allow(clippy::cast_possible_truncation)]
        (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
    })
}

/// Cedar's decimals have at most four digits behind the point: a number with more is none.
fn decimal(claim: &Value) -> Option<String> {
    let written = claim.as_number()?.to_string();
    let (_, fraction) = written.split_once('.').unwrap_or((&written, "0"));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    // The last two: no exponent, and within Cedar's bounds of ±2^63 / 10^4.
    let fits = fraction.len() <= 4 && digits(fraction) && digits(written.replace(['-', '.'], "").as_str());
    let within = claim.as_f64().is_some_and(|number| number.abs() < 922_337_203_685_477.0);
    (fits && within).then(|| if written.contains('.') { written } else { format!("{written}.0") })
}
