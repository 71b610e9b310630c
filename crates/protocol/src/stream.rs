//! The online replication stream: where its commands and transactions end.

mod commands;
mod error;
mod kind;
mod partial;
mod scanner;
mod whole;

pub use commands::{Command, Commands};
pub use error::StreamError;
pub use scanner::{Fed, UnitScanner};

/// How many arguments a command of the stream may have: what servers accept (`INT_MAX`).
pub const STREAM_ARGS_MAX: u64 = i32::MAX as u64;
/// How long one argument may be. Servers set no bound for what their primary sends; no value is larger than this.
pub const STREAM_ARG_BYTES_MAX: u64 = 4 << 30;
