//! The story from beginning to end.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::cast::Cast;
use super::ending;
use super::farewell;
use super::frozen;
use super::killed;
use super::node::ServerProgram;
use super::place::Place;
use super::planned;
use super::process::Afterwards;
use super::setup::{self, FAILOVER_PAUSE_SECONDS};
use super::timeline::Timeline;
use super::writer::Writer;
use crate::cli::DemoArgs;

/// Plays all acts. An error is a claim that did not hold, or something that did not work at all.
pub(super) async fn play(
    args: &DemoArgs,
    program: ServerProgram,
    place: &mut Place,
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    Timeline::plain(
        "Sterna demo: two sites, real servers, on this machine. The gateway keeps a replication group, follows its\n\
         primary, feeds the replica nodes, and tells clients where the primary is.\n\n    \
         application ─────────> eu ─────────> gateway ─────────> us-1\n         \
         └── where is the primary? ────────┘  └──────────> us-2",
    );
    let afterwards = if args.keep {
        Afterwards::MayStay
    } else {
        Afterwards::Die
    };
    timeline.act("Two sites, one gateway, and data at eu");
    let mut cast = Cast::start(&program, place, afterwards).await?;
    setup::introduce(&cast, &program, args.megabytes, timeline).await?;

    timeline.act("The operator makes them a group");
    setup::create_group(&cast, timeline).await?;
    let created = Instant::now();
    let writer = Writer::start(&cast.gateway.discovery);
    timeline.row(
        "write",
        "an application asks discovery for the primary of `orders`, and writes 1,000 orders a second there",
    );

    timeline.act("1 of 3: the primary is killed");
    writer.more(1000).await?;
    pause_after(created).await;
    let lost = killed::fail_over(&mut cast, &writer, timeline).await?;

    timeline.act("2 of 3: back to eu, as planned");
    let back = planned::switch_back(&cast, &writer, timeline).await?;
    let switched = Instant::now();

    timeline.act("3 of 3: the primary freezes, and a client stays with it");
    pause_after(switched).await;
    let frozen = frozen::freeze(&cast, place, &writer, timeline).await?;

    timeline.act("The application stops, and everything is compared");
    let written = writer.stop().await?;
    let changes = [lost, back, frozen];
    let equality = ending::compare(&cast, &written, &changes, timeline).await?;
    ending::summary(&changes, &equality, timeline);
    if args.keep {
        farewell::say(&cast, place.dir(), timeline);
        cast.leave();
    }
    Ok(())
}

/// Waits until a failover is allowed again after a change of primary.
async fn pause_after(change: Instant) {
    sleep_until(change + Duration::from_secs(FAILOVER_PAUSE_SECONDS)).await;
}
