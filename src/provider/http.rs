//! Our calls to a provider: verified TLS, no redirects, and a limit on the size and time of every answer.
//!
//! *Source:* RFC 9700 §2 (OAuth security), RFC 8414 §6.

use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Proxy, RequestBuilder, Response, StatusCode};
use url::Url;

use super::{ClientAuth, Failure, Settings};

/// A connection that takes longer is not there.
const CONNECT: Duration = Duration::from_secs(5);

/// The client for one provider.
pub(super) struct Http {
    client: Client,
    timeout: Duration,
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) is_jwt: bool,
    pub(super) body: Vec<u8>,
}

impl Http {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(settings.timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .retry(reqwest::retry::never())
            .user_agent(concat!("midgate/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &settings.ca_pem {
            let roots = reqwest::Certificate::from_pem_bundle(pem).map_err(|e| format!("ca_file: {e}"))?;
            builder = builder.tls_certs_merge(roots);
        }
        if let ClientAuth::MutualTls(certificate) = &settings.client_auth {
            let identity = reqwest::Identity::from_pem(certificate.pem.expose());
            builder = builder.identity(identity.map_err(|e| format!("client_cert_file: {e}"))?);
        }
        if let Some(proxy) = &settings.proxy {
            builder = builder.proxy(Proxy::all(proxy.as_str()).map_err(|e| format!("proxy: {e}"))?);
        }
        let client = builder.build().map_err(|e| format!("http client: {e}"))?;
        Ok(Self { client, timeout: settings.timeout })
    }

    /// A request to an endpoint, which is https or on loopback.
    pub(super) fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        self.client.request(method, url.clone()).header(ACCEPT, HeaderValue::from_static("application/json"))
    }

    /// Sends once and reads at most `limit` bytes.
    pub(super) async fn send(
        &self,
        step: &'static str,
        request: RequestBuilder,
        limit: usize,
    ) -> Result<Answer, Failure> {
        let exchange = async {
            let response = request.send().await.map_err(|error| failure(step, &error))?;
            read(step, response, limit).await
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or(Err(Failure::NoAnswer(step)))
    }

    /// Gets a JSON document.
    pub(super) async fn fetch(
        &self,
        step: &'static str,
        url: &Url,
        limit: usize,
    ) -> Result<Vec<u8>, Failure> {
        let answer = self.send(step, self.request(Method::GET, url), limit).await?;
        if answer.status != StatusCode::OK {
            return Err(Failure::Status { step, status: answer.status.as_u16() });
        }
        Ok(answer.body)
    }
}

async fn read(step: &'static str, mut response: Response, limit: usize) -> Result<Answer, Failure> {
    let status = response.status();
    let media = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_jwt = media.is_some_and(|m| {
        m.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/jwt")
    });
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(step, &error))? {
        if body.len() + chunk.len() > limit {
            return Err(Failure::BadAnswer { step, reason: "answer-too-large" });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, is_jwt, body })
}

/// Never the error's own text, which holds the URL with its query.
fn failure(step: &'static str, error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        Failure::NoAnswer(step)
    } else if error.is_connect() || error.is_request() {
        Failure::Unreachable(step)
    } else {
        Failure::BadAnswer { step, reason: "answer-broken-off" }
    }
}
