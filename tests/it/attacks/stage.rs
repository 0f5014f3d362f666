//! The setting of the rows: provider, routes, visitors, and an application that tells what it got.

use midgate::demo::provider::{Manner, Simulated};
use serde_json::json;

use super::upstream::Upstream;
use crate::rig::browser::Echo;
use crate::rig::{Answer, Browser, Gateway, provider, provider_toml, send};

/// What each row's gateway has of routes; `{up}` is the application.
pub(super) const ROUTES: &str = r#"
[[route]]
id = "root"
upstream = "{up}"
[[route]]
id = "public"
path = "/public/"
upstream = "{up}"
access = "public"
[[route]]
id = "open"
path = "/open/"
upstream = "{up}"
access = "optional"
[[route]]
id = "admin"
path = "/admin/"
upstream = "{up}"
require = { acr = "loa-3" }
[[route]]
id = "api"
path = "/api/"
upstream = "{up}"
strip_prefix = true
[[route]]
id = "ws"
path = "/ws/"
upstream = "{up}"
websocket = true
"#;

const PROVIDER: &str = "acr_ladder = [[\"loa-2\"], [\"loa-3\"], [\"loa-4\"]]\n\
    [provider.claims]\nname = \"name\"\ndocumentId = \"documentId\"\ngroups = \"groups\"\n";

/// Provider, application and gateway of one row.
pub(super) struct Stage {
    pub(super) op: Simulated,
    pub(super) echo: Upstream,
    pub(super) gateway: Gateway,
}

impl Stage {
    /// The setting as the rows have it.
    pub(super) fn new() -> Self {
        Self::with("", ROUTES)
    }

    /// The same with lines at the top of the configuration, and other tables.
    pub(super) fn with(top: &str, tables: &str) -> Self {
        let (op, echo) = (provider(Manner::Plain), Upstream::start());
        let up = format!("http://127.0.0.1:{}", echo.port);
        let config = format!(
            "public_url = \"https://app.test\"\n{top}\n{}\n{}",
            provider_toml("op", &op, PROVIDER),
            tables.replace("{up}", &up)
        );
        let gateway = Gateway::start(&config);
        gateway.until_warm();
        Self { op, echo, gateway }
    }

    /// A browser without a cookie.
    pub(super) fn none(&self) -> Browser {
        let mut browser = Browser::new(&self.gateway);
        "app.test".clone_into(&mut browser.host);
        browser
    }

    /// Alice, at the lower level and without a document.
    pub(super) fn low(&self) -> Browser {
        self.signed_in("alice", "loa-2", None)
    }

    /// Bob, at the level that `/admin/` asks for.
    pub(super) fn high(&self) -> Browser {
        self.signed_in("bob", "loa-3", Some("D-1"))
    }

    /// Somebody, with a level and perhaps a document.
    pub(super) fn signed_in(&self, sub: &str, acr: &str, document: Option<&str>) -> Browser {
        self.op.patch_id_token(json!({ "sub": sub, "acr": acr }));
        self.op.patch_userinfo(json!({ "sub": sub, "name": sub, "documentId": document }));
        let mut browser = self.none();
        let answer = browser.sign_in("/x");
        assert_eq!(answer.status, 303, "{answer:?}");
        browser
    }

    /// Bytes as they are, on a connection of their own; no answer at all has status 0.
    pub(super) fn raw(&self, request: impl AsRef<[u8]>) -> Answer {
        send(self.gateway.port, request.as_ref()).unwrap_or_default()
    }

    /// A target as it is, with somebody's cookie.
    pub(super) fn get(&self, who: &Browser, target: impl AsRef<[u8]>, headers: &str) -> Answer {
        let (cookie, target) = (cookie(who), target.as_ref());
        let rest = format!(" HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n{cookie}{headers}\r\n");
        self.raw([b"GET ", target, rest.as_bytes()].concat())
    }

    /// What the application sees of it.
    pub(super) fn seen(&self, who: &Browser, target: &str, headers: &str) -> Echo {
        let answer = self.get(who, target, headers);
        assert_eq!(answer.status, 200, "{target} {headers}: {answer:?}");
        Echo(answer.json())
    }

    /// Refused, and the application saw nothing.
    pub(super) fn denied(&self, what: &str, answer: &Answer) {
        assert!(matches!(answer.status, 302 | 400 | 401 | 403 | 404 | 405 | 421 | 431), "{what}: {answer:?}");
        if answer.status == 302 {
            assert!(answer.location().starts_with("http://127.0.0.1:"), "{what}: {}", answer.location());
        }
        assert_eq!(self.echo.count(), 0, "{what} arrived");
    }
}

/// The line with somebody's cookies.
pub(super) fn cookie(who: &Browser) -> String {
    let pairs: Vec<String> = who.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if pairs.is_empty() { String::new() } else { format!("Cookie: {}\r\n", pairs.join("; ")) }
}

/// The request is answered as one whose session does not reach: a stronger login would help.
pub(super) fn is_step_up(answer: &Answer) -> bool {
    answer.status == 401 && answer.json()["error"] == "insufficient_user_authentication"
}
