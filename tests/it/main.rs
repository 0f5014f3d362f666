//! Stories: the real binary against a simulated provider and a sample application.

#[allow(unreachable_pub, reason = "a rig speaks to its stories")]
mod rig;

mod answers;
mod assertion;
mod attacks;
mod auth_endpoint;
mod bearer;
mod choice;
mod config;
mod hostile_provider;
mod http2;
mod level4;
mod listeners;
mod login;
mod logout;
mod logout_at_provider;
mod logs;
mod outage;
mod pass_token;
mod policy;
mod policy_file;
mod protocol;
mod provider_logout;
mod proxy_protocol;
mod proxying;
mod refresh;
mod third_party_login;
mod tidy;
mod tls;
mod upstreams;
