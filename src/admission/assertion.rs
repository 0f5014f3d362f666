//! The signed identity that goes along with a request, and the keys for those who verify it.
//!
//! *Source:* RFC 7517 §8.5 (media type), RFC 9110 §13.1.2 (`If-None-Match`), RFC 9111 §5.2.2.

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderValue};

use super::{Caller, Passage, Site};
use crate::assertion::{Made, Statement, Time};
use crate::headers::Ready;
use crate::pages::Page;
use crate::reply::Reply;
use crate::request::View;
use crate::session::Holder;

/// How long those who verify may keep the keys, which is how long a new key waits before it signs.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=300");

impl Passage {
    /// The header with the signed identity for the route's application; none without an identity.
    pub(crate) fn assertion(&self, site: &Site, now: u64) -> Option<Ready> {
        let audience = self.route.audience.as_ref()?;
        let (assertions, _) = site.assertions.as_ref()?;
        let (session, warm) = self.session.as_ref().filter(|_| self.permit.identified())?;
        let value = warm.statement(audience.id, now, || {
            let idle_expires = match session.holder {
                Holder::Browser => session.idle_expires(site.sessions.idle()),
                // A token rests for no longer than it lives.
                Holder::Machine => session.expires,
            };
            let made = assertions.make(Statement {
                identity: &session.identity,
                audience,
                fields: &self.route.fields,
                time: Time { now, expires: session.expires, idle_expires },
            });
            if let Made { value: None, .. } = made {
                tracing::warn!(
                    header.name = String::from_utf8_lossy(&assertions.header).as_ref(),
                    session.ref = session.reference(),
                    "assertion left out: it is longer than 8 KiB"
                );
            }
            made
        })?;
        Some((Bytes::clone(&assertions.header), value))
    }
}

/// The public keys.
pub(super) fn keys(caller: &Caller<'_>, view: &View<'_>) -> Reply {
    let Some((_, published)) = &caller.site.assertions else { return caller.refuse(&Page::NotFound) };
    let is_known =
        view.headers.get_all(header::IF_NONE_MATCH).iter().any(|known| names(known, &published.etag));
    let reply = match is_known {
        true => Reply::new(StatusCode::NOT_MODIFIED),
        false => Reply::new(StatusCode::OK).body("application/jwk-set+json", published.body.clone()),
    };
    reply.with(header::CACHE_CONTROL, KEPT).with(header::ETAG, published.etag.clone())
}

/// Whether a list of tags holds ours, or stands for any; compared weakly (RFC 9110 §13.1.2).
fn names(known: &HeaderValue, etag: &HeaderValue) -> bool {
    known.to_str().is_ok_and(|list| {
        list.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == *etag)
    })
}
