//! Attacks to withstand: one test for each row, named by the row's id.

mod id_tokens;
mod userinfo;
