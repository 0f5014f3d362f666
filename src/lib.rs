//! midgate: a reverse-proxy authentication gateway that signs people in with a mobile ID.
//!
//! This list is the map: a module names only modules declared above it (`tests/it/tidy.rs` sees to it).

// for tests alone
#[cfg(test)]
mod fuzz;

// words: values
pub(crate) mod clock;
pub(crate) mod secret;
pub(crate) mod identity;
pub(crate) mod request;
pub(crate) mod reply;
pub(crate) mod telemetry;

// rules: decisions (pure)
pub(crate) mod policy;
pub(crate) mod headers;
pub(crate) mod upstream;
pub(crate) mod route;

// state
pub(crate) mod seal;
pub(crate) mod signing;
pub(crate) mod assertion;
pub(crate) mod session;
pub(crate) mod enrolment;

// the relying party
pub(crate) mod provider;

// stories and edges
pub(crate) mod pages;
pub(crate) mod login;
pub(crate) mod admission;
pub(crate) mod proxy;
pub(crate) mod admin;

// wiring
pub(crate) mod config;
pub(crate) mod gateway;
#[cfg(feature = "demo")]
pub mod demo;
pub mod cli;
#[cfg(feature = "bench")]
pub mod bench;
