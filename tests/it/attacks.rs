//! Attacks to withstand: one test for each row, named by the row's id.
//!
//! Everything goes out byte for byte over raw sockets.

mod complete;
mod configuration;
mod cookies;
mod exhaustion;
mod forward_auth;
mod forwarded;
mod headers;
mod http2;
mod id_tokens;
mod logins;
mod methods;
mod pages;
mod paths;
mod redirects;
mod rules;
mod secrets;
mod smuggling;
mod spellings;
mod stage;
mod streams;
mod upstream;
mod userinfo;
