//! How a running link is shown: to people on a terminal, as plain lines elsewhere, as JSON to programs.

mod json;
mod people;

use sterna_model::Check;
use sterna_replication::{Notice, Status};

pub(crate) use json::Json;
pub(crate) use people::People;

use crate::cli::Output;

/// What is shown of a link.
pub(crate) trait Display {
    /// The checks before the start.
    fn checks(&mut self, checks: &[Check]);
    /// Something happened.
    fn notice(&mut self, notice: &Notice);
    /// How things stand, many times a second.
    fn status(&mut self, status: &Status);
    /// The last words: how it ended and what to do next.
    fn end(&mut self, words: &str);
}

/// The display that was asked for.
pub(crate) fn new(output: Output) -> Box<dyn Display> {
    match output {
        Output::Text => Box::new(People::new()),
        Output::Json => Box::new(Json::default()),
    }
}
