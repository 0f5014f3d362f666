//! Pushed authorization requests: the parameters go from us to the provider, and the browser carries a reference only.
//!
//! *Source:* RFC 9126.

use reqwest::StatusCode;
use serde_json::Value;
use url::Url;

use super::super::metadata::Metadata;
use super::super::{Failure, Provider, ProviderError, PushUse, json};
use super::NotSent;

/// Bytes of an answer.
const LIMIT: usize = 64 * 1024;
/// Characters of a `request_uri`, which travels in an address.
const LONGEST: usize = 2048;

/// Whether a request may also travel in the browser's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// As the provider and the configuration say.
    Usual,
    /// It must not be changed on its way, whatever they say.
    Pushed,
}

/// Where to push, if this request is to be pushed at all.
///
/// # Errors
/// It must be, and the provider has no such endpoint or we are not to use it.
pub(super) fn endpoint(how: PushUse, metadata: &Metadata, need: Need) -> Result<Option<&Url>, Failure> {
    let missing = Failure::Metadata("no-pushed-authorization-endpoint");
    match (how, &metadata.pushed_authorization) {
        (PushUse::Auto | PushUse::Always, Some(endpoint)) => Ok(Some(endpoint)),
        (PushUse::Always, None) => Err(missing),
        // RFC 9126 §5: this provider takes no other requests.
        (PushUse::Auto, None) if metadata.requires_push || need == Need::Pushed => Err(missing),
        (PushUse::Auto, None) => Ok(None),
        (PushUse::Never, _) if need == Need::Pushed => Err(Failure::Metadata("pushed-authorization-is-off")),
        (PushUse::Never, _) => Ok(None),
    }
}

/// Pushes once and gives the `request_uri`; a second try would be a second request at the provider.
pub(super) async fn push(
    provider: &Provider,
    metadata: &Metadata,
    endpoint: &Url,
    parameters: Vec<(String, String)>,
    now: u64,
) -> Result<String, NotSent> {
    let request = provider.post_as_client(metadata, endpoint, parameters, now)?;
    let answer = provider.http.send("pushed authorization", request, LIMIT).await?;
    let document = json::object(&answer.body);
    let text = |name: &str| document.as_ref().and_then(|document| document.get(name)).and_then(Value::as_str);
    // RFC 9126 §2.2: 201; some answer 200.
    if !matches!(answer.status, StatusCode::CREATED | StatusCode::OK) {
        return Err(refusal(answer.status, text("error"), text("error_description")));
    }
    let bad = |reason| Failure::BadAnswer { step: "pushed authorization", reason };
    if document.is_none() {
        return Err(bad("not-json").into());
    }
    let is_sound = |uri: &&str| {
        !uri.is_empty() && uri.len() <= LONGEST && uri.bytes().all(|byte| byte.is_ascii_graphic())
    };
    Ok(text("request_uri").filter(is_sound).ok_or(bad("no-request-uri"))?.to_owned())
}

/// RFC 9126 §2.3: the errors are those of an authorization response, and those of a client that is not believed.
fn refusal(status: StatusCode, error: Option<&str>, description: Option<&str>) -> NotSent {
    match error {
        Some(error)
            if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
                || error == "invalid_client" =>
        {
            Failure::PushRefused(super::super::oauth_word(error)).into()
        }
        Some(error) if status.is_client_error() => NotSent::Refused(ProviderError::read(error, description)),
        Some(_) | None => Failure::Status { step: "pushed authorization", status: status.as_u16() }.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(endpoint: Option<&str>, requires_push: bool) -> Metadata {
        let url = |text: &str| Url::parse(text).unwrap();
        Metadata {
            issuer: "https://op.test".into(),
            authorization: Some(url("https://op.test/authorize")),
            token: Some(url("https://op.test/token")),
            userinfo: None,
            jwks: url("https://op.test/jwks"),
            pushed_authorization: endpoint.map(url),
            requires_push,
            end_session: None,
            ui_locales: Vec::new(),
            promises_iss: false,
        }
    }

    #[test]
    fn a_request_is_pushed_where_it_can_be_and_refused_where_it_must_be_and_cannot() {
        use PushUse::{Always, Auto, Never};
        for (how, offered, required, need, outcome) in [
            (Auto, true, false, Need::Usual, Ok(true)),
            (Auto, true, true, Need::Pushed, Ok(true)),
            (Auto, false, false, Need::Usual, Ok(false)),
            (Auto, false, true, Need::Usual, Err("no-pushed-authorization-endpoint")),
            (Auto, false, false, Need::Pushed, Err("no-pushed-authorization-endpoint")),
            (Always, true, false, Need::Usual, Ok(true)),
            (Always, false, false, Need::Usual, Err("no-pushed-authorization-endpoint")),
            (Never, true, false, Need::Usual, Ok(false)),
            (Never, true, true, Need::Usual, Ok(false)),
            (Never, true, false, Need::Pushed, Err("pushed-authorization-is-off")),
        ] {
            let metadata = metadata(offered.then_some("https://op.test/par"), required);
            let found = endpoint(how, &metadata, need).map(|url| url.is_some()).map_err(|f| f.reason());
            assert_eq!(found, outcome, "{how:?} {offered} {required} {need:?}");
        }
    }

    #[test]
    fn errors_of_the_person_and_of_the_operator_are_told_apart() {
        let read = |status: u16, error: Option<&str>, description: Option<&str>| match refusal(
            StatusCode::from_u16(status).unwrap(),
            error,
            description,
        ) {
            NotSent::Refused(error) => error.trouble.word(),
            NotSent::Failed(failure) => failure.reason(),
        };
        for (status, error, description, word) in [
            (400, Some("invalid_request"), Some("mid_req_1010_T - x"), "provider-bad-request"),
            (400, Some("access_denied"), Some("mid_auth_3310_T - x"), "another-running"),
            (400, Some("invalid_client"), None, "pushed-request-refused"),
            (401, Some("invalid_request"), None, "pushed-request-refused"),
            (403, None, None, "provider-status"),
            (500, Some("server_error"), None, "provider-status"),
            (302, Some("access_denied"), None, "provider-status"),
        ] {
            assert_eq!(read(status, error, description), word, "{status} {error:?}");
        }
    }
}
