//! Brings the situations about, lets the fault come, and heals everything.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;
use sterna_harness::GROUP;
use sterna_model::Operation;
use sterna_testkit::{Server, try_wait_until};

use super::judge::{Exception, Gone, GoneWhy, Moment, Rule};
use super::plan::{Copy, Fault, Plan, Situation};
use super::world::{FIRST, FOREIGN, JOINING, LOCAL, WATCHED, Way, World, service_of};
use crate::operate::kept::Kept;
use crate::operate::nodes::pause;

/// Between the two situations.
const BETWEEN: Duration = Duration::from_millis(500);
/// A clock that is set during the fault is set so long after it began.
const CLOCK_AFTER_FAULT: Duration = Duration::from_secs(1);
/// The gateway has seen a new follower by then.
const FOLLOWER_SEEN: Duration = Duration::from_secs(6);
/// How fast a copy goes to a node: it takes some seconds.
const COPY_BYTES_PER_SECOND: u64 = 800 << 10;
/// How long a primary takes over each key of a copy, in microseconds.
const KEY_SAVE_DELAY_US: &str = "300";
/// A process that wakes up counts its replicas within this, once a second.
const AWAKE_MAX: Duration = Duration::from_secs(2);
/// `lease_seconds` and the rounding of the server.
const LEASE_MAX: Duration = Duration::from_millis(5_300);
/// A primary that nobody copies goes on for as long; what it takes meanwhile is in its memory alone.
const ALONE_MAX: Duration = Duration::from_millis(5_500);
/// Answers of a process that was killed may be under way for so long.
const UNDER_WAY: Duration = Duration::from_millis(100);

/// One thing that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Begin(Situation),
    StartGateway,
    SetClock,
    Strike,
}

/// What was done, as far as it matters to the judge.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) exceptions: Vec<Exception>,
    pub(super) gone: Vec<Gone>,
    /// When the fault came.
    pub(super) struck_at: Moment,
    /// From when to when the gateway may not see what a Sentinel does.
    pub(super) gateway_sees_nothing: Option<(Moment, Moment)>,
    /// The node that it hit.
    struck: Option<String>,
}

/// What is done when, from the first situation on.
fn timeline(plan: &Plan) -> Vec<(Duration, Act)> {
    let mut acts = Vec::new();
    let [first, second] = plan.situations;
    let fault_at = BETWEEN + plan.fault_after;
    for (at, situation) in [(Duration::ZERO, first), (BETWEEN, second)] {
        match situation {
            Situation::ClockStep if plan.clock_in_fault => {
                acts.push((fault_at + CLOCK_AFTER_FAULT, Act::SetClock));
            }
            Situation::ClockStep => acts.push((at, Act::SetClock)),
            Situation::GatewayRestart => {
                acts.push((at, Act::Begin(situation)));
                acts.push((at + plan.gateway_away, Act::StartGateway));
            }
            _ => acts.push((at, Act::Begin(situation))),
        }
    }
    acts.push((fault_at, Act::Strike));
    acts.sort_by_key(|(at, _)| *at);
    acts
}

/// Plays the plan to the end of the fault, and heals everything.
pub(super) fn play(world: &mut World<'_>) -> Result<Done> {
    let mut done = Done::default();
    let began = Instant::now();
    let until = |at: Duration| pause(at.saturating_sub(began.elapsed()));
    for (at, act) in timeline(&world.plan) {
        until(at);
        do_it(world, act, &mut done).with_context(|| format!("{act:?}"))?;
    }
    let end = done.struck_at + world.plan.fault_lasts;
    pause(end.saturating_sub(world.now()));
    heal(world, &mut done).context("healing")?;
    let on_the_way = !matches!(
        world.plan.fault,
        Fault::FullPrimaryDisk | Fault::FullGatewayDisk | Fault::EmptyRestart
    );
    if on_the_way || world.plan.has(Situation::GatewayRestart) {
        let before = done.struck_at.saturating_sub(world.plan.gateway_away);
        done.gateway_sees_nothing = Some((before, world.now()));
    }
    world.note("all is healed");
    Ok(done)
}

fn do_it(world: &mut World<'_>, act: Act, done: &mut Done) -> Result<()> {
    match act {
        Act::Begin(situation) => begin(world, situation),
        Act::StartGateway => match start_gateway(world) {
            // Nothing says that it starts on a full disk; it does when that is healed.
            Err(error) if world.plan.fault == Fault::FullGatewayDisk => {
                world.note(&format!("{error:#}"));
                Ok(())
            }
            started => started,
        },
        Act::SetClock => set_clock(world, done),
        Act::Strike => strike(world, done),
    }
}

fn begin(world: &mut World<'_>, situation: Situation) -> Result<()> {
    world.note(situation.words());
    match situation {
        Situation::CopyUnderWay => begin_copy(world),
        Situation::ForeignFollower => begin_to_follow(world),
        Situation::HungLocalReplica => world.node(LOCAL)?.server.pause(),
        Situation::GatewayRestart => world.site_mut()?.stop(),
        Situation::LocalFailover => {
            let sentinel = world.sentinel.as_ref().context("a Sentinel")?;
            let reply = sentinel.connect()?.raw(&["SENTINEL", "FAILOVER", WATCHED])?;
            world.note(&format!("the Sentinel says {reply:?}"));
            Ok(())
        }
        // They stand from the start, or have an act of their own.
        Situation::Nat | Situation::SlowWan | Situation::SmallBuffers | Situation::ClockStep => Ok(()),
    }
}

fn begin_copy(world: &mut World<'_>) -> Result<()> {
    for node in &world.run.nodes {
        set_key_save_delay(&node.server, KEY_SAVE_DELAY_US);
    }
    let name = match world.plan.copy {
        Copy::NodeIsEmptied => "us",
        Copy::ServiceJoins => JOINING,
    };
    let relay = (world.net.test_host().address(), world.site()?.relay_port());
    let proxy = world
        .net
        .lead_through_proxy(&world.net.host(name), relay.into())?;
    proxy.throttle(Some(COPY_BYTES_PER_SECOND));
    let host = name.to_owned();
    world.ways.push(Way { proxy, host });
    if world.plan.copy == Copy::NodeIsEmptied {
        let server = world.server_mut(name)?;
        server.kill9();
        drop(fs::remove_file(server.dir().join("dump.rdb")));
        return server.restart();
    }
    world.start_node(JOINING)?;
    let address = world.node(JOINING)?.server.address();
    let site = world.site()?;
    site.add_service(JOINING, address)?;
    let asked: Operation = site.rest.post(
        &format!("/groups/{GROUP}/replicas"),
        &json!({ "service": JOINING }),
    )?;
    world.note(&format!("operation {} adds {JOINING}", asked.id));
    Ok(())
}

/// Slow saves make a copy last. A node that does not answer now is not asked again.
fn set_key_save_delay(server: &Server, delay_us: &str) {
    let set = || -> Result<()> {
        let mut client = server.connect_locally()?;
        client.set_timeout(Duration::from_millis(500))?;
        client.cmd(&["CONFIG", "SET", "rdb-key-save-delay", delay_us])?;
        Ok(())
    };
    drop(set());
}

fn begin_to_follow(world: &mut World<'_>) -> Result<()> {
    let primary = world.primary_now();
    let builder = Server::builder().on(&world.net.host(FOREIGN));
    let foreign = builder.replica_of(&world.node(&primary)?.server).start()?;
    let others = world
        .run
        .nodes
        .iter()
        .filter(|node| service_of(&node.name) == FIRST)
        .count();
    world.foreign = Some(foreign);
    // With an old gateway that is just being restarted nobody sees it; that is a case too.
    let seen = try_wait_until(
        FOLLOWER_SEEN,
        "the follower to be counted in",
        || -> Result<()> {
            let status = world.site()?.status()?;
            let fence = &status.shards.first().context("a shard")?.fence;
            let counted = match fence {
                sterna_model::FenceState::InPlace { others, .. } => *others as usize,
                _ => 0,
            };
            anyhow::ensure!(counted >= others, "{fence}");
            Ok(())
        },
    );
    if let Err(error) = seen {
        world.note(&format!("{error:#}"));
    }
    Ok(())
}

fn start_gateway(world: &mut World<'_>) -> Result<()> {
    if world.site()?.is_up() {
        return Ok(());
    }
    world.note("the gateway is started");
    world.site_mut()?.start_again()
}

fn set_clock(world: &mut World<'_>, done: &mut Done) -> Result<()> {
    let step_ms = world.plan.clock_step_ms;
    world.clock.as_ref().context("a clock")?.set(step_ms)?;
    world.note(&format!("the clock of {FIRST} is set by {step_ms} ms"));
    if let Ok(by) = u64::try_from(-step_ms) {
        // The lease that runs then ends so much later; one that is renewed after does not.
        let now = world.now();
        done.exceptions.push(Exception {
            rule: Rule::ClockSetBack,
            service: 0,
            from: now,
            until: now + LEASE_MAX + Duration::from_millis(by),
        });
    }
    Ok(())
}

fn strike(world: &mut World<'_>, done: &mut Done) -> Result<()> {
    let fault = world.plan.fault;
    let primary = world.primary_now();
    if fault == Fault::KillPrimary && world.plan.kept == Kept::OlderFile {
        save(world, &primary)?;
    }
    let saved_at = world.now();
    world.note(&format!("{} ({primary})", fault.words()));
    done.struck_at = world.now();
    match fault {
        Fault::KillPrimary | Fault::EmptyRestart => {
            let kept = world.plan.kept;
            let server = world.server_mut(&primary)?;
            server.kill9();
            if kept == Kept::Nothing {
                // The file of a first copy, which it was given as a replica, goes too.
                drop(fs::remove_file(server.dir().join("dump.rdb")));
            }
            if fault == Fault::EmptyRestart {
                server.restart()?;
            }
            if kept != Kept::AppendOnlyFile || service_of(&primary) != FIRST {
                let mut alone = ALONE_MAX;
                if world.plan.has(Situation::GatewayRestart) {
                    alone += world.plan.gateway_away;
                }
                let alone_from = done.struck_at.saturating_sub(alone);
                let saved = saved_at.saturating_sub(UNDER_WAY);
                done.gone.push(Gone {
                    why: GoneWhy::Memory,
                    service: index_of(world, &primary)?,
                    from: if kept == Kept::OlderFile {
                        saved
                    } else {
                        alone_from
                    },
                    until: done.struck_at + UNDER_WAY,
                });
            }
        }
        Fault::FreezePrimary => world.node(&primary)?.server.pause()?,
        Fault::KillGateway => world.site_mut()?.kill(),
        Fault::FreezeGateway => {
            if let Ok(process) = world.site()?.process() {
                process.pause()?;
            }
        }
        Fault::CutPrimary => {
            world.net.isolate(&world.net.host(&primary), &[])?;
            world.block(|host| host == primary);
        }
        Fault::CutGateway => {
            let test = world.net.test_host();
            for node in &world.run.nodes {
                world.net.cut(&test, &world.net.host(&node.name))?;
            }
            world.block(|_| true);
        }
        Fault::CutPath => {
            let test = world.net.test_host();
            for host in world.first_hosts() {
                world.net.cut(&test, &host)?;
            }
            world.block(|host| service_of(host) == FIRST);
        }
        Fault::FullPrimaryDisk => world.primary_disk.as_ref().context("a disk")?.fill_up()?,
        Fault::FullGatewayDisk => world.gateway_disk.as_ref().context("a disk")?.fill_up()?,
    }
    done.struck = Some(primary);
    Ok(())
}

fn save(world: &mut World<'_>, primary: &str) -> Result<()> {
    let saved = world.node(primary)?.server.connect_locally()?.raw(&["SAVE"])?;
    world.note(&format!("SAVE at {primary}: {saved:?}"));
    Ok(())
}

fn heal(world: &mut World<'_>, done: &mut Done) -> Result<()> {
    world.net.heal_all()?;
    for way in &world.ways {
        way.proxy.unblock();
        way.proxy.throttle(None);
    }
    for disk in [&world.primary_disk, &world.gateway_disk].into_iter().flatten() {
        disk.free()?;
    }
    let struck = done.struck.clone().context("the fault came")?;
    match world.plan.fault {
        Fault::FreezePrimary => {
            let woke = world.now();
            world.node(&struck)?.server.resume()?;
            done.exceptions.push(Exception {
                rule: Rule::Frozen,
                service: index_of(world, &struck)?,
                from: woke,
                until: woke + AWAKE_MAX,
            });
        }
        Fault::FreezeGateway => {
            if let Ok(process) = world.site()?.process() {
                process.resume()?;
            }
        }
        _ => {}
    }
    for index in 0..world.run.nodes.len() {
        let server = &mut world.run.nodes[index].server;
        if !server.is_running() {
            server.restart()?;
        }
        set_key_save_delay(server, "0");
    }
    start_gateway(world)?;
    if world.plan.has(Situation::HungLocalReplica) {
        world.node(LOCAL)?.server.resume()?;
    }
    if world.plan.follower_leaves {
        world.foreign = None;
    }
    Ok(())
}

/// The index of a node's service among those of the run.
fn index_of(world: &World<'_>, node: &str) -> Result<usize> {
    let services = world.services();
    let found = services.iter().position(|service| service == service_of(node));
    found.with_context(|| format!("no service of {node}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fault_comes_once_and_both_situations_before_it_but_for_a_clock() {
        for seed in 0..300 {
            let plan = Plan::of(seed);
            let acts = timeline(&plan);
            let fault = acts
                .iter()
                .position(|(_, act)| *act == Act::Strike)
                .expect("a fault");
            let begun = |act: &Act| matches!(act, Act::Begin(_) | Act::SetClock);
            let before = acts[..fault].iter().filter(|(_, act)| begun(act)).count();
            let late = plan.has(Situation::ClockStep) && plan.clock_in_fault;
            assert_eq!(before, if late { 1 } else { 2 }, "{plan}: {acts:?}");
        }
    }
}
