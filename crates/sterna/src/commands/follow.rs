//! Waiting for an operation: each step as it happens, with its reason, then what came of it.
//!
//! It asks again and again with a short wait, instead of listening to events: so it outlives a restart of the gateway,
//! and misses nothing.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sterna_model::{Operation, OperationId, OperationKind, OperationState, Step, StepState};

use super::client::{Answer, Client};
use super::render::{self, Style};
use crate::cli::{Format, WaitArgs};
use crate::exit::{CommandError, CommandResult, Failure};
use crate::output;

/// How long the gateway may wait with an answer for the operation to end.
const WAIT_MS: u64 = 250;
/// So long the gateway may be away (a restart) before waiting is given up.
const ABSENCE_MAX: Duration = Duration::from_secs(60);
/// Between two tries to reach a gateway that is away.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// The live line is drawn so often.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Shows the operation that an answer holds until it is over, or prints its number where nobody waits.
pub(super) fn begun(client: &Client, answer: &Answer, wait: WaitArgs, format: Format) -> CommandResult {
    let operation: Operation = answer.read()?;
    if wait.no_wait {
        match format {
            Format::Json => output::data(answer.text.trim_end()),
            Format::Table => output::data(&operation.id.to_string()),
        };
        return Ok(());
    }
    follow(client, operation.id, None, format)
}

/// Shows an operation until it is over. After `timeout` waiting is given up, and the operation goes on.
pub(super) fn follow(
    client: &Client,
    id: OperationId,
    timeout: Option<Duration>,
    format: Format,
) -> CommandResult {
    let mut display = Display::new(format);
    let began = Instant::now();
    let mut absent: Option<Instant> = None;
    loop {
        let answer = match client.get(&format!("/operations/{id}?wait_ms={WAIT_MS}")) {
            Ok(answer) => answer,
            Err(error) if error.failure == Failure::Server => {
                let since = *absent.get_or_insert_with(Instant::now);
                if since.elapsed() > ABSENCE_MAX {
                    display.close();
                    return Err(gave_up(id, &error));
                }
                display.absent(id);
                pause(RETRY_INTERVAL);
                continue;
            }
            Err(error) => {
                display.close();
                return Err(error);
            }
        };
        absent = None;
        let operation: Operation = answer.read()?;
        display.show(&operation);
        if operation.state.is_final() {
            display.close();
            return outcome(&operation, &answer, format);
        }
        if timeout.is_some_and(|timeout| began.elapsed() >= timeout) {
            display.close();
            return Err(Failure::Other.because(format!(
                "operation {id} is still under way: {}\nhint: `sterna operation wait {id}` waits on",
                render::activity(&operation)
            )));
        }
    }
}

fn gave_up(id: OperationId, error: &CommandError) -> CommandError {
    Failure::Server.because(format!(
        "{}\noperation {id} is resumed when the gateway is back; `sterna operation wait {id}` waits for it then",
        error.error
    ))
}

/// A wait between two tries to reach a gateway that is away.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells that a gateway is back; the verbs have no runtime"
)]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn outcome(operation: &Operation, answer: &Answer, format: Format) -> CommandResult {
    let style = Style::stdout();
    if format == Format::Json {
        output::data(answer.text.trim_end());
    }
    let result = operation.result.as_ref();
    let result = result.map_or_else(|| "no result is known".to_owned(), ToString::to_string);
    if format == Format::Table {
        if operation.state == OperationState::Succeeded {
            output::data(&result);
        }
        if let Some(report) = &operation.report {
            output::data(render::report(report, &style).trim_end());
        }
    }
    match operation.state {
        OperationState::Succeeded => Ok(()),
        OperationState::Cancelled => {
            Err(Failure::OperationFailed
                .because(format!("operation {} was cancelled: {result}", operation.id)))
        }
        _ => {
            let (id, group) = (operation.id, &operation.group);
            // A group that came to nothing has no status.
            let status = match operation.kind {
                OperationKind::Create => String::new(),
                _ => format!(", `sterna status {group}` tells how the group is now"),
            };
            Err(Failure::OperationFailed.because(format!(
                "operation {id} failed: {result}\nhint: `sterna operation show {id}` has every step{status}"
            )))
        }
    }
}

/// What was said of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// That it began.
    Begun,
    /// What came of it.
    Over,
}

/// What was shown so far.
#[derive(Debug)]
struct Display {
    style: Style,
    quiet: bool,
    bar: ProgressBar,
    headline: bool,
    steps: Vec<Told>,
    told_absence: bool,
}

impl Display {
    fn new(format: Format) -> Self {
        let style = Style::stderr();
        let quiet = format == Format::Json;
        let target = if style.width.is_some() && !quiet {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(
            // Whoever presses Ctrl-C should know that it ends the waiting only.
            ProgressStyle::with_template("  {spinner} {wide_msg} (Ctrl-C leaves it running)")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        bar.enable_steady_tick(DRAW_INTERVAL);
        Self {
            style,
            quiet,
            bar,
            headline: false,
            steps: Vec::new(),
            told_absence: false,
        }
    }

    fn line(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| output::message(text));
        }
    }

    fn show(&mut self, operation: &Operation) {
        self.told_absence = false;
        if !std::mem::replace(&mut self.headline, true) {
            self.line(&render::headline(operation));
        }
        let live = self.style.width.is_some();
        let steps = render::whole_steps(operation);
        for (index, step) in steps.iter().enumerate() {
            // The last one may be tried again: it is over when something comes after it.
            let open = index + 1 == steps.len() && !operation.state.is_final();
            let (tellable, told) = match step.state {
                // On a terminal the live line says what is being done, and a step gets its line when it is over.
                StepState::Running => (!live, Told::Begun),
                StepState::Done | StepState::Failed if open => (!live, Told::Begun),
                StepState::Done | StepState::Failed => (true, Told::Over),
            };
            let before = self.steps.get(index).copied();
            if before.is_none_or(|before| before < told) {
                if tellable {
                    let begun = Step {
                        state: StepState::Running,
                        finished_at: None,
                        ..step.clone()
                    };
                    let shown = if told == Told::Begun { &begun } else { step };
                    self.line(&render::step_line(shown, &self.style));
                }
                match self.steps.get_mut(index) {
                    Some(before) => *before = told,
                    None => self.steps.push(told),
                }
            }
        }
        let percent = operation
            .progress
            .map_or_else(String::new, |progress| format!("{:.0}%  ", progress * 100.0));
        self.bar
            .set_message(format!("{percent}{}", render::activity(operation)));
    }

    fn absent(&mut self, id: OperationId) {
        if !std::mem::replace(&mut self.told_absence, true) {
            self.line(&format!(
                "  the gateway does not answer; it resumes operation {id} when it is back"
            ));
        }
        self.bar.set_message("waiting for the gateway".to_owned());
    }

    fn close(&self) {
        self.bar.finish_and_clear();
    }
}
