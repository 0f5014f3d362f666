//! The gateway's outer side: listeners, own paths, logins under way, pages, logs.
//! Pure.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{Hidden, Many, OrFalse};
use crate::config::unit::{Limit, Size, Time};

/// `[listen]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Listen {
    /// Addresses for browsers: "host:port", or "unix:/run/midgate.sock" (mode 0660).
    pub(crate) address: Many<String>,
    /// Address of /livez, /readyz and /metrics; false: none.
    pub(crate) health: OrFalse,
    /// Address of the admin interface: "unix:/…" (mode 0600), or TCP together with admin_token_file.
    pub(crate) admin: Option<String>,
    /// The bearer token that the admin interface asks for over TCP.
    pub(crate) admin_token: Option<Hidden>,
    /// File with the admin token.
    pub(crate) admin_token_file: Option<String>,
    /// Threads that serve requests; 0: one per core.
    pub(crate) workers: u16,
    /// Networks whose X-Forwarded-* headers are believed; "unix" means peers on unix sockets.
    pub(crate) trusted_proxies: Vec<String>,
    /// Whether connections from trusted_proxies begin with the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    /// Certificate for browsers; unset: no TLS. A list is chosen from by SNI.
    pub(crate) tls: Option<Many<ListenTls>>,
    /// Whether HTTP/2 without TLS is spoken.
    pub(crate) h2c: bool,
    /// Bounds on what a client may send.
    pub(crate) limits: Limits,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: Many::List(vec!["127.0.0.1:8080".to_owned()]),
            health: OrFalse::Text("127.0.0.1:9080".to_owned()),
            admin: None,
            admin_token: None,
            admin_token_file: None,
            workers: 0,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            tls: None,
            h2c: false,
            limits: Limits::default(),
        }
    }
}

/// `listen.tls`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["cert_file", "key_file"]))]
pub(crate) struct ListenTls {
    /// PEM file with the certificate and its chain.
    pub(crate) cert_file: String,
    /// PEM file with the private key.
    pub(crate) key_file: String,
    /// PEM file with the authorities of client certificates.
    pub(crate) client_ca_file: Option<String>,
    /// Address that answers plain http with a redirect to https.
    pub(crate) redirect_http: Option<String>,
    /// How long browsers remember to come by https only.
    pub(crate) hsts: Option<Time>,
}

/// `listen.limits`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Bytes of a request's head.
    pub(crate) header: Size,
    /// Bytes of a request's body.
    pub(crate) body: Limit,
    /// Connections at a time.
    pub(crate) connections: u32,
    /// Connections of one client at a time, an IPv6 /64 being one client; 0: any number.
    pub(crate) connections_per_client: u32,
    /// From the first byte of a request to the end of its head.
    pub(crate) header_timeout: Time,
    /// How long a connection may wait for its next request.
    pub(crate) idle: Time,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header: Size(32 * 1024),
            body: Limit(None),
            connections: 10_000,
            connections_per_client: 1_000,
            header_timeout: Time(Duration::from_secs(15)),
            idle: Time(Duration::from_secs(60)),
        }
    }
}

/// `[endpoints]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Endpoints {
    /// Below it lie the gateway's own paths; never proxied.
    pub(crate) prefix: String,
    /// Path of the redirect URI to register; any path.
    pub(crate) callback: String,
    /// Path of the post-logout redirect URI to register.
    pub(crate) logged_out: String,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            prefix: "/.midgate".to_owned(),
            callback: "/.midgate/callback".to_owned(),
            logged_out: "/.midgate/logged-out".to_owned(),
        }
    }
}

/// `[login]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Login {
    /// From the authorization request to the callback.
    pub(crate) timeout: Time,
    /// Logins under way per browser.
    pub(crate) pending: u16,
}

impl Default for Login {
    fn default() -> Self {
        Self { timeout: Time(Duration::from_secs(15 * 60)), pending: 5 }
    }
}

/// `[pages]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Pages {
    /// SVG, PNG, JPEG, GIF or WebP, at most 64 KiB.
    pub(crate) logo_file: Option<String>,
    /// The colour of buttons and links, such as "#0f5cc0".
    pub(crate) colour: Option<String>,
    /// Stands above every page and in its title.
    pub(crate) product_name: Option<String>,
    /// JSON file of texts that replace ours: language, section, key.
    pub(crate) texts_file: Option<String>,
    /// Folder of templates that replace ours.
    pub(crate) template_dir: Option<String>,
}

/// `[log]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// auto: text on a terminal, else JSON.
    pub(crate) format: LogFormat,
    /// The least important events that are written.
    pub(crate) level: LogLevel,
    /// Whether each request is one event.
    pub(crate) access: bool,
    /// How much of the client's address is written.
    pub(crate) client_address: ClientAddress,
    /// How audit events name a person.
    pub(crate) audit_subject: AuditSubject,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            level: LogLevel::Info,
            access: true,
            client_address: ClientAddress::Full,
            audit_subject: AuditSubject::Hash,
        }
    }
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    Auto,
    Json,
    Text,
}

/// `log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `log.client_address`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientAddress {
    Full,
    Truncated,
    Off,
}

/// `log.audit_subject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuditSubject {
    Hash,
    Plain,
    Off,
}

/// `[logout]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Logout {
    /// Cookies of applications that are deleted too, also when another person signs in.
    pub(crate) clear_cookies: Vec<String>,
}
