//! Options of `sterna service`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use sterna_model::{ConfigRewrite, ServiceName, SiteName};
use sterna_node::NodeAddress;

use super::{ApiArgs, ConfirmArgs};

#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    #[command(subcommand)]
    pub(crate) verb: ServiceVerb,
}

/// The role that the doctor looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// As the service that takes the writes.
    Primary,
    /// As a service that copies.
    Replica,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceVerb {
    /// Register a service: its nodes are asked who they are.
    Add {
        /// Its name.
        name: ServiceName,
        #[command(flatten)]
        options: ServiceOptions,
    },
    /// List services.
    List,
    /// Show a service.
    Show {
        /// Its name.
        name: ServiceName,
    },
    /// Change a service; what is left out stays.
    Update {
        /// Its name.
        name: ServiceName,
        #[command(flatten)]
        options: ServiceOptions,
    },
    /// Forget a service that is in no group. Its nodes are not touched.
    Remove {
        /// Its name.
        name: ServiceName,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
    /// Check whether a service is fit for its role, and say what to change.
    Doctor {
        /// Its name.
        name: ServiceName,
        /// The role to look at.
        #[arg(long, value_enum, default_value_t = RoleArg::Replica)]
        role: RoleArg,
    },
}

/// What is said of a service.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServiceOptions {
    /// Its nodes: `redis://[user@]host[:port][,host…]`, `rediss://…` for TLS, or `redis+sentinel://host[:port],…/name`.
    /// Files of TLS (`?cacert=…`) are read by the gateway: give absolute paths on its machine.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Where it runs: a region, cloud or data centre.
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<SiteName>,
    /// File with the nodes' password, read here and sent to the gateway, which seals it; or set
    /// `STERNA_SERVICE_PASSWORD`.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// File with the Sentinels' password; or set `STERNA_SENTINEL_PASSWORD`.
    #[arg(long, value_name = "FILE")]
    pub(crate) sentinel_password_file: Option<PathBuf>,
    /// A node, beside those in the URL; repeat it for more. For services whose URL names Sentinels.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) node: Vec<NodeAddress>,
    /// Address that clients use for a node instead, in the order of the nodes; repeat it for each.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) client_address: Vec<NodeAddress>,
    /// Whether what a group sets at the nodes is written to their configuration files (when-safe for a new service).
    #[arg(long, value_enum)]
    pub(crate) config_rewrite: Option<ConfigRewriteArg>,
}

/// Whether a node's configuration file is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ConfigRewriteArg {
    /// Where that can do no harm.
    WhenSafe,
    /// Also where the files can't be read from the gateway's machine: you know that no included file has ACL users or modules.
    Always,
    /// Nowhere: you keep the files, with the lines that `sterna service doctor` names.
    Never,
}

impl From<ConfigRewriteArg> for ConfigRewrite {
    fn from(arg: ConfigRewriteArg) -> Self {
        match arg {
            ConfigRewriteArg::WhenSafe => Self::WhenSafe,
            ConfigRewriteArg::Always => Self::Always,
            ConfigRewriteArg::Never => Self::Never,
        }
    }
}
