//! The command line: what people type, and the exit codes that they can rely on.
//!
//! *Source:* README.

/// Writes a line to standard output; whoever stopped reading, such as `head`, wants no more of it.
macro_rules! say {
    ($($text:tt)*) => {
        drop(std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*))))
    };
}

mod check;
mod explain;
mod local;
mod reload;

#[cfg(feature = "demo")]
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::config::{self, Loaded, Purpose, Source, Warning};
use crate::seal::Keys;
use crate::signing::Fresh;
use crate::{gateway, telemetry};

use self::reload::Reloader;

/// Fine.
const FINE: i32 = 0;
/// Failed while running.
const FAILED: i32 = 1;
/// Wrong usage or configuration.
const WRONG: i32 = 2;

/// Signs people in with a mobile ID in front of web applications that know nothing of it.
#[derive(Parser)]
#[command(name = "midgate", version, about, arg_required_else_help = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway.
    Run {
        #[command(flatten)]
        file: File,
    },
    /// Show everything on this machine: simulated providers, a sample application, and the real gateway between them.
    #[cfg(feature = "demo")]
    Demo {
        /// Port of the gateway on localhost.
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
    /// Load and validate the configuration; say every problem at once.
    Check {
        #[command(flatten)]
        file: File,
        /// Ask each provider for metadata and keys, and each upstream for a connection.
        #[arg(long)]
        online: bool,
        /// Show the effective configuration, secrets masked.
        #[arg(long)]
        print: bool,
        /// Write problems and warnings as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what would happen to a request, and why.
    Explain {
        #[command(flatten)]
        file: File,
        /// The URL as the browser would ask for it.
        #[arg(long)]
        url: String,
        #[arg(long, default_value = "GET")]
        method: String,
        /// What a provider said: JSON with provider, id_token and userinfo. Without it there is no session.
        #[arg(long)]
        claims: Option<PathBuf>,
        /// The client's address, for policies that ask for it.
        #[arg(long)]
        client: Option<std::net::IpAddr>,
        /// Write the decision as JSON.
        #[arg(long)]
        json: bool,
    },
    /// List, show or revoke the sessions of a running gateway.
    Sessions {
        #[command(flatten)]
        file: File,
        #[command(subcommand)]
        what: Sessions,
    },
    /// Write a fresh key: for session.keys_file, or for what is named.
    Keygen {
        #[command(subcommand)]
        what: Option<Keygen>,
    },
    /// Write the JSON Schema of gateway.toml.
    Schema,
    /// Ask a running gateway whether it is ready, for container health checks.
    Health {
        #[command(flatten)]
        file: File,
        /// Ask whether it lives instead.
        #[arg(long)]
        live: bool,
    },
}

#[derive(clap::Args)]
struct File {
    /// The configuration file.
    #[arg(long, global = true, default_value = "gateway.toml", value_name = "FILE")]
    config: PathBuf,
}

#[derive(Subcommand)]
enum Keygen {
    /// For session.keys_file: seals what browsers hold for the gateway.
    Session,
    /// For assertion.signing_key_files: a private key in PEM.
    Assertion {
        /// What it signs with.
        #[arg(long, value_enum, default_value_t = Alg::Es256)]
        alg: Alg,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Alg {
    /// P-256: every library verifies it.
    Es256,
    /// Ed25519.
    Eddsa,
}

#[derive(Subcommand)]
enum Sessions {
    /// One line a session.
    List {
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// One session, by its reference.
    Show { reference: String },
    /// End a session by its reference, or all sessions of a person by their user_key.
    Revoke { reference: String },
}

/// Runs the command line and gives the exit code.
pub fn main() -> i32 {
    // Every TLS client and server of this process uses one provider of cryptography.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("midgate: another provider of cryptography is installed");
        return FAILED;
    }
    match Line::parse().command {
        Command::Run { file } => run(source(&file.config)),
        #[cfg(feature = "demo")]
        Command::Demo { port } => demo(port),
        Command::Check { file, online, print, json } => {
            check::check(&file.config, &check::Wish { online, print, json })
        }
        Command::Explain { file, url, method, claims, client, json } => {
            let claims = claims.as_deref();
            explain::explain(
                &file.config,
                &explain::Question { url: &url, method: &method, claims, client },
                json,
            )
        }
        Command::Sessions { file, what } => sessions(&file.config, &what),
        Command::Keygen { what } => keygen(what),
        Command::Schema => {
            say!("{:#}", config::schema());
            FINE
        }
        Command::Health { file, live } => health(&file.config, live),
    }
}

/// The configuration at `path`, with the `MIDGATE__…` variables of this process over it.
fn source(path: &Path) -> Source {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Source::new(path, variables.filter(|(name, _)| name.starts_with("MIDGATE__")).collect())
}

/// Loads the configuration, or says every problem on standard error.
fn load(source: &Source, purpose: Purpose) -> Result<(Loaded, Vec<Warning>), i32> {
    let config::Reading { findings, loaded, .. } = source.read(purpose);
    loaded.map(|loaded| (loaded, findings.warnings)).ok_or_else(|| {
        eprint!("{}", config::render(source.path(), &findings.problems));
        WRONG
    })
}

/// The same for commands that only look.
fn look(path: &Path) -> Result<Loaded, i32> {
    load(&source(path), Purpose::Look).map(|(loaded, _)| loaded)
}

fn run(source: Source) -> i32 {
    // The text of the last good load: a changed certificate is no reason to take over a file that is being edited.
    let text = source.text().unwrap_or_default();
    let (loaded, warnings) = match load(&source, Purpose::Run) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    telemetry::init(loaded.listen.log);
    for warning in warnings {
        tracing::warn!(config.warning = warning.name, config.key = warning.key, "{}", warning.message);
    }
    match gateway::run(loaded, Box::new(Reloader { source, text })) {
        Ok(()) => FINE,
        Err(error) => {
            tracing::error!(error.message = format!("{error:#}"), "the gateway cannot run");
            eprintln!("midgate: {error:#}");
            FAILED
        }
    }
}

#[cfg(feature = "demo")]
fn demo(port: u16) -> i32 {
    let stage = match crate::demo::stage(port) {
        Ok(stage) => stage,
        Err(error) => {
            eprintln!("midgate: the demo cannot start: {error}");
            return FAILED;
        }
    };
    say!("{}", stage.introduction());
    run(Source::new(stage.configuration(), BTreeMap::new()))
}

fn keygen(what: Option<Keygen>) -> i32 {
    let text = match what {
        None | Some(Keygen::Session) => Some(Keys::generate()),
        Some(Keygen::Assertion { alg: Alg::Es256 }) => Fresh::P256.pem(),
        Some(Keygen::Assertion { alg: Alg::Eddsa }) => Fresh::Ed25519.pem(),
    };
    let Some(text) = text else {
        eprintln!("midgate: the operating system gives no random bytes");
        return FAILED;
    };
    say!("{text}");
    FINE
}

fn health(path: &Path, live: bool) -> i32 {
    let loaded = match look(path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let Some(address) = loaded.listen.health else {
        eprintln!("midgate: listen.health is not configured");
        return WRONG;
    };
    let target = if live { "/livez" } else { "/readyz" };
    match local::ask(&address, None, "GET", target) {
        Ok(answer) if answer.status == 200 => FINE,
        Ok(answer) => {
            eprintln!("midgate: {target} answers {}: {}", answer.status, answer.body.trim());
            FAILED
        }
        Err(error) => {
            eprintln!("midgate: {target}: {error:#}");
            FAILED
        }
    }
}

fn sessions(path: &Path, what: &Sessions) -> i32 {
    let loaded = match look(path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let Some(admin) = loaded.listen.admin else {
        eprintln!(
            "midgate: listen.admin is not configured, for example: admin = \"unix:/run/midgate/admin.sock\""
        );
        return WRONG;
    };
    let (method, target) = match what {
        Sessions::List { .. } => ("GET", "/sessions".to_owned()),
        Sessions::Show { reference } => ("GET", format!("/sessions/{reference}")),
        Sessions::Revoke { reference } => ("DELETE", format!("/sessions/{reference}")),
    };
    let answer = match local::ask(&admin.address, admin.token.as_ref(), method, &target) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("midgate: the running gateway does not answer: {error:#}");
            return FAILED;
        }
    };
    match (answer.status, what) {
        (200, Sessions::List { json: false }) => local::print_list(&answer.body),
        (200, _) => say!("{}", answer.body.trim()),
        (404, _) => {
            eprintln!("midgate: no such session");
            return FAILED;
        }
        (status, _) => {
            eprintln!("midgate: the gateway answers {status}: {}", answer.body.trim());
            return FAILED;
        }
    }
    FINE
}
