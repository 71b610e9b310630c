//! The gateway of the demo: `sterna serve` with a configuration file of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sterna_node::NodeAddress;

use super::claim::until;
use super::node::quoted;
use super::place::Place;
use super::process::{Afterwards, Process};

/// A running gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    process: Process,
    /// Its configuration file, by which the operator's commands find the admin token, too.
    pub(super) config: PathBuf,
    pub(super) data_dir: PathBuf,
    /// The API, as a URL.
    pub(super) api: String,
    pub(super) discovery: NodeAddress,
    pub(super) relay_port: u16,
    /// The file that it logs to.
    pub(super) log: PathBuf,
}

impl Gateway {
    /// Starts it and waits until it listens everywhere.
    pub(super) async fn start(
        sterna: &Path,
        place: &mut Place,
        afterwards: Afterwards,
    ) -> anyhow::Result<Self> {
        let (api, relay_port, discovery) = (place.free_port()?, place.free_port()?, place.free_port()?);
        let dir = place.dir();
        let (config, data_dir) = (dir.join("sterna.toml"), dir.join("gateway"));
        let (output, log) = (dir.join("gateway.out"), dir.join("gateway.log"));
        let text = format!(
            "data_dir = {dir}\n\n[api]\nlisten = \"127.0.0.1:{api}\"\n\n[relay]\nlisten = \
             \"127.0.0.1:{relay_port}\"\n\n[discovery]\nlisten = \"127.0.0.1:{discovery}\"\n",
            dir = quoted(&data_dir)
        );
        fs::write(&config, text).with_context(|| format!("{} can't be written", config.display()))?;
        let args = ["serve".as_ref(), "--config".as_ref(), config.as_os_str()];
        let mut process = Process::spawn(sterna, &args, &[], (&output, &log), afterwards)?;
        let up = until("the gateway says that it is up", async || {
            if let Some(status) = process.ended()? {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Ok(Err(anyhow::anyhow!(
                    "the gateway ended with {status}: {}",
                    said.trim()
                )));
            }
            let said = fs::read_to_string(&output)?;
            anyhow::ensure!(said.contains(" is up\n"), "it has said {said:?}");
            Ok(Ok(()))
        });
        up.await??;
        Ok(Self {
            process,
            config,
            data_dir,
            api: format!("http://127.0.0.1:{api}"),
            discovery: NodeAddress::new("127.0.0.1", discovery),
            relay_port,
            log,
        })
    }

    /// Lets it run on after the demo.
    pub(super) fn leave(&mut self) {
        self.process.leave();
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }
}
