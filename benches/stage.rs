//! A provider that approves at once, and people who sign in through a running gateway.
//!
//! usage: `stage <provider port> <gateway port> <logins> <file>`
//!
//! Signs in as often as is said, four at a time, and writes the session cookies to the file, one a line; then says
//! how long that took. The provider stays up until standard input ends.

// It is a program of its own and says what it did.
#![allow(clippy::print_stdout)]

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use midgate::demo::provider::{Manner, Settings, Simulated};

/// Logins under way at a time.
const AT_A_TIME: usize = 4;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [provider, gateway, logins, file] = arguments.as_slice() else {
        return Err(io::Error::other("usage: stage <provider port> <gateway port> <logins> <file>"));
    };
    let number = |text: &str| text.parse::<u16>().map_err(io::Error::other);
    let (provider, gateway, logins) = (number(provider)?, number(gateway)?, number(logins)?);
    let _provider = Simulated::start(Settings {
        manner: Manner::Plain,
        host: "127.0.0.1".to_owned(),
        port: provider,
        client_id: "bench".to_owned(),
        client_secret: "a secret of the bench's".to_owned(),
        interactive: false,
    })?;
    // The gateway fetches metadata and keys in the background.
    sign_in_at_last(provider, gateway)?;
    let left = AtomicUsize::new(usize::from(logins));
    let cookies = Mutex::new(Vec::with_capacity(usize::from(logins)));
    let started = Instant::now();
    std::thread::scope(|scope| {
        let browsers: Vec<_> = (0..AT_A_TIME)
            .map(|_| {
                scope.spawn(|| -> io::Result<()> {
                    let (mut site, mut op) = (Server::at(gateway)?, Server::at(provider)?);
                    while left
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                        .is_ok()
                    {
                        let cookie = sign_in(&mut site, &mut op)?;
                        cookies.lock().map_err(|_| io::Error::other("a browser panicked"))?.push(cookie);
                    }
                    Ok(())
                })
            })
            .collect();
        browsers.into_iter().try_for_each(|browser| {
            browser.join().unwrap_or_else(|_| Err(io::Error::other("a browser panicked")))
        })
    })?;
    let took = started.elapsed();
    let cookies = cookies.into_inner().map_err(|_| io::Error::other("a browser panicked"))?;
    fs::write(file, cookies.join("\n") + "\n")?;
    println!("{} logins in {:.1} s", cookies.len(), took.as_secs_f64());
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Tries until the gateway knows its provider, at most ten seconds.
fn sign_in_at_last(provider: u16, gateway: u16) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let tried = || sign_in(&mut Server::at(gateway)?, &mut Server::at(provider)?);
        match tried() {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// One login: the page, the provider, the callback; gives the session cookie as `name=value`.
fn sign_in(site: &mut Server, op: &mut Server) -> io::Result<String> {
    let begun = site.get("/", "")?;
    let login = begun.cookie("midgate-login-")?;
    let approved = op.get(path_of(begun.location()?)?, "")?;
    let done = site.get(path_of(approved.location()?)?, &login)?;
    done.cookie("midgate=")
}

fn path_of(url: &str) -> io::Result<&str> {
    let at = url.match_indices('/').nth(2).map(|(at, _)| at);
    at.and_then(|at| url.get(at..)).ok_or_else(|| io::Error::other(format!("no path in {url}")))
}

/// A connection that is kept.
struct Server {
    stream: BufReader<TcpStream>,
    port: u16,
}

struct Answer {
    status: String,
    headers: Vec<(String, String)>,
}

impl Server {
    fn at(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream: BufReader::new(stream), port })
    }

    fn get(&mut self, path: &str, cookie: &str) -> io::Result<Answer> {
        let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
        let port = self.port;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/html\r\n{cookie}\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let answer = self.read()?;
        let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        if answer.header("connection").is_some_and(|value| value == "close") {
            *self = Self::at(self.port)?;
        }
        Ok(answer)
    }

    fn read(&mut self) -> io::Result<Answer> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.trim_end().is_empty() {
                break;
            }
            lines.push(line.trim_end().to_owned());
        }
        let mut lines = lines.into_iter();
        let status = lines.next().unwrap_or_default();
        let field = |line: String| {
            line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Ok(Answer { status, headers: lines.filter_map(field).collect() })
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn location(&self) -> io::Result<&str> {
        self.header("location").ok_or_else(|| io::Error::other(format!("{}: no redirect", self.status)))
    }

    /// The first cookie whose name starts so, and that is not being deleted.
    fn cookie(&self, start: &str) -> io::Result<String> {
        self.headers
            .iter()
            .filter(|(name, _)| name == "set-cookie")
            .filter_map(|(_, value)| value.split(';').next())
            .find(|pair| pair.starts_with(start) && !pair.ends_with('='))
            .map(str::to_owned)
            .ok_or_else(|| io::Error::other(format!("{}: no cookie {start}", self.status)))
    }
}
