//! Options of `sterna group` and of the verbs that change a group's primary or its services.

use clap::{Args, Subcommand};
use sterna_model::{GroupName, ServiceName};

use super::{ApiArgs, ConfirmArgs, SettingsArgs, WaitArgs};

#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    #[command(subcommand)]
    pub(crate) verb: GroupVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupVerb {
    /// Make services a group: they are checked, copied and fenced.
    Create(Box<CreateGroupArgs>),
    /// List groups.
    List,
    /// Show a group and its settings.
    Show {
        /// The group.
        group: GroupName,
    },
    /// Change a group's settings or its order of preference; what is left out stays.
    Update(Box<UpdateGroupArgs>),
    /// Delete a group: its services stay as they are, replica services read-only.
    Delete {
        /// The group.
        group: GroupName,
        #[command(flatten)]
        confirm: ConfirmArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Take a service into a group as a replica.
    AddReplica(AddReplicaArgs),
    /// Stop replicating to a service; it stays as it is, read-only.
    RemoveReplica(RemoveReplicaArgs),
    /// Follow a primary on which replication holds, whatever it offers: its data replace those of the replica services.
    AcceptHistory {
        /// The group.
        group: GroupName,
        #[command(flatten)]
        confirm: ConfirmArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateGroupArgs {
    /// Its name; clients ask discovery for it as the master name.
    pub(crate) group: GroupName,
    /// The service that takes the writes.
    #[arg(long, value_name = "SERVICE")]
    pub(crate) primary: ServiceName,
    /// A service that copies it; repeat it for more, the preferred successor first.
    #[arg(long, value_name = "SERVICE", required = true)]
    pub(crate) replica: Vec<ServiceName>,
    /// Overwrite what the replica services hold.
    #[arg(long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateGroupArgs {
    /// The group.
    pub(crate) group: GroupName,
    #[command(flatten)]
    pub(crate) order: OrderArgs,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct OrderArgs {
    /// All of its replica services in a new order of preference, the preferred successor first.
    #[arg(long, value_name = "SERVICE", value_delimiter = ',')]
    pub(crate) prefer: Option<Vec<ServiceName>>,
}

#[derive(Debug, Args)]
pub(crate) struct AddReplicaArgs {
    /// The group.
    pub(crate) group: GroupName,
    /// The service.
    pub(crate) service: ServiceName,
    /// Overwrite what it holds.
    #[arg(long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveReplicaArgs {
    /// The group.
    pub(crate) group: GroupName,
    /// The service.
    pub(crate) service: ServiceName,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DetachArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// The group.
    pub(crate) group: GroupName,
    /// The replica service that becomes a primary of its own.
    pub(crate) service: ServiceName,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SwitchoverArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// The group.
    pub(crate) group: GroupName,
    /// The replica service that becomes the primary.
    #[arg(long, value_name = "SERVICE")]
    pub(crate) to: ServiceName,
    /// Even if ACL users are missing there as which clients are logged in at the primary: those would be refused.
    #[arg(long)]
    pub(crate) allow_missing_users: bool,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FailoverArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    /// The group.
    pub(crate) group: GroupName,
    /// The replica service that becomes the primary; by default the one that has the most.
    #[arg(long, value_name = "SERVICE")]
    pub(crate) to: Option<ServiceName>,
    /// Even if more would be lost than the group's limit allows, and without waiting until the old primary has surely shut itself: it
    /// may go on taking writes beside the new one.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}
