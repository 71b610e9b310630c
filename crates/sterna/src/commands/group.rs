//! `sterna group`, and the verbs that change a group's primary or its services.

use serde_json::json;
use sterna_control::GroupPatch;
use sterna_model::{Group, GroupSettings, GroupSpec, HistoryEntry};

use super::client::Client;
use super::render::{self, Change};
use super::{confirm, done, follow, show};
use crate::cli::{
    AddReplicaArgs, CreateGroupArgs, DetachArgs, FailoverArgs, Format, GroupArgs, GroupVerb, HistoryArgs,
    PauseArgs, RemoveReplicaArgs, SettingsArgs, SwitchoverArgs, UpdateGroupArgs,
};
use crate::exit::{Classify as _, CommandResult, Failure};
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
    }
}

fn create(client: &Client, args: &CreateGroupArgs, format: Format) -> CommandResult {
    let spec = GroupSpec {
        name: args.group.clone(),
        primary: args.primary.clone(),
        replicas: args.replica.clone(),
        settings: args.settings.over(GroupSettings::default()),
        overwrite: args.overwrite,
    };
    let answer = client.post("/groups", &serde_json::to_value(&spec).class(Failure::Other)?)?;
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
    let kept = before.read::<Group>()?.settings;
    let wanted = settings.over(kept.clone());
    let changes = GroupPatch {
        settings: (wanted != kept).then_some(wanted),
        replicas: order.prefer.clone(),
    };
    if changes == GroupPatch::default() {
        if is_silent(settings) {
            return Err(Failure::Refused.because(format!(
                "nothing to change was named\nhint: `sterna group show {group}` shows the settings, and the options of \
                 `sterna group update` are named like them"
            )));
        }
        done(format, &format!("group {group} is like that already"));
        return show(&before, format, render::group);
    }
    let body = serde_json::to_value(&changes).class(Failure::Other)?;
    let answer = client.patch(&path, &body, before.etag)?;
    done(format, &format!("group {group} is changed"));
    show(&answer, format, render::group)
}

/// Whether no setting was named: what would be put over two different values leaves both.
fn is_silent(settings: &SettingsArgs) -> bool {
    let one = GroupSettings::default();
    let other = GroupSettings {
        automatic_failover: !one.automatic_failover,
        fencing: sterna_model::Fencing::None,
        lease_seconds: one.lease_seconds + 1,
        down_after_ms: one.down_after_ms + 1,
        sentinel_grace_seconds: one.sentinel_grace_seconds + 1,
        failover_pause_seconds: one.failover_pause_seconds + 1,
        max_lag_on_failover_seconds: one.max_lag_on_failover_seconds + 1,
        switchover_timeout_ms: one.switchover_timeout_ms + 1,
        acknowledge: sterna_model::Acknowledge::Gateway,
        log_max_bytes: one.log_max_bytes + 1,
        tail_bytes: one.tail_bytes + 1,
        rescue: sterna_model::RescueSettings {
            max_bytes: one.rescue.max_bytes + 1,
            keep_days: one.rescue.keep_days + 1,
        },
    };
    settings.over(one.clone()) == one && settings.over(other.clone()) == other
}

fn add_replica(client: &Client, args: &AddReplicaArgs, format: Format) -> CommandResult {
    let body = json!({ "service": args.service, "overwrite": args.overwrite });
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
    let answer = client.post(&format!("/groups/{group}/detach"), &json!({ "service": service }))?;
    follow::begun(&client, &answer, args.wait, args.api.output)
}

/// `sterna switchover`.
pub(super) fn switchover(args: &SwitchoverArgs) -> CommandResult {
    let client = Client::new(&args.api)?;
    let (group, to) = (&args.group, &args.to);
    confirm::group_change(&client, group, &Change::Switchover { group, to }, args.confirm)?;
    let answer = client.post(&format!("/groups/{group}/switchover"), &json!({ "to": to }))?;
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
    let mut body = json!({ "force": args.force });
    if let Some(to) = &args.to {
        body["to"] = json!(to);
    }
    let answer = client.post(&format!("/groups/{group}/failover"), &body)?;
    follow::begun(&client, &answer, args.wait, args.api.output)
}

/// `sterna pause` and `sterna resume`.
pub(super) fn pause(args: &PauseArgs, paused: bool) -> CommandResult {
    let client = Client::new(&args.api)?;
    let group = &args.group;
    let verb = if paused { "pause" } else { "resume" };
    let answer = client.post(&format!("/groups/{group}/{verb}"), &json!({}))?;
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
