//! Attacks to withstand: one test for each row, named by the row's id.

mod configuration;
mod exhaustion;
mod id_tokens;
mod pages;
mod rules;
mod secrets;
mod userinfo;
