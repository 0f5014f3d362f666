//! The real binary as a child process.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use super::{send, until};

/// A folder for one gateway's files.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("the folder is ours");
        path
    }
}

/// A running gateway, until it is dropped.
pub struct Gateway {
    pub port: u16,
    pub health: u16,
    pub folder: Folder,
    child: Option<Child>,
}

/// A port that is free now, and that no other story of this process gets.
///
/// Below the ports that the system gives to connections, which could take it before the gateway does.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + u16::try_from(std::process::id() % 16_000).expect("below 16,000");
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 4_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Runs the binary to its end.
pub fn command(arguments: &[&str]) -> (i32, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_midgate")).args(arguments).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

impl Gateway {
    /// Starts a gateway at `http://localhost:<port>`; `config` follows `public_url` and `[listen]`.
    ///
    /// Lines of `config` before its first table belong to the top; `{port}` is its port, `{folder}` its folder.
    pub fn start(config: &str) -> Self {
        Self::start_in(Folder::new(), free_port(), config)
    }

    /// The same in a folder and at a port that are known.
    pub fn start_in(folder: Folder, port: u16, config: &str) -> Self {
        let health = free_port();
        let mut gateway = Self { port, health, folder, child: None };
        gateway.configure(config);
        gateway.run();
        gateway
    }

    /// One whose configuration is in the folder already; it is not running yet.
    pub fn bare(folder: Folder, port: u16, health: u16) -> Self {
        Self { port, health, folder, child: None }
    }

    /// Writes the configuration; a running gateway goes on with the old one.
    pub fn configure(&self, config: &str) {
        let at = config.find("\n[").map_or(config.len(), |at| at + 1);
        let (top, tables) = config.split_at(at);
        let listen = format!(
            "[listen]\naddress = [\"127.0.0.1:{}\"]\nhealth = \"127.0.0.1:{}\"\n",
            self.port, self.health
        );
        let (listen, tables) = match tables.split_once("[listen]\n") {
            // A story that has a say in [listen] goes on in the same table.
            Some((before, after)) => (format!("{listen}{after}"), before.to_owned()),
            None => (listen, tables.to_owned()),
        };
        let public = if top.contains("public_url") {
            String::new()
        } else {
            format!("public_url = \"http://localhost:{}\"\n", self.port)
        };
        let text = format!("{public}{top}\n{tables}\n{listen}");
        let folder = self.folder.path("").to_string_lossy().trim_end_matches('/').to_owned();
        let text = text.replace("{port}", &self.port.to_string()).replace("{folder}", &folder);
        self.folder.write("gateway.toml", &text);
    }

    /// Starts the process and waits until it is ready.
    pub fn run(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.path("log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_midgate"))
            .args(["run", "--config"])
            .arg(self.folder.path("gateway.toml"))
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary runs");
        self.child = Some(child);
        until("the gateway is ready", || {
            let child = self.child.as_mut().expect("just started");
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the gateway ended with {status}:\n{}", self.log());
            }
            self.ready().0 == 200
        });
    }

    /// Status and body of `/readyz`; status 0 when nobody answers.
    pub fn ready(&self) -> (u16, String) {
        self.health("/readyz")
    }

    /// Waits until the metadata of every provider are known, before a story changes what a provider says.
    pub fn until_warm(&self) {
        until("every provider is known", || {
            let (status, body) = self.ready();
            status == 200 && !body.contains("degraded")
        });
    }

    /// Asks the health listener.
    pub fn health(&self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        send(self.health, request.as_bytes())
            .map_or((0, String::new()), |answer| (answer.status, answer.text()))
    }

    /// The value of a metric line that starts with this.
    pub fn metric(&self, start: &str) -> Option<f64> {
        let (_, text) = self.health("/metrics");
        text.lines()
            .find(|line| line.starts_with(start))
            .and_then(|line| line.rsplit(' ').next()?.parse().ok())
    }

    /// Everything that was logged so far.
    pub fn log(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = fs::File::open(self.folder.path("log")) {
            file.read_to_string(&mut text)
                .unwrap_or_else(|error| panic!("{error}: {}", self.folder.path("log").display()));
        }
        text
    }

    /// Memory of the process that is resident, in KiB.
    pub fn resident(&self) -> u64 {
        let id = self.child.as_ref().expect("it runs").id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("a Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill is there");
        assert!(status.success());
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> i32 {
        let mut child = self.child.take().expect("it runs");
        let mut code = None;
        until("the gateway has ended", || {
            code = child.try_wait().expect("our child");
            code.is_some()
        });
        code.and_then(|code| code.code()).unwrap_or(-1)
    }

    /// Ends the process at once and starts it again.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Has the gateway killed when the pipe ends, which it does with this process at the latest.
    pub fn end_with_this_process(&self) -> ChildStdin {
        let child = self.child.as_ref().expect("running");
        let watch = Command::new("sh")
            .args(["-c", "read -r _; kill -KILL \"$0\"", &child.id().to_string()])
            .stdin(Stdio::piped())
            .spawn();
        watch.expect("a shell").stdin.take().expect("a pipe")
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of the gateway ---\n{}", self.log());
        }
    }
}
