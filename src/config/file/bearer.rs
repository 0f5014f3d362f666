//! `[[bearer]]`: issuers whose tokens machines may show.
//! Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ClaimSource;
use super::value::{Many, Words};

/// `[[bearer]]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["id", "issuer", "audience"]))]
pub(crate) struct Bearer {
    /// The name in routes, logs and headers; no provider may have the same.
    pub(crate) id: String,
    /// `iss` of the tokens, compared byte for byte.
    pub(crate) issuer: String,
    /// Values of `aud` of which a token must carry one.
    pub(crate) audience: Many<String>,
    /// Signature algorithms that are accepted; never HS*, never none.
    pub(crate) alg: Many<String>,
    /// Scopes that a token must carry, all of them; one string with spaces or commas is taken too.
    pub(crate) scopes: Words,
    /// Address of the issuer's metadata, or "file:…"; unset: issuer + /.well-known/openid-configuration.
    pub(crate) discovery: Option<String>,
    /// PEM file of authorities that are believed besides the system's.
    pub(crate) ca_file: Option<String>,
    /// Proxy for the gateway's calls to the issuer.
    pub(crate) proxy: Option<String>,
    /// Gateway name = where it comes from among the token's claims.
    pub(crate) claims: BTreeMap<String, ClaimSource>,
}

impl Default for Bearer {
    fn default() -> Self {
        Self {
            id: String::new(),
            issuer: String::new(),
            audience: Many::List(Vec::new()),
            alg: Many::List(vec!["RS256".to_owned()]),
            scopes: Words::default(),
            discovery: None,
            ca_file: None,
            proxy: None,
            claims: BTreeMap::new(),
        }
    }
}
