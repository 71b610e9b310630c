//! The story from beginning to end.

use super::cast::Cast;
use super::copying;
use super::ending;
use super::farewell;
use super::faults;
use super::node::ServerProgram;
use super::place::Place;
use super::process::Afterwards;
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
        "Sterna demo: real servers, on this machine. The gateway follows the primary, keeps its stream in a log on\n\
         disk, and feeds the replica nodes out of it.\n\n    \
         application ──> primary ──> gateway ──> replica 1\n                              \
                               └──> replica 2",
    );
    timeline.act("Servers, and data in one of them");
    let afterwards = if args.keep {
        Afterwards::MayStay
    } else {
        Afterwards::Die
    };
    let mut cast = Cast::start(&program, place, afterwards).await?;
    introduce(&cast, &program, timeline);
    let copied = copying::fill_and_replicate(&mut cast, args.megabytes, timeline).await?;

    timeline.act("An application writes, and the replica nodes keep up");
    let mut writer = Writer::start(&cast.primary.address()).await?;
    let steady = copying::steady(&mut cast, &mut writer, timeline).await?;
    let recoveries = [
        faults::cut_connection(&mut cast, &copied, timeline).await?,
        faults::kill_gateway(&mut cast, &mut writer, &copied, timeline).await?,
        faults::kill_replica(&mut cast, &mut writer, &copied, timeline).await?,
    ];

    timeline.act("The application stops; everything is compared; a replica node takes over");
    let written = writer.stop().await?;
    let end = ending::compare_and_promote(&mut cast, &written, timeline).await?;
    let told = ending::Told {
        copied,
        steady,
        recoveries,
        written,
        end,
    };
    told.summary(timeline);
    if args.keep {
        farewell::say(&mut cast, place.dir(), timeline)?;
        cast.leave();
    }
    Ok(())
}

fn introduce(cast: &Cast, program: &ServerProgram, timeline: &Timeline) {
    let nodes: Vec<_> = cast
        .nodes()
        .map(|node| {
            let pid = node.pid().unwrap_or_default();
            format!(
                "{:<9}  {}  {}, pid {pid}",
                node.name,
                node.address(),
                program.name
            )
        })
        .collect();
    timeline.row("start", &nodes.join("\n"));
}
