//! The command line: the verbs, and by topic in the modules below their options.

mod commands;
mod config;
mod group;
mod replicate;
mod service;
mod settings;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use commands::{
    ApiArgs, AuditArgs, ConfirmArgs, Format, HistoryArgs, OperationArgs, OperationVerb, PauseArgs,
    RescueArgs, RescueVerb, StatusArgs, TokenArgs, TokenRole, TokenVerb, WaitArgs,
};
pub(crate) use config::{ConfigArgs, ConfigSource, ConfigVerb, ServeArgs};
pub(crate) use group::{
    AddReplicaArgs, CreateGroupArgs, DetachArgs, FailoverArgs, GroupArgs, GroupVerb, RemoveReplicaArgs,
    SwitchoverArgs, UpdateGroupArgs,
};
pub(crate) use replicate::{AcknowledgeArg, PromoteArgs, ReplicateArgs};
pub(crate) use service::{RoleArg, ServiceArgs, ServiceOptions, ServiceVerb};
pub(crate) use settings::SettingsArgs;

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

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the gateway: it keeps replication groups, serves the API and tells clients where the primaries are.
    ///
    /// Runs in the foreground until SIGTERM or Ctrl-C; a second signal ends it at once. Settings come from the options
    /// here, then from `STERNA_…` variables, then from the configuration file, then from the defaults.
    ///
    /// The first start prints an admin token, once, and keeps it in admin-token in the data directory, where the verbs
    /// below find it on this machine.
    Serve(ServeArgs),
    /// Check, show or print the gateway's configuration.
    Config(ConfigArgs),
    /// Show how groups are doing.
    Status(StatusArgs),
    /// Register services, look at them, and check whether they are fit for their role.
    Service(ServiceArgs),
    /// Create, change and delete replication groups.
    Group(GroupArgs),
    /// Change the primary service as planned: no write lost, nothing recopied.
    Switchover(SwitchoverArgs),
    /// Fail over: promote a replica service because the primary is lost.
    Failover(FailoverArgs),
    /// Take a replica service out of its group as a primary of its own.
    Detach(DetachArgs),
    /// Let the gateway decide nothing by itself in a group; replication goes on.
    Pause(PauseArgs),
    /// Let the gateway decide by itself again.
    Resume(PauseArgs),
    /// Show the primaries that a group has had.
    History(HistoryArgs),
    /// Look at operations, wait for them, cancel them.
    Operation(OperationArgs),
    /// Writes that a failover left behind, saved as files.
    Rescue(RescueArgs),
    /// Tokens for the API.
    Token(TokenArgs),
    /// Show who did what, when, with what result.
    Audit(AuditArgs),
    /// Copy one service to one or more nodes, and keep them up to date until stopped.
    ///
    /// Runs in the foreground. Run again with the same data directory, it resumes with a partial resync.
    Replicate(Box<ReplicateArgs>),
    /// Make a replica node a primary, once it has applied what the log holds.
    Promote(PromoteArgs),
    /// Look into a replication log.
    #[command(subcommand)]
    Log(LogVerb),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual pages.
    Man {
        /// The directory that they are written to.
        dir: PathBuf,
    },
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

/// Reads `90s`, `30m`, `12h`, `30d`, in seconds; a number alone is seconds.
pub(crate) fn parse_span(text: &str) -> Result<u32, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        other => return Err(format!("{other:?} is no unit of time; take s, m, h or d")),
    };
    let number: u32 = digits
        .trim()
        .parse()
        .map_err(|_| format!("{text:?} is not a span of time"))?;
    number
        .checked_mul(unit)
        .ok_or_else(|| format!("{text} is too long"))
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

    #[test]
    fn spans_take_units() {
        assert_eq!(parse_span("30d"), Ok(2_592_000));
        assert_eq!(parse_span("5m"), Ok(300));
        assert_eq!(parse_span("7"), Ok(7));
        for bad in ["", "d", "1y", "-1", "99999999999999999d"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }
}
