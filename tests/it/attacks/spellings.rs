//! Names that a server could read as one of ours.

/// Other spellings of `X-Auth-Acr`, and names of the families that are ours or other gateways'.
pub(super) const SPELLINGS: [&str; 28] = [
    "X-Auth-Acr",
    "x-auth-acr",
    "X-AUTH-ACR",
    "X_Auth_Acr",
    "x_auth_acr",
    "X-Auth_Acr",
    "x_auth-acr",
    "X.Auth.Acr",
    "X-Auth.Acr",
    "x~auth~acr",
    "X-Auth-User",
    "X_AUTH_USER",
    "x-auth-name",
    "X_Auth_Name",
    "X-Auth-Document-Id",
    "X_Auth_Document_Id",
    "x-auth-document_id",
    "X-Auth-Provider",
    "X.Auth.Provider",
    "X-Auth-Anything",
    "X-Midgate-User",
    "X_Midgate_Jwt_Assertion",
    "X-Midgate-Jwt-Assertion",
    "X-Midgate-Route",
    "Remote-User",
    "REMOTE_USER",
    "X-Remote-User",
    "OIDC_CLAIM_sub",
];

/// Every spelling with a value of mallory's, once each.
pub(super) fn all() -> String {
    SPELLINGS.iter().map(|name| format!("{name}: mallory\r\n")).collect()
}
