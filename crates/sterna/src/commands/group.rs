//! `sterna group`, and the verbs that change a group's primary or its services.

use sterna_model::{
    AcceptHistoryRequest, AddReplicaRequest, DetachRequest, FailoverRequest, Group, GroupName, GroupPatch,
    GroupSettings, GroupSpec, GroupStatus, HistoryEntry, Nothing, SwitchoverRequest,
};

use super::client::Client;
use super::render::{self, Change};
use super::{confirm, done, follow, show};
use crate::cli::{
    AddReplicaArgs, ConfirmArgs, CreateGroupArgs, DetachArgs, FailoverArgs, Format, GroupArgs, GroupVerb,
    HistoryArgs, PauseArgs, RemoveReplicaArgs, SwitchoverArgs, UpdateGroupArgs,
};
use crate::exit::{CommandResult, Failure};
use crate::output;

/// Runs the verb.
pub(super) fn run(args: &GroupArgs) -> CommandResult {
    let client = Client::new(&args.api)?;
    let format = args.api.output;
    match &args.verb {
        GroupVerb::Create(create_args) => create(&client, create_args, format),
        GroupVerb::List => show(&client.get("/groups")?, format, |all: &Vec<Group>, style| {
            render::groups(all, style)
        }),
        GroupVerb::Show { group } => show(&client.get(&format!("/groups/{group}"))?, format, render::group),
        GroupVerb::Update(update_args) => update(&client, update_args, format),
        GroupVerb::Delete { group, confirm, wait } => {
            confirm::group_change(&client, group, &Change::DeleteGroup { group }, *confirm)?;
            let answer = client.delete(&format!("/groups/{group}"))?;
            follow::begun(&client, &answer, *wait, format)
        }
        GroupVerb::AddReplica(add) => add_replica(&client, add, format),
        GroupVerb::RemoveReplica(remove) => remove_replica(&client, remove, format),
        GroupVerb::AcceptHistory { group, confirm } => accept_history(&client, group, *confirm, format),
    }
}

fn accept_history(client: &Client, group: &GroupName, confirm: ConfirmArgs, format: Format) -> CommandResult {
    let status: GroupStatus = client.get(&format!("/groups/{group}/status"))?.read()?;
    confirm::group_change(client, group, &Change::AcceptHistory { group }, confirm)?;
    let body = AcceptHistoryRequest {
        offered: status.offered_history(),
    };
    let answer = client.post(&format!("/groups/{group}/accept-history"), &body)?;
    done(
        format,
        &format!("the primary of group {group} is followed: `sterna status {group}`"),
    );
    show(&answer, format, render::group)
}

fn create(client: &Client, args: &CreateGroupArgs, format: Format) -> CommandResult {
    let spec = GroupSpec {
        name: args.group.clone(),
        primary: args.primary.clone(),
        replicas: args.replica.clone(),
        settings: args.settings.patch().over(&GroupSettings::default()),
        overwrite: args.overwrite,
    };
    let answer = client.post("/groups", &spec)?;
    follow::begun(client, &answer, args.wait, format)
}

fn update(client: &Client, args: &UpdateGroupArgs, format: Format) -> CommandResult {
    let UpdateGroupArgs {
        group,
        order,
        settings,
    } = args;
    let path = format!("/groups/{group}");
    let before = client.get(&path)?;
    let changes = GroupPatch {
        settings: settings.patch(),
        replicas: order.prefer.clone(),
    };
    if changes == GroupPatch::default() {
        return Err(Failure::Refused.because(format!(
            "nothing to change was named\nhint: `sterna group show {group}` shows the settings, and the options of \
             `sterna group update` are named like them"
        )));
    }
    let kept = before.read::<Group>()?.settings;
    if changes.replicas.is_none() && changes.settings.over(&kept) == kept {
        done(format, &format!("group {group} is like that already"));
        return show(&before, format, render::group);
    }
    let answer = client.patch(&path, &changes, before.etag)?;
    done(format, &format!("group {group} is changed"));
    show(&answer, format, render::group)
}

fn add_replica(client: &Client, args: &AddReplicaArgs, format: Format) -> CommandResult {
    let body = AddReplicaRequest {
        service: args.service.clone(),
        overwrite: args.overwrite,
    };
    let answer = client.post(&format!("/groups/{}/replicas", args.group), &body)?;
    follow::begun(client, &answer, args.wait, format)
}

fn remove_replica(client: &Client, args: &RemoveReplicaArgs, format: Format) -> CommandResult {
    let (group, service) = (&args.group, &args.service);
    let change = Change::RemoveReplica { group, service };
    confirm::group_change(client, group, &change, args.confirm)?;
    let answer = client.delete(&format!("/groups/{group}/replicas/{service}"))?;
    follow::begun(client, &answer, args.wait, format)
}

/// `sterna detach`.
pub(super) fn detach(args: &DetachArgs) -> CommandResult {
    let client = Client::new(&args.api)?;
    let (group, service) = (&args.group, &args.service);
    confirm::group_change(&client, group, &Change::Detach { group, service }, args.confirm)?;
    let body = DetachRequest {
        service: service.clone(),
    };
    let answer = client.post(&format!("/groups/{group}/detach"), &body)?;
    follow::begun(&client, &answer, args.wait, args.api.output)
}

/// `sterna switchover`.
pub(super) fn switchover(args: &SwitchoverArgs) -> CommandResult {
    let client = Client::new(&args.api)?;
    let (group, to) = (&args.group, &args.to);
    confirm::group_change(&client, group, &Change::Switchover { group, to }, args.confirm)?;
    let body = SwitchoverRequest {
        to: to.clone(),
        allow_missing_users: args.allow_missing_users,
    };
    let answer = client.post(&format!("/groups/{group}/switchover"), &body)?;
    follow::begun(&client, &answer, args.wait, args.api.output)
}

/// `sterna failover`.
pub(super) fn failover(args: &FailoverArgs) -> CommandResult {
    let client = Client::new(&args.api)?;
    let group = &args.group;
    let change = Change::Failover {
        group,
        to: args.to.as_ref(),
        force: args.force,
    };
    confirm::group_change(&client, group, &change, args.confirm)?;
    let body = FailoverRequest {
        to: args.to.clone(),
        force: args.force,
    };
    let answer = client.post(&format!("/groups/{group}/failover"), &body)?;
    follow::begun(&client, &answer, args.wait, args.api.output)
}

/// `sterna pause` and `sterna resume`.
pub(super) fn pause(args: &PauseArgs, paused: bool) -> CommandResult {
    let client = Client::new(&args.api)?;
    let group = &args.group;
    let verb = if paused { "pause" } else { "resume" };
    let answer = client.post(&format!("/groups/{group}/{verb}"), &Nothing {})?;
    match (args.api.output, paused) {
        (Format::Json, _) => output::data(answer.text.trim_end()),
        (Format::Table, true) => output::data(&format!(
            "group {group} is paused: replication goes on, but nobody fails over and nothing is repaired until `sterna \
             resume {group}`"
        )),
        (Format::Table, false) => output::data(&format!("group {group} looks after itself again")),
    };
    Ok(())
}

/// `sterna history`.
pub(super) fn history(args: &HistoryArgs) -> CommandResult {
    let client = Client::new(&args.api)?;
    let answer = client.get(&format!("/groups/{}/history", args.group))?;
    show(&answer, args.api.output, |all: &Vec<HistoryEntry>, style| {
        render::history(all, style)
    })
}
