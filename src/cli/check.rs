//! `midgate check`: everything that is wrong or open, and with `--online` whether the others answer.

use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use super::{FAILED, FINE, WRONG, source};
use crate::config::{self, Findings, Loaded, Problem, Purpose};
use crate::provider::Provider;
use crate::upstream::{Place, Server};

/// An upstream that takes longer to accept a connection is told as one that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked of the command.
pub(super) struct Wish {
    pub(super) online: bool,
    pub(super) print: bool,
    pub(super) json: bool,
}

/// Checks a configuration.
pub(super) fn check(path: &Path, wish: &Wish) -> i32 {
    let config::Reading { mut findings, effective, loaded } = source(path).read(Purpose::Look);
    let mut code = if findings.problems.is_empty() { FINE } else { WRONG };
    let logged_out = loaded.as_ref().map(Loaded::logged_out_uris).unwrap_or_default();
    let mut answers = Vec::new();
    if let Some(loaded) = loaded.filter(|_| wish.online) {
        answers = ask_everybody(loaded, &mut findings);
        if !findings.problems.is_empty() {
            code = FAILED;
        }
    }
    if wish.print
        && let Some(effective) = effective
    {
        say!("{effective}");
    }
    if wish.json {
        say!("{:#}", serde_json::to_value(&findings).unwrap_or_default());
    } else {
        tell(path, &findings, &logged_out, &answers);
    }
    code
}

fn tell(path: &Path, findings: &Findings, logged_out: &[String], answers: &[String]) {
    for warning in &findings.warnings {
        say!("warning: {warning}");
    }
    for answer in answers {
        say!("{answer}");
    }
    if !findings.problems.is_empty() {
        eprint!("{}", config::render(path, &findings.problems));
        return;
    }
    say!("redirect URIs to register at every provider:");
    findings.redirect_uris.iter().for_each(|uri| say!("  {uri}"));
    say!("post-logout redirect URIs, where the provider asks for them:");
    logged_out.iter().for_each(|uri| say!("  {uri}"));
    say!("{}: fine", path.display());
}

/// Asks every provider and every server of every upstream; gives what they said.
fn ask_everybody(loaded: Loaded, findings: &mut Findings) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(ask_all(loaded, findings)),
        Err(error) => vec![format!("nobody was asked: {error}")],
    }
}

async fn ask_all(loaded: Loaded, findings: &mut Findings) -> Vec<String> {
    let mut answers = Vec::new();
    for (index, parts) in loaded.providers.into_iter().enumerate() {
        let settings = parts.settings;
        let id = settings.id.clone();
        let probed = match Provider::new(settings) {
            Ok(provider) => provider.probe().await.map_err(|failure| failure.to_string()),
            Err(error) => Err(error),
        };
        match probed {
            Ok(issuer) => answers.push(format!("provider \"{id}\" answers; its issuer is {issuer}")),
            Err(error) => findings.problems.push(Problem {
                key: format!("provider[{index}]"),
                line: None,
                message: format!("provider \"{id}\" cannot be used: {error}"),
                hint: "see that discovery, issuer and proxy are right, and that the provider can be reached from here".to_owned(),
            }),
        }
    }
    for upstream in &loaded.upstreams {
        for server in &upstream.servers {
            let address = server.place.to_string();
            match connect(server).await {
                Ok(()) => {
                    answers.push(format!("upstream \"{}\" accepts connections at {address}", upstream.id))
                }
                Err(error) => findings.problems.push(Problem {
                    key: "upstream".to_owned(),
                    line: None,
                    message: format!("upstream \"{}\" does not answer at {address}: {error}", upstream.id),
                    hint: "see that the application runs and listens there".to_owned(),
                }),
            }
        }
    }
    answers
}

async fn connect(server: &Server) -> Result<(), String> {
    let connected = async {
        match &server.place {
            Place::Unix(path) => UnixStream::connect(path).await.map(drop),
            Place::Tcp { host, port } => {
                TcpStream::connect((host.trim_matches(['[', ']']), *port)).await.map(drop)
            }
        }
    };
    match tokio::time::timeout(PATIENCE, connected).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no connection within {}s", PATIENCE.as_secs())),
    }
}
