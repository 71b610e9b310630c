//! Asking before a change that somebody may regret.

use std::io::{self, BufRead, IsTerminal as _, Write};

use sterna_model::{GroupName, GroupStatus};

use super::client::Client;
use super::render::{Change, impact};
use crate::cli::ConfirmArgs;
use crate::exit::{CommandError, CommandResult, Failure};
use crate::output;

/// Says what the change does to a group and what could be lost right now, and asks.
pub(super) fn group_change(
    client: &Client,
    group: &GroupName,
    change: &Change<'_>,
    confirm: ConfirmArgs,
) -> CommandResult {
    let status = group_status(client, group)?;
    ask(&impact(change, status.as_ref()), confirm)
}

/// Says what another change does, and asks.
pub(super) fn other_change(change: &Change<'_>, confirm: ConfirmArgs) -> CommandResult {
    ask(&impact(change, None), confirm)
}

/// The group's status; none where the gateway can't tell one. A group that is not there, or an API that does not let us
/// in, ends it here.
fn group_status(client: &Client, group: &GroupName) -> Result<Option<GroupStatus>, CommandError> {
    match client.get(&format!("/groups/{group}/status")) {
        Ok(answer) => answer.read().map(Some),
        Err(error) if matches!(error.failure, Failure::Other) => {
            output::warn(&format!("no status of {group}: {}", error.error));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn ask(text: &str, confirm: ConfirmArgs) -> CommandResult {
    output::message(text);
    if confirm.yes {
        return Ok(());
    }
    // A question that nobody sees is no question.
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::NotConfirmed.because(
            "not confirmed: there is no terminal to ask on. Nothing was changed\nhint: add --yes to do it without asking",
        ));
    }
    let answer = question(&mut io::stdin().lock(), &mut io::stderr());
    if answer.unwrap_or(false) {
        Ok(())
    } else {
        Err(Failure::NotConfirmed.because("not confirmed. Nothing was changed"))
    }
}

/// Only `y` and `yes` mean yes; everything else, also the end of the input, means no.
fn question(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<bool> {
    write!(output, "Do it? [y/N] ")?;
    output.flush()?;
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        writeln!(output)?;
    }
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_means_yes() {
        for (said, expected) in [
            ("y\n", true),
            ("YES\n", true),
            ("\n", false),
            ("n\n", false),
            ("yep\n", false),
            ("", false),
        ] {
            let mut shown = Vec::new();
            let answer = question(&mut said.as_bytes(), &mut shown).expect("it asks");
            assert_eq!(answer, expected, "{said:?}");
            assert!(shown.starts_with(b"Do it? [y/N] "));
        }
    }
}
