//! `[assertion]`: the header, the keys that sign it, and for whom each route's is.
//!
//! *Source:* RFC 7519 §4.1.3; gateway.toml `[assertion]`, `route.audience`.

use bytes::Bytes;
use http::HeaderName;
use url::Url;

use super::super::file::{self, File};
use super::super::problem::Report;
use super::Desk;
use super::headers::{HeaderSets, is_good_name};
use super::provider::Known;
use crate::assertion::Assertions;
use crate::signing::SigningKey;

const KEY: &str = "assertion";
/// An audience beyond this would make every assertion longer than some servers take.
const LONGEST_AUDIENCE: usize = 255;

/// Builds `[assertion]`; absent is fine, present and unusable is not.
pub(super) fn assertions(
    file: &File,
    sets: &HeaderSets,
    public: Option<&Url>,
    providers: &[Known],
    desk: &mut Desk<'_>,
) -> Option<Option<Assertions>> {
    let Some(section) = &file.assertion else { return Some(None) };
    let is_named = header(&section.header, sets, desk.report);
    let mut keys = signing_keys(&section.signing_key_files, providers, desk)?.into_iter();
    let (signer, issuer) = (keys.next()?, public?.origin().ascii_serialization());
    let header = Bytes::copy_from_slice(section.header.as_bytes());
    is_named.then(|| Some(Assertions { header, issuer, signer, others: keys.collect() }))
}

/// The header as answers of applications could spell it; what is not good is told elsewhere.
pub(super) fn own_header(file: &File) -> Option<HeaderName> {
    HeaderName::try_from(&file.assertion.as_ref()?.header).ok()
}

fn header(name: &str, sets: &HeaderSets, report: &mut Report) -> bool {
    let key = format!("{KEY}.header");
    if name.eq_ignore_ascii_case("authorization") {
        let message = "Authorization is for tokens that say their own scheme";
        report.problem(key, message, "such as \"X-Midgate-Jwt-Assertion\"");
        return false;
    }
    if let Some(twin) = sets.twin(name) {
        let message = format!(
            "\"{name}\" and the identity header \"{twin}\" are one header to servers that read - and _ alike"
        );
        report.problem(key, message, "keep one of them");
        return false;
    }
    is_good_name(name, &key, report)
}

/// Every key, in order; none is missing where a list comes back.
fn signing_keys(files: &[String], providers: &[Known], desk: &mut Desk<'_>) -> Option<Vec<SigningKey>> {
    if files.is_empty() {
        let hint = "write a key with: midgate keygen assertion; then signing_key_files = [\"assertion.pem\"]";
        desk.report.problem(format!("{KEY}.signing_key_files"), "no key that signs", hint);
    }
    let mut keys: Vec<SigningKey> = Vec::new();
    let mut good = true;
    for (index, written) in files.iter().enumerate() {
        let at = format!("{KEY}.signing_key_files[{index}]");
        // A key that is rolled is taken over when its file changes.
        desk.material.watch(written);
        let Some(der) = desk.material.private_key(written, &at, desk.report) else {
            good = false;
            continue;
        };
        match SigningKey::from_der(&der) {
            Ok(key) if keys.iter().any(|known| known.kid() == key.kid()) => {
                desk.report.problem(
                    at,
                    format!("{written} holds a key that is in the list already"),
                    "remove it",
                );
                good = false;
            }
            Ok(key) => {
                // RFC 8725 §3.12: what is signed for one must not be worth anything to another.
                let twin = providers.iter().find(|known| known.client_kid() == Some(key.kid()));
                if let Some(known) = twin {
                    let message =
                        format!("{written} is also the client_key_file of provider \"{}\"", known.id);
                    desk.report.problem(at, message, "write another key with: midgate keygen assertion");
                    good = false;
                }
                keys.push(key);
            }
            Err(reason) => {
                let message = format!("{written} cannot sign: {reason}");
                desk.report.problem(at, message, "write a fresh key with: midgate keygen assertion");
                good = false;
            }
        }
    }
    good.then_some(keys)
}

/// `aud` of a route's assertion: what is written, else what the route calls its application; none where none is sent.
pub(super) fn audience(
    route: &file::Route,
    id: Option<&str>,
    asserts: bool,
    key: &str,
    report: &mut Report,
) -> Option<Option<String>> {
    let is_public = route.access == file::Access::Public;
    let Some(text) = &route.audience else {
        let default = route.upstream.as_deref().or(id).map(str::to_owned);
        return if asserts && !is_public { default.map(Some) } else { Some(None) };
    };
    let is_whole = !text.is_empty()
        && text.len() <= LONGEST_AUDIENCE
        && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let fault = match () {
        () if !asserts => {
            ("is of the assertion, and there is no [assertion]", "write [assertion] with signing_key_files")
        }
        () if is_public => ("access = \"public\" never has an identity to sign", "remove it"),
        () if !is_whole => (
            "is empty, longer than 255 bytes, or holds blanks",
            "such as \"https://erp.internal\" or \"erp\"",
        ),
        () => return Some(Some(text.clone())),
    };
    report.problem(format!("{key}.audience"), fault.0, fault.1);
    None
}
