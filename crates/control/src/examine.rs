//! One node, looked at for a role.

use sterna_model::ServiceRole;
use sterna_node::{Client, Engine, Info, NodeAddress, Role};

use crate::access::{Access, client};
use crate::handle::{DoctorCheck, DoctorVerdict};

struct Examination<'a> {
    subject: String,
    checks: &'a mut Vec<DoctorCheck>,
}

impl Examination<'_> {
    fn add(&mut self, verdict: DoctorVerdict, name: &str, detail: impl Into<String>, advice: Option<&str>) {
        self.checks.push(DoctorCheck {
            subject: self.subject.clone(),
            name: name.to_owned(),
            verdict,
            detail: detail.into(),
            advice: advice.map(str::to_owned),
        });
    }

    fn pass(&mut self, name: &str, detail: impl Into<String>) {
        self.add(DoctorVerdict::Pass, name, detail, None);
    }

    fn warn(&mut self, name: &str, detail: impl Into<String>, advice: &str) {
        self.add(DoctorVerdict::Warn, name, detail, Some(advice));
    }

    fn refuse(&mut self, name: &str, detail: impl Into<String>, advice: &str) {
        self.add(DoctorVerdict::Refuse, name, detail, Some(advice));
    }
}

/// Looks at a node, changing nothing.
pub(crate) async fn node(
    access: &Access,
    address: &NodeAddress,
    role: ServiceRole,
    checks: &mut Vec<DoctorCheck>,
) {
    let mut examination = Examination {
        subject: address.to_string(),
        checks,
    };
    let mut client = match client(&access.node(address)).await {
        Ok(client) => client,
        Err(error) => return examination.refuse("reachable", error.to_string(), error.hint()),
    };
    examination.pass("reachable", "it answers, and the login is right");
    let info = match client.info().await {
        Ok(info) => info,
        Err(error) => return examination.refuse("INFO", error.to_string(), error.hint()),
    };
    if !engine(&mut examination, &info) {
        return;
    }
    place(&mut examination, &info, role);
    persistence(&mut examination, &info, role);
    settings(&mut examination, &mut client, &info).await;
}

fn engine(examination: &mut Examination<'_>, info: &Info) -> bool {
    match Engine::recognise(info) {
        Ok(engine) => {
            examination.pass("engine", engine.to_string());
            true
        }
        Err(unsupported) => {
            let advice = "replication is within Redis and Valkey only";
            examination.refuse("engine", unsupported.to_string(), advice);
            false
        }
    }
}

fn place(examination: &mut Examination<'_>, info: &Info, role: ServiceRole) {
    if info.cluster_enabled() {
        let advice = "this version replicates standalone services only";
        return examination.refuse("standalone", "it is a member of a Redis Cluster", advice);
    }
    let Ok(replication) = info.replication() else {
        return examination.refuse(
            "replication",
            "INFO lacks its replication section",
            "see the rights of the user",
        );
    };
    match (role, replication.role) {
        (ServiceRole::Primary, Role::Primary) => {
            let count = replication.connected_replicas;
            examination.pass(
                "role",
                format!(
                    "it is a primary, at offset {}, with {count} replicas",
                    replication.offset
                ),
            );
        }
        (ServiceRole::Primary, Role::Replica) => {
            examination.pass("role", "it is a replica; another node must be the primary");
        }
        (_, Role::Replica) => examination.pass("role", "it is a replica"),
        (_, Role::Primary) => {
            let keys: u64 = info.keyspace().values().sum();
            if keys == 0 {
                examination.pass("role", "it is an empty primary");
            } else {
                let advice =
                    "they are overwritten when it becomes a replica: say --overwrite if that is meant";
                examination.warn(
                    "role",
                    format!("it is a primary with {keys} keys of its own"),
                    advice,
                );
            }
        }
    }
    if role == ServiceRole::Primary {
        let backlog = replication.backlog_size_bytes.unwrap_or(0);
        if backlog < 16 << 20 {
            examination.warn(
                "backlog",
                format!("repl-backlog-size is {backlog} bytes: writes that a failover leaves behind are fetched from it"),
                "set repl-backlog-size to 64mb or more, so that a rescue finds all of them",
            );
        } else {
            examination.pass("backlog", format!("repl-backlog-size is {backlog} bytes"));
        }
    }
}

fn persistence(examination: &mut Examination<'_>, info: &Info, role: ServiceRole) {
    let persistence = info.persistence();
    if persistence.aof_enabled && role != ServiceRole::Primary {
        examination.warn(
            "persistence",
            "appendonly is on: after each of its restarts it needs a full copy, because an AOF does not keep where it stood",
            "persist with RDB on replica services (`save`, appendonly no)",
        );
    } else {
        examination.pass(
            "persistence",
            if persistence.aof_enabled {
                "append-only file"
            } else {
                "RDB or none"
            },
        );
    }
    let memory = info.memory();
    match (memory.used_bytes, memory.maxmemory_bytes) {
        (Some(used), Some(max)) if used > max / 10 * 9 => {
            examination.warn(
                "memory",
                format!("{used} of {max} bytes are in use"),
                "raise maxmemory: a copy needs room",
            );
        }
        _ => examination.pass("memory", "there is room"),
    }
}

async fn settings(examination: &mut Examination<'_>, client: &mut Client, info: &Info) {
    match client.config_get("min-replicas*").await {
        Ok(found) if found.is_empty() => examination.refuse(
            "CONFIG",
            "CONFIG GET gives nothing",
            "the gateway needs CONFIG: allow it, or the fence and the login to the relay can't be set",
        ),
        Ok(found) => {
            let value = found.get("min-replicas-max-lag").cloned().unwrap_or_default();
            match client.config_set("min-replicas-max-lag", &value).await {
                Ok(()) => examination.pass("CONFIG", "settings can be read and set"),
                Err(error) => examination.refuse("CONFIG", error.to_string(), "give the user +config|set"),
            }
        }
        Err(error) => examination.refuse("CONFIG", error.to_string(), "give the user +config"),
    }
    if info.server().config_file.is_none() {
        examination.warn(
            "configuration file",
            "it was started without one: what is set is lost when it restarts",
            "start it with a configuration file that it can write",
        );
    } else {
        examination.pass("configuration file", "it has one");
    }
    for command in ["REPLICAOF", "FAILOVER", "PSYNC"] {
        match client.command(&["COMMAND", "INFO", command]).await {
            Ok(value)
                if value
                    .as_array()
                    .and_then(<[_]>::first)
                    .is_some_and(|entry| entry.as_array().is_some()) =>
            {
                examination.pass(command, "the command is there");
            }
            Ok(_) => examination.refuse(
                command,
                "the command is not there: renamed or disabled",
                "native replication needs it; managed services often disable it",
            ),
            Err(_) => {}
        }
    }
}
