//! May this user run that command? Asked without running it.

use sterna_protocol::resp::Value;

use crate::client::{Client, ClientError};

/// Whether a command may be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Right {
    /// It may.
    Allowed,
    /// The ACL forbids it.
    Denied(String),
    /// The node has no such command: renamed or removed.
    Missing,
    /// The node does not let us find out.
    Unknown(String),
}

pub(super) async fn ask_all(
    client: &mut Client,
    user: &str,
    commands: &[&[&str]],
) -> Result<Vec<(String, Right)>, ClientError> {
    let mut rights = Vec::new();
    for command in commands {
        let name = match command {
            [container @ ("CLIENT" | "CONFIG"), sub, ..] => format!("{container} {sub}"),
            _ => command[0].to_owned(),
        };
        let right = match dry_run(client, user, command).await? {
            Some(right) => right,
            None => queue(client, command).await?,
        };
        rights.push((name, right));
    }
    Ok(rights)
}

/// `ACL DRYRUN`, Redis 7.0 and later; `None` where it is not to be had.
async fn dry_run(client: &mut Client, user: &str, command: &[&str]) -> Result<Option<Right>, ClientError> {
    let args: Vec<&str> = ["ACL", "DRYRUN", user].iter().chain(command).copied().collect();
    let answer = client.ask(&args).await?;
    if let Some(error) = answer.as_error() {
        let missing = error.contains("Command") && error.contains("not found");
        return Ok(missing.then_some(Right::Missing));
    }
    Ok(answer.as_text().map(|text| match text {
        "OK" => Right::Allowed,
        reason => Right::Denied(reason.to_owned()),
    }))
}

/// A command is checked against the ACL when it is queued in a transaction, and a discarded one never runs.
async fn queue(client: &mut Client, command: &[&str]) -> Result<Right, ClientError> {
    if let Value::Error(error) = client.ask(&["MULTI"]).await? {
        return Ok(Right::Unknown(String::from_utf8_lossy(&error).into_owned()));
    }
    let answer = client.ask(command).await?;
    client.command(&["DISCARD"]).await?;
    Ok(match answer.as_error() {
        None => Right::Allowed,
        Some(error) if error.starts_with("NOPERM") => Right::Denied(error.into_owned()),
        Some(error) if error.contains("unknown command") => Right::Missing,
        Some(error) => Right::Unknown(error.into_owned()),
    })
}
