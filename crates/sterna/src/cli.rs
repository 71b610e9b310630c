//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::EXIT_CODES;

/// Cross-cluster replication for Redis and Valkey.
#[derive(Debug, Parser)]
#[command(name = "sterna", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON object per event, for programs.
    Json,
}

/// What an acknowledgement to the primary means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AcknowledgeArg {
    /// On this gateway's disk.
    Gateway,
    /// Applied by every attached replica node.
    Replica,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Copy one service to one or more nodes, and keep them up to date until stopped.
    ///
    /// Runs in the foreground. Run again with the same data directory, it resumes with a partial resync.
    Replicate(Box<ReplicateArgs>),
    /// Make a replica node a primary, once it has applied what the log holds.
    Promote(PromoteArgs),
    /// Look into a replication log.
    #[command(subcommand)]
    Log(LogVerb),
    /// Play the whole story on this machine with servers of its own.
    Demo(DemoArgs),
    /// Print a reference page.
    #[command(hide = true)]
    Docs {
        /// Which one.
        #[arg(value_enum)]
        page: crate::docs::Page,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogVerb {
    /// Show segments, history and snapshots, and where the log is damaged.
    Inspect {
        /// A log directory, or the data directory that holds it.
        dir: PathBuf,
        /// How to print it.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
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

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave everything running, and say how to look around.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Data to fill in, in MiB.
    #[arg(
        long,
        default_value_t = 200,
        value_parser = clap::value_parser!(u64).range(1..=100_000),
        value_name = "MIB"
    )]
    pub(crate) megabytes: u64,
}

/// Reads `8GiB`, `512MB`, `1000`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        other => return Err(format!("{other:?} is no unit of bytes; take KiB, MiB or GiB")),
    };
    let number: u64 = digits
        .trim()
        .parse()
        .map_err(|_| format!("{text:?} is not a number of bytes"))?;
    number
        .checked_mul(unit)
        .ok_or_else(|| format!("{text} is too large"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bytes_take_units() {
        assert_eq!(parse_bytes("8GiB"), Ok(8 << 30));
        assert_eq!(parse_bytes("10 MB"), Ok(10_000_000));
        assert_eq!(parse_bytes("7"), Ok(7));
        for bad in ["", "GiB", "1XB", "-1", "99999999999999GiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
