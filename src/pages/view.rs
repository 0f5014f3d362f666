//! How each page is put together: its template, symbol, buttons and what support wants to know.
//! Pure.
//!
//! *Never:* markup or wording; templates and texts hold them.

use minijinja::{Value, context};

use crate::provider::Trouble;

use super::Visit;
use super::page::{Choice, Page};
use super::texts::Section;
use super::whoami::shown;

/// The script of the re-post page, allowed by its hash.
pub(super) const REPOST_SCRIPT: &str = "document.forms[0].submit()";

/// The symbol above the title.
#[derive(Debug, Clone, Copy)]
enum Symbol {
    /// It did not work.
    Stop,
    /// It may work later.
    Wait,
    /// The phone has the answer.
    Phone,
    /// A level, a right or a session is missing.
    Lock,
    Done,
    Person,
}

impl Symbol {
    fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Wait => "wait",
            Self::Phone => "phone",
            Self::Lock => "lock",
            Self::Done => "done",
            Self::Person => "person",
        }
    }
}

/// A link that looks like a button; the first of a page is the one to take.
struct Action<'a> {
    /// Key of its label among the shared words.
    label: &'static str,
    href: &'a str,
}

/// What a template needs beside what all pages share.
pub(super) struct View {
    pub(super) template: &'static str,
    pub(super) values: Value,
}

/// Puts a page together; most are a message.
pub(super) fn compose(page: &Page<'_>, visit: &Visit<'_>, words: &Section) -> View {
    match *page {
        Page::WhoAmI(session) => View {
            template: "session.html",
            values: context! { session => session.values(), logout => link(session.logout), wide => true },
        },
        Page::ConfirmLogout { action, csrf, rd } => {
            View { template: "logout.html", values: context! { action => link(action), csrf, rd } }
        }
        Page::Choice { choices } => View { template: "choice.html", values: choice(choices) },
        Page::Repost { action, fields } => View { template: "repost.html", values: repost(action, fields) },
        Page::LoginFailed { .. } | Page::LoginStale { .. } => message(page, visit, words),
        Page::ProviderBadAnswer { .. } | Page::ProviderNoAnswer { .. } => message(page, visit, words),
        Page::ProviderUnavailable { .. } => message(page, visit, words),
        Page::TooWeak { .. } | Page::MissingClaim { .. } => message(page, visit, words),
        Page::NotEnrolled => message(page, visit, words),
        Page::SignedOutForm { .. } | Page::NotSignedIn { .. } => message(page, visit, words),
        Page::Forbidden { .. } | Page::NotFound => message(page, visit, words),
        Page::MethodNotAllowed { .. } | Page::UnknownHost => message(page, visit, words),
        Page::BadRequest { .. } | Page::TooLarge | Page::HeadersTooLarge => message(page, visit, words),
        Page::UpstreamDown { .. } | Page::StoreDown | Page::Broken => message(page, visit, words),
        Page::SignedOut { .. } | Page::LogoutRefused { .. } => message(page, visit, words),
    }
}

fn choice(choices: &[Choice<'_>]) -> Value {
    let choices = choices.iter();
    let choices = choices
        .map(|choice| context! { name => shown(choice.name), href => link(choice.href), is_last => choice.is_last });
    context! { choices => choices.collect::<Vec<_>>() }
}

fn repost(action: &str, fields: &[(&str, &str)]) -> Value {
    let fields = fields.iter().map(|&(name, value)| context! { name, value });
    context! {
        action => link(action),
        fields => fields.collect::<Vec<_>>(),
        script => Value::from_safe_string(REPOST_SCRIPT.to_owned()),
    }
}

fn message(page: &Page<'_>, visit: &Visit<'_>, words: &Section) -> View {
    let actions = actions(page, visit).into_iter();
    let actions =
        actions.map(|action| context! { label => words.find(action.label), href => link(action.href) });
    let support = support(page, visit).into_iter();
    let support =
        support.map(|(label, value)| context! { label => words.find(label), value => shown(value) });
    let values = context! {
        actions => actions.collect::<Vec<_>>(),
        new_tab => matches!(page, Page::SignedOutForm { .. }),
        support => support.collect::<Vec<_>>(),
    };
    View { template: "message.html", values }
}

/// The name of the symbol above the title.
pub(super) fn symbol(page: &Page<'_>) -> &'static str {
    let symbol = match page {
        Page::LoginFailed { trouble, .. } => trouble_symbol(*trouble),
        Page::ProviderNoAnswer { .. } | Page::ProviderUnavailable { .. } => Symbol::Wait,
        Page::LoginStale { .. } => Symbol::Wait,
        Page::UpstreamDown { .. } | Page::StoreDown => Symbol::Wait,
        Page::TooWeak { .. } | Page::NotEnrolled | Page::Forbidden { .. } => Symbol::Lock,
        Page::SignedOutForm { .. } | Page::NotSignedIn { .. } => Symbol::Lock,
        Page::SignedOut { .. } => Symbol::Done,
        Page::WhoAmI(_) | Page::ConfirmLogout { .. } | Page::Repost { .. } => Symbol::Person,
        Page::Choice { .. } => Symbol::Person,
        Page::ProviderBadAnswer { .. } | Page::MissingClaim { .. } => Symbol::Stop,
        Page::NotFound | Page::MethodNotAllowed { .. } | Page::UnknownHost => Symbol::Stop,
        Page::BadRequest { .. } | Page::TooLarge | Page::HeadersTooLarge => Symbol::Stop,
        Page::Broken | Page::LogoutRefused { .. } => Symbol::Stop,
    };
    symbol.name()
}

fn trouble_symbol(trouble: Trouble) -> Symbol {
    match trouble {
        Trouble::Rejected | Trouble::NoAnswer | Trouble::WrongNumber | Trouble::ConsentRefused => {
            Symbol::Phone
        }
        Trouble::SerialMismatch | Trouble::LocationFailed | Trouble::SimNeeded => Symbol::Phone,
        Trouble::NoMethod | Trouble::SmsCodeWrong | Trouble::AnotherRunning => Symbol::Phone,
        Trouble::PasskeyMismatch => Symbol::Lock,
        Trouble::Unavailable => Symbol::Wait,
        Trouble::LoginRequired | Trouble::Refused => Symbol::Stop,
        Trouble::BadRequest | Trouble::NotAllowed | Trouble::Unknown => Symbol::Stop,
    }
}

fn actions<'a>(page: &Page<'a>, visit: &Visit<'a>) -> Vec<Action<'a>> {
    let home = Action { label: "home", href: visit.home };
    let again = |href| Action { label: "again", href };
    // An empty reference is the page's own address, whatever it is: nothing of it stands in the page.
    let reload = Action { label: "again", href: "" };
    match *page {
        Page::LoginFailed { trouble: Trouble::BadRequest | Trouble::NotAllowed, .. } => vec![home],
        Page::LoginFailed { again: href, .. } => vec![again(href)],
        Page::ProviderBadAnswer { again: href, .. } | Page::ProviderNoAnswer { again: href } => {
            vec![again(href)]
        }
        Page::ProviderUnavailable { again: href } => vec![again(href)],
        Page::LoginStale { again: Some(href) } => vec![Action { label: "sign_in", href }],
        Page::LoginStale { again: None } => vec![home],
        Page::TooWeak { again: href, .. } => vec![again(href), home],
        Page::MissingClaim { again: href, .. } => vec![again(href)],
        Page::SignedOutForm { login } | Page::NotSignedIn { login } => {
            vec![Action { label: "sign_in", href: login }]
        }
        Page::Forbidden { logout, .. } => {
            let logout = logout.map(|href| Action { label: "sign_out", href });
            [Some(home), logout].into_iter().flatten().collect()
        }
        Page::NotFound | Page::MethodNotAllowed { .. } | Page::BadRequest { .. } => vec![home],
        Page::NotEnrolled => vec![home],
        Page::TooLarge | Page::HeadersTooLarge => vec![home],
        // On a host that is not ours no path of ours can be right.
        Page::UnknownHost => Vec::new(),
        Page::UpstreamDown { .. } | Page::StoreDown | Page::Broken => vec![reload],
        Page::SignedOut { again: href, .. } => vec![Action { label: "sign_in_again", href }],
        Page::LogoutRefused { logout } => vec![Action { label: "sign_out", href: logout }, home],
        Page::WhoAmI(_) | Page::ConfirmLogout { .. } | Page::Repost { .. } => Vec::new(),
        Page::Choice { .. } => Vec::new(),
    }
}

/// Labels among the shared words, and values, of what helps the people who help; nothing where nothing failed.
fn support<'a>(page: &Page<'a>, visit: &Visit<'a>) -> Vec<(&'static str, &'a str)> {
    if page.error().is_none() {
        return Vec::new();
    }
    let mut rows = vec![("request_id", visit.request_id)];
    if let Page::LoginFailed { trace: Some(trace), .. } = *page {
        rows.push(("trace", trace));
    }
    if let Page::TooWeak { wanted, .. } = *page {
        rows.push(("level", wanted));
    }
    if let Page::MissingClaim { claim, .. } = *page {
        rows.push(("claim", claim));
    }
    rows.push(("reason", page.reason()));
    rows
}

/// Only what leads to a path or over http may be a link; everything else leads home.
fn link(href: &str) -> &str {
    let path = href.starts_with('/') && !href.starts_with("//") && !href.starts_with("/\\");
    let whole = href.starts_with("https://") || href.starts_with("http://");
    if href.is_empty() || path || whole { href } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_never_runs_a_script() {
        for good in ["", "/", "/.midgate/login?rd=%2F", "https://app.example.ch/"] {
            assert_eq!(link(good), good);
        }
        for bad in
            ["javascript:alert(1)", "//evil.example", "/\\evil.example", "data:text/html,x", " https://x"]
        {
            assert_eq!(link(bad), "/");
        }
    }
}
