//! What the process says with its exit code, and the errors that end it.

use std::process::ExitCode;

/// Why a command failed, in the classes that a script can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Anything that has no class of its own.
    Other = 1,
    // 2 is clap's: wrong usage.
    /// A check refused; nothing was changed anywhere.
    Refused = 3,
    /// A server can't be reached, logged in to, or is none.
    Server = 4,
    /// This machine: the data directory, the disk, a port, a damaged log.
    Local = 5,
    /// The primary sends what can't be right.
    BadData = 6,
    /// The API wants a token, another one, or one with more rights.
    NotAuthorised = 7,
    /// An operation ended without success; its result says what is now.
    OperationFailed = 8,
    /// Nobody said yes.
    NotConfirmed = 9,
}

/// An error with its class.
#[derive(Debug)]
pub(crate) struct CommandError {
    pub(crate) failure: Failure,
    pub(crate) error: anyhow::Error,
}

/// What commands return.
pub(crate) type CommandResult = Result<(), CommandError>;

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        Self {
            failure: Failure::Other,
            error,
        }
    }
}

/// Gives an error its class.
pub(crate) trait Classify<T> {
    fn class(self, failure: Failure) -> Result<T, CommandError>;
}

impl<T, E: Into<anyhow::Error>> Classify<T> for Result<T, E> {
    fn class(self, failure: Failure) -> Result<T, CommandError> {
        self.map_err(|error| CommandError {
            failure,
            error: error.into(),
        })
    }
}

impl Failure {
    /// An error of this class from its message.
    pub(crate) fn because(self, message: impl std::fmt::Display) -> CommandError {
        CommandError {
            failure: self,
            error: anyhow::anyhow!("{message}"),
        }
    }

    /// The process's exit code.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// The error and its causes, without those that it repeats in its own words.
pub(crate) fn in_words(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The table of exit codes for `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done; for `replicate`: stopped by Ctrl-C or SIGTERM, the targets go on as read-only replicas
  1  an error without a code of its own
  2  wrong usage
  3  a check refused; nothing was changed anywhere
  4  a server can't be reached or logged in to, or is not a Redis or Valkey; the gateway's API can't be reached
  5  this machine: configuration, data directory, disk, port, damaged log
  6  the primary sends a snapshot or a stream that can't be right
  7  the API wants a token, another one, or one with more rights
  8  the operation failed or was cancelled; its result says what is now
  9  not confirmed: somebody said no, or there was nobody to ask and no --yes";

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let disk = std::io::Error::from(std::io::ErrorKind::NotFound);
        let repeats = sterna_log::ReadError::Io {
            path: "/log".into(),
            source: disk,
        };
        let error = Err::<(), _>(repeats).context("no log").expect_err("an error");
        assert_eq!(in_words(&error), "no log: cannot read /log: entity not found");
    }
}
