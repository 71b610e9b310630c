//! `sterna operation`.

use std::fmt::Write as _;
use std::time::Duration;

use sterna_model::{Nothing, Operation};

use super::client::Client;
use super::{follow, render, show};
use crate::cli::{OperationArgs, OperationVerb};
use crate::exit::CommandResult;

/// Runs the verb.
pub(super) fn run(args: &OperationArgs) -> CommandResult {
    let client = Client::new(&args.api)?;
    let format = args.api.output;
    match &args.verb {
        OperationVerb::List { group, before, limit } => {
            let mut path = format!("/operations?limit={limit}");
            if let Some(group) = group {
                write!(path, "&group={group}").expect("a string takes any text");
            }
            if let Some(before) = before {
                write!(path, "&before={before}").expect("a string takes any text");
            }
            let answer = client.get(&path)?;
            show(&answer, format, |all: &Vec<Operation>, style| {
                render::operations(all, style)
            })
        }
        OperationVerb::Show { id } => {
            let answer = client.get(&format!("/operations/{id}"))?;
            show(&answer, format, render::operation)
        }
        OperationVerb::Wait { id, timeout } => {
            follow::follow(&client, *id, timeout.map(Duration::from_secs), format)
        }
        OperationVerb::Cancel { id } => {
            let answer = client.post(&format!("/operations/{id}/cancel"), &Nothing {})?;
            show(&answer, format, render::operation)
        }
    }
}
