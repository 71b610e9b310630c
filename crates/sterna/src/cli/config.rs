//! Options of `sterna serve` and `sterna config`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Where settings come from.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigSource {
    /// The configuration file; without one, /etc/sterna/sterna.toml where it exists.
    #[arg(
        long,
        env = "STERNA_CONFIG",
        hide_env_values = true,
        value_name = "FILE",
        global = true
    )]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Default, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) source: ConfigSource,
    /// Where the catalogue, the replication logs and rescue files are kept (`data_dir`).
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the API listens (`api.listen`).
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen_api: Option<SocketAddr>,
    /// Where the relay listens for replica nodes (`relay.listen`).
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen_relay: Option<SocketAddr>,
    /// Where discovery listens for clients (`discovery.listen`).
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen_discovery: Option<SocketAddr>,
    /// Make another admin token, because all others are lost; it replaces admin-token in the data directory.
    #[arg(long)]
    pub(crate) new_admin_token: bool,
    /// Begin with an empty store though logs or rescue files of groups are there: store.db is lost for good.
    #[arg(long)]
    pub(crate) new_store: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    pub(crate) source: ConfigSource,
    #[command(subcommand)]
    pub(crate) verb: ConfigVerb,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Check the configuration: every field, every file that it names, and their permissions.
    Check,
    /// Show the settings in effect, and where each of them comes from.
    Show {
        /// How to print it.
        #[arg(long, value_enum, default_value_t = super::Format::Table)]
        output: super::Format,
    },
    /// Print a configuration file with every field, its meaning and its default.
    Default,
}
