//! The configuration.

mod loaded;

pub(crate) use self::loaded::{Address, Admin, Listen, Loaded};
