//! The script from beginning to end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sterna_testkit::Engine;

use crate::assert::{DEADLINE, until};
use crate::nodes::Demo;
use crate::setup::FAILOVER_PAUSE_SECONDS;
use crate::timeline::Timeline;
use crate::{ending, frozen, killed, planned, setup};

/// What is played, and where.
#[derive(Debug)]
pub(crate) struct Options {
    /// The gateway's program.
    pub(crate) sterna: PathBuf,
    pub(crate) engine: Engine,
    /// Where everything keeps its files.
    pub(crate) dir: PathBuf,
    /// Data to fill in, in MiB.
    pub(crate) megabytes: u64,
}

/// Plays all acts, and returns what still runs. An error is a sentence that did not hold, or something that did not work
/// at all.
pub(crate) fn play(options: &Options) -> anyhow::Result<Demo> {
    let timeline = Timeline::new();
    Timeline::plain(
        "Sterna demo: two sites, real servers, on this machine. The gateway keeps a replication group, follows its\n\
         primary, feeds the replica nodes, and tells clients where the primary is.\n\n    \
         application ─────────> eu ─────────> gateway ─────────> us-1\n         \
         └── where is the primary? ────────┘  └──────────> us-2",
    );
    timeline.act("Two sites, one gateway, and data at eu");
    let mut demo = Demo::start(options, timeline)?;
    setup::introduce(&demo, options)?;

    demo.timeline.act("The operator makes them a group");
    setup::create_group(&demo)?;
    let created = Instant::now();
    let application = demo.start_application()?;
    demo.timeline.row(
        "write",
        "an application asks discovery for the primary of `orders`, and writes 1,000 orders a second there",
    );

    demo.timeline.act("1 of 3: the primary is killed");
    application.wait_acknowledged(1000, DEADLINE)?;
    pause_after(created)?;
    let killed = killed::fail_over(&mut demo, &application)?;

    demo.timeline.act("2 of 3: back to eu, as planned");
    let back = planned::switch_back(&demo, &application)?;
    let switched = Instant::now();

    demo.timeline
        .act("3 of 3: the primary freezes, and a client stays with it");
    pause_after(switched)?;
    let frozen = frozen::freeze(&demo, &application)?;

    demo.timeline
        .act("The application stops, and everything is compared");
    application.stop()?;
    let changes = [killed, back, frozen];
    let equality = ending::compare(&demo, &application, &changes)?;
    ending::summary(&changes, &equality, &demo.timeline);
    Ok(demo)
}

/// Waits until a failover is allowed again after a change of primary.
fn pause_after(change: Instant) -> anyhow::Result<()> {
    let pause = Duration::from_secs(FAILOVER_PAUSE_SECONDS);
    until("a failover is allowed again", || change.elapsed() >= pause)
}
