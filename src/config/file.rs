//! gateway.toml as it is written: every key with its default and meaning, nothing read between the lines.
//! Pure.
//!
//! The comments here are what `midgate schema` prints.
//!
//! *Never:* what a value leads to; `check` and `build` read that.
//! *Source:* gateway.toml, which says the same for people.

mod bearer;
mod provider;
mod route;
mod session;
mod surface;
mod upstream;
mod value;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::bearer::Bearer;
pub(crate) use self::provider::{
    ClaimSource, ClaimTable, ClientAuth, Learn, Provider, ProviderEndpoints, Refresh, RequestValue,
    ResponseMode, When,
};
pub(crate) use self::route::{
    Access, ClaimNeed, Encoding, HeaderEntry, HeaderField, PassToken, Range, Require, Route,
};
pub(crate) use self::session::{Cookie, Session};
pub(crate) use self::surface::{
    AuditSubject, ClientAddress, Endpoints, Listen, ListenTls, Log, LogFormat, LogLevel, Login, Logout, Pages,
};
pub(crate) use self::upstream::{Balance, HealthCheck, Upstream, UpstreamTls};
pub(crate) use self::value::{Hidden, Many, OrFalse};

/// The configuration of a gateway.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "gateway.toml", extend("required" = ["public_url"]))]
pub(crate) struct File {
    /// How browsers see the gateway, such as "https://app.example.ch"; without a path.
    pub(crate) public_url: String,
    /// Incoming headers that are removed besides our own, replacing the default list; a last * is a prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) strip_headers: Option<Vec<String>>,
    /// Where and how the gateway listens.
    pub(crate) listen: Listen,
    /// The gateway's own paths.
    pub(crate) endpoints: Endpoints,
    /// Logins under way.
    pub(crate) login: Login,
    /// Where people sign in.
    pub(crate) provider: Vec<Provider>,
    /// Sessions and their cookie.
    pub(crate) session: Session,
    /// Identity headers to every upstream; the table replaces the five defaults.
    #[schemars(default = "default_headers")]
    pub(crate) headers: Option<BTreeMap<String, HeaderEntry>>,
    /// A signed statement of the identity beside the headers; off unless present.
    pub(crate) assertion: Option<Assertion>,
    /// Applications that need more than an address.
    pub(crate) upstream: Vec<Upstream>,
    /// Issuers of tokens of machines.
    pub(crate) bearer: Vec<Bearer>,
    /// What leads where, and who may go there.
    pub(crate) route: Vec<Route>,
    /// The look of the gateway's own pages.
    pub(crate) pages: Pages,
    /// Logging.
    pub(crate) log: Log,
    /// What a logout does besides.
    pub(crate) logout: Logout,
    /// Traces to a collector; off unless present.
    pub(crate) telemetry: Option<Telemetry>,
}

/// The identity headers of a file that has no `[headers]`.
pub(crate) const DEFAULT_HEADERS: [(&str, &str); 5] = [
    ("X-Auth-User", "{user_key}"),
    ("X-Auth-Name", "{name}"),
    ("X-Auth-Document-Id", "{documentId}"),
    ("X-Auth-Acr", "{acr}"),
    ("X-Auth-Provider", "{provider}"),
];

/// [`DEFAULT_HEADERS`] as a table.
pub(crate) fn default_headers() -> BTreeMap<String, HeaderEntry> {
    let entry =
        |(name, template): (&str, &str)| (name.to_owned(), HeaderEntry::Template(template.to_owned()));
    DEFAULT_HEADERS.map(entry).into()
}

/// `[assertion]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Assertion {
    /// The header that carries the statement.
    pub(crate) header: String,
    /// PEM files of private keys: the first signs, all are published.
    pub(crate) signing_key_files: Vec<String>,
}

impl Default for Assertion {
    fn default() -> Self {
        Self { header: "X-Midgate-Jwt-Assertion".to_owned(), signing_key_files: Vec::new() }
    }
}

/// `[telemetry]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Telemetry {
    /// Address of the OTLP collector.
    pub(crate) endpoint: Option<String>,
    /// Share of requests that are traced, from 0 to 1.
    pub(crate) sampling: Option<f64>,
}
