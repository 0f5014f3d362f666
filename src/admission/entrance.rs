//! `GET login`: for which page, at which provider and how strong, and the choice where a person has one.
//!
//! *Source:* OIDC Core §4 (third-party initiated login).

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::Site;
use super::answers::{Caller, begin};
use super::endpoints::parameters;
use crate::login::{CameFrom, Door, Given, Jar, WORD};
use crate::pages::{Choice, Page};
use crate::policy::{Ask, Reason};
use crate::reply::Reply;
use crate::request::{Found as FoundCookie, Path, View, find_cookie};
use crate::route::{Found, Route};

/// The parameters of a login request, each at most once.
type Parameters = HashMap<String, String>;

/// Answers a login request: sends the browser to the provider, or lets the person choose one.
pub(super) async fn login(caller: &Caller<'_>, view: &View<'_>) -> Reply {
    let bad = |reason| caller.refuse(&Page::BadRequest { reason });
    let Some(parameters) = parameters(view.query.unwrap_or_default().as_bytes()) else {
        return bad("doubled-parameter");
    };
    let origins = &caller.site.table.origins;
    let wanted = parameters.get("rd").or(parameters.get("target_link_uri")).map_or("/", String::as_str);
    let Some(target) = origins.read_target(&view.host, wanted) else { return bad("foreign-return-target") };
    let route = route_of(caller.site, &view.host, &target);
    let mut ask = ask_for(caller.site, route);
    if let Err(reason) = narrow(caller.site, &mut ask, &parameters) {
        return bad(reason);
    }
    let session = caller.site.session(view, caller.now).await;
    let given = Given {
        dtbd: route.and_then(|route| route.dtbd.as_deref()),
        identity: session.as_ref().map(|session| &session.identity),
        query: Some(&parameters),
        from: match has_word(caller, &parameters) {
            true => CameFrom::Here,
            false => caller.came_from(session.as_deref(), &view.target()),
        },
    };
    match ask.providers.as_slice() {
        [_] => begin(caller, &view.host, &ask, &target, given).await,
        [] => bad("no-provider"),
        _ => choice(caller, view, &ask, &target, given),
    }
}

/// Whether the person followed the link of our own page that asked them.
fn has_word(caller: &Caller<'_>, parameters: &Parameters) -> bool {
    let jar = Jar { headers: &caller.head.headers };
    parameters.get(WORD).is_some_and(|word| caller.site.login.knows_word(word, jar))
}

/// The route of the page that a login should lead to.
fn route_of<'s>(site: &'s Site, host: &str, target: &str) -> Option<&'s Route> {
    let base = site.table.origins.of(host);
    let url = url::Url::parse(&base).and_then(|base| base.join(target)).ok();
    let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or(host);
    let path = url.as_ref().map_or("/", |url| url.path());
    match site.table.find(host, &Path::read(path).ok()?, &Method::GET) {
        Found::Route(route) => Some(route),
        Found::Own(_)
        | Found::Nothing
        | Found::MethodNotAllowed(_)
        | Found::UnknownHost
        | Found::Ambiguous => None,
    }
}

/// What a login for a page must ask: the demands of the page's route.
fn ask_for(site: &Site, route: Option<&Route>) -> Ask {
    let requirement = route.map(|route| &route.requirement).filter(|r| !r.order.is_empty());
    Ask {
        reason: Reason::NoSession,
        providers: requirement.map_or_else(|| site.providers.clone(), |r| r.order.clone()),
        acr: requirement.map(|r| r.acr.clone()).unwrap_or_default(),
        max_age: requirement.and_then(|r| r.max_age),
    }
}

/// Leaves the providers, and the level, that the parameters name.
fn narrow(site: &Site, ask: &mut Ask, parameters: &Parameters) -> Result<(), &'static str> {
    let find = |name: &str| parameters.get(name).map(String::as_str);
    let all = || site.providers.iter().filter_map(|id| site.login.doors.get(id));
    if let Some(iss) = find("iss") {
        // OIDC Core §4: the issuer must be one of ours, byte for byte.
        let named: Vec<_> = all().filter(|door| door.provider.issuer().as_deref() == Some(iss)).collect();
        keep(ask, &named).ok_or("unknown-issuer")?;
    } else if let Some(id) = find("provider") {
        let named: Vec<_> = all().filter(|door| **door.provider.id() == *id).collect();
        keep(ask, &named).ok_or("unknown-provider")?;
    } else if let Some(hint) = find("domain_hint") {
        // A hint that nobody knows hints at nothing.
        let named: Vec<_> = all().filter(|door| door.provider.settings().is_hinted_at(hint)).collect();
        let _ = keep(ask, &named);
    }
    let knows =
        |id: &Arc<str>, acr: &str| site.login.doors.get(id).is_some_and(|door| door.ladder.knows(acr));
    if let Some(acr) = find("acr") {
        ask.providers.retain(|id| knows(id, acr));
        ask.acr = vec![acr.to_owned()];
        return if ask.providers.is_empty() { Err("unknown-acr") } else { Ok(()) };
    }
    if let [only] = ask.providers.as_slice() {
        // The page may demand levels of another provider, which this one would not understand.
        ask.acr.retain(|acr| knows(only, acr));
    }
    Ok(())
}

/// Leaves those of `named` that the page takes, or all of them where it takes none; `None` where none is named.
fn keep(ask: &mut Ask, named: &[&Door]) -> Option<()> {
    let ids: Vec<&Arc<str>> = named.iter().map(|door| door.provider.id()).collect();
    let fitting: Vec<Arc<str>> = ask.providers.iter().filter(|id| ids.contains(id)).cloned().collect();
    if !fitting.is_empty() {
        ask.providers = fitting;
    } else if !ids.is_empty() {
        ask.providers = ids.into_iter().cloned().collect();
    }
    (!named.is_empty()).then_some(())
}

/// The page on which a person chooses; the provider of the last time stands first.
fn choice(caller: &Caller<'_>, view: &View<'_>, ask: &Ask, target: &str, given: Given<'_>) -> Reply {
    let site = caller.site;
    let last = match find_cookie(view.headers, &site.contract.cookies.choice) {
        FoundCookie::One(id) => Some(id),
        FoundCookie::Missing | FoundCookie::Doubled => None,
    };
    let doors = ask.providers.iter().filter_map(|id| site.login.doors.get(id));
    let mut links: Vec<(bool, &str, String)> = doors
        .map(|door| {
            let id = &**door.provider.id();
            let mut more = given.carried(door.provider.settings());
            more.extend(given.level());
            let link = caller.login_path_with(Some(id), target, &more);
            (last != Some(id), door.provider.settings().display_name.as_str(), link)
        })
        .collect();
    // Stable: the others stay in the configuration's order.
    links.sort_by_key(|(is_other, ..)| *is_other);
    let choices: Vec<Choice<'_>> =
        links.iter().map(|(is_other, name, href)| Choice { name, href, is_last: !is_other }).collect();
    caller.page(&Page::Choice { choices: &choices })
}
