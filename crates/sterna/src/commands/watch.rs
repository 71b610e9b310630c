//! `sterna status --watch`: redrawn on a terminal, a line per change elsewhere, a status per line as JSON.
//!
//! A thread reads the event stream into a bounded channel; who is slow to print makes that thread wait, and the gateway
//! says `missed` then, whereupon everything is asked for anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use sterna_model::{Event, EventKind, GroupName, GroupStatus, StatusChange};
use sterna_protocol::text::for_terminal;

use super::client::Client;
use super::events::Events;
use super::follow::pause;
use super::render::{self, Style};
use super::status;
use crate::cli::{Format, StatusArgs};
use crate::exit::{CommandError, CommandResult, Failure};
use crate::output;

/// Events that were read and not shown yet.
const QUEUE: usize = 256;
/// The screen is not drawn more often than this.
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);
/// Ages on the screen grow this often.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// Between two tries to reach a gateway that is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What the reading thread says.
#[derive(Debug)]
enum News {
    /// A status in full.
    Status(Box<GroupStatus>),
    /// What changed in one.
    Change(GroupName, Box<StatusChange>),
    /// Something else did, or events were missed: ask anew.
    AskAnew,
    /// The stream ended.
    Lost(String),
}

/// Shows statuses until nobody looks any more.
pub(super) fn run(client: &Client, args: &StatusArgs) -> CommandResult {
    let mut screen = Screen::new(args.api.output);
    // The first look is an ordinary one: a wrong group or token ends it here, and so does an API that is not there.
    screen.replace(status::all(client, args)?);
    let path = match &args.group {
        Some(group) => format!("/events?group={group}"),
        None => "/events".to_owned(),
    };
    while screen.is_watched() {
        let reason = match watch_stream(client, args, &path, &mut screen) {
            Ok(()) => return Ok(()),
            Err(error) if error.failure != Failure::Server => return Err(error),
            Err(error) => error.error.to_string(),
        };
        let first = reason.lines().next().unwrap_or_default();
        output::message(&format!("{first}; trying again until it answers"));
        wait_for_gateway(client, args, &mut screen)?;
    }
    Ok(())
}

fn wait_for_gateway(client: &Client, args: &StatusArgs, screen: &mut Screen) -> CommandResult {
    loop {
        pause(RETRY_INTERVAL);
        match status::all(client, args) {
            Ok(statuses) => {
                screen.replace(statuses);
                return Ok(());
            }
            Err(error) if error.failure == Failure::Server => {}
            Err(error) => return Err(error),
        }
    }
}

/// Ends well when nobody looks any more, with an error when the stream does.
fn watch_stream(client: &Client, args: &StatusArgs, path: &str, screen: &mut Screen) -> CommandResult {
    let body = client.stream(path)?;
    let (sender, news) = sync_channel(QUEUE);
    let reader = std::thread::Builder::new().name("events".to_owned());
    reader
        .spawn(move || read(Events::new(body), &sender))
        .map_err(|error| Failure::Local.because(format!("no thread can be started: {error}")))?;
    // What happened between the first look and the stream.
    screen.replace(status::all(client, args)?);
    show_news(client, args, &news, screen)
}

fn show_news(
    client: &Client,
    args: &StatusArgs,
    news: &Receiver<News>,
    screen: &mut Screen,
) -> CommandResult {
    let mut refresh_at = Instant::now() + REFRESH_INTERVAL;
    loop {
        if !screen.draw() {
            return Ok(());
        }
        let until = screen.due().unwrap_or(refresh_at).min(refresh_at);
        match news.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(News::Status(status)) => screen.update(*status),
            Ok(News::Change(group, change)) => {
                if !screen.change(&group, *change) {
                    screen.replace(status::all(client, args)?);
                }
            }
            Ok(News::Lost(reason)) => return Err(lost(&reason)),
            Ok(News::AskAnew) => screen.replace(status::all(client, args)?),
            Err(RecvTimeoutError::Timeout) if Instant::now() >= refresh_at => {
                refresh_at = Instant::now() + REFRESH_INTERVAL;
                screen.stale = true;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(lost("the stream of events ended")),
        }
    }
}

fn lost(reason: &str) -> CommandError {
    Failure::Server.because(reason)
}

fn read<R: std::io::Read>(mut events: Events<R>, sender: &SyncSender<News>) {
    loop {
        let news = match events.next() {
            Ok(Some(event)) => {
                match serde_json::from_str::<Event>(&event.data).map(|event| (event.kind, event.group)) {
                    Ok((EventKind::Status { status }, _)) => News::Status(status),
                    Ok((EventKind::Change { change }, Some(group))) => News::Change(group, change),
                    Ok((EventKind::Operation { .. } | EventKind::Repair { .. }, _)) => continue,
                    // A group came or went; or `missed`; or an event of a newer gateway.
                    Ok(_) | Err(_) => News::AskAnew,
                }
            }
            Ok(None) => News::Lost("the gateway ended the stream of events".to_owned()),
            Err(error) => News::Lost(error.to_string()),
        };
        let last = matches!(news, News::Lost(_));
        if sender.send(news).is_err() || last {
            return;
        }
    }
}

/// What is shown, and how.
#[derive(Debug)]
struct Screen {
    format: Format,
    terminal: bool,
    groups: BTreeMap<GroupName, GroupStatus>,
    stale: bool,
    drawn: Option<Instant>,
    watched: bool,
}

impl Screen {
    fn new(format: Format) -> Self {
        Self {
            format,
            terminal: format == Format::Table && std::io::stdout().is_terminal(),
            groups: BTreeMap::new(),
            stale: true,
            drawn: None,
            watched: true,
        }
    }

    fn is_watched(&self) -> bool {
        self.watched
    }

    fn update(&mut self, status: GroupStatus) {
        if self.groups.get(&status.group) == Some(&status) {
            return;
        }
        self.print(&status);
        self.groups.insert(status.group.clone(), status);
        self.stale = true;
    }

    /// `false` where the status has to be asked for anew.
    fn change(&mut self, group: &GroupName, change: StatusChange) -> bool {
        let Some(mut status) = self.groups.get(group).cloned() else {
            return false;
        };
        let known = status.revision;
        let whole = change.apply(&mut status);
        if whole && status.revision != known {
            self.update(status);
        }
        whole
    }

    fn replace(&mut self, statuses: Vec<GroupStatus>) {
        let gone: Vec<_> = self
            .groups
            .keys()
            .filter(|name| statuses.iter().all(|status| status.group != **name))
            .cloned()
            .collect();
        for name in gone {
            self.groups.remove(&name);
            if !self.terminal && self.format == Format::Table {
                self.watched &= output::data(&format!("{name} is gone"));
            }
        }
        for status in statuses {
            let known = self.groups.get(&status.group);
            if self.format == Format::Json && known.is_some_and(|known| known.at >= status.at) {
                continue;
            }
            self.update(status);
        }
        self.stale = true;
    }

    /// The line for a status, where lines are printed.
    fn print(&mut self, status: &GroupStatus) {
        if self.format == Format::Json {
            if let Ok(text) = serde_json::to_string(status) {
                self.watched &= output::data(&text);
            }
        } else if !self.terminal {
            let before = self.groups.get(&status.group);
            if let Some(line) = render::change_line(before, status, &Style::stdout()) {
                self.watched &= output::data(&line);
            }
        }
    }

    /// When the screen may be drawn again, if it is to be.
    fn due(&self) -> Option<Instant> {
        let drawn = self.drawn.filter(|_| self.terminal && self.stale)?;
        Some(drawn + REDRAW_INTERVAL)
    }

    /// Draws what is due; `false` when nobody looks any more.
    fn draw(&mut self) -> bool {
        if self.terminal && self.stale && self.due().is_none_or(|due| Instant::now() >= due) {
            let style = Style::stdout();
            let statuses: Vec<_> = self.groups.values().cloned().collect();
            self.watched &= output::screen(&frame(&render::status(&statuses, &style), &style));
            self.drawn = Some(Instant::now());
            self.stale = false;
        }
        self.watched
    }
}

/// From the top of the screen, each line to its end, and nothing left below: no flicker.
fn frame(text: &str, style: &Style) -> String {
    let mut frame = "\x1b[H".to_owned();
    for line in for_terminal(text).lines() {
        write!(frame, "{line}\x1b[K\r\n").expect("a string takes any text");
    }
    write!(
        frame,
        "\x1b[K\r\nas of {}; Ctrl-C ends\x1b[K\x1b[J",
        style.now.strftime("%H:%M:%SZ")
    )
    .expect("a string takes any text");
    frame
}
