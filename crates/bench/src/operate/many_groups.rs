//! Many groups behind one gateway: what they cost while nothing happens, and how long it takes when the site of all
//! primaries is lost at once, and when it comes back.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use sterna_harness::{DEADLINE, Gateway, look_until, succeeded};
use sterna_model::{GroupState, GroupStatus, Operation};
use sterna_testkit::{Client, Server};

use super::load::ms;
use super::nodes::{pause, start_gateway};
use crate::print;
use crate::stats::{median, quantile};

/// How often a node is asked whether it takes writes, beside the time that it takes to ask all of them.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// How many, and for how long.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Size {
    /// How many groups, of two services with one node each.
    #[arg(long, default_value_t = 100)]
    groups: u32,
    /// For how long the cost of doing nothing is measured, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
}

/// The servers of a group, and its name.
#[derive(Debug)]
struct Pair {
    name: String,
    primary: Server,
    replica: Server,
}

pub(crate) fn run(asked: Size) -> Result<()> {
    let site = start_gateway(None)?;
    let begin = Instant::now();
    let mut pairs = (1..=asked.groups)
        .map(|number| make(&site, number))
        .collect::<Result<Vec<_>>>()?;
    print(&format!(
        "{} groups made in {:.1} s, one after the other",
        pairs.len(),
        begin.elapsed().as_secs_f64()
    ));
    idle(&site, &pairs, asked.seconds)?;
    lose_all(&mut pairs)?;
    let begin = Instant::now();
    for pair in &mut pairs {
        pair.primary.restart()?;
    }
    for pair in &pairs {
        wait_healthy(&site, &pair.name)?;
    }
    print(&format!(
        "all old primaries started again, and every group healthy: {:.1} s",
        begin.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn make(site: &Gateway, number: u32) -> Result<Pair> {
    let pair = Pair {
        name: format!("group-{number}"),
        primary: Server::builder().start()?,
        replica: Server::builder().start()?,
    };
    let (eu, us) = (format!("eu-{number}"), format!("us-{number}"));
    site.add_service(&eu, pair.primary.address())?;
    site.add_service(&us, pair.replica.address())?;
    let group = json!({ "name": pair.name, "primary": eu, "replicas": [us] });
    let made: Operation = site.rest.post("/groups", &group)?;
    succeeded(site.wait_operation(made.id)?)?;
    Ok(pair)
}

fn idle(site: &Gateway, pairs: &[Pair], seconds: u32) -> Result<()> {
    for pair in pairs {
        wait_healthy(site, &pair.name)?;
    }
    let servers = || pairs.iter().flat_map(|pair| [&pair.primary, &pair.replica]);
    let served = || -> Result<f64> {
        servers()
            .map(|server| sterna_testkit::usage::cpu_seconds(server.pid()))
            .sum()
    };
    let (cpu, nodes) = (site.process()?.cpu_seconds()?, served()?);
    pause(Duration::from_secs(u64::from(seconds)));
    let (cpu, nodes) = (site.process()?.cpu_seconds()? - cpu, served()? - nodes);
    let (seconds, groups) = (f64::from(seconds), pairs.len());
    print(&format!(
        "idle: the gateway takes {:.1} % of a processor and {} MiB, its files {} MiB; a node takes {:.2} %",
        100.0 * cpu / seconds,
        site.process()?.rss_bytes()? >> 20,
        site.data_bytes()? >> 20,
        100.0 * nodes / seconds / (2.0 * f64::from(u32::try_from(groups)?)),
    ));
    Ok(())
}

/// Kills every primary, and counts for each group until its replica service takes writes.
fn lose_all(pairs: &mut [Pair]) -> Result<()> {
    let waiting = pairs
        .iter()
        .map(|pair| Ok((pair.replica.connect()?, pair.name.clone())))
        .collect::<Result<Vec<_>>>()?;
    let begin = Instant::now();
    for pair in pairs.iter_mut() {
        pair.primary.kill9();
    }
    let killed = begin.elapsed();
    let times = taken_over(waiting, begin)?;
    print(&format!(
        "every primary killed, within {:.0} ms: a write elsewhere after {:.0} ms (median), {:.0} ms (90 %), {:.0} ms (the last)",
        ms(killed),
        median(&times),
        quantile(&times, 0.9),
        quantile(&times, 1.0)
    ));
    Ok(())
}

fn taken_over(mut waiting: Vec<(Client, String)>, begin: Instant) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    while !waiting.is_empty() {
        ensure!(
            begin.elapsed() < DEADLINE,
            "nobody took over in {} groups, {} for one",
            waiting.len(),
            waiting[0].1
        );
        waiting.retain_mut(|(client, _)| {
            // A promotion leaves connections alone; one that is refused is asked again.
            let taken = client.cmd(&["SET", "first", "1"]).is_ok();
            if taken {
                times.push(ms(begin.elapsed()));
            }
            !taken
        });
        pause(ASK_EVERY);
    }
    Ok(times)
}

fn wait_healthy(site: &Gateway, group: &str) -> Result<()> {
    look_until("a group to be healthy", || {
        let status: GroupStatus = site.rest.get(&format!("/groups/{group}/status"))?;
        let well = status.summary.state == GroupState::Healthy && status.summary.operation.is_none();
        ensure!(well, "{status:#?}");
        Ok(())
    })
}
