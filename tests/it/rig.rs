//! What the stories share: a real gateway process, a browser with a cookie jar, raw HTTP.

pub mod browser;
pub mod gateway;
#[allow(dead_code, reason = "a rig offers more than each story takes")]
pub mod http2;
pub mod servers;
pub mod tls;
pub mod wire;

use std::process::ChildStdin;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use midgate::demo::application::Application;
use midgate::demo::provider::{Manner, Settings, Simulated};

pub use self::browser::Browser;
pub use self::gateway::{Folder, Gateway};
pub use self::wire::{Answer, send};

/// A simulated provider that approves at once, on another site than the gateway (`127.0.0.1`, not `localhost`).
pub fn provider(manner: Manner) -> Simulated {
    Simulated::start(Settings {
        manner,
        host: "127.0.0.1".into(),
        port: 0,
        client_id: "us".into(),
        client_secret: "SECRET_zz".into(),
        interactive: false,
    })
    .expect("a free port")
}

/// A sample application on a free port.
pub fn application() -> Application {
    Application::start(0).expect("a free port")
}

/// The part of a configuration that names a provider.
pub fn provider_toml(id: &str, provider: &Simulated, more: &str) -> String {
    format!(
        "[[provider]]\nid = \"{id}\"\nissuer = \"{}\"\ndiscovery = \"{}\"\nclient_id = \"us\"\n\
         client_secret = \"SECRET_zz\"\n{more}\n",
        provider.issuer(),
        provider.discovery()
    )
}

/// A gateway with one plain provider before one application, and all three.
pub struct Plain {
    pub provider: Simulated,
    pub application: Application,
    pub gateway: Gateway,
}

/// Starts a plain setting; `routes` may use `{up}` for the application's address, and follow with more tables.
pub fn plain(top: &str, provider_more: &str, routes: &str) -> Plain {
    let (provider, application) = (self::provider(Manner::Plain), application());
    let up = format!("http://127.0.0.1:{}", application.port());
    let config =
        format!("{top}\n{}\n{}", provider_toml("op", &provider, provider_more), routes.replace("{up}", &up));
    let gateway = Gateway::start(&config);
    Plain { provider, application, gateway }
}

/// A setting for many tests. Nobody drops what is `static`, so the end of a pipe tells when its gateway has served.
pub struct Shared(OnceLock<(Plain, ChildStdin)>);

impl Shared {
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    pub fn get(&self, start: impl FnOnce() -> Plain) -> &Plain {
        let (plain, _) = self.0.get_or_init(|| {
            let plain = start();
            let pipe = plain.gateway.end_with_this_process();
            (plain, pipe)
        });
        plain
    }
}

/// One plain setting for all tests that change nothing about it.
pub fn shared() -> &'static Plain {
    static SHARED: Shared = Shared::new();
    SHARED.get(|| {
        let mapping = "[provider.claims]\nname = \"name\"\ndocumentId = \"nowhere\"\n";
        plain(
            "",
            mapping,
            r#"
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
            id = "api"
            path = "/api/"
            upstream = "{up}"
            strip_prefix = true
            [[route]]
            id = "ws"
            path = "/ws/"
            upstream = "{up}"
            websocket = true
            [[route]]
            id = "post"
            path = "/post-only/"
            methods = ["POST"]
            upstream = "{up}"
            [[route]]
            id = "files"
            path = "/files/"
            upstream = "{up}"
            allow_in_path = ["%2f"]
            [[route]]
            id = "staff"
            path = "/staff/"
            upstream = "{up}"
            require = { claims = { groups = "nobody" } }
            "#,
        )
    })
}

/// Polls until something holds, at most ten seconds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain waited until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
