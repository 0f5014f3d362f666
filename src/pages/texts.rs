//! What our pages say, in every language, with the operator's own wording laid over it.
//! Pure.
//!
//! *Never:* which text a page needs; `view` asks by section and key.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::Object;

use super::PagesError;
use super::language::Language;

/// Texts by section and key.
pub(crate) type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// The section of the words that many pages share.
pub(super) const WORDS: &str = "words";

/// All texts of all languages.
#[derive(Debug)]
pub(super) struct Texts {
    catalogues: [Arc<Catalogue>; 4],
}

impl Texts {
    /// Lays `overrides` (language tag, section, key) over the embedded texts.
    pub(super) fn new(overrides: &BTreeMap<String, Sections>, problems: &mut Vec<PagesError>) -> Self {
        let known = |tag: &String| Language::ALL.iter().any(|language| language.tag() == tag);
        let strange = overrides.keys().filter(|tag| !known(tag));
        problems.extend(strange.map(|tag| PagesError::Text { key: tag.clone() }));
        let catalogues = Language::ALL.map(|language| {
            let mut sections = embedded(language);
            for (section, texts) in overrides.get(language.tag()).into_iter().flatten() {
                for (key, text) in texts {
                    match sections.get_mut(section).and_then(|section| section.get_mut(key)) {
                        Some(place) => place.clone_from(text),
                        None => problems
                            .push(PagesError::Text { key: format!("{}.{section}.{key}", language.tag()) }),
                    }
                }
            }
            Arc::new(Catalogue::new(sections))
        });
        Self { catalogues }
    }

    /// One section in one language, as templates read it: `text.title`.
    pub(super) fn section(&self, language: Language, section: &'static str) -> Section {
        let [en, de, fr, it] = &self.catalogues;
        let catalogue = match language {
            Language::En => en,
            Language::De => de,
            Language::Fr => fr,
            Language::It => it,
        };
        Section { catalogue: catalogue.clone(), section }
    }

    /// What no page has asked for so far.
    #[cfg(test)]
    pub(super) fn unused(&self) -> Vec<String> {
        self.catalogues.iter().flat_map(|catalogue| catalogue.unused()).collect()
    }
}

/// The texts that come with the program.
fn embedded(language: Language) -> Sections {
    let json = match language {
        Language::En => include_str!("texts/en.json"),
        Language::De => include_str!("texts/de.json"),
        Language::Fr => include_str!("texts/fr.json"),
        Language::It => include_str!("texts/it.json"),
    };
    serde_json::from_str(json).expect("the embedded texts are read by a test")
}

#[derive(Debug)]
struct Catalogue {
    sections: Sections,
    #[cfg(test)]
    used: std::sync::Mutex<std::collections::BTreeSet<String>>,
}

impl Catalogue {
    fn new(sections: Sections) -> Self {
        Self {
            sections,
            #[cfg(test)]
            used: std::sync::Mutex::default(),
        }
    }

    fn find(&self, section: &str, key: &str) -> Option<&str> {
        #[cfg(test)]
        self.used.lock().unwrap().insert(format!("{section}.{key}"));
        self.sections.get(section)?.get(key).map(String::as_str)
    }

    #[cfg(test)]
    fn unused(&self) -> Vec<String> {
        let used = self.used.lock().unwrap();
        let all = self.sections.iter().flat_map(|(s, texts)| texts.keys().map(move |k| format!("{s}.{k}")));
        all.filter(|key| !used.contains(key)).collect()
    }
}

/// One section of one language.
#[derive(Debug, Clone)]
pub(super) struct Section {
    catalogue: Arc<Catalogue>,
    section: &'static str,
}

impl Section {
    /// The text of a key; none becomes an undefined value, at which a strict template fails.
    pub(super) fn find(&self, key: &str) -> Value {
        self.catalogue.find(self.section, key).map_or(Value::UNDEFINED, Value::from)
    }
}

impl Object for Section {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let text = self.catalogue.find(self.section, key.as_str()?)?;
        Some(Value::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(sections: &Sections) -> Vec<(&String, &String)> {
        sections.iter().flat_map(|(section, texts)| texts.keys().map(move |key| (section, key))).collect()
    }

    #[test]
    fn every_language_has_the_same_keys_and_no_empty_text() {
        let english = embedded(Language::En);
        for language in Language::ALL {
            let sections = embedded(language);
            assert_eq!(keys(&sections), keys(&english), "{language:?}");
            for (section, texts) in &sections {
                for (key, text) in texts {
                    assert!(!text.trim().is_empty() && text.trim() == text, "{language:?} {section}.{key}");
                }
            }
        }
    }

    #[test]
    fn german_is_swiss() {
        assert!(!include_str!("texts/de.json").contains('ß'));
    }

    #[test]
    fn an_unknown_override_is_a_problem() {
        let section =
            |key: &str| BTreeMap::from([("words".to_owned(), [(key.to_owned(), "x".to_owned())].into())]);
        let overrides = [("en", "home"), ("de", "hoem"), ("rm", "home")];
        let overrides = overrides.map(|(tag, key)| (tag.to_owned(), section(key))).into();
        let mut problems = Vec::new();
        let texts = Texts::new(&overrides, &mut problems);
        assert_eq!(texts.section(Language::En, WORDS).find("home").as_str(), Some("x"));
        let problems: Vec<_> = problems.iter().map(PagesError::to_string).collect();
        assert_eq!(problems, ["no text is called \"rm\"", "no text is called \"de.words.hoem\""]);
    }
}
