//! `[session]`: how long people stay signed in, and the cookie that says so.
//! Pure.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::Hidden;
use crate::config::unit::Time;

/// `[session]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Session {
    /// Where sessions are kept: "memory", "disk:/folder", "redis://…" or "rediss://…".
    pub(crate) store: String,
    /// Password of the store.
    pub(crate) store_password: Option<Hidden>,
    /// File with the password of the store.
    pub(crate) store_password_file: Option<String>,
    /// A session ends when it is not used for this long.
    pub(crate) idle_timeout: Time,
    /// A session ends after this long, used or not.
    pub(crate) lifetime: Time,
    /// How long a near cache may miss what happened elsewhere, also in an outage.
    pub(crate) max_staleness: Time,
    /// Sessions of one person, of which the oldest ends; 0: any number.
    pub(crate) per_subject: u32,
    /// Sessions in all; at capacity the least recently used ends.
    pub(crate) capacity: u64,
    /// The session's cookie.
    pub(crate) cookie: Cookie,
    /// File with a base64url key of 32 bytes a line: the first seals, all open. It is written when it does not
    /// exist. Unset: keys live in memory and a login under way does not survive a restart.
    pub(crate) keys_file: Option<String>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            store: "memory".to_owned(),
            store_password: None,
            store_password_file: None,
            idle_timeout: Time(Duration::from_secs(30 * 60)),
            lifetime: Time(Duration::from_secs(8 * 3600)),
            max_staleness: Time(Duration::from_secs(30)),
            per_subject: 0,
            capacity: 1_000_000,
            cookie: Cookie::default(),
            keys_file: None,
        }
    }
}

/// `session.cookie`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cookie {
    /// The name; over https __Host- is put before it, or __Secure- when domain is set.
    pub(crate) name: String,
    /// The domain whose hosts share the session, such as "example.ch"; empty: one host only.
    pub(crate) domain: String,
}

impl Default for Cookie {
    fn default() -> Self {
        Self { name: "midgate".to_owned(), domain: String::new() }
    }
}
