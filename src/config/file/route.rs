//! `[[route]]`: what leads where, who may go there, and what the application is told.
//! Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::value::{False, Many};
use crate::config::unit::Time;

/// `[[route]]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Route {
    /// The name in logs, metrics and environment names; unset: host and path.
    pub(crate) id: Option<String>,
    /// The host; unset: that of public_url; "*.example.ch" needs session.cookie.domain.
    pub(crate) host: Option<String>,
    /// Ends with "/": everything below it, and the path without the slash; else this very path.
    pub(crate) path: String,
    /// Methods that the route takes; GET includes HEAD; unset: all.
    pub(crate) methods: Option<Many<String>>,
    /// An upstream's id, an address, or "unix:/…"; unset: answers only at the auth endpoint.
    pub(crate) upstream: Option<String>,
    /// required: only a session that meets the requirements; optional: with identity where there is one; public: for
    /// everybody, without identity.
    pub(crate) access: Access,
    /// Ids of the providers whose sessions count here; unset: all.
    pub(crate) providers: Option<Many<String>>,
    /// What a session must show besides.
    pub(crate) require: Option<Require>,
    /// Identity headers besides those of [headers]; the same name wins; false removes.
    pub(crate) headers: BTreeMap<String, HeaderEntry>,
    /// The provider's token that goes along as Authorization: Bearer.
    pub(crate) pass_token: PassToken,
    /// The text that the phone shows at a login for this route.
    pub(crate) dtbd: Option<String>,
    /// `aud` of the assertion.
    pub(crate) audience: Option<String>,
    /// Whether the route's path is cut off before the request goes up.
    pub(crate) strip_prefix: bool,
    /// Whether WebSocket upgrades are forwarded.
    pub(crate) websocket: bool,
    /// What two servers could read differently and this application needs: "//", "%2f", "%5c".
    pub(crate) allow_in_path: Vec<String>,
    /// Ids of [[bearer]] whose tokens are taken too.
    pub(crate) bearer: Option<Many<String>>,
    /// Exact paths whose good answer ends the session.
    pub(crate) logout: Vec<String>,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            id: None,
            host: None,
            path: "/".to_owned(),
            methods: None,
            upstream: None,
            access: Access::Required,
            providers: None,
            require: None,
            headers: BTreeMap::new(),
            pass_token: PassToken::None,
            dtbd: None,
            audience: None,
            strip_prefix: false,
            websocket: false,
            allow_in_path: Vec::new(),
            bearer: None,
            logout: Vec::new(),
        }
    }
}

/// `route.access`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Access {
    Required,
    Optional,
    Public,
}

/// `route.pass_token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PassToken {
    None,
    AccessToken,
    IdToken,
}

/// `route.require`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Require {
    /// Level of assurance: one value, or a list of which any is enough.
    pub(crate) acr: Option<Many<String>>,
    /// The longest time since the person was authenticated.
    pub(crate) max_age: Option<Time>,
    /// Claim = value, list of which any is enough, or { min, max }.
    pub(crate) claims: BTreeMap<String, ClaimNeed>,
    /// File with the people who may enter, one a line.
    pub(crate) allow_file: Option<String>,
    /// File of Cedar policies that must permit each request.
    pub(crate) policy_file: Option<String>,
}

/// What a claim must be.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ClaimNeed {
    Range(Range),
    AnyOf(Vec<Value>),
    Text(String),
    Number(serde_json::Number),
    Boolean(bool),
}

/// Bounds of a number, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Range {
    /// At least this.
    pub(crate) min: Option<f64>,
    /// At most this.
    pub(crate) max: Option<f64>,
}

/// A header to the upstream: a template, the long form, or false.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum HeaderEntry {
    Template(String),
    Field(HeaderField),
    Removed(False),
}

/// A header's long form.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["value"]))]
pub(crate) struct HeaderField {
    /// The template.
    pub(crate) value: String,
    /// How text that is not ASCII stands in the header.
    pub(crate) encoding: Encoding,
    /// What stands between the elements of a list.
    pub(crate) join: String,
}

impl Default for HeaderField {
    fn default() -> Self {
        Self { value: String::new(), encoding: Encoding::Utf8, join: ",".to_owned() }
    }
}

/// `encoding` of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Encoding {
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "latin1")]
    Latin1,
    #[serde(rename = "percent")]
    Percent,
    #[serde(rename = "base64")]
    Base64,
}
