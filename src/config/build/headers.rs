//! Identity headers of every route, and what is removed from requests.
//! Pure.
//!
//! *Source:* gateway.toml `[headers]`; RFC 9110 §5.6.2.

use std::collections::BTreeMap;

use http::HeaderName;
use http::header::AUTHORIZATION;

use super::super::file::{self, File, HeaderEntry, HeaderField};
use super::super::problem::{Report, path};
use crate::headers::{DEFAULT_STRIP, Encoding, Field, Strip, fold};
use crate::identity::Template;

/// Headers that frame the message, name its target, or are set by the gateway itself.
const NOT_FOR_IDENTITY: [&str; 18] = [
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
    "traceparent",
];

/// The identity headers of every route.
pub(super) struct HeaderSets {
    /// By the route's index in the file.
    routes: Vec<Vec<Field>>,
}

impl HeaderSets {
    /// `[headers]`, changed by each route's own.
    pub(super) fn new(file: &File, report: &mut Report) -> Self {
        let default = file::default_headers();
        let general = read("headers", file.headers.as_ref().unwrap_or(&default), report);
        let routes = file.route.iter().enumerate();
        let routes = routes.map(|(index, route)| {
            let key = format!("route[{index}].headers");
            merge(&general, &route.headers, &key, report)
        });
        Self { routes: routes.collect() }
    }

    /// The headers of a route.
    pub(super) fn of(&self, route: usize) -> &[Field] {
        self.routes.get(route).map(Vec::as_slice).unwrap_or_default()
    }

    /// Every header of every route, each once; `Authorization` is the client's own where a route does not set it.
    pub(super) fn identity(&self) -> Vec<HeaderName> {
        let names = self.routes.iter().flatten().filter_map(|field| HeaderName::try_from(&field.name).ok());
        let mut names: Vec<_> = names.filter(|name| *name != AUTHORIZATION).collect();
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        names
    }

    /// The first header of any route that servers could take for one of this name.
    pub(super) fn twin(&self, name: &str) -> Option<&str> {
        let fields = self.routes.iter().flatten();
        fields.map(|field| field.name.as_str()).find(|known| fold(known) == fold(name))
    }

    /// Every name that some template looks up.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().flatten().flat_map(|field| field.template.names())
    }
}

fn merge(
    general: &[Field],
    own: &BTreeMap<String, HeaderEntry>,
    key: &str,
    report: &mut Report,
) -> Vec<Field> {
    let is_replaced = |field: &&Field| own.keys().any(|name| name.eq_ignore_ascii_case(&field.name));
    let mut fields: Vec<Field> = general.iter().filter(|field| !is_replaced(field)).cloned().collect();
    for field in read(key, own, report) {
        if let Some(twin) = fields.iter().find(|other| fold(&other.name) == fold(&field.name)) {
            alike(&path(key, &field.name), &field.name, &twin.name, report);
        }
        fields.push(field);
    }
    fields
}

fn read(key: &str, table: &BTreeMap<String, HeaderEntry>, report: &mut Report) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for (name, entry) in table {
        let own = path(key, name);
        let written = match entry {
            HeaderEntry::Removed(_) => continue,
            HeaderEntry::Template(value) => HeaderField { value: value.clone(), ..HeaderField::default() },
            HeaderEntry::Field(field) => field.clone(),
        };
        if !is_good_name(name, &own, report) {
            continue;
        }
        if let Some(twin) = fields.iter().find(|other| fold(&other.name) == fold(name)) {
            alike(&own, name, &twin.name, report);
            continue;
        }
        fields.extend(field(name, &written, &own, report));
    }
    fields
}

fn alike(key: &str, name: &str, twin: &str, report: &mut Report) {
    let message = format!("\"{name}\" and \"{twin}\" are one header to servers that read - and _ alike");
    report.problem(key, message, "keep one of them");
}

pub(super) fn is_good_name(name: &str, key: &str, report: &mut Report) -> bool {
    if HeaderName::try_from(name).is_err() || name.len() > 128 {
        report.problem(key, format!("\"{name}\" cannot be the name of a header"), "such as \"X-Auth-Name\"");
        return false;
    }
    if NOT_FOR_IDENTITY.contains(&fold(name).as_str()) {
        let message =
            format!("\"{name}\" is a header that carries the message itself, or that the gateway sets");
        report.problem(key, message, "choose a name of its own, such as \"X-Auth-Name\"");
        return false;
    }
    true
}

fn field(name: &str, written: &HeaderField, key: &str, report: &mut Report) -> Option<Field> {
    let encoding = match written.encoding {
        file::Encoding::Utf8 => Encoding::Utf8,
        file::Encoding::Latin1 => Encoding::Latin1,
        file::Encoding::Percent => Encoding::Percent,
        file::Encoding::Base64 => Encoding::Base64,
    };
    if written.join.chars().any(char::is_control) {
        report.problem(format!("{key}.join"), "holds a control character", "such as \",\" or \" \"");
        return None;
    }
    let template = template(&written.value, key, report)?;
    Some(Field { name: name.to_owned(), template, encoding, join: written.join.clone() })
}

/// Parses a template.
pub(super) fn template(text: &str, key: &str, report: &mut Report) -> Option<Template> {
    Template::parse(text)
        .map_err(|error| {
            let hint = "a name in braces is looked up: \"{name}\", with a default \"{name|none}\"";
            report.problem(key, format!("\"{text}\" is no template: {error}"), hint);
        })
        .ok()
}

/// What is removed from every request: the operator's list, and every identity header of every route (I2).
pub(super) fn strip(file: &File, sets: &HeaderSets, report: &mut Report) -> Strip {
    let written = file.strip_headers.as_deref().unwrap_or_default();
    for (index, pattern) in written.iter().enumerate() {
        let key = format!("strip_headers[{index}]");
        let name = pattern.strip_suffix('*').unwrap_or(pattern);
        let is_whole = name.len() == pattern.len();
        if HeaderName::try_from(name).is_err() {
            let message =
                format!("\"{pattern}\" names no header; accepted: a name, or the beginning of one and *");
            report.problem(key, message, "such as \"X-Remote-User\" or \"OIDC_*\"");
        } else if is_whole && NOT_FOR_IDENTITY.contains(&fold(name).as_str()) {
            let message = format!(
                "\"{pattern}\" is a header that carries the message itself, or that the gateway sets"
            );
            report.problem(key, message, "remove it");
        }
    }
    let default = || DEFAULT_STRIP.to_vec();
    let patterns =
        file.strip_headers.as_ref().map_or_else(default, |list| list.iter().map(String::as_str).collect());
    // Authorization is left alone, but for the routes that set it: those remove it themselves.
    let ours = sets.routes.iter().flatten().map(|field| field.name.as_str());
    let ours = ours.chain(file.assertion.as_ref().map(|section| section.header.as_str()));
    Strip::new(patterns, ours.filter(|name| !name.eq_ignore_ascii_case("authorization")))
}
