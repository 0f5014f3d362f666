//! Logouts that the provider begins: a token that its server posts, or a frame in a page of its own.
//!
//! *Source:* OIDC Back-Channel Logout §2.5 to §2.8; OIDC Front-Channel Logout §3; CSP Level 3 §6.4.2.

use std::sync::Arc;

use http::StatusCode;
use http::header::{self, HeaderValue};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::answers::Caller;
use super::endpoints::is_form;
use crate::provider::{Addressee, Provider};
use crate::reply::Reply;
use crate::request::View;
use crate::session::ProviderLogout;
use crate::telemetry::AUDIT;

/// `POST logout/backchannel`.
pub(super) async fn backchannel(caller: &Caller<'_>, view: &View<'_>, body: &[u8]) -> Reply {
    let site = caller.site;
    let logout = match verified(caller, view, body).await {
        Ok(logout) => logout,
        Err(reason) => return refused(caller, reason),
    };
    match site.sessions.end_by(&logout, caller.now).await {
        Ok(ended) => {
            for session in ended {
                site.audit("backchannel-logout", "ok", &session, caller.request_id);
            }
            // §2.8: also when there was nothing left to end.
            Reply::new(StatusCode::OK)
        }
        Err(_replayed) => refused(caller, "token-was-used"),
    }
}

/// §2.8: one status for everything that is wrong, and never kept by a cache.
fn refused(caller: &Caller<'_>, reason: &'static str) -> Reply {
    tracing::warn!(
        target: AUDIT, { audit.event = "backchannel-logout", audit.result = "refused", policy.reason = reason,
        request.id = caller.request_id }, "logout token refused");
    let body = json!({ "error": "invalid_request", "error_description": reason });
    Reply::json(StatusCode::BAD_REQUEST, &body).because(reason)
}

async fn verified(caller: &Caller<'_>, view: &View<'_>, body: &[u8]) -> Result<ProviderLogout, &'static str> {
    if !is_form(view) {
        return Err("not-a-form");
    }
    // §2.5: other fields are ignored.
    let mut tokens = form_urlencoded::parse(body).filter(|(name, _)| name == "logout_token");
    let (_, token) = tokens.next().ok_or("no-logout-token")?;
    if tokens.next().is_some() {
        return Err("doubled-parameter");
    }
    let addressee = Addressee::read(&token).ok_or("token-malformed")?;
    // The issuer byte for byte; where several providers share one, the audience says which is meant.
    let of_issuer = providers_of(caller, &addressee.issuer);
    let provider = of_issuer.iter().find(|provider| addressee.is_client_of(provider)).or(of_issuer.first());
    let provider = provider.ok_or("unknown-issuer")?;
    provider.verify_logout(&token, caller.now).await.map_err(|failure| failure.reason())
}

/// The providers that an issuer names, in the order of their ids.
fn providers_of<'c>(caller: &Caller<'c>, issuer: &str) -> Vec<&'c Arc<Provider>> {
    let providers = caller.site.login.doors.values().map(|door| &door.provider);
    let mut found: Vec<_> =
        providers.filter(|provider| provider.issuer().as_deref() == Some(issuer)).collect();
    found.sort_unstable_by(|a, b| a.id().cmp(b.id()));
    found
}

/// `GET logout/frontchannel`: no cookie reaches a frame of another site, so issuer and `sid` say which session is meant.
///
/// The answer is the same whatever was found, and asks nobody.
pub(super) async fn frontchannel(caller: &Caller<'_>, view: &View<'_>) -> Reply {
    let site = caller.site;
    let query = view.query.unwrap_or_default();
    let sids = readings(query, "sid");
    let mut framing = Vec::new();
    for issuer in readings(query, "iss") {
        let providers = providers_of(caller, &issuer);
        if providers.is_empty() {
            continue;
        }
        framing.extend(providers.iter().flat_map(|provider| provider.page_origins()));
        for sid in &sids {
            for session in site.sessions.end_by_sid(&issuer, sid).await {
                site.audit("frontchannel-logout", "ok", &session, caller.request_id);
            }
        }
    }
    framing.sort_unstable();
    framing.dedup();
    let framing = if framing.is_empty() { "'none'".to_owned() } else { framing.join(" ") };
    let policy = format!("default-src 'none'; frame-ancestors {framing}");
    let policy = HeaderValue::try_from(policy)
        .unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    Reply::new(StatusCode::OK)
        .body("text/html; charset=utf-8", "<!doctype html><title>Signed out</title>")
        .with(header::CONTENT_SECURITY_POLICY, policy)
}

/// What a parameter can have meant: providers append `iss` and `sid` with and without URL encoding.
///
/// None when the name comes twice.
fn readings(query: &str, name: &str) -> Vec<String> {
    let starts = |pair: &str| pair.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
    if query.split('&').filter(|pair| starts(pair)).count() != 1 {
        return Vec::new();
    }
    let Some(at) = query.split('&').position(starts) else { return Vec::new() };
    let rest: Vec<&str> = query.split('&').skip(at).collect();
    // Up to the next separator; and, should the value hold one, up to the other parameter or the end.
    let other = rest.iter().skip(1).position(|pair| pair.starts_with("iss=") || pair.starts_with("sid="));
    let long = rest.iter().take(other.map_or(rest.len(), |other| other + 1)).copied().collect::<Vec<_>>();
    let mut readings = Vec::new();
    for raw in [rest.first().map(|pair| (*pair).to_owned()), Some(long.join("&"))].into_iter().flatten() {
        let Some((_, raw)) = raw.split_once('=') else { continue };
        let percent = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        for reading in [percent(&raw.replace('+', " ")), percent(raw), raw.to_owned()] {
            if !reading.is_empty() && !readings.contains(&reading) {
                readings.push(reading);
            }
        }
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_read_in_every_way_it_can_have_been_written() {
        for (query, expected) in [
            ("iss=https%3A%2F%2Fop.test%2F&sid=a", &["a"][..]),
            ("sid=a&iss=https://op.test/", &["a"]),
            ("sid=a%20b", &["a b", "a%20b"]),
            ("sid=a+b", &["a b", "a+b"]),
            ("iss=x&sid=a&b;%", &["a", "a&b;%"]),
            ("sid=a&b&iss=x", &["a", "a&b"]),
            ("sid=a=b", &["a=b"]),
            ("sid=", &[]),
            ("sid", &[]),
            ("xsid=a", &[]),
            ("sid=a&sid=b", &[]),
            ("", &[]),
        ] {
            assert_eq!(readings(query, "sid"), expected, "{query}");
        }
    }
}
