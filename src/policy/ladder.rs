//! Which level of assurance meets which: one provider's ladder.
//! Pure.
//!
//! *Source:* gateway.toml `acr_ladder`, `acr_also`; the providers' tables of `acr` values.

use std::collections::BTreeMap;

/// A provider's levels, lowest rung first.
///
/// The first value of a rung is its general one: every value of its own and of higher rungs meets it. Any other
/// value is met by itself and by what `also` lists for it. A value that the ladder does not know meets only itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ladder {
    pub(crate) rungs: Vec<Vec<String>>,
    /// Required value → granted values that meet it too.
    pub(crate) also: BTreeMap<String, Vec<String>>,
}

impl Ladder {
    /// Whether a session with `granted` meets `required`.
    pub(crate) fn meets(&self, required: &str, granted: &str) -> bool {
        if required == granted {
            return true;
        }
        if self.also.get(required).is_some_and(|list| list.iter().any(|value| value == granted)) {
            return true;
        }
        let general = self.rungs.iter().position(|rung| rung.first().is_some_and(|first| first == required));
        general.is_some_and(|at| self.rungs.iter().skip(at).flatten().any(|value| value == granted))
    }

    /// Whether `value` stands on the ladder.
    pub(crate) fn knows(&self, value: &str) -> bool {
        self.rungs.iter().flatten().any(|known| known == value) || self.also.contains_key(value)
    }

    /// The first of the wanted values that stands on the ladder: the one that a login asks for.
    pub(crate) fn first_known<'w>(&self, wanted: &'w [String]) -> Option<&'w String> {
        wanted.iter().find(|value| self.knows(value))
    }

    /// Every known value that meets `required`, itself included.
    pub(crate) fn accepted(&self, required: &str) -> Vec<String> {
        let known = self.rungs.iter().flatten().chain(self.also.values().flatten()).map(String::as_str);
        let mut accepted: Vec<String> =
            known.filter(|granted| self.meets(required, granted)).map(str::to_owned).collect();
        accepted.push(required.to_owned());
        accepted.sort_unstable();
        accepted.dedup();
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idemia() -> Ladder {
        let rungs = ["loa-2", "loa-3", "loa-4"].map(|value| vec![value.to_owned()]).to_vec();
        Ladder { rungs, also: BTreeMap::new() }
    }

    #[test]
    fn a_higher_rung_meets_the_general_value_of_a_lower_one() {
        let ladder = idemia();
        assert!(ladder.meets("loa-2", "loa-3"));
        assert!(ladder.meets("loa-3", "loa-3"));
        assert!(!ladder.meets("loa-3", "loa-2"));
        for odd in ["LOA-3", "loa-3 ", "", "loa-9"] {
            assert!(!ladder.meets("loa-3", odd), "{odd}");
        }
        assert_eq!(ladder.accepted("loa-3"), ["loa-3", "loa-4"]);
    }

    #[test]
    fn a_narrow_value_is_met_by_itself_and_what_is_listed() {
        let rungs = vec![
            vec!["al3_any".to_owned(), "al3_any_ch".into(), "al3_sim".into()],
            vec!["al4_any".to_owned(), "al4_any_ch".into(), "al4_sim".into()],
        ];
        let also = BTreeMap::from([("al3_any_ch".to_owned(), vec!["al4_any_ch".to_owned()])]);
        let ladder = Ladder { rungs, also };
        assert!(ladder.meets("al3_any", "al3_any_ch"));
        assert!(ladder.meets("al3_any", "al4_sim"));
        assert!(ladder.meets("al3_any_ch", "al4_any_ch"));
        assert!(!ladder.meets("al3_any_ch", "al3_any"));
        assert!(!ladder.meets("al3_any_ch", "al4_any"));
        assert!(!ladder.meets("al3_sim", "al4_sim"));
        assert!(!ladder.meets("unknown", "al4_any"));
        assert!(ladder.meets("unknown", "unknown"));
    }
}
