//! Sessions, logins under way, their cookies and the keys that seal them.

use url::{Host, Url};

use super::super::file;
use super::super::problem::Report;
use super::super::unit::Size;
use super::{Desk, positive};
use crate::headers::CookieNames;
use crate::seal::Keys;
use crate::{login, session};

/// A login cookie at its largest: a return target of 2 KiB, sealed and in base64url.
const LOGIN_COOKIE: u64 = 3584;

/// Builds `[session]` as far as it is about time and number.
pub(super) fn settings(section: &file::Session, report: &mut Report) -> Option<session::Settings> {
    let mut good = positive("session.idle_timeout", section.idle_timeout, report);
    good &= positive("session.lifetime", section.lifetime, report);
    good &= positive("session.max_staleness", section.max_staleness, report);
    if section.capacity == 0 {
        report.problem("session.capacity", "0 sessions serve nobody", "such as 1_000_000");
        good = false;
    }
    if section.idle_timeout > section.lifetime && report.is_written("session.idle_timeout") {
        let message = format!("{} is longer than the lifetime of {}", section.idle_timeout, section.lifetime);
        report.warn("idle-over-lifetime", "session.idle_timeout", message);
    }
    good.then(|| session::Settings {
        idle: section.idle_timeout.0,
        lifetime: section.lifetime.0,
        capacity: section.capacity,
        per_subject: usize::try_from(section.per_subject).unwrap_or(usize::MAX),
    })
}

/// Builds `[login]`.
pub(super) fn login(section: &file::Login, header: Size, report: &mut Report) -> Option<login::Settings> {
    let mut good = positive("login.timeout", section.timeout, report);
    if section.pending == 0 {
        report.problem("login.pending", "0 logins under way would let nobody sign in", "such as 5");
        good = false;
    }
    let largest = u64::from(section.pending) * LOGIN_COOKIE;
    if largest > header.0 {
        let message = format!(
            "{} logins under way may need {largest} bytes of cookies; listen.limits.header is {header}",
            section.pending
        );
        report.warn("login-cookies-may-not-fit", "login.pending", message);
    }
    good.then(|| login::Settings { timeout: section.timeout.0, pending: usize::from(section.pending) })
}

/// Builds `session.cookie`; its prefix follows from `public_url`.
pub(super) fn cookies(
    section: &file::Cookie,
    public: Option<&Url>,
    report: &mut Report,
) -> Option<CookieNames> {
    let name = section.name.as_str();
    let fault = match () {
        () if name.is_empty() || name.len() > 64 => Some("has no good length; accepted: 1 to 64 characters"),
        () if !is_token(name) => Some("cannot be the name of a cookie; accepted: letters, digits, - _ ."),
        // These are ours to put.
        () if name.starts_with("__") => {
            Some("begins with __; the prefixes __Host- and __Secure- are put by the gateway")
        }
        () => None,
    };
    if let Some(fault) = fault {
        report.problem("session.cookie.name", format!("\"{name}\" {fault}"), "such as \"midgate\"");
    }
    let domain = (!section.domain.is_empty()).then(|| domain(&section.domain, public, report));
    let is_good = fault.is_none() && domain.as_ref().is_none_or(Option::is_some);
    is_good
        .then(|| CookieNames::new(name, public.is_some_and(|url| url.scheme() == "https"), domain.flatten()))
}

/// RFC 9110 §5.6.2: what the name of a cookie is made of.
fn is_token(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(good)
}

/// RFC 6265 §5.1.3: the host that sets the cookie must lie in the domain.
fn domain(text: &str, public: Option<&Url>, report: &mut Report) -> Option<String> {
    const KEY: &str = "session.cookie.domain";
    let Ok(Host::Domain(domain)) = Host::parse(text) else {
        let message =
            format!("\"{text}\" is no domain; accepted: a name, without scheme, port and leading dot");
        report.problem(KEY, message, "such as \"example.ch\"");
        return None;
    };
    if text.starts_with('.') || !(domain.contains('.') || domain == "localhost") {
        let message = format!(
            "\"{text}\" is no domain that browsers take; accepted: a name with a dot, without a leading one"
        );
        report.problem(KEY, message, "such as \"example.ch\"");
        return None;
    }
    let host = public.and_then(Url::host_str);
    if host.is_some_and(|host| !lies_under(host, &domain)) {
        let message =
            format!("public_url's host does not lie under \"{domain}\": browsers would refuse the cookie");
        report.problem(KEY, message, "write a domain that ends public_url's host, or leave it empty");
        return None;
    }
    Some(domain)
}

/// Whether a host is a domain or lies under it.
pub(super) fn lies_under(host: &str, domain: &str) -> bool {
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Builds `session.keys_file`; unset is fine, set and unusable is not.
pub(super) fn keys(section: &file::Session, desk: &mut Desk<'_>) -> Option<Option<Keys>> {
    const KEY: &str = "session.keys_file";
    let Some(written) = &section.keys_file else {
        let message = "keys live in memory: a login under way does not survive a restart; write one with midgate keygen";
        desk.report.warn("keys-in-memory", KEY, message);
        return Some(None);
    };
    let keys = desk.material.keys(written, KEY, desk.purpose, desk.report);
    // Whoever only looks may find no file yet.
    if keys.is_none() && desk.report.has_problem(KEY) { None } else { Some(keys) }
}

/// Builds `logout.clear_cookies`.
pub(super) fn clear_cookies(
    section: &file::Logout,
    ours: Option<&CookieNames>,
    report: &mut Report,
) -> Vec<String> {
    let mut good = Vec::new();
    for (index, name) in section.clear_cookies.iter().enumerate() {
        let key = format!("logout.clear_cookies[{index}]");
        if !is_token(name) {
            report.problem(
                key,
                format!("\"{name}\" cannot be the name of a cookie"),
                "such as \"JSESSIONID\"",
            );
        } else if ours.is_some_and(|ours| ours.is_ours(name.as_bytes())) {
            report.problem(
                key,
                format!("\"{name}\" is a cookie of the gateway's own, which a logout deletes anyway"),
                "remove it",
            );
        } else {
            good.push(name.clone());
        }
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_lies_under_its_domain_on_a_dot() {
        for (host, domain, lies) in [
            ("app.example.ch", "example.ch", true),
            ("example.ch", "example.ch", true),
            ("notexample.ch", "example.ch", false),
            ("example.ch.evil.test", "example.ch", false),
        ] {
            assert_eq!(lies_under(host, domain), lies, "{host} {domain}");
        }
    }
}
