//! Files that the configuration names and whose change is noticed while the gateway runs.
//!
//! Looking now and then beats notifications here: a Kubernetes volume changes by a link far above the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Watched files, each as it was before it was read.
#[derive(Debug, Default)]
pub(crate) struct Watched(Vec<(PathBuf, Mark)>);

/// What tells two versions of a file apart; none when the file is not there.
type Mark = Option<(SystemTime, u64)>;

impl Watched {
    /// Watches a file from its present state on.
    pub(super) fn add(&mut self, path: PathBuf) {
        if !self.0.iter().any(|(known, _)| *known == path) {
            let mark = mark(&path);
            self.0.push((path, mark));
        }
    }

    /// Whether a file has changed since the last look; a change is told once.
    pub(crate) fn have_changed(&mut self) -> bool {
        let mut changed = false;
        for (path, known) in &mut self.0 {
            let now = mark(path);
            changed |= now != *known;
            *known = now;
        }
        changed
    }
}

fn mark(path: &Path) -> Mark {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(&path, "a").unwrap();
        let mut watched = Watched::default();
        watched.add(path.clone());
        assert!(!watched.have_changed());
        fs::write(&path, "ab").unwrap();
        assert!(watched.have_changed());
        assert!(!watched.have_changed());
        fs::remove_file(&path).unwrap();
        assert!(watched.have_changed());
        assert!(!watched.have_changed());
    }
}
