//! Where log events go: JSON lines, or text for a person at a terminal.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use super::flood::Flood;

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON unless standard output is a terminal.
    Auto,
    Json,
    Text,
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub(crate) format: Format,
    pub(crate) level: Level,
}

/// Starts logging; a second start in one process is ignored.
pub(crate) fn init(settings: LogSettings) {
    // At their finer levels these crates print whole headers, cookies and queries (I8).
    let level = LevelFilter::from_level(settings.level);
    let capped = LevelFilter::from_level(settings.level.min(Level::WARN));
    // What these say of each broken connection is a stranger's to cause as often as they like, and shows addresses.
    let strangers = ["pingora_core::services::listening", "pingora_core::protocols", "pingora_proxy"];
    let filter = Targets::new().with_default(capped).with_target("midgate", level);
    let filter = filter.with_targets(strangers.map(|target| (target, LevelFilter::OFF)));
    let json = match settings.format {
        Format::Auto => !std::io::stdout().is_terminal(),
        Format::Json => true,
        Format::Text => false,
    };
    let layer = if json {
        fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        fmt::layer().boxed()
    };
    let registry = tracing_subscriber::registry().with(layer.with_filter(filter.and(Flood)));
    // `try_init` also passes on what Pingora says through the `log` crate.
    if registry.try_init().is_err() {
        tracing::debug!("logging is already set up");
    }
}
