//! For people: a table of checks, a bar for the full copy, then one live line; plain lines where there is no terminal.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sterna_model::{Check, CopyProgress};
use sterna_replication::{FollowerState, Notice, Status};

use super::Display;
use crate::commands::render::{self, Style};
use crate::output;

/// Without a terminal, a line this often while a full copy runs...
const COPY_LINE_INTERVAL: Duration = Duration::from_secs(1);
/// ...and this often afterwards.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Rates are taken over this span.
const RATE_SPAN: Duration = Duration::from_secs(3);
/// On a terminal the live line is drawn this often.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);

/// The display for people.
#[derive(Debug)]
pub(crate) struct People {
    terminal: bool,
    bar: ProgressBar,
    samples: VecDeque<Sample>,
    drawn: Option<Instant>,
    last_word: &'static str,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    stream_bytes: u64,
    snapshot_bytes: u64,
    commands: u64,
}

impl People {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        Self {
            terminal,
            bar,
            samples: VecDeque::new(),
            drawn: None,
            last_word: "",
        }
    }

    fn line(&self, text: &str) {
        let time = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        if self.terminal {
            self.bar.suspend(|| output::message(&format!("{time}  {text}")));
        } else {
            output::message(&format!("{time}  {text}"));
        }
    }

    /// Bytes of stream, bytes of snapshot and commands per second.
    fn rates(&mut self, status: &Status) -> (u64, u64, u64) {
        let now = Sample {
            at: Instant::now(),
            stream_bytes: status.counters.stream_bytes,
            snapshot_bytes: status.counters.snapshot_bytes,
            commands: status.counters.commands,
        };
        self.samples.push_back(now);
        while self.samples.len() > 2
            && self
                .samples
                .front()
                .is_some_and(|first| now.at - first.at > RATE_SPAN)
        {
            self.samples.pop_front();
        }
        let first = self.samples.front().copied().unwrap_or(now);
        let millis = u64::try_from((now.at - first.at).as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let rate = |now: u64, then: u64| now.saturating_sub(then).saturating_mul(1000) / millis;
        (
            rate(now.stream_bytes, first.stream_bytes),
            rate(now.snapshot_bytes, first.snapshot_bytes),
            rate(now.commands, first.commands),
        )
    }

    fn draw_copy(&mut self, copy: CopyProgress, rate: u64) {
        let (received, total) = (copy.received_bytes, copy.total_bytes);
        if self.terminal {
            let style = match total {
                Some(_) => "full copy  {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
                None => "full copy  {spinner} {bytes}  {bytes_per_sec}",
            };
            self.bar.set_style(
                ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            if let Some(total) = total {
                self.bar.set_length(total);
            }
            self.bar.set_position(received);
            return;
        }
        let of = total.map_or_else(String::new, |total| format!(" of {}", output::bytes(total)));
        let left = total.filter(|_| rate > 0).map_or_else(String::new, |total| {
            format!(
                ", {} left",
                output::duration(Duration::from_secs(total.saturating_sub(received) / rate))
            )
        });
        self.line(&format!(
            "full copy: {}{of}, {}/s{left}",
            output::bytes(received),
            output::bytes(rate)
        ));
    }

    fn draw_line(&mut self, text: &str) {
        if self.terminal {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            self.bar
                .set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            self.bar.set_message(text.to_owned());
            self.bar.tick();
        } else {
            self.line(text);
        }
    }
}

impl Display for People {
    fn checks(&mut self, checks: &[Check]) {
        output::data(&render::checks(checks, &Style::stdout()));
    }

    fn notice(&mut self, notice: &Notice) {
        if let Some(text) = notice_text(notice) {
            self.line(&text);
        }
    }

    fn status(&mut self, status: &Status) {
        let copying = status.copy.is_some();
        let word = if copying { "full-sync" } else { status.link.word() };
        let interval = match (self.terminal, copying) {
            (true, _) => DRAW_INTERVAL,
            (false, true) => COPY_LINE_INTERVAL,
            (false, false) => LINE_INTERVAL,
        };
        if word == self.last_word && self.drawn.is_some_and(|at| at.elapsed() < interval) {
            return;
        }
        self.drawn = Some(Instant::now());
        if copying && self.last_word != word {
            // The bar's own rate and time left count from here.
            self.bar.reset();
        }
        self.last_word = word;
        let (stream_rate, snapshot_rate, commands) = self.rates(status);
        if let Some(copy) = status.copy {
            self.draw_copy(copy, snapshot_rate);
        } else {
            let line = live_line(status, stream_rate, commands);
            self.draw_line(&line);
        }
    }

    fn end(&mut self, words: &str) {
        self.bar.finish_and_clear();
        output::message(words);
    }
}

/// `streaming  lag 0 B, 0.0 s  1.2 MiB/s, 9,800 commands/s  log 220.0 MiB  2 replicas`
fn live_line(status: &Status, bytes_rate: u64, commands_rate: u64) -> String {
    let streaming = status
        .followers
        .iter()
        .filter(|follower| follower.state == FollowerState::Streaming)
        .count();
    let loading = status.followers.len() - streaming;
    let mut line = format!(
        "{}  lag {}, {:.1} s  {}/s, {} commands/s  log {}  {streaming} following",
        status.link.word(),
        output::bytes(status.lag_bytes()),
        status.lag_seconds(tokio::time::Instant::now()),
        output::bytes(bytes_rate),
        output::count(commands_rate),
        output::bytes(status.log_bytes),
    );
    if loading > 0 {
        write!(line, ", {loading} loading or waiting").expect("a string takes any text");
    }
    if let Some(obstacle) = status
        .followers
        .iter()
        .find_map(|follower| follower.held.as_ref())
    {
        write!(line, "  A COPY IS HELD: {obstacle}").expect("a string takes any text");
    }
    if let Some(error) = &status.disk_error {
        write!(line, "  LOG IN MEMORY ONLY: {error}").expect("a string takes any text");
    }
    line
}

fn notice_text(notice: &Notice) -> Option<String> {
    Some(match notice {
        Notice::Connected { .. } => return None,
        Notice::Begun { offset, reason, .. } => format!("the stream begins at offset {offset}: {reason}"),
        Notice::CopyFailed { reason } => {
            format!("the full copy came to nothing and is asked for again: {reason}")
        }
        Notice::FullSyncStarted { offset, reason, .. } => format!("full copy from offset {offset}: {reason}"),
        Notice::FullSyncReceived { bytes, took } => {
            format!(
                "full copy received: {} in {}",
                output::bytes(*bytes),
                output::duration(*took)
            )
        }
        Notice::Resumed { offset, new_id: None } => format!("resumed at offset {offset} (partial resync)"),
        Notice::Resumed {
            offset,
            new_id: Some(id),
        } => {
            format!("resumed at offset {offset} (partial resync); the history is now {id}")
        }
        Notice::CutBack { to, bytes } => format!(
            "the primary service failed over and lost the last {bytes} bytes of writes; the log was cut back to offset {to}"
        ),
        Notice::Holding(reason) => format!(
            "HOLDING: {reason}\n          hint: to overwrite the replica nodes with what the primary has now, run again \
             with --accept-new-history; to go on without that primary, `sterna promote`"
        ),
        Notice::Lost { reason, retry_in } => {
            format!(
                "connection lost: {reason}; trying again in {} ms",
                retry_in.as_millis()
            )
        }
        Notice::Corrupt { reason } => format!("BAD DATA: {reason}"),
        Notice::CopyHeld { peer, obstacle } => format!("replica {peer}: GIVEN NO FULL COPY: {obstacle}"),
        Notice::FollowerFullSync { peer } => format!("replica {peer}: a full copy goes out"),
        Notice::FollowerResumed { peer, offset } => {
            format!("replica {peer}: resumed at offset {offset} (partial resync)")
        }
        Notice::FollowerOnline { peer } => format!("replica {peer}: follows the stream"),
        Notice::FollowerGone { peer, reason } => format!("replica {peer}: gone ({reason})"),
        Notice::DiskFailed { reason } => format!(
            "THE LOG IS IN MEMORY ONLY: {reason}. Replication goes on; a replica that is away for longer than the \
             memory reaches back will need a full copy"
        ),
        Notice::DiskRecovered => "the log is on disk again".to_owned(),
    })
}
