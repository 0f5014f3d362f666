//! The pages that the gateway shows to people: one design, four languages, no trust in any value.
//! Pure.
//!
//! *Never:* when a page is shown; `login`, `admission` and `proxy` decide and name it.
//! *Source:* CSP Level 3, HTML §4.10.21 (forms), WCAG 2.2.

mod language;
mod page;
mod texts;
mod theme;
mod view;
mod whoami;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{self, HeaderValue};
use minijinja::{Environment, UndefinedBehavior, Value, context};

use crate::reply::Reply;

pub(crate) use self::language::Language;
pub(crate) use self::page::{Choice, Outage, Page};
pub(crate) use self::texts::Sections;
pub(crate) use self::whoami::WhoAmI;

use self::texts::{Texts, WORDS};
use self::theme::Colour;
use self::view::REPOST_SCRIPT;

const STYLE: &str = "style.css";
const TEMPLATES: [(&str, &str); 6] = [
    ("layout.html", include_str!("pages/templates/layout.html")),
    ("message.html", include_str!("pages/templates/message.html")),
    ("choice.html", include_str!("pages/templates/choice.html")),
    ("session.html", include_str!("pages/templates/session.html")),
    ("logout.html", include_str!("pages/templates/logout.html")),
    ("repost.html", include_str!("pages/templates/repost.html")),
];

/// What an operator may change, all of it optional.
#[derive(Debug, Default, Clone)]
pub(crate) struct Settings {
    /// Stands above the card and in the title.
    pub(crate) product_name: Option<String>,
    /// `#rrggbb`.
    pub(crate) colour: Option<String>,
    /// The content of the logo's file: SVG, PNG, JPEG, GIF or WebP, at most 64 KiB.
    pub(crate) logo: Option<Vec<u8>>,
    /// By language tag, section and key, as in `texts/*.json`.
    pub(crate) texts: BTreeMap<String, Sections>,
    /// By file name: `style.css` and the templates.
    pub(crate) templates: BTreeMap<String, String>,
}

/// What is wrong with the settings; always the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PagesError {
    #[error("{0:?} is no colour such as \"#0f5cc0\"")]
    Colour(String),
    #[error("the logo {0}")]
    Logo(String),
    #[error("no text is called {key:?}")]
    Text { key: String },
    #[error("no template is called {0:?}")]
    UnknownTemplate(String),
    #[error("template {name:?}: {problem}")]
    Template { name: String, problem: String },
}

impl PagesError {
    /// The key of the configuration that is wrong.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Colour(_) => "pages.colour",
            Self::Logo(_) => "pages.logo_file",
            Self::Text { .. } => "pages.texts_file",
            Self::UnknownTemplate(_) | Self::Template { .. } => "pages.template_dir",
        }
    }
}

/// The request that a page answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visit<'a> {
    pub(crate) language: Language,
    pub(crate) request_id: &'a str,
    /// Where "go on" leads: a path or URL of an own origin.
    pub(crate) home: &'a str,
    /// Origins beside our own to which a posted form may be redirected.
    pub(crate) form_action: &'a [String],
}

/// All pages of one configuration.
#[derive(Debug)]
pub(crate) struct Pages {
    environment: Environment<'static>,
    texts: Texts,
    product: Value,
    logo: Value,
    style: Value,
    /// `'sha256-…'` of the style and of the re-post script.
    style_hash: String,
    script_hash: String,
}

impl Pages {
    /// Compiles templates, texts and style; gives every problem of the settings at once.
    pub(crate) fn new(settings: Settings) -> Result<Self, Vec<PagesError>> {
        let mut problems = Vec::new();
        let texts = Texts::new(&settings.texts, &mut problems);
        let environment = compile(&settings.templates, &mut problems);
        let style = style(&settings, &mut problems);
        let logo = settings.logo.and_then(|bytes| match theme::logo(&bytes) {
            Ok(uri) => Some(uri),
            Err(problem) => {
                problems.push(PagesError::Logo(problem));
                None
            }
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            environment,
            texts,
            product: settings.product_name.into(),
            logo: logo.into(),
            style_hash: source_hash(&style),
            style: Value::from_safe_string(style),
            script_hash: source_hash(REPOST_SCRIPT),
        })
    }

    /// Writes a page out.
    ///
    /// A template of the operator's that fails at this page becomes plain text with the same status.
    pub(crate) fn render(&self, page: &Page<'_>, visit: &Visit<'_>) -> Reply {
        let mut reply = match self.body(page, visit) {
            Ok(body) => Reply::new(page.status()).body("text/html; charset=utf-8", body),
            Err(_) => Reply::text(page.status(), format!("{}\n{}\n", page.reason(), visit.request_id)),
        };
        let policy = self.content_security_policy(page, visit);
        let policy = HeaderValue::try_from(policy).expect("hashes and filtered origins are printable ASCII");
        reply = reply
            .with(header::CONTENT_SECURITY_POLICY, policy)
            .with(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"))
            .with(header::CONTENT_LANGUAGE, HeaderValue::from_static(visit.language.tag()))
            .with(header::VARY, HeaderValue::from_static("Accept-Language"));
        if page.error().is_some() {
            reply = reply.because(page.reason());
        }
        match page.header() {
            Some((name, value)) => reply.with(name, value),
            None => reply,
        }
    }

    fn body(&self, page: &Page<'_>, visit: &Visit<'_>) -> Result<String, minijinja::Error> {
        let words = self.texts.section(visit.language, WORDS);
        let own = view::compose(page, visit, &words);
        let shared = context! {
            lang => visit.language.tag(),
            symbol => view::symbol(page),
            product => self.product.clone(),
            logo => self.logo.clone(),
            style => self.style.clone(),
            home => visit.home,
            words => Value::from_object(words),
            text => Value::from_object(self.texts.section(visit.language, page.texts())),
        };
        self.environment.get_template(own.template)?.render(context! { ..own.values, ..shared })
    }

    fn content_security_policy(&self, page: &Page<'_>, visit: &Visit<'_>) -> String {
        let mut script = String::new();
        if let Page::Repost { .. } = page {
            script = format!("script-src {}; ", self.script_hash);
        }
        let origins: String =
            visit.form_action.iter().filter(|o| is_origin(o)).map(|o| format!(" {o}")).collect();
        format!(
            "default-src 'none'; style-src {}; img-src data:; {script}form-action 'self'{origins}; \
             frame-ancestors 'none'; base-uri 'none'",
            self.style_hash
        )
    }
}

/// What programs read in place of a page.
pub(crate) fn error_json(status: StatusCode, error: &str, reason: &'static str, request_id: &str) -> Reply {
    Reply::json(status, &serde_json::json!({ "error": error, "reason": reason, "request_id": request_id }))
        .because(reason)
}

/// Compiles the embedded templates with the operator's in their places.
fn compile(replaced: &BTreeMap<String, String>, problems: &mut Vec<PagesError>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    for (name, embedded) in TEMPLATES {
        let source = replaced.get(name).map_or(embedded, String::as_str);
        if let Err(error) = environment.add_template_owned(name, source.to_owned()) {
            problems.push(PagesError::Template { name: name.to_owned(), problem: error.to_string() });
        }
    }
    let known = |name: &str| name == STYLE || TEMPLATES.iter().any(|(template, _)| *template == name);
    let unknown = replaced.keys().filter(|name| !known(name));
    problems.extend(unknown.map(|name| PagesError::UnknownTemplate(name.clone())));
    environment
}

/// The one style of all pages: the accent's properties, then the sheet.
fn style(settings: &Settings, problems: &mut Vec<PagesError>) -> String {
    let accent = settings.colour.as_deref().map_or(Some(theme::ACCENT), Colour::read).unwrap_or_else(|| {
        problems.push(PagesError::Colour(settings.colour.clone().unwrap_or_default()));
        theme::ACCENT
    });
    let sheet =
        settings.templates.get(STYLE).map_or(include_str!("pages/templates/style.css"), String::as_str);
    // The sheet stands in the page unescaped, and browsers hash it with LF line ends.
    if sheet.contains('<') || sheet.contains('\r') {
        let problem = "holds \"<\" or a carriage return".to_owned();
        problems.push(PagesError::Template { name: STYLE.to_owned(), problem });
    }
    theme::properties(accent) + sheet
}

/// CSP Level 3 §2.3.1, `hash-source`.
fn source_hash(text: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    format!("'sha256-{}'", STANDARD.encode(hash))
}

/// Whether a text can stand in the policy as an origin, and as nothing else.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
    })
}
