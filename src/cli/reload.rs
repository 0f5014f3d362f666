//! Loading the configuration anew for a gateway that runs.

use crate::config::{self, Loaded, Purpose, Source};
use crate::gateway::{Cause, Loader};

/// The configuration's source, with the text that is in force.
pub(super) struct Reloader {
    pub(super) source: Source,
    pub(super) text: String,
}

impl Loader for Reloader {
    /// Asked by the operator the file is read again; when a watched file has changed, only what the file names.
    fn load(&mut self, cause: Cause) -> Result<Loaded, String> {
        let told = |problems: &[config::Problem]| config::render(self.source.path(), problems);
        let text = match cause {
            Cause::Asked => self.source.text().map_err(|problem| told(&[problem]))?,
            Cause::FileChanged => self.text.clone(),
        };
        let reading = self.source.read_text(&text, Purpose::Run);
        let loaded = reading.loaded.ok_or_else(|| told(&reading.findings.problems))?;
        self.text = text;
        Ok(loaded)
    }
}
