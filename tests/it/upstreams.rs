//! Upstreams: which server is asked, what is tried again, what is spoken there, and what passes through.

mod answers;
mod balance;
mod health;
mod http2;
mod retries;
mod streams;
mod timeouts;
mod tls;

/// A table `[[upstream]]` called `app`; `more` follows in it.
fn app(servers: &[String], more: &str) -> String {
    format!("[[upstream]]\nid = \"app\"\nservers = {servers:?}\n{more}\n")
}

/// An address of a local port.
fn http(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
