//! A TLS front before a simulated provider, which asks for a client certificate and says which one it saw.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use midgate::demo::provider::CERTIFICATE;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ring::digest::{SHA256, digest};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// An authority, what it vouches for, and where the front listens.
pub struct Front {
    pub port: u16,
    pub ca_pem: String,
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate of a client with its key, both PEM, and the SHA-256 of the certificate.
pub struct Client {
    pub cert_pem: String,
    pub key_pem: String,
    pub hash: String,
}

fn hash(der: &[u8]) -> String {
    digest(&SHA256, der).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Front {
    /// Listens on loopback and passes every request on to `provider`, the port of a simulated provider.
    pub fn start(provider: u16) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root");
        let key = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let own = own.signed_by(&key, &authority).expect("a certificate");
        let crypto = Arc::new(default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.der().to_vec())).expect("a root");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&crypto))
            .allow_unauthenticated()
            .build()
            .expect("a verifier");
        let config = ServerConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![own.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
            )
            .expect("a pair");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let config = Arc::new(config);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                std::thread::spawn(move || serve(stream, config, provider));
            }
        });
        Self { port, ca_pem: authority.pem(), authority }
    }

    /// A certificate for a client.
    pub fn issue(&self) -> Client {
        let key = KeyPair::generate().expect("a key");
        let cert = CertificateParams::new(vec!["gateway".to_owned()]).expect("a name");
        let cert = cert.signed_by(&key, &self.authority).expect("a certificate");
        Client { cert_pem: cert.pem(), key_pem: key.serialize_pem(), hash: hash(cert.der()) }
    }
}

/// One request, then the connection ends; a client that breaks off is no business of the story's.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, provider: u16) -> Option<()> {
    let connection = ServerConnection::new(config).ok()?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&buffer[..read]);
        if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    while request.len() < end + length.unwrap_or(0) {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&buffer[..read]);
    }
    let shown = stream.conn.peer_certificates().and_then(|chain| chain.first()).map(|cert| hash(cert));
    let more = format!("Connection: close\r\n{CERTIFICATE}: {}\r\n", shown.unwrap_or_default());
    let line = request.iter().position(|byte| *byte == b'\n')? + 1;
    let mut upstream = TcpStream::connect(("127.0.0.1", provider)).ok()?;
    upstream.write_all(&[&request[..line], more.as_bytes(), &request[line..]].concat()).ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    let line = answer.iter().position(|byte| *byte == b'\n')? + 1;
    stream.write_all(&[&answer[..line], b"Connection: close\r\n", &answer[line..]].concat()).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}
