//! Many runs of the same, each on its own; what fails leaves its evidence behind, and the next run comes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sterna_harness::Gateway;
use sterna_model::GroupSettings;
use sterna_testkit::{Net, Server, ServerBuilder};

use super::nodes::{Node, start_gateway};
use super::results::{self, Row};
use crate::print;

/// How often, and what becomes of the results.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Campaign {
    /// How many runs.
    #[arg(long, default_value_t = 50)]
    pub(super) runs: u64,
    /// The number of the first run; a run of the same number does the same.
    #[arg(long, default_value_t = 1)]
    pub(super) first: u64,
    /// Adds a row for each run to this file (JSON), from which `operate table` makes the table.
    #[arg(long, value_name = "FILE")]
    pub(super) results: Option<PathBuf>,
    /// Where a failed run leaves its logs; a directory of the system's for temporary files otherwise.
    #[arg(long, value_name = "DIR")]
    pub(super) evidence: Option<PathBuf>,
    /// Tells what was done in each run.
    #[arg(long)]
    pub(super) verbose: bool,
}

/// A run, with what is running in it: it lives here so that it can be looked at after a failure.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) site: Option<Gateway>,
    pub(super) nodes: Vec<Node>,
    /// What was done, for people.
    pub(super) story: Vec<String>,
}

impl Run {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            site: None,
            nodes: Vec::new(),
            story: Vec::new(),
        }
    }

    /// Starts a gateway, unless there is one, and a server for each service, and makes the group of them; the first
    /// service is the primary. `configure` adds to the settings of the server of that index.
    pub(super) fn stand(
        &mut self,
        services: &[&str],
        net: Option<&Net>,
        settings: &GroupSettings,
        configure: impl Fn(usize, ServerBuilder) -> ServerBuilder,
    ) -> Result<()> {
        if self.site.is_none() {
            self.site = Some(start_gateway(None)?);
        }
        for (index, name) in services.iter().enumerate() {
            let mut builder = configure(index, Server::builder());
            if let Some(net) = net {
                builder = builder.on(&net.host(name));
            }
            self.nodes.push(Node::new(name, builder.start()?));
        }
        let site = self.site()?;
        for node in &self.nodes {
            site.add_service(&node.name, node.server.address())?;
        }
        site.create_group(services, settings)
    }

    /// The gateway.
    pub(super) fn site(&self) -> Result<&Gateway> {
        self.site.as_ref().context("the gateway was not started")
    }
}

impl Campaign {
    /// Does every run; the error says which ones failed.
    pub(super) fn each(&self, what: &str, mut run: impl FnMut(&mut Run) -> Result<()>) -> Result<()> {
        let mut failed = Vec::new();
        for number in self.first..self.first + self.runs {
            let mut now = Run::new(number);
            let done = run(&mut now);
            if self.verbose {
                now.story
                    .iter()
                    .for_each(|line| print(&format!("         {line}")));
            }
            if let Err(error) = done {
                print(&format!("run {number:>3}: FAILED: {error:#}"));
                let dir = self.evidence_dir(number);
                match leave_evidence(&dir, &now, &error) {
                    Ok(()) => print(&format!("         evidence is in {}", dir.display())),
                    Err(error) => print(&format!("         evidence can't be written: {error:#}")),
                }
                failed.push(number);
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        bail!(
            "{what}: {} of {} runs failed: {failed:?}; repeat one with --first NUMBER --runs 1",
            failed.len(),
            self.runs
        )
    }

    /// Adds a row to the results.
    pub(super) fn keep(&self, row: &Row) -> Result<()> {
        results::append(self.results.as_deref(), row)
    }

    fn evidence_dir(&self, number: u64) -> PathBuf {
        let parent = self.evidence.clone().unwrap_or_else(std::env::temp_dir);
        parent.join(format!("sterna-bench-{}-run{number}", std::process::id()))
    }
}

/// Leaves what a failed run shows in this directory.
pub(super) fn leave_evidence(dir: &Path, run: &Run, error: &anyhow::Error) -> Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(
        dir.join("error"),
        format!("{error:?}\n\n{}\n", run.story.join("\n")),
    )?;
    for node in &run.nodes {
        let config = fs::read_to_string(node.server.config_file()).unwrap_or_default();
        let port = node.server.port();
        let text = format!(
            "port {port}\n{}\n--- its configuration file ---\n{config}",
            node.server.log()
        );
        fs::write(dir.join(format!("{}.log", node.name)), text)?;
    }
    if let Some(site) = &run.site {
        fs::write(dir.join("gateway.log"), site.log())?;
        let shown = format!(
            "{:#?}\n{:#?}\n{:#?}\n{:#?}",
            site.status(),
            site.group(),
            site.history(),
            site.operations()
        );
        fs::write(dir.join("gateway.state"), shown)?;
    }
    Ok(())
}
