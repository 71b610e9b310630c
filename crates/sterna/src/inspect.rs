//! `sterna log inspect`: what a replication log holds, and where it is damaged.

use std::path::Path;

use anyhow::Context as _;

use crate::cli::Output;
use crate::exit::{Classify as _, CommandResult, Failure};
use crate::output;
use crate::replicate::link_file::log_dir;

/// Prints the inspection; a damaged log is an error after it was shown.
pub(crate) fn run(dir: &Path, output: Output) -> CommandResult {
    let inside = log_dir(dir);
    let dir = if inside.is_dir() { inside.as_path() } else { dir };
    let inspection = sterna_log::inspect(dir)
        .with_context(|| format!("{} can't be inspected", dir.display()))
        .class(Failure::Local)?;
    let text = match output {
        Output::Text => inspection.to_string(),
        Output::Json => serde_json::to_string(&inspection).class(Failure::Other)?,
    };
    output::data(&text);
    if !inspection.is_sound() {
        return Err(Failure::Local.because(format!(
            "the log in {} is damaged; the replica nodes' own data is not touched by that\n\
             hint: move the directory away and run the same command again: the copy begins anew",
            dir.display()
        )));
    }
    Ok(())
}
