//! The configuration: gateway.toml and the environment, read whole, checked whole, built into what the modules need.
//!
//! *Never:* a default that a module must not know from its own settings; I/O after loading (I10).
//! *Source:* gateway.toml.

mod unit;
mod problem;
mod preset;
mod file;
mod document;
mod unavailable;
mod watch;
mod material;
mod loaded;
mod build;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::Value;

pub(crate) use self::document::Environment;
pub(crate) use self::loaded::{Address, Admin, Listen, Loaded, NamedKey, ProviderParts, Tls};
pub(crate) use self::material::Purpose;
pub(crate) use self::problem::{Findings, Problem, Warning};
pub(crate) use self::watch::Watched;

use self::build::Desk;
use self::file::File;
use self::material::Material;
use self::problem::Report;

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    path: PathBuf,
    environment: Environment,
}

/// A configuration that was read, with everything that was found out on the way.
pub(crate) struct Reading {
    pub(crate) findings: Findings,
    /// The effective configuration as TOML, secrets masked; none when the file is no TOML.
    pub(crate) effective: Option<String>,
    /// None when there is a problem.
    pub(crate) loaded: Option<Loaded>,
}

impl Source {
    /// A file, and the variables that are laid over it.
    pub(crate) fn new(path: &Path, environment: Environment) -> Self {
        Self { path: path.to_owned(), environment }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's text.
    ///
    /// # Errors
    /// It cannot be read, or is not UTF-8.
    pub(crate) fn text(&self) -> Result<String, Problem> {
        fs::read_to_string(&self.path).map_err(|error| Problem {
            key: String::new(),
            line: None,
            message: format!("cannot read {}: {}", self.path.display(), material::cause(&error)),
            hint: "name the file with --config; a commented example is gateway.toml of the distribution"
                .to_owned(),
        })
    }

    /// Reads everything, and tells everything that is wrong at once.
    pub(crate) fn read(&self, purpose: Purpose) -> Reading {
        match self.text() {
            Ok(text) => self.read_text(&text, purpose),
            Err(problem) => failed(problem),
        }
    }

    /// The same of a text that was read before; the files that it names are read anew.
    pub(crate) fn read_text(&self, text: &str, purpose: Purpose) -> Reading {
        let (mut value, mut report) = match document::read(text, &self.environment, &schema()) {
            Ok(read) => read,
            Err(problem) => return failed(problem),
        };
        unavailable::check(&value, &mut report);
        preset::apply(&mut value);
        let file: File = match serde_json::from_value(value) {
            Ok(file) => file,
            Err(error) => {
                report.problem("", format!("cannot be read: {error}"), "see the schema: midgate schema");
                return reading(report, None, None);
            }
        };
        let material = Material::new(self.path.parent().unwrap_or(Path::new("")));
        let mut desk = Desk { material: &material, purpose, report: &mut report };
        let loaded = build::all(&file, &mut desk);
        let redirect_uris = loaded.as_ref().map(Loaded::redirect_uris).unwrap_or_default();
        let loaded = loaded.map(|loaded| Loaded { watched: material.watched(), ..loaded });
        let mut read = reading(report, Some(file), loaded);
        read.findings.redirect_uris = redirect_uris;
        read
    }
}

fn failed(problem: Problem) -> Reading {
    let findings = Findings { problems: vec![problem], ..Findings::default() };
    Reading { findings, effective: None, loaded: None }
}

fn reading(report: Report, file: Option<File>, loaded: Option<Loaded>) -> Reading {
    let (problems, warnings) = report.sorted();
    let loaded = loaded.filter(|_| problems.is_empty());
    Reading {
        findings: Findings { problems, warnings, redirect_uris: Vec::new() },
        effective: file.map(effective),
        loaded,
    }
}

/// The configuration as it is in force; secrets print as a word (I8).
fn effective(mut file: File) -> String {
    file.headers.get_or_insert_with(file::default_headers);
    let text = toml::to_string_pretty(&file);
    text.map_or_else(|error| format!("# cannot be written out: {error}\n"), |text| without_user_info(&text))
}

/// Hides what stands before the `@` of an address, which is where people write passwords of stores and proxies.
fn without_user_info(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(['/', '?', '#', '"', '\'', ' ', '\n']).unwrap_or(after.len());
        rest = match after.get(..end).and_then(|authority| authority.rfind('@')) {
            Some(at) => {
                shown.push_str("[secret]");
                after.get(at..).unwrap_or_default()
            }
            None => after,
        };
    }
    shown + rest
}

/// The JSON Schema of gateway.toml.
pub(crate) fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<File>();
    let mut simplify = RecursiveTransform(document::simplify);
    schemars::transform::Transform::transform(&mut simplify, &mut schema);
    schema.to_value()
}

/// Problems as people read them.
pub(crate) fn render(path: &Path, problems: &[Problem]) -> String {
    let count = match problems.len() {
        1 => "1 problem".to_owned(),
        number => format!("{number} problems"),
    };
    problems
        .iter()
        .fold(format!("{}: {count}\n", path.display()), |text, problem| format!("{text}{problem}\n"))
}
