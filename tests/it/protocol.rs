//! What travels between gateway and provider: pushed requests, client authentication, signatures, parameters.

mod client;
mod parameters;
mod pushed;
mod signed;

use midgate::demo::application::Application;
use midgate::demo::provider::{Manner, Simulated};

use crate::rig::{Gateway, application, provider, provider_toml};

/// A gateway before one provider and one application.
struct Setting {
    provider: Simulated,
    gateway: Gateway,
    application: Application,
}

/// Starts a provider with these switches on, then a gateway; `routes` may use `{up}`.
fn setting(manner: Manner, switches: &[&str], more: &str, routes: &str) -> Setting {
    let (provider, application) = (provider(manner), application());
    switches.iter().for_each(|name| provider.fault(name, true));
    let up = format!("http://127.0.0.1:{}", application.port());
    let routes = routes.replace("{up}", &up);
    let gateway = Gateway::start(&format!("\n{}\n{routes}", provider_toml("op", &provider, more)));
    Setting { provider, gateway, application }
}

const ROOT: &str = "[[route]]\nupstream = \"{up}\"\n";
