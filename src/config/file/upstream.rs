//! `[[upstream]]`: an application that needs more than an address.
//! Pure.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::Many;
use crate::config::unit::Time;

/// `[[upstream]]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["id", "servers"]))]
pub(crate) struct Upstream {
    /// The name that routes use.
    pub(crate) id: String,
    /// Addresses: "http://host:port", "https://host:port" (HTTP/2 or HTTP/1.1, by ALPN), "h2c://host:port" (HTTP/2
    /// without TLS) or "unix:/path"; at most 64.
    pub(crate) servers: Many<String>,
    /// How the server of a request is chosen: "round_robin"; "least_connections"; "session": the same server for a
    /// session, or for a client's address without one.
    pub(crate) balance: Balance,
    /// How https servers prove themselves, and we to them.
    pub(crate) tls: Option<UpstreamTls>,
    /// Asks each server regularly and leaves out those that fail.
    pub(crate) health_check: Option<HealthCheck>,
    /// How long each step may take.
    pub(crate) timeouts: Timeouts,
    /// The Host that the application sees: "keep" (what the browser sent), "upstream", or a name.
    pub(crate) host_header: String,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            id: String::new(),
            servers: Many::default(),
            balance: Balance::RoundRobin,
            tls: None,
            health_check: None,
            timeouts: Timeouts::default(),
            host_header: "keep".to_owned(),
        }
    }
}

/// `upstream.balance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Balance {
    RoundRobin,
    LeastConnections,
    Session,
}

/// `upstream.tls`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UpstreamTls {
    /// PEM file of authorities that are believed instead of the system's.
    pub(crate) ca_file: Option<String>,
    /// PEM file of the certificate that we show.
    pub(crate) cert_file: Option<String>,
    /// PEM file of its private key.
    pub(crate) key_file: Option<String>,
    /// The name in SNI and in the server's certificate; unset: the host of the address.
    pub(crate) server_name: Option<String>,
}

/// `upstream.health_check`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HealthCheck {
    /// The path that is asked for by GET; 2xx and 3xx are good answers.
    pub(crate) path: String,
    /// How often, and how long an answer may take.
    pub(crate) interval: Time,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { path: "/health".to_owned(), interval: Time(Duration::from_secs(5)) }
    }
}

/// `upstream.timeouts`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Timeouts {
    /// Until a connection stands, TLS included.
    pub(crate) connect: Time,
    /// Between two pieces of the answer.
    pub(crate) read: Time,
    /// Between two pieces of the request.
    pub(crate) write: Time,
    /// How long an unused connection is kept.
    pub(crate) idle: Time,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Time(Duration::from_secs(60));
        Self { connect: Time(Duration::from_secs(5)), read: minute, write: minute, idle: minute }
    }
}
