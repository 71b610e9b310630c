//! `sterna status`.

use sterna_model::GroupStatus;

use super::client::{Answer, Client};
use super::{render, show, watch};
use crate::cli::StatusArgs;
use crate::exit::{CommandError, CommandResult};

/// Shows how groups are doing, once or for as long as somebody looks.
pub(super) fn run(args: &StatusArgs) -> CommandResult {
    let client = Client::new(&args.api)?;
    if args.watch {
        return watch::run(&client, args);
    }
    let answer = ask(&client, args)?;
    match args.group {
        Some(_) => show(&answer, args.api.output, |status: &GroupStatus, style| {
            render::status(std::slice::from_ref(status), style)
        }),
        None => show(&answer, args.api.output, |all: &Vec<GroupStatus>, style| {
            render::status(all, style)
        }),
    }
}

/// The API's answer.
fn ask(client: &Client, args: &StatusArgs) -> Result<Answer, CommandError> {
    match &args.group {
        Some(group) => client.get(&format!("/groups/{group}/status")),
        None => client.get("/status"),
    }
}

/// The statuses that are asked for, whether one or all.
pub(super) fn all(client: &Client, args: &StatusArgs) -> Result<Vec<GroupStatus>, CommandError> {
    let answer = ask(client, args)?;
    match args.group {
        Some(_) => answer.read().map(|status| vec![status]),
        None => answer.read(),
    }
}
