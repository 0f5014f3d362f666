//! Listeners, limits, trusted peers, the browsers' certificate.

mod tls;

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::file::{self, File};
use super::super::problem::Report;
use super::super::{Address, Admin, Listen};
use super::Desk;
use super::place::listener;
use crate::proxy::{self, ClientAddress};

pub(super) use self::tls::check_uses;

/// Builds `[listen]` as far as it is about sockets.
pub(super) fn listen(file: &File, desk: &mut Desk<'_>) -> Option<Listen> {
    let (section, report) = (&file.listen, &mut *desk.report);
    let written = section.address.as_slice();
    let key = |index| match section.address.is_list() {
        true => format!("listen.address[{index}]"),
        false => "listen.address".to_owned(),
    };
    if written.is_empty() {
        report.problem("listen.address", "no address", "such as [\"127.0.0.1:8080\"]");
    }
    let address: Option<Vec<_>> =
        written.iter().enumerate().map(|(index, text)| listener(text, &key(index), report)).collect();
    let health = section.health.text().map(|text| listener(text, "listen.health", report));
    let admin = admin(section, desk);
    let limits = &section.limits;
    super::positive("listen.limits.header_timeout", limits.header_timeout, desk.report);
    super::positive("listen.limits.idle", limits.idle, desk.report);
    if limits.connections == 0 {
        desk.report.problem("listen.limits.connections", "0 connections serve nobody", "such as 10_000");
    }
    if limits.header.0 < 1024 || limits.header.0 > 1 << 20 {
        let message = format!("{} is out of range; accepted: 1KiB to 1MiB", limits.header);
        desk.report.problem("listen.limits.header", message, "cookies and tokens need some room: \"32KiB\"");
    }
    let tls = tls::tls(file, desk);
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    Some(Listen {
        address: address?,
        health: super::if_written(health)?,
        admin: admin?,
        workers: if section.workers == 0 { cores() } else { usize::from(section.workers) },
        connections: usize::try_from(limits.connections).unwrap_or(usize::MAX),
        tls: tls?,
        h2c: section.h2c,
        idle: limits.idle.0,
        header_timeout: limits.header_timeout.0,
        capacity: file.session.capacity,
        log: super::surface::log(&file.log),
    })
}

fn admin(section: &file::Listen, desk: &mut Desk<'_>) -> Option<Option<Admin>> {
    let (inline, file) = (section.admin_token.as_ref(), section.admin_token_file.as_deref());
    let token = desk.material.secret(inline, file, "listen.admin_token", desk.report);
    let Some(text) = &section.admin else { return Some(None) };
    let address = listener(text, "listen.admin", desk.report)?;
    if let Address::Tcp(tcp) = &address {
        if token.is_none() {
            let hint = "write a token to a file, or use a socket: \"unix:/run/midgate/admin.sock\"";
            desk.report.problem("listen.admin", "over TCP only with admin_token_file", hint);
            return None;
        }
        if !tcp.ip().is_loopback() {
            let message =
                format!("whoever reaches {tcp} and has the token can end sessions; prefer a socket");
            desk.report.warn("admin-public", "listen.admin", message);
        }
    }
    Some(Some(Admin { address, token }))
}

/// Builds what the edge must know of connections and bodies.
pub(super) fn edge(file: &File, report: &mut Report) -> Option<proxy::Settings> {
    let limits = &file.listen.limits;
    let (trusted, trusts_unix) = trusted(&file.listen.trusted_proxies, report)?;
    if file.listen.proxy_protocol && trusted.is_empty() && !trusts_unix {
        let message = "nobody is believed: trusted_proxies is empty";
        report.problem(
            "listen.proxy_protocol",
            message,
            "name the proxies in front in listen.trusted_proxies",
        );
        return None;
    }
    Some(proxy::Settings {
        trusted,
        trusts_unix,
        header_limit: usize::try_from(limits.header.0).unwrap_or(usize::MAX),
        body_limit: limits.body.0,
        idle: limits.idle.0,
        connections_per_client: limits.connections_per_client,
        proxy_protocol: file.listen.proxy_protocol,
        hsts: tls::hsts(&file.listen),
        access_log: file.log.access,
        client_address: match file.log.client_address {
            file::ClientAddress::Full => ClientAddress::Full,
            file::ClientAddress::Truncated => ClientAddress::Truncated,
            file::ClientAddress::Off => ClientAddress::Off,
        },
    })
}

fn trusted(written: &[String], report: &mut Report) -> Option<(Vec<IpNet>, bool)> {
    let (mut networks, mut unix, mut good) = (Vec::new(), false, true);
    for (index, text) in written.iter().enumerate() {
        let key = format!("listen.trusted_proxies[{index}]");
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        match network {
            _ if text == "unix" => unix = true,
            Some(network) => {
                if network.prefix_len() == 0 {
                    let message = format!("everybody's X-Forwarded-For is believed: {text} is every address");
                    report.warn("trusts-everyone", key, message);
                }
                networks.push(network.trunc());
            }
            None => {
                let message = format!("\"{text}\" is no network; accepted: networks, addresses, \"unix\"");
                report.problem(key, message, "such as \"10.0.0.0/8\" or \"192.0.2.7\"");
                good = false;
            }
        }
    }
    good.then_some((networks, unix))
}
