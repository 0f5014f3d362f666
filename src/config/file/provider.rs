//! `[[provider]]`: where people sign in.
//! Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::value::{False, Hidden, Many, OrFalse, Words};
use crate::config::preset::Preset;

/// `[[provider]]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["id", "client_id"]))]
pub(crate) struct Provider {
    /// The name in routes, logs and headers.
    pub(crate) id: String,
    /// Settings of a known provider; what is written beside it wins.
    pub(crate) preset: Option<Preset>,
    /// The name that people see.
    pub(crate) display_name: Option<String>,
    /// Values of domain_hint that pick this provider.
    pub(crate) domains: Vec<String>,
    /// `iss` of its tokens, compared byte for byte; unset: taken from the document at discovery.
    pub(crate) issuer: Option<String>,
    /// Address of the metadata, "file:…", or false; unset: issuer + /.well-known/openid-configuration.
    pub(crate) discovery: Option<OrFalse>,
    /// Addresses that win over those of the metadata.
    pub(crate) endpoints: ProviderEndpoints,
    /// The gateway's name at the provider.
    pub(crate) client_id: String,
    /// The gateway's secret at the provider.
    pub(crate) client_secret: Option<Hidden>,
    /// File with the secret.
    pub(crate) client_secret_file: Option<String>,
    /// How the gateway proves itself to the provider.
    pub(crate) client_auth: ClientAuth,
    /// PEM file of the private key for private_key_jwt and tls_client_auth.
    pub(crate) client_key_file: Option<String>,
    /// PEM file of the certificate for tls_client_auth.
    pub(crate) client_cert_file: Option<String>,
    /// Signature algorithms of ID tokens that are accepted; never HS*, never none.
    pub(crate) id_token_alg: Many<String>,
    /// Scopes to ask for; one string with spaces or commas is taken too.
    pub(crate) scopes: Words,
    /// How the answer comes back; none: not sent.
    pub(crate) response_mode: ResponseMode,
    /// Whether the authorization request goes by PAR (RFC 9126).
    pub(crate) pushed_authorization: When,
    /// The level to wish for at a plain login; the token's acr counts as it comes; false: none, whatever the preset says.
    pub(crate) acr_values: Option<OrFalse>,
    /// The ID-token claim that holds the level.
    pub(crate) acr_claim: String,
    /// Levels, lowest rung first; the first value of a rung is its general one.
    pub(crate) acr_ladder: Vec<Vec<String>>,
    /// Required level = granted levels that meet it too.
    pub(crate) acr_also: BTreeMap<String, Vec<String>>,
    /// Whether UserInfo is asked; auto: when the provider has it.
    pub(crate) userinfo: When,
    /// Claims without which a login is refused.
    pub(crate) required_claims: Vec<String>,
    /// Parameters of the authorization request: a text with templates, or { json = … }; false removes.
    pub(crate) request: BTreeMap<String, RequestValue>,
    /// Parameters that are never sent to this provider.
    pub(crate) forbid: Vec<String>,
    /// Whether refresh tokens are used.
    pub(crate) refresh: Refresh,
    /// Enrolled serial numbers, for level 4.
    pub(crate) enrolment: Option<Enrolment>,
    /// Takes the serial number of level 4 from the session that is to be raised: proves nothing about the phone.
    pub(crate) insecure_level4_from_session: bool,
    /// PEM file of authorities that are believed besides the system's.
    pub(crate) ca_file: Option<String>,
    /// Proxy for the gateway's calls to the provider.
    pub(crate) proxy: Option<String>,
    /// Gateway name = where it comes from; UserInfo wins over the ID token; false removes.
    pub(crate) claims: BTreeMap<String, ClaimSource>,
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            id: String::new(),
            preset: None,
            display_name: None,
            domains: Vec::new(),
            issuer: None,
            discovery: None,
            endpoints: ProviderEndpoints::default(),
            client_id: String::new(),
            client_secret: None,
            client_secret_file: None,
            client_auth: ClientAuth::ClientSecretBasic,
            client_key_file: None,
            client_cert_file: None,
            id_token_alg: Many::List(vec!["RS256".to_owned()]),
            scopes: Words(vec!["openid".to_owned()]),
            response_mode: ResponseMode::None,
            pushed_authorization: When::Auto,
            acr_values: None,
            acr_claim: "acr".to_owned(),
            acr_ladder: Vec::new(),
            acr_also: BTreeMap::new(),
            userinfo: When::Auto,
            required_claims: vec!["sub".to_owned()],
            request: BTreeMap::new(),
            forbid: Vec::new(),
            refresh: Refresh::Auto,
            enrolment: None,
            insecure_level4_from_session: false,
            ca_file: None,
            proxy: None,
            claims: BTreeMap::new(),
        }
    }
}

impl Provider {
    /// Whether it is told which phone must answer a login at level 4.
    pub(crate) fn takes_phone(&self) -> bool {
        self.enrolment.is_some() || self.insecure_level4_from_session
    }
}

/// `provider.endpoints`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProviderEndpoints {
    /// Where the browser is sent.
    pub(crate) authorization: Option<OrFalse>,
    /// Where the code is redeemed.
    pub(crate) token: Option<OrFalse>,
    /// Where claims are asked for.
    pub(crate) userinfo: Option<OrFalse>,
    /// Where the keys are.
    pub(crate) jwks: Option<OrFalse>,
    /// Where the browser signs out.
    pub(crate) end_session: Option<OrFalse>,
    /// Where authorization requests are pushed.
    pub(crate) pushed_authorization: Option<OrFalse>,
}

/// `provider.client_auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientAuth {
    ClientSecretBasic,
    ClientSecretPost,
    PrivateKeyJwt,
    #[serde(rename = "tls_client_auth")]
    MutualTls,
}

/// `provider.response_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResponseMode {
    Query,
    FormPost,
    None,
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum When {
    Auto,
    Always,
    Never,
}

/// `provider.refresh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Refresh {
    Auto,
    Never,
}

/// `provider.enrolment`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["file"]))]
pub(crate) struct Enrolment {
    /// File of enrolled serial numbers, by issuer and subject.
    pub(crate) file: String,
    /// never: only you write the file. first: the first login at level 3 of a person is written down.
    pub(crate) learn: Learn,
}

/// `provider.enrolment.learn`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Learn {
    #[default]
    Never,
    First,
}

/// A parameter of the authorization request.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RequestValue {
    Text(String),
    Json(JsonValue),
    Removed(False),
}

/// A parameter that is sent as JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["json"]))]
pub(crate) struct JsonValue {
    /// Any value; texts in it are templates, and an entry whose template has no value is left out.
    pub(crate) json: Value,
}

/// Where a gateway name comes from.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ClaimSource {
    Claim(String),
    Table(ClaimTable),
    Removed(False),
}

/// The long form of a claim's source: exactly one of claim, template and value.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClaimTable {
    /// The provider's claim.
    pub(crate) claim: Option<String>,
    /// Taken when the claim is missing.
    pub(crate) default: Option<Value>,
    /// A text made of the provider's claims.
    pub(crate) template: Option<String>,
    /// Always this, whatever the provider sends.
    pub(crate) value: Option<Value>,
}
