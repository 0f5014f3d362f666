//! What is known of people's phones from their enrolment: the serial number that a level-4 login must find again.
//!
//! Handing a login back what the session of the same minute said would compare a thief's phone with itself, so the
//! first login at level 3 is written down, or an operator writes it, and nothing later replaces it.
//!
//! *Never:* who may sign in. This is asked at logins only, never on the way of a request.
//! *Source:* Mobile ID's integration guide on level 4 (`sn`, `keyringId`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Whether logins may add what is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learn {
    /// Only the operator writes the file.
    Never,
    /// The first login at level 3 of a person is written down.
    First,
}

/// What a phone showed of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Phone {
    /// Serial number of the SIM or app.
    pub(crate) sn: Option<String>,
    /// Id of the keyring that holds the passkey.
    pub(crate) keyring_id: Option<String>,
    /// For the hint that makes the phone ring.
    pub(crate) phone_number: Option<String>,
}

/// How a phone compares with the enrolled one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// Everything that both say is the same, and it is something.
    Same,
    /// Something is not the same.
    Different,
    /// They have nothing to compare.
    Nothing,
}

/// The enrolments of one provider's people, in a file.
#[derive(Debug)]
pub(crate) struct Enrolments {
    path: PathBuf,
    learn: Learn,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By issuer and subject.
    people: BTreeMap<(String, String), Phone>,
    /// When the file was changed that this was read from.
    changed: Option<SystemTime>,
}

/// The file: a list that an operator can read and mend.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    people: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    issuer: String,
    subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sn: Option<String>,
    #[serde(default, rename = "keyringId", skip_serializing_if = "Option::is_none")]
    keyring_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phone_number: Option<String>,
}

impl Phone {
    /// What a template calls `enrolled.…`.
    pub(crate) fn find(&self, field: &str) -> Option<&str> {
        match field {
            "sn" => self.sn.as_deref(),
            "keyringId" => self.keyring_id.as_deref(),
            "phone_number" => self.phone_number.as_deref(),
            _ => None,
        }
    }

    /// Whether it says anything that tells phones apart.
    pub(crate) fn is_known(&self) -> bool {
        self.sn.is_some() || self.keyring_id.is_some()
    }

    /// Compares what both say.
    pub(crate) fn compare(&self, seen: &Self) -> Comparison {
        let pairs = [(&self.sn, &seen.sn), (&self.keyring_id, &seen.keyring_id)];
        let same: Vec<bool> = pairs.iter().filter_map(|(a, b)| Some(a.as_ref()? == b.as_ref()?)).collect();
        match same.as_slice() {
            [] => Comparison::Nothing,
            same if same.iter().all(|same| *same) => Comparison::Same,
            _ => Comparison::Different,
        }
    }
}

impl Enrolments {
    /// Opens a file; one that is not there yet is empty, and its folder must be there.
    ///
    /// # Errors
    /// The file cannot be read, or is not of the form that this writes.
    pub(crate) fn open(path: &Path, learn: Learn) -> io::Result<Self> {
        let known = Mutex::new(read(path)?);
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(io::Error::new(
                ErrorKind::NotFound,
                format!("folder {} does not exist", folder.display()),
            ));
        }
        Ok(Self { path: path.to_owned(), learn, known })
    }

    /// The enrolled phone of a person, also when the file was changed by hand a moment ago. Blocks on the file.
    ///
    /// # Errors
    /// The file cannot be read any more: nobody is taken for not enrolled because of that.
    pub(crate) fn find(&self, issuer: &str, subject: &str) -> io::Result<Option<Phone>> {
        let mut known = self.lock();
        self.refresh(&mut known)?;
        Ok(known.people.get(&(issuer.to_owned(), subject.to_owned())).cloned())
    }

    /// The enrolled phone of a person who shows `seen`, which is written down if it is the first. Blocks on the file.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn find_or_learn(
        &self,
        issuer: &str,
        subject: &str,
        seen: &Phone,
    ) -> io::Result<Option<Phone>> {
        let mut known = self.lock();
        self.refresh(&mut known)?;
        let key = (issuer.to_owned(), subject.to_owned());
        if let Some(phone) = known.people.get(&key) {
            return Ok(Some(phone.clone()));
        }
        if self.learn == Learn::Never || !seen.is_known() {
            return Ok(None);
        }
        known.people.insert(key.clone(), seen.clone());
        if let Err(error) = write(&self.path, &known.people) {
            known.people.remove(&key);
            return Err(error);
        }
        known.changed = changed(&self.path);
        Ok(Some(seen.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // What is known is replaced whole, so that a panic elsewhere does not spoil it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refresh(&self, known: &mut Known) -> io::Result<()> {
        let now = changed(&self.path);
        if now == known.changed {
            return Ok(());
        }
        if now.is_none() {
            // Whoever was enrolled would be learned anew, with whatever phone comes first.
            return Err(io::Error::new(ErrorKind::NotFound, format!("{} is gone", self.path.display())));
        }
        *known = read(&self.path)?;
        Ok(())
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|found| found.modified()).ok()
}

fn read(path: &Path) -> io::Result<Known> {
    let changed = changed(path);
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Known::default()),
        Err(error) => return Err(error),
    };
    let file: File = serde_json::from_slice(&text)?;
    let people = file.people.into_iter().map(|entry| {
        let Entry { issuer, subject, sn, keyring_id, phone_number } = entry;
        ((issuer, subject), Phone { sn, keyring_id, phone_number })
    });
    Ok(Known { people: people.collect(), changed })
}

/// Writes beside the file and renames, so that a reader, or a crash, never sees half of it.
fn write(path: &Path, people: &BTreeMap<(String, String), Phone>) -> io::Result<()> {
    let people = people.iter().map(|((issuer, subject), phone)| Entry {
        issuer: issuer.clone(),
        subject: subject.clone(),
        sn: phone.sn.clone(),
        keyring_id: phone.keyring_id.clone(),
        phone_number: phone.phone_number.clone(),
    });
    let text = serde_json::to_vec_pretty(&File { people: people.collect() })?;
    let beside = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(sn: &str) -> Phone {
        Phone { sn: Some(sn.to_owned()), ..Phone::default() }
    }

    #[test]
    fn the_first_phone_is_written_down_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("enrolled.json");
        let enrolments = Enrolments::open(&path, Learn::First).unwrap();
        assert_eq!(enrolments.find("i", "s").unwrap(), None);
        assert_eq!(enrolments.find_or_learn("i", "s", &phone("1")).unwrap(), Some(phone("1")));
        assert_eq!(enrolments.find_or_learn("i", "s", &phone("2")).unwrap(), Some(phone("1")));
        assert_eq!(enrolments.find_or_learn("i2", "s", &Phone::default()).unwrap(), None);
        let again = Enrolments::open(&path, Learn::Never).unwrap();
        assert_eq!(again.find("i", "s").unwrap(), Some(phone("1")));
        assert_eq!(again.find_or_learn("i", "t", &phone("3")).unwrap(), None);
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_an_operator_changes_counts_at_once_and_rubbish_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("enrolled.json");
        let enrolments = Enrolments::open(&path, Learn::First).unwrap();
        fs::write(&path, r#"{"people": [{"issuer": "i", "subject": "s", "keyringId": "k"}]}"#).unwrap();
        assert_eq!(enrolments.find("i", "s").unwrap().unwrap().keyring_id.as_deref(), Some("k"));
        let later = SystemTime::now() + std::time::Duration::from_secs(9);
        fs::write(&path, "rubbish").unwrap();
        fs::File::open(&path).unwrap().set_modified(later).unwrap();
        assert!(enrolments.find("i", "s").is_err());
        assert!(Enrolments::open(&path, Learn::First).is_err());
        fs::remove_file(&path).unwrap();
        assert!(enrolments.find("i", "s").is_err());
        assert!(enrolments.find_or_learn("i", "s", &phone("2")).is_err());
        assert!(!path.exists());
        assert!(Enrolments::open(&folder.path().join("nowhere/x"), Learn::First).is_err());
    }

    #[test]
    fn phones_are_compared_by_what_both_say() {
        let both = Phone { keyring_id: Some("k".to_owned()), ..phone("1") };
        for (enrolled, seen, expected) in [
            (phone("1"), phone("1"), Comparison::Same),
            (phone("1"), phone("2"), Comparison::Different),
            (both.clone(), phone("1"), Comparison::Same),
            (both.clone(), Phone { keyring_id: Some("x".to_owned()), ..phone("1") }, Comparison::Different),
            (phone("1"), Phone::default(), Comparison::Nothing),
            (phone("1"), Phone { keyring_id: Some("k".to_owned()), ..Phone::default() }, Comparison::Nothing),
        ] {
            assert_eq!(enrolled.compare(&seen), expected, "{enrolled:?} {seen:?}");
        }
    }
}
