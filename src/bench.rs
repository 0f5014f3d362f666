//! Entry points for `benches/`: the way in without a wire, and sessions without logins.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::clock::unix_now;
use crate::config::{Purpose, Source, render};
use crate::gateway;
use crate::identity::{Identity, user_key};
use crate::proxy::{Incoming, Outgoing, Snapshot, through};
use crate::session::{self, LoginTrace, SessionId, hash};
use crate::signing::Fresh;

/// A gateway without listeners, with people signed in.
pub struct Gateway {
    snapshot: Arc<Snapshot>,
    now: u64,
}

/// A request with its head parsed.
pub struct Request(Incoming);

/// The copy of a request's head that goes up.
pub struct Upward(Outgoing);

/// What a cookie holds.
pub struct Id(SessionId);

const CONFIGURATION: &str = r#"
public_url = "http://127.0.0.1:8080"
[log]
access = false
[session]
capacity = 2000000
[[provider]]
id = "op"
issuer = "http://127.0.0.1:1"
discovery = "http://127.0.0.1:1/.well-known/openid-configuration"
client_id = "bench"
client_secret = "a secret of the bench's"
acr_ladder = [["low"], ["high"]]
[provider.claims]
name = "name"
documentId = "documentId"
[[route]]
id = "root"
upstream = "http://127.0.0.1:1"
[[route]]
id = "public"
path = "/public/"
upstream = "http://127.0.0.1:1"
access = "public"
[[route]]
id = "staff"
path = "/staff/"
upstream = "http://127.0.0.1:1"
require = { acr = "high", claims = { groups = "staff" } }
[[route]]
id = "policy"
path = "/policy/"
upstream = "http://127.0.0.1:1"
require = { policy_file = "benches/policy.cedar" }
"#;

impl Gateway {
    /// A gateway with a required, a public and a demanding route, and one with policies.
    ///
    /// # Panics
    /// The configuration above is not accepted.
    pub fn new() -> Self {
        Self::load(CONFIGURATION)
    }

    /// The same with identities that are signed for the applications.
    ///
    /// # Panics
    /// No key can be written to the folder for temporary files.
    pub fn with_assertion() -> Self {
        let file = std::env::temp_dir().join(format!("midgate-bench-{}.pem", std::process::id()));
        let pem = Fresh::P256.pem().expect("the operating system gives random bytes");
        std::fs::write(&file, pem).expect("a folder for temporary files");
        let section = format!("[assertion]\nsigning_key_files = [{file:?}]\n");
        let gateway = Self::load(&format!("{CONFIGURATION}{section}"));
        drop(std::fs::remove_file(file));
        gateway
    }

    fn load(configuration: &str) -> Self {
        // Somebody else in this process may have chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/bench.toml"));
        let source = Source::new(path, BTreeMap::new());
        let reading = source.read_text(configuration, Purpose::Look);
        let problems = render(source.path(), &reading.findings.problems);
        let loaded = reading.loaded.unwrap_or_else(|| panic!("{problems}"));
        let snapshot = gateway::first_generation(loaded).unwrap_or_else(|error| panic!("{error:#}"));
        let now = unix_now();
        Self { snapshot: Arc::new(snapshot), now }
    }

    /// Signs somebody in who has ten claims; each number is another person.
    pub async fn sign_in(&self, number: usize) -> Id {
        let created = self.snapshot.site.sessions.create(fresh(number), self.now).await;
        Id(created.expect("no provider ends what was made here").0)
    }

    /// Lets the cache finish what it has put off.
    pub async fn settle(&self) {
        self.snapshot.site.sessions.sweep().await;
    }

    /// Finds a session by a cookie's value, as for a request.
    pub async fn find(&self, cookie: &str) -> bool {
        let Some(id) = SessionId::parse(cookie) else { return false };
        self.snapshot.site.sessions.find(&id.key(), self.now).await.is_some()
    }

    /// Everything that the hooks do to a request before it goes up; gives the status of a refusal, or 200.
    pub async fn pass(&self, request: &Request, upward: &mut Upward) -> u16 {
        through(&self.snapshot, &request.0, &mut upward.0).await
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self::new()
    }
}

impl Id {
    /// The cookie's value.
    pub fn text(&self) -> String {
        self.0.text()
    }
}

impl Request {
    /// What a browser's request for `path` looks like, with a session or without.
    ///
    /// # Panics
    /// The path is no path.
    pub fn new(path: &str, session: Option<&Id>) -> Self {
        let cookie =
            session.map(|id| format!("theme=dark; midgate={}", id.text())).unwrap_or("theme=dark".into());
        let headers = [
            ("Host", "127.0.0.1:8080"),
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            ("Accept", "application/json"),
            ("Accept-Language", "de-CH,de;q=0.8,en;q=0.5"),
            ("Accept-Encoding", "gzip, deflate, br"),
            ("Sec-Fetch-Mode", "cors"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Cookie", &cookie),
        ];
        Self(Incoming::new(path, &headers).expect("the headers above are headers"))
    }

    /// The copy that Pingora makes for the upstream.
    pub fn copy(&self) -> Upward {
        Upward(self.0.copy())
    }
}

fn fresh(number: usize) -> session::Fresh {
    let issuer = "https://provider.example.ch";
    let subject = format!("{number:036}");
    let claims: Map<String, Value> = [
        ("name", json!("Zoë Müller-François")),
        ("given_name", json!("Zoë")),
        ("family_name", json!("Müller-François")),
        ("email", json!(format!("zoe{number}@example.ch"))),
        ("email_verified", json!(true)),
        ("phone_number", json!("+41791234567")),
        ("phone_number_verified", json!(true)),
        ("documentId", json!(format!("X{number:07}"))),
        ("mid_geo_country", json!("CH")),
        ("groups", json!(["staff", "payroll"])),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let identity = Identity {
        provider: "op".into(),
        issuer: issuer.into(),
        user_key: user_key(issuer, &subject).into(),
        subject: subject.into(),
        acr: Some("high".into()),
        amr: Box::new(["swk".into()]),
        auth_time: Some(1_900_000_000),
        claims,
    };
    let login = LoginTrace { state: hash(&number.to_le_bytes()), target: "/".into(), until: 0 };
    session::Fresh { identity, sid: None, issued: 0, login, tokens: None }
}
