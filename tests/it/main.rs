//! Stories: the real binary against a simulated provider and a sample application.

#[allow(unreachable_pub, reason = "a rig speaks to its stories")]
mod rig;

mod answers;
mod choice;
mod config;
mod hostile_browser;
mod hostile_provider;
mod listeners;
mod login;
mod logout;
mod logs;
mod outage;
mod policy;
mod proxying;
mod tidy;
