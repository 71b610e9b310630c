//! `sterna audit`.

use std::fmt::Write as _;

use sterna_model::AuditRecord;

use super::client::Client;
use super::{render, show};
use crate::cli::AuditArgs;
use crate::exit::CommandResult;

/// Shows who did what.
pub(super) fn run(args: &AuditArgs) -> CommandResult {
    let client = Client::new(&args.api)?;
    let mut path = format!("/audit?limit={}", args.limit);
    if let Some(before) = args.before {
        write!(path, "&before={before}").expect("a string takes any text");
    }
    let answer = client.get(&path)?;
    show(&answer, args.api.output, |all: &Vec<AuditRecord>, style| {
        render::audit(all, style)
    })
}
