//! Does what a plan says to a running group, and notes what was done when.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sterna_harness::Gateway;
use sterna_model::GroupStatus;
use sterna_testkit::{Net, Server};

use super::plan::{Action, Fault, Whom};
use crate::operate::kept::Kept;
use crate::operate::nodes::{Node, pause};

/// The gateway has noticed what ended so long ago.
const NOTICED_AFTER: Duration = Duration::from_millis(1_500);

/// Answers of a process that was killed may still be under way to its clients for so long.
const UNDER_WAY: Duration = Duration::from_millis(100);

/// A time in which a process was frozen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frozen {
    pub(super) node: usize,
    pub(super) from: Instant,
    pub(super) until: Instant,
}

/// A process was killed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Killed {
    pub(super) node: usize,
    /// Its last answers have arrived by then.
    pub(super) until: Instant,
    /// From when on nothing of it is on its disk; none where everything is.
    pub(super) gone_from: Option<Instant>,
}

/// A fault that lasts.
#[derive(Debug, Clone, Copy)]
struct Active {
    episode: usize,
    node: usize,
    fault: Fault,
    since: Instant,
}

/// The group under faults.
#[derive(Debug)]
pub(super) struct Runner<'a> {
    pub(super) site: &'a mut Gateway,
    pub(super) nodes: &'a mut [Node],
    pub(super) story: &'a mut Vec<String>,
    net: &'a Net,
    kept: &'a [Kept],
    begin: Instant,
    primary: usize,
    active: Vec<Active>,
    /// When a fault of each node ended last.
    ended: Vec<Option<Instant>>,
    pub(super) frozen: Vec<Frozen>,
    pub(super) killed: Vec<Killed>,
}

impl<'a> Runner<'a> {
    pub(super) fn new(
        site: &'a mut Gateway,
        nodes: &'a mut [Node],
        story: &'a mut Vec<String>,
        net: &'a Net,
        kept: &'a [Kept],
    ) -> Self {
        let ended = vec![None; nodes.len()];
        Self {
            site,
            nodes,
            story,
            net,
            kept,
            begin: Instant::now(),
            primary: 0,
            active: Vec::new(),
            ended,
            frozen: Vec::new(),
            killed: Vec::new(),
        }
    }

    /// Does all of it, in its time.
    pub(super) fn play(&mut self, actions: &[(Duration, Action)]) -> Result<()> {
        let mut due = Instant::now();
        for (wait, action) in actions {
            due += *wait;
            pause(due.saturating_duration_since(Instant::now()));
            self.act(*action).with_context(|| format!("{action:?}"))?;
        }
        if !self.site.is_up() {
            self.site.start_again()?;
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Begin { episode, fault, whom } => self.begin(episode, fault, whom),
            Action::End { episode } => self.end(episode),
            Action::KillGateway => {
                self.note("the gateway is killed");
                self.site.kill();
                Ok(())
            }
            Action::StopGateway => {
                self.note("the gateway is stopped");
                self.site.stop()
            }
            Action::StartGateway if self.site.is_up() => Ok(()),
            Action::StartGateway => {
                self.note("the gateway is started");
                self.site.start_again()
            }
        }
    }

    fn begin(&mut self, episode: usize, fault: Fault, whom: Whom) -> Result<()> {
        let node = match whom {
            Whom::First => 0,
            Whom::Primary => self.primary_now(),
        };
        let name = self.nodes[node].name.clone();
        let stands =
            |active: &Active| active.node == node && matches!(active.fault, Fault::Freeze | Fault::Kill);
        if matches!(fault, Fault::Freeze | Fault::Kill) && self.active.iter().any(stands) {
            self.note(&format!("{fault:?} of {name} is left out: it does not run"));
            return Ok(());
        }
        if fault == Fault::Kill && !self.others_are_whole(node) {
            // Nobody could bring back what the last whole copy takes with it.
            self.note(&format!(
                "{fault:?} of {name} is left out: it may be the last whole copy"
            ));
            return Ok(());
        }
        self.note(&format!("{fault:?} of {name}"));
        match fault {
            Fault::CutOff | Fault::Mute | Fault::Deaf => self.cut(node, fault)?,
            Fault::Freeze => self.nodes[node].server.pause()?,
            Fault::Kill => self.kill(node)?,
        }
        self.active.push(Active {
            episode,
            node,
            fault,
            since: Instant::now(),
        });
        Ok(())
    }

    fn end(&mut self, episode: usize) -> Result<()> {
        let Some(index) = self.active.iter().position(|active| active.episode == episode) else {
            return Ok(());
        };
        let Active {
            node, fault, since, ..
        } = self.active.remove(index);
        self.note(&format!("end of {fault:?} of {}", self.nodes[node].name));
        match fault {
            Fault::CutOff | Fault::Mute | Fault::Deaf => self.heal(node)?,
            Fault::Freeze => {
                let until = Instant::now();
                self.nodes[node].server.resume()?;
                self.frozen.push(Frozen {
                    node,
                    from: since,
                    until,
                });
            }
            Fault::Kill => self.nodes[node].server.restart()?,
        }
        self.ended[node] = Some(Instant::now());
        Ok(())
    }

    fn kill(&mut self, node: usize) -> Result<()> {
        let server = &mut self.nodes[node].server;
        let gone_from = match self.kept[node] {
            Kept::AppendOnlyFile => None,
            Kept::Nothing => {
                server.kill9();
                // The file of a first copy, which it was given as a replica, goes too.
                drop(fs::remove_file(server.dir().join("dump.rdb")));
                Some(self.begin)
            }
            Kept::OlderFile => {
                let before = Instant::now();
                server.connect_locally()?.cmd(&["SAVE"])?;
                Some(before)
            }
        };
        server.kill9();
        let until = Instant::now() + UNDER_WAY;
        self.killed.push(Killed {
            node,
            until,
            gone_from,
        });
        Ok(())
    }

    fn cut(&self, node: usize, fault: Fault) -> Result<()> {
        let host = host_of(&self.nodes[node].server)?;
        let others = self.others(node)?;
        match fault {
            Fault::CutOff => self.net.isolate(&host, &[])?,
            Fault::Mute => others
                .iter()
                .try_for_each(|other| self.net.cut_one_way(&host, other))?,
            _ => others
                .iter()
                .try_for_each(|other| self.net.cut_one_way(other, &host))?,
        }
        Ok(())
    }

    /// Lets packets through again, unless another fault of the line lasts still.
    fn heal(&self, node: usize) -> Result<()> {
        let line = |active: &&Active| matches!(active.fault, Fault::CutOff | Fault::Mute | Fault::Deaf);
        if self.active.iter().filter(line).any(|active| active.node == node) {
            return Ok(());
        }
        let host = host_of(&self.nodes[node].server)?;
        for other in self.others(node)? {
            self.net.heal(&host, &other)?;
        }
        // What lies between this host and another that is cut off stays cut.
        self.active
            .iter()
            .filter(line)
            .try_for_each(|active| self.cut(active.node, active.fault))
    }

    fn others(&self, node: usize) -> Result<Vec<sterna_testkit::Host>> {
        let own = host_of(&self.nodes[node].server)?;
        let hosts = self.nodes.iter().map(|node| host_of(&node.server));
        let mut hosts = hosts.collect::<Result<Vec<_>>>()?;
        hosts.retain(|host| *host != own);
        hosts.push(self.net.test_host());
        Ok(hosts)
    }

    fn primary_now(&mut self) -> usize {
        if let Some(status) = self.status() {
            let name = status.services.first().map(|service| service.name.to_string());
            let found = self
                .nodes
                .iter()
                .position(|node| Some(&node.name) == name.as_ref());
            self.primary = found.unwrap_or(self.primary);
        }
        self.primary
    }

    fn status(&self) -> Option<GroupStatus> {
        if !self.site.is_up() {
            return None;
        }
        self.site.status().ok()
    }

    /// Whether every other node holds a whole copy for sure.
    fn others_are_whole(&self, node: usize) -> bool {
        let noticed = |ended: &Option<Instant>| ended.is_none_or(|ended| ended.elapsed() > NOTICED_AFTER);
        let quiet = (0..self.nodes.len()).filter(|other| *other != node).all(|other| {
            !self.active.iter().any(|active| active.node == other) && noticed(&self.ended[other])
        });
        let Some(status) = self.status() else {
            // Nobody to ask: only where nothing ever happened to them.
            return quiet && (0..self.nodes.len()).all(|other| other == node || self.ended[other].is_none());
        };
        let name = &self.nodes[node].name;
        let former = self
            .site
            .group()
            .ok()
            .flatten()
            .map(|group| group.former_primaries().cloned().collect::<Vec<_>>())
            .unwrap_or_default();
        let own = |service: &str| service == name;
        quiet
            && status
                .services
                .iter()
                .all(|service| own(service.name.as_str()) || service.ok)
            && former.iter().all(|former| own(former.service.as_str()))
    }

    fn note(&mut self, what: &str) {
        let at = self.begin.elapsed().as_secs_f64();
        let clock = jiff::Timestamp::now();
        self.story.push(format!("{at:>7.3} s {clock} {what}"));
    }
}

fn host_of(server: &Server) -> Result<sterna_testkit::Host> {
    Ok(server.host().context("it runs on a host of the network")?.clone())
}
