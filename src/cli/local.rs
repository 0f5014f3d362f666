//! Asking a gateway on this machine, over its health listener or its admin socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::config::Address;
use crate::secret::Secret;

const PATIENCE: Duration = Duration::from_secs(5);

/// An answer of ours, which is always whole and small.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Sends one request and reads its answer.
pub(super) fn ask(
    address: &Address,
    token: Option<&Secret>,
    method: &str,
    target: &str,
) -> anyhow::Result<Answer> {
    // A reference goes into the request line: nothing but what references are made of.
    if !target.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.')) {
        bail!("\"{target}\" is no path");
    }
    let authorization =
        token.map(|token| format!("Authorization: Bearer {}\r\n", token.expose())).unwrap_or_default();
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{authorization}Connection: close\r\n\r\n");
    let text = match address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).with_context(|| path.display().to_string())?;
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream, &head)?
        }
        Address::Tcp(address) => {
            let mut address = *address;
            if address.ip().is_unspecified() {
                address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            let stream =
                TcpStream::connect_timeout(&address, PATIENCE).with_context(|| address.to_string())?;
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream, &head)?
        }
    };
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP answer")?;
    Ok(Answer { status, body: body.to_owned() })
}

fn exchange(mut stream: impl Read + Write, head: &str) -> anyhow::Result<String> {
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Prints a list of sessions as a table.
pub(super) fn print_list(body: &str) {
    let list: Value = serde_json::from_str(body).unwrap_or_default();
    let sessions = list.get("sessions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    say!("{:<14}{:<16}{:<45}{:<20}{:>12}{:>12}", "REF", "PROVIDER", "USER_KEY", "ACR", "CREATED", "EXPIRES");
    for session in sessions {
        let text = |name: &str| session.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let time = |name: &str| session.get(name).and_then(Value::as_u64).unwrap_or_default();
        say!(
            "{:<14}{:<16}{:<45}{:<20}{:>12}{:>12}",
            text("ref"),
            text("provider"),
            text("user_key"),
            text("acr"),
            time("created"),
            time("expires")
        );
    }
}
