//! What a change will do, and what could be lost right now: said before it is asked for.

use sterna_model::{
    GroupName, GroupState, GroupStatus, LinkState, Rescue, ServiceName, ServiceRole, ServiceStatus, Token,
};

use super::admin::role_word;
use super::units::amount;
use crate::output;

/// A change that somebody may regret.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    /// Planned change of primary.
    Switchover {
        group: &'a GroupName,
        to: &'a ServiceName,
    },
    /// Unplanned change of primary.
    Failover {
        group: &'a GroupName,
        to: Option<&'a ServiceName>,
        force: bool,
    },
    /// A replica service leaves as a primary of its own.
    Detach {
        group: &'a GroupName,
        service: &'a ServiceName,
    },
    /// A replica service leaves as it is.
    RemoveReplica {
        group: &'a GroupName,
        service: &'a ServiceName,
    },
    /// What the primary offers is accepted.
    AcceptHistory { group: &'a GroupName },
    /// A group is deleted.
    DeleteGroup { group: &'a GroupName },
    /// A service is forgotten.
    RemoveService { service: &'a ServiceName },
    /// A rescue file is deleted.
    DeleteRescue { rescue: &'a Rescue },
    /// A token is revoked.
    RevokeToken { token: &'a Token },
}

/// What will happen, in lines. `status` is that of the group, as it is now.
pub(crate) fn impact(change: &Change<'_>, status: Option<&GroupStatus>) -> String {
    let mut lines = match change {
        Change::Switchover { group, to } => switchover(group, to, status),
        Change::Failover { group, to, force } => failover(group, *to, *force, status),
        Change::Detach { group, service } => vec![
            format!(
                "detach: {service} leaves group {group} and becomes a primary of its own, which takes writes."
            ),
            "It gets no more of the group's writes; coming back later needs its data to be overwritten."
                .to_owned(),
            lag_of(service, status, "it does not have"),
            left_over(service, status),
        ],
        Change::RemoveReplica { group, service } => vec![
            format!(
                "remove-replica: {service} leaves group {group} and stays as it is, read-only, with the data it has."
            ),
            lag_of(service, status, "it does not have"),
            left_over(service, status),
        ],
        Change::AcceptHistory { group } => accept_history(group, status),
        Change::DeleteGroup { group } => delete_group(group, status),
        Change::RemoveService { service } => vec![
            format!(
                "remove: the gateway forgets service {service} and its password. Its nodes are not touched."
            ),
            "It is refused where a group uses the service. No write is lost.".to_owned(),
        ],
        Change::DeleteRescue { rescue } => delete_rescue(rescue),
        Change::RevokeToken { token } => vec![
            format!(
                "revoke: token {} ({}, {}) opens nothing from now on. Whoever uses it is locked out at once.",
                token.id,
                token.name,
                role_word(token.role)
            ),
            "No write is lost.".to_owned(),
        ],
    };
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

fn switchover(group: &GroupName, to: &ServiceName, status: Option<&GroupStatus>) -> Vec<String> {
    let from = primary(status).map_or_else(|| "the primary".to_owned(), |service| service.name.to_string());
    let mut lines = vec![
        format!("switchover: group {group} goes from {from} to {to}."),
        format!(
            "Writes wait until {to} has everything, then go there; {from} becomes a replica. Nothing is lost, and where \
             it can't be done in time, it is given up and all is as before."
        ),
        lag_of(to, status, "it catches up with first"),
    ];
    match status {
        None => lines.push(unknown()),
        Some(status) if status.summary.state != GroupState::Healthy => {
            lines.push(format!(
                "The group is {} now: {}",
                status.summary.state.as_str(),
                status.summary.reason
            ));
            lines.push(unreplicated(status));
        }
        Some(status) => lines.push(unreplicated(status)),
    }
    lines
}

fn accept_history(group: &GroupName, status: Option<&GroupStatus>) -> Vec<String> {
    let primary =
        primary(status).map_or_else(|| "the primary".to_owned(), |service| service.name.to_string());
    let holds = status.into_iter().flat_map(|status| &status.shards);
    let holds = holds.filter_map(|shard| match &shard.link {
        LinkState::Holding(reason) => Some(reason.to_string()),
        _ => None,
    });
    let mut lines = vec![format!(
        "accept-history: the replica services of group {group} are given the data of {primary} anew, whatever it holds."
    )];
    lines.extend(holds);
    lines.push(
        "What only the replica services hold is LOST. To keep it and lose the primary's instead: `sterna failover`."
            .to_owned(),
    );
    lines
}

fn failover(
    group: &GroupName,
    to: Option<&ServiceName>,
    force: bool,
    status: Option<&GroupStatus>,
) -> Vec<String> {
    let to = to.map_or_else(
        || "the replica service that has the most".to_owned(),
        ToString::to_string,
    );
    let from = primary(status).map_or_else(|| "the primary".to_owned(), |service| service.name.to_string());
    let mut lines = vec![
        format!("failover: group {group} goes from {from} to {to}, without {from}'s consent."),
        format!(
            "Writes that {from} took and nobody else has yet are LEFT BEHIND there; they are saved as a rescue file when \
             it comes back."
        ),
    ];
    if force {
        lines.push(format!(
            "Forced: the group's limit for what may be lost does not hold, and {from} is not waited for: it may go on \
             taking writes beside the new primary for some seconds."
        ));
    }
    match status {
        None => lines.push(unknown()),
        Some(status) => {
            lines.push(format!(
                "Right now that would be {} of writes.",
                amount(status.unreplicated_bytes(), status.unreplicated_seconds())
            ));
            if status.summary.state == GroupState::Healthy {
                lines.push(format!(
                    "{from} is WELL: `sterna switchover {group} --to SERVICE` loses nothing."
                ));
            } else {
                lines.push(format!(
                    "The group is {} now: {}",
                    status.summary.state.as_str(),
                    status.summary.reason
                ));
            }
        }
    }
    lines
}

fn delete_group(group: &GroupName, status: Option<&GroupStatus>) -> Vec<String> {
    let mut lines = vec![
        format!("delete: group {group} is deleted. Its services stay as they are: the primary takes writes, replicas stay read-only."),
        "Replication ends, nobody fails over, the replication log and the fence are removed; a new group needs a full copy."
            .to_owned(),
    ];
    match status {
        None => lines.push(unknown()),
        Some(status) => lines.push(format!(
            "What the replicas do not have by then they never get; right now that is {} of writes.",
            amount(status.unreplicated_bytes(), status.unreplicated_seconds())
        )),
    }
    lines
}

fn delete_rescue(rescue: &Rescue) -> Vec<String> {
    let what = match &rescue.summary {
        Some(summary) => format!(
            "{} commands on {} keys",
            output::count(summary.commands),
            output::count(summary.keys)
        ),
        None => "the old primary's whole data".to_owned(),
    };
    vec![
        format!(
            "delete: rescue file {} of group {} ({what}, {}) is gone for good.",
            rescue.id,
            rescue.group,
            output::bytes(rescue.bytes)
        ),
        format!(
            "It holds writes of {} that exist nowhere else. `sterna rescue export {}` saves a copy.",
            rescue.service, rescue.id
        ),
    ]
}

fn unreplicated(status: &GroupStatus) -> String {
    if status.unreplicated_bytes() == 0 {
        return "If the primary were lost right now, nothing would be lost with it (0 B of writes)."
            .to_owned();
    }
    format!(
        "If the primary were lost right now, {} of writes would be lost with it.",
        amount(status.unreplicated_bytes(), status.unreplicated_seconds())
    )
}

fn unknown() -> String {
    "How much could be lost right now is not known: the gateway tells no status of the group.".to_owned()
}

fn primary(status: Option<&GroupStatus>) -> Option<&ServiceStatus> {
    let mut services = status?.services.iter();
    services.find(|service| service.role == ServiceRole::Primary)
}

/// How far the best node of a service is behind.
fn lag_of(service: &ServiceName, status: Option<&GroupStatus>, what: &str) -> String {
    let Some(status) = status else {
        return String::new();
    };
    let found = status.services.iter().find(|found| found.name == *service);
    let nodes = found.map_or(&[][..], |found| found.nodes.as_slice());
    let best = nodes
        .iter()
        .filter_map(|node| {
            Some((
                node.figures.lag_bytes?,
                node.figures.lag_seconds.unwrap_or_default(),
            ))
        })
        .min_by_key(|(bytes, _)| *bytes);
    match best {
        Some((bytes, seconds)) => format!(
            "{service} is {} behind now, which {what}.",
            amount(bytes, seconds)
        ),
        None => format!("How far {service} is behind is not known now."),
    }
}

/// Whether the group has a replica service left.
fn left_over(service: &ServiceName, status: Option<&GroupStatus>) -> String {
    let Some(status) = status else {
        return unknown();
    };
    let replicas = status
        .services
        .iter()
        .filter(|other| other.role == ServiceRole::Replica && other.name != *service && other.ok);
    match replicas.count() {
        0 => "No other replica service is well: after this, the loss of the primary loses everything."
            .to_owned(),
        1 => "One replica service is left after this.".to_owned(),
        more => format!("{more} replica services are left after this."),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn every_change_says_what_it_does_and_what_could_be_lost() {
        let healthy = samples::healthy("orders");
        let down = samples::primary_down("orders");
        let group: GroupName = "orders".parse().expect("a name");
        let us: ServiceName = "us".parse().expect("a name");
        let (rescue, token) = (samples::rescue(), samples::tokens().remove(0));
        let failover = |force| Change::Failover {
            group: &group,
            to: None,
            force,
        };
        let switchover = Change::Switchover {
            group: &group,
            to: &us,
        };
        let detach = Change::Detach {
            group: &group,
            service: &us,
        };
        let remove = Change::RemoveReplica {
            group: &group,
            service: &us,
        };
        let texts = [
            impact(&switchover, Some(&healthy)),
            impact(&switchover, None),
            impact(&failover(false), Some(&healthy)),
            impact(&failover(true), Some(&down)),
            impact(&detach, Some(&healthy)),
            impact(&remove, Some(&healthy)),
            impact(&Change::DeleteGroup { group: &group }, Some(&healthy)),
            impact(&Change::RemoveService { service: &us }, None),
            impact(&Change::DeleteRescue { rescue: &rescue }, None),
            impact(&Change::RevokeToken { token: &token }, None),
        ];
        insta::assert_snapshot!(texts.join("\n\n"));
    }
}
