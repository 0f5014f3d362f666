//! From what is written to what each module needs: every problem is noted, and nothing half built leaves here.

mod assertion;
mod bearer;
mod claims;
mod dtbd;
mod endpoints;
mod headers;
mod listen;
mod place;
mod policies;
mod provider;
mod require;
mod route;
mod session;
mod surface;
mod upstream;

use std::collections::BTreeSet;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::file::File;
use super::material::{Material, Purpose};
use super::problem::Report;
use super::unit::Time;
use super::{Listen, Loaded};
use crate::headers::Contract;
use crate::policy::AllowList;

/// Where a configuration is built: the files at hand, and the report of what is wrong.
pub(super) struct Desk<'d> {
    pub(super) material: &'d Material,
    pub(super) purpose: Purpose,
    pub(super) report: &'d mut Report,
}

/// Builds everything; `None` when something that is needed could not be built, and the report says why.
pub(super) fn all(file: &File, desk: &mut Desk<'_>) -> Option<Loaded> {
    let public = place::public_url(&file.public_url, desk.report);
    let listen = listen::listen(file, desk);
    let edge = listen::edge(file, desk.report);
    let endpoints = endpoints::endpoints(&file.endpoints, desk.report);
    let fields = headers::HeaderSets::new(file, desk.report);
    listen::check_uses(file, &fields, desk.report);
    let policies = policies::policies(file, public.as_ref(), desk);
    let named = named_claims(file, &fields, &policies);
    let providers = provider::providers(file, &named, desk);
    let bearers = bearer::bearers(file, &named, desk);
    let cookies = session::cookies(&file.session.cookie, public.as_ref(), desk.report);
    let keys = session::keys(&file.session, desk);
    let upstreams = upstream::upstreams(&file.upstream, desk);
    let site = route::Site {
        public: public.as_ref(),
        cookies: cookies.as_ref(),
        providers: &providers,
        bearers: &bearers,
        trusts_a_proxy: !file.listen.trusted_proxies.is_empty(),
        asserts: file.assertion.is_some(),
        policies: &policies,
    };
    let routes = route::routes(file, site, &fields, upstreams, desk);
    let strip = headers::strip(file, &fields, desk.report);
    let assertions = assertion::assertions(file, &fields, public.as_ref(), &providers, desk);
    let pages = surface::pages(&file.pages, desk);
    let login = session::login(&file.login, file.listen.limits.header, desk.report);
    let session = session::settings(&file.session, desk.report);
    let clear_cookies = session::clear_cookies(&file.logout, cookies.as_ref(), desk.report);
    let routes = routes?;
    warn_of_exposure(listen.as_ref(), public.as_ref().map(url::Url::scheme), desk.report);
    Some(Loaded {
        listen: listen?,
        session: session?,
        login: login?,
        keys: keys?,
        providers: providers.into_iter().map(provider::Known::built).collect::<Option<_>>()?,
        bearers: bearers.into_iter().map(|known| known.settings).collect::<Option<_>>()?,
        table: crate::route::Table::new(endpoints?, routes.origins, routes.routes),
        route_names: routes.names,
        upstreams: routes.upstreams,
        mappings: routes.mappings,
        audiences: routes.audiences,
        requirements: routes.requirements,
        policies: policies.len(),
        contract: Contract {
            strip,
            cookies: cookies?,
            identity: fields.identity(),
            assertion: assertion::own_header(file),
        },
        assertions: assertions?,
        edge: edge?,
        pages: pages?,
        clear_cookies,
        audit_subject: surface::audit_subject(file.log.audit_subject),
        watched: super::Watched::default(),
    })
}

/// Raw claims that some route or request speaks of, which a session must therefore keep.
fn named_claims(
    file: &File,
    fields: &headers::HeaderSets,
    policies: &policies::Policies,
) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = fields.names().map(str::to_owned).collect();
    for require in file.route.iter().filter_map(|route| route.require.as_ref()) {
        names.extend(require.claims.keys().cloned());
        if require.allow_file.is_some() {
            names.extend(AllowList::CLAIMS.map(str::to_owned));
        }
    }
    names.extend(policies.values().flatten().flat_map(|policy| policy.claims()));
    names.extend(file.provider.iter().flat_map(provider::request_names));
    names.retain(|name| !crate::identity::RESERVED.contains(&name.as_str()));
    names
}

/// Plain HTTP that leaves this machine carries sessions that anybody on the way can take.
fn warn_of_exposure(listen: Option<&Listen>, scheme: Option<&str>, report: &mut Report) {
    let Some(listen) = listen.filter(|listen| listen.tls.is_none() && scheme == Some("https")) else {
        return;
    };
    for (index, address) in listen.address.iter().enumerate() {
        if let super::Address::Tcp(address) = address
            && !address.ip().is_loopback()
        {
            let message = format!(
                "{address} speaks plain http to the network; set listen.tls, or let only the proxy in front reach it"
            );
            report.warn("plain-listener", format!("listen.address[{index}]"), message);
        }
    }
}

/// Unset is fine; set and unusable is not.
fn if_written<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    value.map_or(Some(None), |value| value.map(Some))
}

/// A certificate chain with its own private key; `key` is where that was written.
fn certified(
    chain: Vec<Vec<u8>>,
    private: PrivateKeyDer<'static>,
    key: String,
    report: &mut Report,
) -> Option<CertifiedKey> {
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    CertifiedKey::from_der(chain, private, &ring::default_provider())
        .map_err(|error| {
            let message = format!("certificate and key cannot be used together: {error}");
            report.problem(key, message, "the key must be the certificate's own");
        })
        .ok()
}

/// Notes a duration of nothing.
fn positive(key: &str, time: Time, report: &mut Report) -> bool {
    let good = !time.0.is_zero();
    if !good {
        report.problem(key, "0 is no time at all", format!("write {}", super::unit::TIME_HINT));
    }
    good
}

/// Whether a name can stand for something in routes, logs, headers and the environment.
fn is_id(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.len() <= 64
        && text.bytes().all(good)
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

/// Notes an id that is none.
fn check_id(id: &str, key: &str, report: &mut Report) -> bool {
    let good = is_id(id);
    if !good && !id.is_empty() {
        let message = format!("\"{id}\" is no id; accepted: letters, digits, - _ . and at most 64 of them");
        report.problem(key, message, "such as \"mobileid\"");
    }
    good
}
