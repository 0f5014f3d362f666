//! A request's way through the hooks without a connection, to be measured.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use pingora_core::Result;
use pingora_http::RequestHeader;

use super::{Ctx, Snapshot, head_size, upward};
use crate::admission::{self, Admitted};
use crate::request::check_raw;

/// A request as Pingora hands it over.
pub(crate) struct Incoming {
    head: RequestHeader,
    raw: Vec<u8>,
}

/// The head that Pingora has copied for the upstream.
pub(crate) struct Outgoing(RequestHeader);

impl Incoming {
    /// A GET of `path` with these headers.
    pub(crate) fn new(path: &str, headers: &[(&'static str, &str)]) -> Result<Self> {
        let mut head = RequestHeader::build("GET", path.as_bytes(), None)?;
        let mut raw = format!("GET {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            head.append_header(*name, *value)?;
            raw.push_str(&format!("{name}: {value}\r\n"));
        }
        raw.push_str("\r\n");
        Ok(Self { head, raw: raw.into_bytes() })
    }

    pub(crate) fn copy(&self) -> Outgoing {
        Outgoing(self.head.clone())
    }
}

/// The hooks up to the upstream, in Pingora's order; gives the status of a refusal, or 200.
pub(crate) async fn through(snapshot: &Arc<Snapshot>, incoming: &Incoming, out: &mut Outgoing) -> u16 {
    let mut ctx = Ctx::new(Arc::clone(snapshot));
    ctx.arrive(&incoming.head, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    if head_size(&incoming.head) > snapshot.edge.header_limit {
        return 431;
    }
    let Ok(target) = check_raw(&incoming.raw) else { return 400 };
    let target = upward::origin_form(target);
    match admission::admit(&snapshot.site, ctx.arrival(incoming.head.as_ref(), target)).await {
        Admitted::Pass(passage) => {
            ctx.route = Some(Arc::clone(&passage.route));
            ctx.passage = Some(passage);
            upward::rewrite(&incoming.head, &mut out.0, &ctx).map_or(500, |()| 200)
        }
        Admitted::Reply(reply, _) => reply.status.as_u16(),
        Admitted::Own(_) => 0,
    }
}
