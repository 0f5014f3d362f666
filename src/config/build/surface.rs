//! The look of the gateway's own pages, and its logs.

use std::collections::BTreeMap;
use std::fs;

use tracing::Level;

use super::super::file::{self, LogFormat, LogLevel};
use super::{Desk, if_written};
use crate::admission::AuditSubject;
use crate::pages::{Pages, Sections, Settings};
use crate::telemetry::{Format, LogSettings};

/// Builds `[pages]`.
pub(super) fn pages(section: &file::Pages, desk: &mut Desk<'_>) -> Option<Pages> {
    let logo = section.logo_file.as_deref();
    let logo = logo.map(|file| desk.material.bytes(file, "pages.logo_file", desk.report));
    let texts = section.texts_file.as_deref().map(|file| texts(file, desk));
    let templates = section.template_dir.as_deref().map(|folder| templates(folder, desk));
    let settings = Settings {
        product_name: section.product_name.clone(),
        colour: section.colour.clone(),
        logo: if_written(logo)?,
        texts: if_written(texts)?.unwrap_or_default(),
        templates: if_written(templates)?.unwrap_or_default(),
    };
    match Pages::new(settings) {
        Ok(pages) => Some(pages),
        Err(problems) => {
            for problem in problems {
                // Several wrong texts are several problems of one key.
                desk.report.another(
                    problem.key(),
                    problem.to_string(),
                    "midgate's own files are in its source, src/pages",
                );
            }
            None
        }
    }
}

fn texts(file: &str, desk: &mut Desk<'_>) -> Option<BTreeMap<String, Sections>> {
    const KEY: &str = "pages.texts_file";
    let text = desk.material.text(file, KEY, desk.report)?;
    serde_json::from_str(&text)
        .map_err(|error| {
            let message = format!("{file} is not readable as texts: {error}");
            desk.report.problem(KEY, message, "such as {\"de\": {\"words\": {\"again\": \"Nochmals\"}}}");
        })
        .ok()
}

fn templates(folder: &str, desk: &mut Desk<'_>) -> Option<BTreeMap<String, String>> {
    const KEY: &str = "pages.template_dir";
    let path = desk.material.locate(folder);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) => {
            let message =
                format!("cannot read {}: {}", path.display(), super::super::material::cause(&error));
            desk.report.problem(KEY, message, "name a folder with templates such as layout.html");
            return None;
        }
    };
    let mut found = BTreeMap::new();
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = desk.material.text(&format!("{folder}/{name}"), KEY, desk.report)?;
        found.insert(name, text);
    }
    Some(found)
}

/// Builds `[log]`.
pub(super) fn log(section: &file::Log) -> LogSettings {
    let format = match section.format {
        LogFormat::Auto => Format::Auto,
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
    };
    let level = match section.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    LogSettings { format, level }
}

/// How audit events name a person.
pub(super) fn audit_subject(written: file::AuditSubject) -> AuditSubject {
    match written {
        file::AuditSubject::Hash => AuditSubject::Hash,
        file::AuditSubject::Plain => AuditSubject::Plain,
        file::AuditSubject::Off => AuditSubject::Off,
    }
}
