//! A Pingora proxy that does nothing but proxy: what midgate is measured against.
//!
//! usage: `bare_pingora <listen address> <upstream address>`
//!
//! Its settings of connections are midgate's defaults: one worker, 512 idle connections to upstreams, the same
//! time limits on both sides. It reads nothing, changes nothing and logs nothing.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::modules::http::HttpModules;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

struct Bare(HttpPeer);

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
        Ok(Box::new(self.0.clone()))
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        return Error::e_explain(ErrorType::InternalError, "usage: bare_pingora <listen> <upstream>");
    };
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
    let mut service = http_proxy_service(&server.configuration, Bare(peer));
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever();
}
