//! The operator: `sterna` verbs as child processes, as a person would type them.

use std::path::{Path, PathBuf};

use sterna_harness::Gateway;
use sterna_testkit::Process;
use sterna_testkit::process::Source;

use crate::assert::{DEADLINE, assert};
use crate::instructions::quoted;
use crate::timeline::Timeline;

/// Runs commands against the gateway.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) sterna: PathBuf,
    api: String,
    data_dir: PathBuf,
}

impl Operator {
    /// One who knows where the gateway is, and is on its machine.
    pub(crate) fn new(sterna: &Path, gateway: &Gateway) -> Self {
        Self {
            sterna: sterna.to_owned(),
            api: gateway.api_url(),
            data_dir: gateway.data_dir().to_owned(),
        }
    }

    /// What a person says first, so that the commands find the gateway and its admin token.
    pub(crate) fn exports(&self) -> String {
        format!(
            "export STERNA_API={} STERNA_DATA_DIR={}",
            self.api,
            quoted(&self.data_dir)
        )
    }

    /// Runs a command, and shows it with the first lines of what it says.
    pub(crate) fn show(&self, args: &[&str], lines_max: usize, timeline: &Timeline) -> anyhow::Result<()> {
        let command = format!("sterna {}", args.join(" "));
        timeline.row("operator", &format!("$ {command}"));
        let data_dir = self.data_dir.to_string_lossy();
        let env = [("STERNA_API", self.api.as_str()), ("STERNA_DATA_DIR", &data_dir)];
        let process = Process::spawn(&self.sterna, args, &env)?;
        let code = process.exit_code(DEADLINE)?;
        let said = [Source::Stderr, Source::Stdout]
            .map(|source| process.text(source))
            .join("\n");
        assert(
            code == 0,
            format!("`{command}` succeeds"),
            format!("exit code {code}: {said}"),
        )?;
        timeline.quote(&said, lines_max);
        Ok(())
    }
}
