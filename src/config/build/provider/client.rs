//! Who we are to a provider: a secret, a key, or a certificate.

use rustls::pki_types::PrivateKeyDer;

use super::super::super::file;
use super::super::{Desk, certified};
use crate::provider::{ClientAuth, ClientCertificate};
use crate::secret::{Secret, SecretBytes};
use crate::signing::SigningKey;

/// How we prove who we are, with what it needs.
pub(super) struct Client {
    pub(super) auth: ClientAuth,
    pub(super) secret: Option<Secret>,
}

/// One provider's keys while they are read.
struct Draft<'d, 'k> {
    provider: &'d file::Provider,
    key: &'d str,
    desk: &'d mut Desk<'k>,
}

/// Builds what `client_auth` needs.
pub(super) fn client(provider: &file::Provider, key: &str, desk: &mut Desk<'_>) -> Option<Client> {
    let mut draft = Draft { provider, key, desk };
    draft.check_id();
    draft.warn_of_what_is_unused();
    let auth = match provider.client_auth {
        file::ClientAuth::ClientSecretBasic => ClientAuth::Basic,
        file::ClientAuth::ClientSecretPost => ClientAuth::Post,
        file::ClientAuth::PrivateKeyJwt => {
            let auth = ClientAuth::PrivateKey(Box::new(draft.private_key()?));
            return Some(Client { auth, secret: None });
        }
        file::ClientAuth::MutualTls => {
            let auth = ClientAuth::MutualTls(draft.certificate()?);
            return Some(Client { auth, secret: None });
        }
    };
    Some(Client { auth, secret: draft.secret()? })
}

impl Draft<'_, '_> {
    fn at(&self, name: &str) -> String {
        format!("{}.{name}", self.key)
    }

    fn check_id(&mut self) {
        let at = self.at("client_id");
        if self.provider.client_id.is_empty() && !self.desk.report.has_problem(&at) {
            self.desk.report.problem(at, "is empty", "write the id that the provider gave this gateway");
        }
    }

    /// A secret or key that proves nothing here was probably meant to.
    fn warn_of_what_is_unused(&mut self) {
        use file::ClientAuth::{ClientSecretBasic, ClientSecretPost, MutualTls, PrivateKeyJwt};
        let provider = self.provider;
        let auth = provider.client_auth;
        let has_secret = provider.client_secret.is_some() || provider.client_secret_file.is_some();
        for (name, is_written, is_used) in [
            ("client_secret", has_secret, matches!(auth, ClientSecretBasic | ClientSecretPost)),
            (
                "client_key_file",
                provider.client_key_file.is_some(),
                matches!(auth, PrivateKeyJwt | MutualTls),
            ),
            ("client_cert_file", provider.client_cert_file.is_some(), auth == MutualTls),
        ] {
            if is_written && !is_used {
                let message = format!("{name} is not used with this client_auth");
                self.desk.report.warn("unused-client-credential", self.at(name), message);
            }
        }
    }

    /// The secret; a provider without one takes us for a public client, which only PKCE protects.
    fn secret(&mut self) -> Option<Option<Secret>> {
        let at = self.at("client_secret");
        let (inline, file) =
            (self.provider.client_secret.as_ref(), self.provider.client_secret_file.as_deref());
        if inline.is_none() && file.is_none() {
            let message = "no client_secret and no client_secret_file: the provider must take this gateway as a public client";
            self.desk.report.warn("no-client-secret", at, message);
            return Some(None);
        }
        self.desk.material.secret(inline, file, &at, self.desk.report).map(Some)
    }

    /// The name of a file that `client_auth` needs.
    fn needed(&mut self, name: &str, written: Option<&String>) -> Option<String> {
        if written.is_none() {
            let message = "missing: client_auth needs it";
            self.desk.report.problem(
                self.at(name),
                message,
                "name a PEM file, or choose another client_auth",
            );
        }
        written.cloned()
    }

    fn key_der(&mut self) -> Option<(String, PrivateKeyDer<'static>)> {
        let file = self.needed("client_key_file", self.provider.client_key_file.as_ref())?;
        let at = self.at("client_key_file");
        let der = self.desk.material.private_key(&file, &at, self.desk.report)?;
        Some((file, der))
    }

    fn private_key(&mut self) -> Option<SigningKey> {
        let (file, der) = self.key_der()?;
        let key = match &der {
            PrivateKeyDer::Pkcs8(der) => SigningKey::from_pkcs8(der.secret_pkcs8_der()),
            _ => Err("it is not in PKCS#8 form"),
        };
        key.map_err(|reason| {
            let hint =
                format!("-----BEGIN PRIVATE KEY----- is expected: openssl pkcs8 -topk8 -nocrypt -in {file}");
            let message = format!("{file} cannot sign: {reason}");
            self.desk.report.problem(self.at("client_key_file"), message, hint);
        })
        .ok()
    }

    fn certificate(&mut self) -> Option<ClientCertificate> {
        let chain_file = self.needed("client_cert_file", self.provider.client_cert_file.as_ref());
        let (key_file, key) = self.key_der()?;
        let chain_file = chain_file?;
        let (at_chain, at_key) = (self.at("client_cert_file"), self.at("client_key_file"));
        let desk = &mut *self.desk;
        let chain = desk.material.certificates(&chain_file, &at_chain, desk.report)?;
        certified(chain, key, at_key.clone(), desk.report)?;
        let key = desk.material.bytes(&key_file, &at_key, desk.report)?;
        let chain = desk.material.bytes(&chain_file, &at_chain, desk.report)?;
        Some(ClientCertificate { pem: SecretBytes::new([key, b"\n".to_vec(), chain].concat()) })
    }
}
