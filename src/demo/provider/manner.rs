//! What tells the simulated providers apart: paths, parameters, levels, people.

use serde_json::{Value, json};

use super::super::jose::sha256;
use super::{Settings, Shared, level4};

/// In whose manner a provider behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Mobile ID of Switzerland.
    MobileId,
    /// An mID of a US state.
    Idemia,
    /// Azure AD B2C in front of either.
    B2c,
    /// No manner in particular.
    Plain,
}

/// A sample person.
pub(in crate::demo) struct Person {
    pub(in crate::demo) key: &'static str,
    pub(in crate::demo) first: &'static str,
    pub(in crate::demo) last: &'static str,
    phone: &'static str,
    pub(super) document: &'static str,
}

/// The people who have a phone here.
pub(in crate::demo) const PEOPLE: [Person; 3] = [
    Person {
        key: "zoe", first: "Zoë", last: "Müller-François", phone: "+41791234567", document: "X1234567"
    },
    Person { key: "luca", first: "Luca", last: "Bernasconi", phone: "+41797654321", document: "X7654321" },
    Person { key: "aline", first: "Aline", last: "Rochat", phone: "+41781112233", document: "X1112233" },
];

/// Mobile ID's levels; the first is what it grants when nothing is asked.
const MOBILE_ID_ACR: [&str; 10] = [
    "mid_al3_any",
    "mid_al2_any",
    "mid_al3_any_ch",
    "mid_al3_simcard",
    "mid_al3_mobileapp",
    "mid_al4_any",
    "mid_al4_any_ch",
    "mid_al4_simcard",
    "mid_al4_mobileapp",
    "mid_al4_passkey",
];
const IDEMIA_ACR: [&str; 3] = ["loa-2", "loa-3", "loa-4"];
/// Mobile ID refuses what it does not know how to keep.
const MOBILE_ID_FORBIDS: [&str; 5] = ["response_mode", "display", "max_age", "id_token_hint", "claims"];
const TENANT: &str = "/tenant.onmicrosoft.com/b2c_1a_signin/v2.0";

impl Manner {
    /// The levels that can be granted, the usual one first.
    pub(super) fn levels(self) -> &'static [&'static str] {
        match self {
            Self::MobileId => &MOBILE_ID_ACR,
            Self::Idemia => &IDEMIA_ACR,
            Self::B2c | Self::Plain => &["low", "high"],
        }
    }

    /// The level below what a demanding login asks.
    pub(super) fn weakest(self) -> &'static str {
        match self {
            Self::MobileId => "mid_al2_any",
            Self::Idemia => "loa-2",
            Self::B2c | Self::Plain => "low",
        }
    }

    /// Parameters that are refused.
    pub(super) fn forbids(self) -> &'static [&'static str] {
        match self {
            Self::MobileId => &MOBILE_ID_FORBIDS,
            Self::Idemia | Self::B2c | Self::Plain => &[],
        }
    }

    /// How an answer comes back when nothing is said.
    pub(super) fn posts_by_default(self) -> bool {
        self == Self::B2c
    }

    pub(super) fn sends_iss(self) -> bool {
        matches!(self, Self::MobileId | Self::Plain)
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::MobileId | Self::Plain => "",
            Self::Idemia => "/oxauth",
            Self::B2c => TENANT,
        }
    }

    /// Whether pushed requests are offered without a switch.
    fn offers_par(self) -> bool {
        self == Self::MobileId
    }

    /// Paths of authorization, token, UserInfo, keys, end of session, pushed requests; an empty one is not there.
    pub(super) fn paths(self) -> [&'static str; 6] {
        match self {
            Self::MobileId => ["/oidc/authorize", "/token", "/userinfo", "/jwks.json", "", "/par"],
            Self::Idemia => [
                "/oxauth/restv1/authorize",
                "/oxauth/restv1/token",
                "/oxauth/restv1/userinfo",
                "/oxauth/restv1/jwks",
                "/oxauth/restv1/end_session",
                "/oxauth/restv1/par",
            ],
            Self::B2c => ["/b2c/authorize", "/b2c/token", "", "/b2c/keys", "/b2c/logout", ""],
            Self::Plain => ["/authorize", "/token", "/userinfo", "/jwks", "/end_session", "/par"],
        }
    }
}

impl Shared {
    pub(super) fn issuer(&self) -> String {
        match self.settings.manner {
            Manner::MobileId | Manner::Plain => self.base.clone(),
            Manner::Idemia => format!("{}/oxauth", self.base),
            Manner::B2c => format!("{}/5f7c0000-1111-2222-3333-444444444444/v2.0/", self.base),
        }
    }

    pub(super) fn discovery(&self) -> String {
        format!("{}{}/.well-known/openid-configuration", self.base, self.settings.manner.prefix())
    }

    /// The discovery document.
    pub(super) fn document(&self) -> Value {
        let Settings { manner, .. } = self.settings;
        let query = if manner == Manner::B2c { "?p=b2c_1a_signin" } else { "" };
        let url = |path: &str| format!("{}{path}{query}", self.base);
        let [authorize, token, userinfo, jwks, end_session, par] = manner.paths();
        let mut document = json!({
            "issuer": if self.has("discovery-wrong-issuer") { format!("{}INVALID", self.issuer()) } else { self.issuer() },
            "authorization_endpoint": url(authorize),
            "token_endpoint": url(token),
            "jwks_uri": url(jwks),
            "response_types_supported": ["token code id_token", "code"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA", "none", "ES256K"],
            "acr_values_supported": manner.levels(),
            "authorization_response_iss_parameter_supported": manner.sends_iss(),
            "x_unknown": {"odd": [null, 1.5]}
        });
        if !userinfo.is_empty() {
            document["userinfo_endpoint"] = json!(url(userinfo));
        }
        if !end_session.is_empty() && !self.has("no-end-session") {
            document["end_session_endpoint"] = json!(url(end_session));
            document["backchannel_logout_supported"] = json!(true);
            document["frontchannel_logout_supported"] = json!(true);
        }
        if self.has("odd-end-session") {
            document["end_session_endpoint"] = json!("http://op.test/plain-http");
        }
        if (manner.offers_par() && !self.has("no-par")) || self.has("offers-par") {
            document["pushed_authorization_request_endpoint"] = json!(url(par));
        }
        if self.has("par-required") {
            document["require_pushed_authorization_requests"] = json!(true);
        }
        if let Some(base) = &self.lock().tls_front {
            let url = |path: &str| format!("{base}{path}");
            document["mtls_endpoint_aliases"] = json!({
                "token_endpoint": url(token), "userinfo_endpoint": url(userinfo),
                "pushed_authorization_request_endpoint": url(par)
            });
        }
        if self.has("discovery-plain-pkce") {
            document["code_challenge_methods_supported"] = json!(["plain"]);
        }
        document
    }

    /// What UserInfo says of a person; B2C says it in the ID token.
    pub(super) fn claims(&self, person: &Person) -> Value {
        let name = format!("{} {}", person.first, person.last);
        let mail = format!("{}@example.ch", person.key);
        let sub = sha256(&format!("{} {}", self.settings.client_id, person.key));
        match self.settings.manner {
            Manner::MobileId => json!({
                "sub": sub, "name": name, "phone_number": person.phone, "phone_number_verified": true,
                "mid_profile_serial": level4::serial(person), "mid_geo_country": "CH",
                "mid_geo_accuracy": 12.5, "mid_profile_sim_status": "active"
            }),
            Manner::Idemia => json!({
                "sub": sub, "firstName1": person.first, "lastName1": person.last, "documentId": person.document,
                "address1": "Bahnhofstrasse 1, 8001 Zürich", "tid": "ch-zh"
            }),
            Manner::B2c => json!({
                "sub": sub, "oid": sub, "name": name, "given_name": person.first, "family_name": person.last,
                "emails": [mail], "tfp": "b2c_1a_signin", "idp": "mobileid"
            }),
            Manner::Plain => json!({
                "sub": sub, "name": name, "email": mail, "email_verified": true, "groups": ["staff", "payroll"],
                "age": 42, "address": {"locality": "Zürich"}, "documentId": person.document
            }),
        }
    }
}
