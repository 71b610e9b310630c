//! Options of `sterna replicate` and `sterna promote`: one link, without a gateway.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sterna_model::Acknowledge;

use super::{Output, parse_bytes};

/// What an acknowledgement to the primary means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AcknowledgeArg {
    /// On this gateway's disk.
    Gateway,
    /// Applied by every attached replica node.
    Replica,
}

impl From<AcknowledgeArg> for Acknowledge {
    fn from(arg: AcknowledgeArg) -> Self {
        match arg {
            AcknowledgeArg::Gateway => Self::Gateway,
            AcknowledgeArg::Replica => Self::Replica,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReplicateArgs {
    /// The service to copy: `redis://[user@]host[:port][,host…]`, `rediss://…` for TLS, or
    /// `redis+sentinel://host[:port],…/master-name`.
    #[arg(long, env = "STERNA_FROM", hide_env_values = true, value_name = "URL")]
    pub(crate) from: String,
    /// A node that becomes a replica; repeat it for more.
    #[arg(
        long,
        env = "STERNA_TO",
        hide_env_values = true,
        value_name = "URL",
        required = true,
        value_delimiter = ' '
    )]
    pub(crate) to: Vec<String>,
    /// File with the password for `--from`; or set `STERNA_FROM_PASSWORD`.
    #[arg(long, value_name = "FILE")]
    pub(crate) from_password_file: Option<PathBuf>,
    /// File with the password for every `--to`; or set `STERNA_TO_PASSWORD`.
    #[arg(long, value_name = "FILE")]
    pub(crate) to_password_file: Option<PathBuf>,
    /// Overwrite what the targets hold.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Follow a primary whose history does not continue ours, once: the targets are overwritten.
    #[arg(long)]
    pub(crate) accept_new_history: bool,
    /// Where the replication log and the state of this link are kept.
    #[arg(
        long,
        env = "STERNA_DATA_DIR",
        default_value = "sterna-data",
        value_name = "DIR"
    )]
    pub(crate) data_dir: PathBuf,
    /// Where the relay listens for the targets. By default port 7801, on loopback if every target is there.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) relay_addr: Option<SocketAddr>,
    /// Where the targets find the relay, if it is not the address from which we reach them.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) announce_addr: Option<String>,
    /// Certificate of the relay (PEM): the targets connect over TLS then.
    #[arg(long, value_name = "FILE", requires = "relay_tls_key")]
    pub(crate) relay_tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "relay_tls_cert")]
    pub(crate) relay_tls_key: Option<PathBuf>,
    /// Demand client certificates signed by this CA (PEM) from the targets.
    #[arg(long, value_name = "FILE", requires = "relay_tls_cert")]
    pub(crate) relay_tls_client_ca: Option<PathBuf>,
    /// Largest size of the log: how long a target may be away without a full copy. Takes KiB, MiB, GiB.
    #[arg(long, default_value = "8GiB", value_parser = parse_bytes, value_name = "BYTES")]
    pub(crate) log_max_bytes: u64,
    /// Memory for the hot end of the stream.
    #[arg(long, default_value = "16MiB", value_parser = parse_bytes, value_name = "BYTES")]
    pub(crate) tail_bytes: u64,
    /// What `WAIT` at the primary means.
    #[arg(long, value_enum, default_value_t = AcknowledgeArg::Replica)]
    pub(crate) acknowledge: AcknowledgeArg,
    /// Serve Prometheus metrics here, at /metrics.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) metrics_addr: Option<SocketAddr>,
    /// How to print progress.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// The node to promote.
    #[arg(long, env = "STERNA_TO", hide_env_values = true, value_name = "URL")]
    pub(crate) to: String,
    /// File with its password; or set `STERNA_TO_PASSWORD`.
    #[arg(long, value_name = "FILE")]
    pub(crate) to_password_file: Option<PathBuf>,
    /// The data directory of the link.
    #[arg(
        long,
        env = "STERNA_DATA_DIR",
        default_value = "sterna-data",
        value_name = "DIR"
    )]
    pub(crate) data_dir: PathBuf,
    /// How long to wait until the node has applied what the log holds, in seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// Promote even if the node has not applied everything by then: those writes are lost to it.
    #[arg(long)]
    pub(crate) force: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}
