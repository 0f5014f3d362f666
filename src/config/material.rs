//! The files that a configuration names: secrets, certificates, keys, lists; read once, when it is loaded.
//!
//! *Never:* what a text means to the module that gets it.
//! *Source:* RFC 7468 (PEM); the head of gateway.toml (`x_file`).

use std::cell::RefCell;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::file::Hidden;
use super::problem::Report;
use super::watch::Watched;
use crate::seal::Keys;
use crate::secret::Secret;

/// Reads files relative to the folder of the configuration.
#[derive(Debug)]
pub(super) struct Material {
    folder: PathBuf,
    watched: RefCell<Watched>,
}

/// What is done about a key file that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A gateway is to run: the file is written with a fresh key.
    Run,
    /// Somebody only looks: nothing is written.
    Look,
}

impl Material {
    /// Material of a configuration file in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), watched: RefCell::default() }
    }

    /// The files whose change is to be noticed while the gateway runs.
    pub(super) fn watched(&self) -> Watched {
        self.watched.take()
    }

    /// The text of a file whose change is to be noticed.
    pub(super) fn watched_text(&self, written: &str, key: &str, report: &mut Report) -> Option<String> {
        self.watch(written);
        self.text(written, key, report)
    }

    /// Has a file's change noticed.
    pub(super) fn watch(&self, written: &str) {
        self.watched.borrow_mut().add(self.locate(written));
    }

    /// Where a written path lies.
    pub(super) fn locate(&self, written: &str) -> PathBuf {
        self.folder.join(written)
    }

    /// The bytes of a file.
    pub(super) fn bytes(&self, written: &str, key: &str, report: &mut Report) -> Option<Vec<u8>> {
        let path = self.locate(written);
        match fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let message = format!("cannot read {}: {}", path.display(), cause(&error));
                report.problem(key, message, "relative paths begin at the folder of the configuration file");
                None
            }
        }
    }

    /// The text of a file.
    pub(super) fn text(&self, written: &str, key: &str, report: &mut Report) -> Option<String> {
        let bytes = self.bytes(written, key, report)?;
        let text = String::from_utf8(bytes).ok();
        if text.is_none() {
            let message = format!("{} is not UTF-8", self.locate(written).display());
            report.problem(key, message, "save the file as UTF-8");
        }
        text
    }

    /// A secret: written in the configuration, or in a file whose last newline does not count.
    ///
    /// `key` is the path of `x`; a secret that is neither written nor in a file is no problem here.
    pub(super) fn secret(
        &self,
        inline: Option<&Hidden>,
        file: Option<&str>,
        key: &str,
        report: &mut Report,
    ) -> Option<Secret> {
        let file_key = format!("{key}_file");
        let (secret, at) = match (inline, file) {
            (Some(_), Some(_)) => {
                let message = format!("both {key} and {file_key} are set; accepted: one of them");
                report.problem(key, message, "keep the file, so that the configuration holds no secret");
                return None;
            }
            (Some(Hidden(secret)), None) => (secret.clone(), key),
            (None, Some(written)) => {
                let text = self.text(written, &file_key, report)?;
                self.warn_if_open(written, &file_key, report);
                let trimmed = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
                (Secret::new(trimmed.unwrap_or(&text)), file_key.as_str())
            }
            (None, None) => return None,
        };
        if secret.expose().is_empty() {
            report.problem(at, "the secret is empty", "write the secret that was agreed on");
            return None;
        }
        Some(secret)
    }

    /// Certificates of a PEM file, as DER; never none.
    pub(super) fn certificates(&self, written: &str, key: &str, report: &mut Report) -> Option<Vec<Vec<u8>>> {
        let bytes = self.bytes(written, key, report)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        match found {
            Ok(found) if !found.is_empty() => Some(found.iter().map(|der| der.to_vec()).collect()),
            Ok(_) | Err(_) => {
                let message = format!("{} holds no certificate", self.locate(written).display());
                report.problem(key, message, "a PEM file with -----BEGIN CERTIFICATE----- is expected");
                None
            }
        }
    }

    /// The first private key of a PEM file.
    pub(super) fn private_key(
        &self,
        written: &str,
        key: &str,
        report: &mut Report,
    ) -> Option<PrivateKeyDer<'static>> {
        let bytes = self.bytes(written, key, report)?;
        self.warn_if_open(written, key, report);
        let found = PrivateKeyDer::from_pem_slice(&bytes).ok();
        if found.is_none() {
            let message = format!("{} holds no private key", self.locate(written).display());
            report.problem(key, message, "a PEM file with an unencrypted private key is expected");
        }
        found
    }

    /// The gateway's own keys; a file that is not there is written when a gateway is to run.
    pub(super) fn keys(
        &self,
        written: &str,
        key: &str,
        purpose: Purpose,
        report: &mut Report,
    ) -> Option<Keys> {
        let path = self.locate(written);
        if !path.exists() {
            match purpose {
                Purpose::Run => match write_keys(&path) {
                    Ok(()) => {}
                    // Another gateway wrote it in this moment: its keys are read below.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                    Err(error) => {
                        let message = format!("cannot write {}: {}", path.display(), cause(&error));
                        report.problem(key, message, "make the folder, or write a key with: midgate keygen");
                        return None;
                    }
                },
                Purpose::Look => {
                    let folder = path.parent().filter(|folder| *folder != Path::new(""));
                    if !folder.unwrap_or(Path::new(".")).is_dir() {
                        let message = format!("the folder of {} does not exist", path.display());
                        report.problem(key, message, "make the folder; the file is written at start");
                    }
                    return None;
                }
            }
        }
        let text = self.text(written, key, report)?;
        self.warn_if_open(written, key, report);
        match Keys::parse(&text) {
            Ok(keys) => Some(keys),
            Err(error) => {
                let message = format!("{}: {error}", path.display());
                report.problem(key, message, "every line is a key as midgate keygen prints it");
                None
            }
        }
    }

    fn warn_if_open(&self, written: &str, key: &str, report: &mut Report) {
        let path = self.locate(written);
        let is_open = fs::metadata(&path).is_ok_and(|found| found.permissions().mode() & 0o004 != 0);
        if is_open {
            let message = format!("everybody on this machine can read {}: chmod o-r", path.display());
            report.warn("key-readable-by-all", key, message);
        }
    }
}

fn write_keys(path: &Path) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", Keys::generate())?;
    file.sync_all()
}

/// Why a file could not be opened, in words without the number of the error.
pub(super) fn cause(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_one_place_and_loses_one_newline() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("s"), "hunter2\n\n").unwrap();
        let material = Material::new(folder.path());
        let mut report = Report::default();
        let inline = Hidden(Secret::new("x"));
        let read = material.secret(None, Some("s"), "a.b", &mut report).unwrap();
        assert_eq!(read.expose(), "hunter2\n");
        assert!(material.secret(Some(&inline), Some("s"), "a.c", &mut report).is_none());
        assert!(material.secret(None, Some("gone"), "a.d", &mut report).is_none());
        let seen: Vec<_> = report.problems.iter().map(|p| (p.key.as_str(), p.message.as_str())).collect();
        let gone = format!("cannot read {}: there is no such file", folder.path().join("gone").display());
        let both = "both a.c and a.c_file are set; accepted: one of them";
        assert_eq!(seen, [("a.c", both), ("a.d_file", gone.as_str())]);
        assert_eq!(report.warnings.first().map(|w| w.name), Some("key-readable-by-all"));
    }

    #[test]
    fn a_missing_key_file_is_written_for_a_gateway_and_not_for_a_look() {
        let folder = tempfile::tempdir().unwrap();
        let material = Material::new(folder.path());
        let mut report = Report::default();
        assert!(material.keys("k", "session.keys_file", Purpose::Look, &mut report).is_none());
        assert!(!folder.path().join("k").exists());
        assert!(material.keys("k", "session.keys_file", Purpose::Run, &mut report).is_some());
        let mode = fs::metadata(folder.path().join("k")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(report.problems.is_empty() && report.warnings.is_empty());
        fs::write(folder.path().join("weak"), "A".repeat(43)).unwrap();
        assert!(material.keys("weak", "session.keys_file", Purpose::Run, &mut report).is_none());
        assert!(report.problems[0].message.contains("too few different bytes"));
    }
}
