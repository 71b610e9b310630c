//! Options of the operator verbs that are not about one service or group alone, and those that all of them share.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use sterna_model::{GroupName, OperationId, RescueId, TokenId};

use super::parse_span;

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// The API's JSON as it is, for programs.
    Json,
}

/// How to reach the gateway's API.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "API")]
pub(crate) struct ApiArgs {
    /// The gateway's API.
    #[arg(
        long,
        env = "STERNA_API",
        hide_env_values = true,
        default_value = "http://127.0.0.1:7800",
        value_name = "URL",
        global = true
    )]
    pub(crate) api: String,
    /// File with the token; else `STERNA_TOKEN`, else, for a gateway on this machine, admin-token in its data directory.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificate of the authority that signed the API's (PEM); else those of the system are trusted.
    #[arg(
        long,
        env = "STERNA_CA_FILE",
        hide_env_values = true,
        value_name = "FILE",
        global = true
    )]
    pub(crate) ca_file: Option<PathBuf>,
    /// Our certificate (PEM), where the API demands one.
    #[arg(
        long,
        env = "STERNA_CLIENT_CERT",
        hide_env_values = true,
        value_name = "FILE",
        requires = "client_key",
        global = true
    )]
    pub(crate) client_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(
        long,
        env = "STERNA_CLIENT_KEY",
        hide_env_values = true,
        value_name = "FILE",
        global = true
    )]
    pub(crate) client_key: Option<PathBuf>,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Format::Table, global = true)]
    pub(crate) output: Format,
}

/// Whether to ask first.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ConfirmArgs {
    /// Do it without asking.
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// Whether to wait for the operation.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WaitArgs {
    /// Do not wait: print the operation's number and end.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// Only this group.
    pub(crate) group: Option<GroupName>,
    /// Go on showing it: redrawn on a terminal, else a line for each change.
    #[arg(long, short)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// The group.
    pub(crate) group: GroupName,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// The group.
    pub(crate) group: GroupName,
}

#[derive(Debug, Args)]
pub(crate) struct OperationArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    #[command(subcommand)]
    pub(crate) verb: OperationVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperationVerb {
    /// List operations, the newest first.
    List {
        /// Only those of this group.
        #[arg(long)]
        group: Option<GroupName>,
        /// Only those before this one.
        #[arg(long, value_name = "ID")]
        before: Option<OperationId>,
        /// At most so many.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
    /// Show an operation with its steps, and its report.
    Show {
        /// Its number.
        id: OperationId,
    },
    /// Show an operation's steps as they happen, until it is over.
    Wait {
        /// Its number.
        id: OperationId,
        /// Give up waiting after so many seconds; the operation goes on.
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
    },
    /// End an operation: a change of primary before its point of no return, what joins or returns at any time.
    Cancel {
        /// Its number.
        id: OperationId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RescueArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    #[command(subcommand)]
    pub(crate) verb: RescueVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RescueVerb {
    /// List rescue files.
    List {
        /// Only those of this group.
        #[arg(long)]
        group: Option<GroupName>,
    },
    /// Show what is in a rescue file.
    Show {
        /// Its number.
        id: RescueId,
    },
    /// Fetch a rescue file.
    Export {
        /// Its number.
        id: RescueId,
        /// Where to write it; `-` is the standard output. By default its own name in this directory.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Delete a rescue file for good.
    Delete {
        /// Its number.
        id: RescueId,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    #[command(subcommand)]
    pub(crate) verb: TokenVerb,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenRole {
    /// Look.
    Viewer,
    /// Also change groups: switchover, failover, pause, resume, cancel.
    Operator,
    /// Everything.
    Admin,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Make a token. It is shown once and kept nowhere.
    Create {
        /// Whose it is; it stands in the audit.
        name: String,
        /// What it may do.
        #[arg(long, value_enum, default_value_t = TokenRole::Viewer)]
        role: TokenRole,
        /// It ends by itself after this: 90s, 30m, 12h, 30d.
        #[arg(long, value_parser = parse_span, value_name = "SPAN")]
        expires: Option<u32>,
        /// Write it to this file (mode 0600) instead of the standard output.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// List tokens.
    List,
    /// Make a token worthless at once.
    Revoke {
        /// Its number.
        id: TokenId,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// Only records before this one.
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<u64>,
    /// At most so many, the newest.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: usize,
}
