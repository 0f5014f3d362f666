//! A Pingora proxy that does nothing but proxy: what midgate is measured against.
//!
//! usage: `bare_pingora <listen address> <upstream address> [headers]`
//!
//! Its settings of connections are midgate's defaults: one worker, 512 idle connections to upstreams, the same
//! time limits on both sides. It reads nothing, changes nothing and logs nothing. With `headers` it sends nine constant
//! headers up, as many as midgate does: what lies between the two is the price of sending them at all.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderValue;
use pingora_core::modules::http::HttpModules;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

struct Bare {
    peer: HttpPeer,
    headers: &'static [(Bytes, HeaderValue)],
}

/// What midgate sends of a person and of the request.
static NINE: [(Bytes, HeaderValue); 9] = [
    header("X-Forwarded-For", "127.0.0.1"),
    header("X-Forwarded-Proto", "http"),
    header("X-Forwarded-Host", "127.0.0.1:18301"),
    header("X-Request-Id", "0123456789abcdef0123456789ab"),
    header("X-Auth-User", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    header("X-Auth-Name", "Zoe Mueller-Francois"),
    header("X-Auth-Document-Id", "X1234567"),
    header("X-Auth-Acr", "low"),
    header("X-Auth-Provider", "op"),
];

const fn header(name: &'static str, value: &'static str) -> (Bytes, HeaderValue) {
    (Bytes::from_static(name.as_bytes()), HeaderValue::from_static(value))
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {
        // As in midgate: no module for compression.
    }

    async fn early_request_filter(&self, session: &mut Session, _ctx: &mut ()) -> Result<()> {
        session.set_keepalive(Some(60));
        session.set_write_timeout(Some(Duration::from_secs(60)));
        session.set_total_drain_timeout(Some(Duration::from_secs(2)));
        Ok(())
    }

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.peer.clone()))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        _ctx: &mut (),
    ) -> Result<()> {
        for (name, value) in self.headers {
            request.insert_header(name.clone(), value.clone())?;
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        return Error::e_explain(ErrorType::InternalError, "usage: bare_pingora <listen> <upstream>");
    };
    let headers: &[_] = if arguments.next().is_some() { &NINE } else { &[] };
    let upstream: SocketAddr = upstream
        .parse()
        .map_err(|_| Error::explain(ErrorType::InternalError, "the upstream is no address"))?;
    let mut peer = HttpPeer::new(upstream, false, String::new());
    let minute = Some(Duration::from_secs(60));
    peer.options.connection_timeout = Some(Duration::from_secs(5));
    peer.options.total_connection_timeout = Some(Duration::from_secs(5));
    peer.options.read_timeout = minute;
    peer.options.write_timeout = minute;
    peer.options.idle_timeout = minute;
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 512, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare { peer, headers });
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever();
}
