//! Model values for the tests of what is rendered.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sterna_model::{
    AuditRecord, DoctorReport, FailoverObstacle, Group, GroupSettings, GroupStatus, HistoryEntry, Operation,
    PrimaryVerdict, Report, Rescue, Service, ServiceCondition, Token,
};

const HISTORY: &str = "8c1b3a5f0d2e4c6b8a9f7e5d3c1b0a9f8e7d6c5b";

/// The time at which the samples are looked at.
pub(super) fn now() -> Timestamp {
    "2026-03-01T03:00:00Z".parse().expect("a time")
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a value of the model")
}

pub(super) fn healthy(name: &str) -> GroupStatus {
    read(json!({
        "group": name, "revision": 1, "state": "healthy", "epoch": 3, "paused": false,
        "reason": { "code": "in-order" },
        "failover": { "code": "automatic" },
        "services": [
            { "name": "eu", "site": "eu-west", "role": "primary", "ok": true,
              "condition": { "code": "takes-writes", "local_replicas": 0 }, "nodes": [
                { "address": "redis.eu.example:6379", "shard": 0, "role": "primary", "condition": { "code": "takes-writes" },
                  "engine": "Redis 7.0.15", "figures": { "offset": 90_001 } } ] },
            { "name": "us", "site": "us-east", "role": "replica", "ok": true, "condition": { "code": "follows" }, "nodes": [
                { "address": "redis-1.us.example:6379", "shard": 0, "role": "replica", "condition": { "code": "follows" },
                  "figures": { "offset": 88_767, "lag_bytes": 1_234, "lag_seconds": 0.1 } },
                { "address": "redis-2.us.example:6379", "shard": 0, "role": "replica", "condition": { "code": "follows" },
                  "figures": { "offset": 87_953, "lag_bytes": 2_048, "lag_seconds": 0.4 } } ] },
        ],
        "shards": [
            { "shard": 0, "primary_node": "redis.eu.example:6379", "link": { "code": "streaming" },
              "fence": { "code": "in-place", "lease_seconds": 3, "min_replicas": 1, "links": 1, "others": 0, "counts_others": false }, "history": HISTORY,
              "needless_full_syncs": 0,
              "figures": { "unreplicated_bytes": 1_234, "unreplicated_seconds": 0.1, "log_start": 1, "log_end": 90_001,
                           "log_bytes": 230_686_720_u64, "stream_bytes": 90_000 } } ],
        "alerts": [],
        "at": "2026-03-01T03:00:00Z"
    }))
}

pub(super) fn primary_down(name: &str) -> GroupStatus {
    let mut status = healthy(name);
    let changes: GroupStatus = read(json!({
        "group": name, "revision": 1, "state": "primary-down", "epoch": 3, "paused": true,
        "reason": { "code": "primary", "verdict": { "code": "left-to-people", "obstacle": "paused" },
                    "error": "redis.eu.example:6379: connection refused" },
        "failover": { "code": "by-hand", "obstacle": "paused" },
        "services": [],
        "shards": [
            { "shard": 0, "primary_node": "redis.eu.example:6379",
              "link": { "code": "retrying", "error": "redis.eu.example:6379: connection refused" },
              "fence": { "code": "not-yet" }, "history": HISTORY, "disk_error": "No space left on device",
              "needless_full_syncs": 0,
              "figures": { "unreplicated_bytes": 45_056, "unreplicated_seconds": 6.5, "log_start": 1, "log_end": 90_001,
                           "log_bytes": 1_024, "stream_bytes": 90_000 } } ],
        "alerts": [
            { "code": "config-not-kept", "error": "the server runs without a configuration file", "severity": "warning",
              "subject": { "kind": "node", "service": "us", "address": "redis-1.us.example:6379" },
              "since": "2026-02-27T03:00:00Z" },
            { "code": "primary-lost", "obstacle": "paused", "severity": "critical",
              "subject": { "kind": "service", "service": "eu" }, "since": "2026-03-01T02:59:56Z" },
        ],
        "operation": 12,
        "at": "2026-03-01T03:00:00Z"
    }));
    let services = std::mem::take(&mut status.services);
    status = changes;
    status.services = services;
    status.services[0].ok = false;
    status.services[0].condition = ServiceCondition::PrimaryNotWell {
        verdict: PrimaryVerdict::LeftToPeople(FailoverObstacle::Paused),
    };
    status
}

pub(super) fn report() -> Report {
    read(json!({
        "reason": { "code": "primary-lost", "cause": "refused", "quiet_for_seconds": 1.0 },
        "shard": 0, "from": "eu", "from_node": "redis.eu.example:6379", "to": "us", "to_node": "redis-1.us.example:6379",
        "epoch": 4, "history": HISTORY, "divergence_offset": 90_001,
        "rpo": { "bytes": 2_048, "bytes_max": 8_192, "commands": 37, "seconds": 0.25, "certainty": "estimate", "rescue": 3 },
        "rto_ms": 1_240.0,
        "phases": [ { "name": "detect", "ms": 1_003.2 }, { "name": "await-apply", "ms": 12.0 }, { "name": "promote", "ms": 224.8 } ],
        "partial_resyncs": 2, "full_resyncs": 0
    }))
}

pub(super) fn switchover() -> Operation {
    let mut operation: Operation = read(json!({
        "id": 11, "group": "orders", "kind": "switchover", "state": "succeeded", "service": "us",
        "requested_by": "ops", "reason": { "code": "requested", "operation": "switchover", "by": "ops" }, "epoch": 3,
        "steps": [
            { "name": "check", "state": "done", "detail": { "code": "outcome", "outcome": "fit" },
              "started_at": "2026-03-01T02:50:00.000Z", "finished_at": "2026-03-01T02:50:00.004Z" },
            { "name": "pause-writes", "state": "done", "detail": { "code": "outcome", "outcome": "writes-paused" },
              "started_at": "2026-03-01T02:50:00.004Z", "finished_at": "2026-03-01T02:50:01.504Z" },
            { "name": "follow", "state": "failed", "detail": { "code": "failed", "error": "redis.eu.example:6379 does not answer" },
              "started_at": "2026-03-01T02:50:01.504Z" },
        ],
        "committed": true, "result": { "code": "primary-changed", "service": "us", "address": "redis.us.example:6379", "epoch": 4 },
        "created_at": "2026-03-01T02:50:00Z", "finished_at": "2026-03-01T02:50:02Z"
    }));
    operation.report = Some(report());
    operation
}

pub(super) fn running() -> Operation {
    read(json!({
        "id": 12, "group": "orders", "kind": "add-replica", "state": "running", "service": "ap", "force": true,
        "requested_by": "ops", "reason": { "code": "requested", "operation": "add-replica", "by": "ops" }, "epoch": 4,
        "steps": [
            { "name": "await-copy", "state": "running",
              "detail": { "code": "wait", "wait": "copy", "service": "ap", "address": "redis.ap.example:6379" },
              "started_at": "2026-03-01T02:59:00Z" },
        ],
        "now": { "code": "wait", "wait": "copy", "service": "ap", "address": "redis.ap.example:6379" }, "progress": 0.3, "created_at": "2026-03-01T02:59:00Z"
    }))
}

pub(super) fn group(name: &str) -> Group {
    read(json!({
        "name": name, "primary": "us", "replicas": ["ap", "sa"], "settings": GroupSettings::default(),
        "epoch": 4, "paused": false,
        "shards": { "0": {
            "primary_node": "redis-1.us.example:6379", "fence_in_place": true,
            "former_primaries": [ { "service": "eu", "node": "redis.eu.example:6379", "history": HISTORY,
                "divergence_offset": 90_001, "selected_db": 0, "epoch": 3, "operation": 11 } ],
        } },
        "primary_since": "2026-03-01T02:50:01Z", "created_at": "2026-01-01T00:00:00Z", "revision": 17
    }))
}

pub(super) fn history() -> Vec<HistoryEntry> {
    read(json!([
        { "group": "orders", "epoch": 1, "primary": "eu", "cause": "created",
          "shards": { "0": { "node": "redis.eu.example:6379", "ended_history": null, "divergence_offset": null } }, "operation": 1,
          "reason": { "code": "requested", "operation": "create", "by": "ops" },
          "at": "2026-01-01T00:00:00Z" },
        { "group": "orders", "epoch": 2, "primary": "us", "cause": "failover",
          "shards": { "0": { "node": "redis-1.us.example:6379", "ended_history": HISTORY, "divergence_offset": 90_001 } },
          "operation": 11, "reason": { "code": "primary-lost", "cause": "refused", "quiet_for_seconds": 1.0 },
          "at": "2026-03-01T02:50:01Z" },
    ]))
}

pub(super) fn service(name: &str) -> Service {
    read(json!({
        "name": name, "site": "eu-west", "nodes": ["redis-1.eu.example:6379", "redis-2.eu.example:6379"],
        "has_password": false, "created_at": "2026-01-01T00:00:00Z", "revision": 1
    }))
}

pub(super) fn sentinel_service(name: &str) -> Service {
    read(json!({
        "name": name, "nodes": [], "username": "sterna", "client_addresses": ["public.us.example:6379"],
        "sentinel": { "nodes": ["s1.us.example:26379", "s2.us.example:26379"], "master_name": "orders" },
        "tls": { "ca_file": "/etc/sterna/us-ca.crt" },
        "has_password": true, "created_at": "2026-01-01T00:00:00Z", "revision": 2
    }))
}

pub(super) fn doctor() -> DoctorReport {
    read(json!({
        "service": "us", "role": "replica",
        "checks": [
            { "subject": "redis-1.us.example:6379", "name": "reachable", "verdict": "pass", "detail": "it answers in 3 ms" },
            { "subject": "redis-1.us.example:6379", "name": "config file", "verdict": "warn",
              "detail": "it runs without a configuration file, so what is set here is gone after a restart",
              "advice": "start it with a configuration file that it may write" },
            { "subject": "us", "name": "empty", "verdict": "refuse", "detail": "it holds 3 keys",
              "advice": "say --overwrite if they may go" },
        ]
    }))
}

pub(crate) fn rescue() -> Rescue {
    read(json!({
        "id": 3, "group": "orders", "shard": 0, "service": "eu", "node": "redis.eu.example:6379", "epoch": 3, "kind": "commands",
        "history": HISTORY, "from": 90_001, "to": 92_049, "bytes": 2_048, "file": "orders-3-eu.resp",
        "summary": { "commands": 37, "by_command": { "SET": 30, "DEL": 2, "INCR": 5 }, "keys": 33,
                     "first_keys": ["cart:1", "cart:2"], "transactions": 1, "databases": [0, 2] },
        "saved_at": "2026-03-01T02:55:00Z"
    }))
}

pub(super) fn tokens() -> Vec<Token> {
    read(json!([
        { "id": 1, "name": "first admin", "role": "admin", "created_at": "2026-01-01T00:00:00Z" },
        { "id": 2, "name": "grafana", "role": "viewer", "created_at": "2026-01-02T00:00:00Z",
          "expires_at": "2026-04-01T00:00:00Z" },
        { "id": 3, "name": "old", "role": "operator", "created_at": "2026-01-02T00:00:00Z",
          "expires_at": "2026-02-01T00:00:00Z" },
        { "id": 4, "name": "lost", "role": "operator", "created_at": "2026-01-02T00:00:00Z",
          "revoked_at": "2026-02-28T03:00:00Z" },
    ]))
}

pub(super) fn audit() -> Vec<AuditRecord> {
    read(json!([
        { "id": 9, "at": "2026-03-01T02:50:00Z", "actor": "ops", "remote": "10.0.0.9:50123", "action": "group.switchover",
          "target": "orders", "outcome": "ok", "detail": "to us, operation 11" },
        { "id": 8, "at": "2026-03-01T02:49:00Z", "actor": "-", "remote": "10.0.0.66:40000", "action": "token.create",
          "target": "-", "outcome": "no valid token" },
    ]))
}
