//! The work that the state asks for, done in the made-up world: as it should be, with a crash after its effect, or by a
//! command that arrives late.

use sterna_model::{Rescue, RescueId, RescueKind, ServiceName, ShardId};
use sterna_protocol::Offset;
use sterna_replication::Handover;

use super::data_plane::{follow, has_decided, obey};
use super::environment::gateway_dies;
use super::gateway::{Gateway, Link, link, sync_store, tell};
use super::mutants::Mutant;
use super::node::{Id, Role, Stream};
use super::now;
use super::seen::{history, observation, offset, short};
use super::world::{Command, World, id_of, key};
use crate::job::{Job, JobReport, UnknownService};
use crate::observe::NodeKey;
use crate::plan::RescueScope;
use crate::rescue::RescueJob;
use crate::state::Event;

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Course {
    /// As it should, as far as the node can be reached.
    Well,
    /// The gateway's process ends after the effect, before it hears of it.
    Crash,
    /// The command goes out and arrives late; the gateway takes it for failed.
    Late,
}

/// The ways in which the work that is due may go.
pub(super) fn courses(world: &World, out: &mut Vec<Course>) {
    let Some(job) = world.gateway.as_ref().and_then(|gateway| gateway.job.as_ref()) else {
        return;
    };
    out.push(Course::Well);
    if world.budget.gateway_crashes > 0 && is_recorded_after(job) {
        out.push(Course::Crash);
    }
    if world.budget.late > 0 && world.wire.late.is_none() && command(job).is_some() {
        out.push(Course::Late);
    }
}

/// Does the work that is due.
pub(super) fn work(world: &mut World, course: Course) {
    let Some(job) = world.gateway.as_mut().and_then(|gateway| gateway.job.take()) else {
        return;
    };
    let result = match command(&job) {
        Some(late) if course == Course::Late => {
            world.budget.late -= 1;
            world.wire.late = Some(late);
            Err(failed())
        }
        _ => carry_out(world, &job),
    };
    if course == Course::Crash {
        world.budget.gateway_crashes -= 1;
        return gateway_dies(world, false);
    }
    tell(world, Event::JobDone(result.map(Box::new).map_err(Into::into)));
}

/// The command that it sends, if it is one.
fn command(job: &Job) -> Option<(Id, Command)> {
    let id = |node: &NodeKey| id_of(&node.service);
    Some(match job {
        Job::BlockWrites(node) => (id(node), Command::BlockWrites),
        Job::PauseWrites { node, .. } => (id(node), Command::HandOver),
        Job::Promote { node, decided, .. } => (
            id(node),
            Command::Promote {
                least: short(decided.offset),
            },
        ),
        Job::PlaceFence { node, lease } => (
            id(node),
            Command::PlaceFence {
                min_replicas: u8::try_from(lease.min_replicas).expect("a few replicas"),
            },
        ),
        Job::LiftFence { node, run, .. } => {
            let run = run.parse().expect("the model numbers processes");
            (id(node), Command::LiftFence { run })
        }
        Job::Attach(attach) => (id(&attach.node), Command::FollowRelay),
        Job::AbortHandover(Some(node)) => (id(node), Command::TakeBack),
        _ => return None,
    })
}

/// Whether it is stored only after its effect.
fn is_recorded_after(job: &Job) -> bool {
    matches!(
        job,
        Job::PlaceFence { .. } | Job::AbortHandover(_) | Job::Rescue(_) | Job::RescueFromLog(_)
    )
}

fn carry_out(world: &mut World, job: &Job) -> Result<JobReport, UnknownService> {
    match job {
        Job::StopFollowing => {
            set_handover(world, Handover::Refuse);
            follow(world, None, None, Vec::new());
        }
        Job::Follow {
            node,
            decided,
            held_by_nodes,
        } => {
            sync_store(world);
            let forgets = world.has(Mutant::ForgetsWhatNodesHold);
            let held = held_by_nodes.iter().filter(|_| !forgets).copied().collect();
            follow(world, Some(id_of(&node.service)), *decided, held);
        }
        Job::AcceptFormerPrimary(_) => set_handover(world, Handover::Accept),
        Job::PrepareHandover { node, .. } => {
            reach(world, node)?;
            set_handover(world, Handover::Hold);
        }
        Job::AbortHandover(old) => {
            set_handover(world, Handover::Refuse);
            if let Some(old) = old
                && let Ok(id) = reach(world, old)
            {
                obey(world, id, Command::TakeBack);
            }
        }
        Job::Rescue(job) => return save(world, job),
        Job::RescueFromLog(job) => return save_from_log(world, job),
        Job::PlaceFence { node, .. } if link(world) != Link::Up(id_of(&node.service)) => {
            // It counts us no more, and would close at once.
            return Err(failed());
        }
        other => {
            let (id, command) = command(other).expect("the model makes no other work");
            reach(world, &key(id))?;
            if let Command::Promote { least } = command
                && world.nodes[id].role == Role::Replica
                && !has_decided(world, id, least)
            {
                return Err(failed());
            }
            displace(world, id, command);
            obey(world, id, command);
            let blocked = (command == Command::BlockWrites).then(|| world.nodes[id].run.to_string());
            return Ok(JobReport {
                observations: vec![observation(world, id)],
                blocked: blocked.map(|run| (key(id), run)),
                ..JobReport::default()
            });
        }
    }
    Ok(JobReport::default())
}

/// Whoever changes a node's fence, or its role, closes connections first that were opened for that before.
fn displace(world: &mut World, id: Id, command: Command) {
    let changes_role = |command: &Command| matches!(command, Command::FollowRelay | Command::Promote { .. });
    let Some((at, late)) = world.wire.late else { return };
    let of_fence = matches!(command, Command::PlaceFence { .. })
        && matches!(late, Command::LiftFence { .. })
        && !world.has(Mutant::LetsLateLiftsArrive);
    if at == id && (of_fence || (changes_role(&command) && changes_role(&late))) {
        world.wire.late = None;
    }
}

fn set_handover(world: &mut World, handover: Handover) {
    if let Some(shard) = Gateway::shard_mut(world) {
        shard.handover = handover;
        shard.forged = shard.forged.filter(|_| handover == Handover::Hold);
    }
}

fn save(world: &mut World, job: &RescueJob) -> Result<JobReport, UnknownService> {
    let id = reach(world, &job.node)?;
    let stream = world.nodes[id].stream;
    keep(world, id, stream, job)
}

fn save_from_log(world: &mut World, job: &RescueJob) -> Result<JobReport, UnknownService> {
    let stream = world.log.stream;
    keep(world, id_of(&job.node.service), stream, job)
}

fn keep(world: &mut World, id: Id, stream: Stream, job: &RescueJob) -> Result<JobReport, UnknownService> {
    let saved = match job.scope {
        RescueScope::Commands { after, to } => {
            if history(stream.history) != job.history || stream.offset < short(to) {
                return Err(failed());
            }
            let since = stream.writes.last(stream.offset - short(to));
            stream.writes.without(since).last(short(to) - short(after))
        }
        RescueScope::Snapshot => stream.writes,
    };
    world.truth.rescued = world.truth.rescued.and(saved);
    let (kind, from) = match job.scope {
        RescueScope::Commands { after, .. } => (RescueKind::Commands, after),
        RescueScope::Snapshot => (RescueKind::Snapshot, offset(0)),
    };
    let rescue = Rescue {
        kind,
        from,
        ..rescue(id, stream.history, short(job.offset).into())
    };
    world.store.rescues.push(rescue.clone());
    Ok(JobReport {
        rescued: Some(rescue),
        ..JobReport::default()
    })
}

/// A record of writes of a node that were saved.
pub(super) fn rescue(id: Id, number: u8, to: u64) -> Rescue {
    Rescue {
        id: RescueId(0),
        group: "orders".parse().expect("a name"),
        shard: ShardId::STANDALONE,
        service: key(id).service,
        node: key(id).address,
        epoch: sterna_model::Epoch(1),
        kind: RescueKind::Snapshot,
        history: history(number),
        from: offset(0),
        to: Offset::new(to),
        bytes: 0,
        file: String::new(),
        summary: None,
        saved_at: now().wall,
    }
}

fn reach(world: &World, node: &NodeKey) -> Result<Id, UnknownService> {
    let id = id_of(&node.service);
    if world.reaches(id) { Ok(id) } else { Err(failed()) }
}

fn failed() -> UnknownService {
    let service: ServiceName = "away".parse().expect("a name");
    UnknownService(service)
}
