//! The five-minute tour: simulated mobile-ID providers, a phone, and a sample application, all on loopback.
//!
//! *Never:* anything of the gateway (I12): a bug that both shared would hide. `cli` runs the real gateway between them.

pub mod application;
mod http;
mod jose;
mod phone;
pub mod provider;
mod websocket;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use self::application::Application;
use self::provider::{Manner, Settings, Simulated};

pub use self::http::Request;

/// Everything around the gateway, until it is dropped.
pub struct Stage {
    port: u16,
    folder: PathBuf,
    configuration: PathBuf,
    text: String,
    _mobile_id: Simulated,
    _idemia: Simulated,
    _application: Application,
}

/// Sets the stage for a gateway at `http://localhost:<port>`.
///
/// # Errors
/// A port is taken, or the configuration cannot be written.
pub fn stage(port: u16) -> io::Result<Stage> {
    let provider = |manner, client_id: &str| {
        Simulated::start(Settings {
            manner,
            host: "127.0.0.1".to_owned(),
            port: 0,
            client_id: client_id.to_owned(),
            client_secret: "a secret of the demo's".to_owned(),
            interactive: true,
        })
    };
    let mobile_id = provider(Manner::MobileId, "demo-mobile-id")?;
    let idemia = provider(Manner::Idemia, "demo-idemia")?;
    let application = Application::start(0)?;
    let text = include_str!("demo/pages/gateway.toml")
        .replace("PORT", &port.to_string())
        .replace("MOBILE_ID", &mobile_id.issuer())
        .replace("IDEMIA_DISCOVERY", &idemia.discovery())
        .replace("IDEMIA", &idemia.issuer())
        .replace("APPLICATION", &application.port().to_string());
    let folder = std::env::temp_dir().join(format!("midgate-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let configuration = folder.join("gateway.toml");
    let mut file = std::fs::File::create(&configuration)?;
    file.write_all(text.as_bytes())?;
    Ok(Stage {
        port,
        folder,
        configuration,
        text,
        _mobile_id: mobile_id,
        _idemia: idemia,
        _application: application,
    })
}

impl Stage {
    /// The configuration that the gateway runs on.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// What is printed: the configuration, and where to click.
    pub fn introduction(&self) -> String {
        let port = self.port;
        format!(
            "This is the configuration of the demo ({}):\n\n{}\n\
             Open http://localhost:{port}/ in a browser:\n\
             \n\
             1. http://localhost:{port}/public/   a public page: no sign-in, no identity\n\
             2. http://localhost:{port}/          sign in with the simulated Mobile ID, see the headers\n\
             3. http://localhost:{port}/payroll/  an area that asks for a higher level of Mobile ID\n\
             4. http://localhost:{port}/idemia/   an area of the second provider alone, in the manner of IDEMIA\n\
             5. http://localhost:{port}/either/   an area of both: signed in it opens, signed out you choose\n\
             6. http://localhost:{port}/archive/  level 4: the phone that was enrolled must answer, and no other\n\
             7. http://localhost:{port}/.midgate/session  who am I\n\
             8. http://localhost:{port}/.midgate/logout   sign out\n\
             \n\
             Press Ctrl-C to end the demo.\n",
            self.configuration.display(),
            self.text
        )
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Nothing is lost with it: the demo's configuration is made anew each time.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
