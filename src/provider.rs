//! The relying party: one OpenID provider, its metadata and keys, and the calls to it.
//!
//! *Never:* cookies, sessions, routes, or what a visitor sees.
//! *Source:* OIDC Core, OIDC Discovery, RFC 6749, RFC 7636, RFC 9207.

mod trouble;

pub(crate) use self::trouble::{ProviderError, Trouble};
