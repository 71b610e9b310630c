//! `sterna demo`: the whole story on this machine, with servers of its own, told as it happens.
//!
//! Real nodes, the real gateway and the operator's commands run as child processes in a temporary directory. Every sentence that the timeline
//! prints about them is measured or asked from outside; one that does not hold ends the demo with an error and keeps
//! the logs. A child dies with the demo however that ends: by [`process::Process`]'s drop and, where the demo itself
//! is killed with -9, by `setpriv --pdeathsig`. Only the directory stays behind in that last case, and with `--keep`
//! the children do too.

mod cast;
mod change;
mod claim;
mod copies;
mod discovery;
mod ending;
mod farewell;
mod fill;
mod frozen;
mod gateway;
mod killed;
mod mix;
mod node;
mod operator;
mod place;
mod planned;
mod process;
mod proof;
mod setup;
mod story;
mod straggler;
mod timeline;
mod writer;

use node::ServerProgram;
use place::Place;
use timeline::Timeline;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::DemoArgs;
use crate::exit::{Classify as _, CommandResult, Failure};

/// Plays the demo; returns when all of it is gone again, or with `--keep` once it has said how to look around.
pub(crate) async fn run(args: DemoArgs) -> CommandResult {
    let program = ServerProgram::find().class(Failure::Local)?;
    let mut place = Place::new().class(Failure::Local)?;
    let mut timeline = Timeline::new();
    // The story is dropped at the end of this statement, and its processes with it, before the directory goes.
    let ended = tokio::select! {
        ended = story::play(&args, program, &mut place, &mut timeline) => ended,
        stopped = stop_signal() => {
            stopped.class(Failure::Other)?;
            return Err(Failure::Other.because(
                "stopped before the end: every process of the demo was ended and its data removed",
            ));
        }
    };
    if let Err(error) = ended {
        place.keep();
        return Err(Failure::Other.because(format!(
            "{error:#}\nThe demo's processes were ended. What they logged is kept in {}\nhint: read gateway.log, \
             gateway.out and */server.log there",
            place.dir().display()
        )));
    }
    if args.keep {
        place.keep();
        return Ok(());
    }
    place.remove().class(Failure::Local)?;
    timeline.end("every process has ended, and nothing is left on this machine");
    Ok(())
}

/// Ctrl-C, SIGTERM, or the terminal goes away.
async fn stop_signal() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
