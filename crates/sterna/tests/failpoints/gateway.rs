//! A gateway that dies at a failpoint.

use anyhow::{Context as _, Result, ensure};
use sterna_harness::{Gateway, look_until};
use sterna_model::{OperationId, OperationKind};

/// A process that gets this signal ends with this code.
const KILLED: i32 = 128 + 9;

/// Waits until it has killed itself at its failpoint, and nowhere else; `false` where the newest operation of the kind
/// ended without that. `known` is one that was over before.
pub(crate) fn wait_death(
    gateway: &mut Gateway,
    failpoint: &str,
    kind: OperationKind,
    known: Option<OperationId>,
) -> Result<bool> {
    let died = look_until("the gateway to die", || {
        if let Some(died) = gateway.take_dead()? {
            return Ok(Some(died));
        }
        let newest = gateway.newest(kind)?.context("the operation has not begun")?;
        ensure!(Some(newest.id) != known, "the operation has not begun");
        ensure!(newest.state.is_final(), "{newest:#?}");
        Ok(None)
    })?;
    let Some((code, words)) = died else {
        return Ok(false);
    };
    // Another thread may still say something after it.
    let died_there = |line: &str| line.contains("dying at the failpoint") && line.contains(failpoint);
    ensure!(
        code == KILLED && words.lines().any(died_there),
        "it ended with {code} elsewhere; its last words are {:?}",
        words.lines().last()
    );
    Ok(true)
}
