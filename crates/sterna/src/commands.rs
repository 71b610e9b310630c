//! The operator verbs. They know nothing but the REST API: what they can do, every program can.
//!
//! [`client`] asks, [`render`] turns answers into text, [`confirm`] says what is at stake before a change, [`follow`]
//! shows an operation while it runs. One module for each topic of verbs on top.

mod access;
mod audit;
mod client;
mod confirm;
mod events;
mod follow;
mod group;
mod operation;
mod problem;
pub(crate) mod render;
mod rescue;
mod service;
mod spec;
mod status;
mod token;
mod watch;

use serde::de::DeserializeOwned;

use crate::cli::{Format, Verb};
use crate::exit::CommandResult;
use crate::output;
use client::Answer;
use render::Style;

/// Runs an operator verb; none for other verbs.
pub(crate) fn run(verb: &Verb) -> Option<CommandResult> {
    Some(match verb {
        Verb::Service(args) => service::run(args),
        Verb::Group(args) => group::run(args),
        Verb::Switchover(args) => group::switchover(args),
        Verb::Failover(args) => group::failover(args),
        Verb::Detach(args) => group::detach(args),
        Verb::Pause(args) => group::pause(args, true),
        Verb::Resume(args) => group::pause(args, false),
        Verb::History(args) => group::history(args),
        Verb::Status(args) => status::run(args),
        Verb::Operation(args) => operation::run(args),
        Verb::Rescue(args) => rescue::run(args),
        Verb::Token(args) => token::run(args),
        Verb::Audit(args) => audit::run(args),
        _ => return None,
    })
}

/// Prints an answer: as it came, or as a table.
fn show<T: DeserializeOwned>(
    answer: &Answer,
    format: Format,
    table: impl FnOnce(&T, &Style) -> String,
) -> CommandResult {
    let text = match format {
        Format::Json => answer.text.clone(),
        Format::Table => table(&answer.read()?, &Style::stdout()),
    };
    output::data(text.trim_end());
    Ok(())
}

/// Says that something was done, where no answer says more.
fn done(format: Format, sentence: &str) {
    if format == Format::Table {
        output::message(sentence);
    }
}
