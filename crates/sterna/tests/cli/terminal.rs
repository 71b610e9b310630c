//! On a terminal: the question before a change, and the screen of `--watch`.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::json;

use crate::operations::{status, switchover};
use crate::scripted::{Reply, ScriptedApi};
use crate::support::{DEADLINE, sterna};

/// A terminal with somebody in front of it.
struct Terminal {
    person: File,
    seen: String,
}

impl Terminal {
    /// A new terminal, and its other end for a program.
    fn open() -> (Self, File) {
        let person: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&person).expect("granted");
        unlockpt(&person).expect("unlocked");
        let name = ptsname(&person, Vec::new()).expect("a name");
        let program = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().expect("UTF-8"))
            .expect("opened");
        let size = Winsize {
            ws_row: 40,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&program, size).expect("sized");
        let person = File::from(person);
        let flags = rustix::fs::fcntl_getfl(&person).expect("flags");
        rustix::fs::fcntl_setfl(&person, flags | rustix::fs::OFlags::NONBLOCK).expect("flags");
        let seen = String::new();
        (Self { person, seen }, program)
    }

    /// Reads until `text` stands on the screen.
    fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.seen.contains(text) {
            assert!(Instant::now() < end, "no {text:?} in {:?}", self.seen);
            let mut bytes = [0; 4096];
            match self.person.read(&mut bytes) {
                Ok(read) => self.seen.push_str(&String::from_utf8_lossy(&bytes[..read])),
                Err(_) => std::thread::park_timeout(Duration::from_millis(5)),
            }
        }
    }

    fn say(&mut self, text: &str) {
        self.person.write_all(text.as_bytes()).expect("written");
    }
}

/// Killed with the test, if it runs on.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn spawn(api: &ScriptedApi, args: &[&str], terminal: &File) -> Running {
    let end = || Stdio::from(terminal.try_clone().expect("another handle"));
    let child = Command::new(sterna())
        .args(args)
        .current_dir(api.dir())
        .env("STERNA_API", api.address())
        .env("STERNA_TOKEN", "sterna_test")
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn();
    Running(child.expect("sterna starts"))
}

fn api() -> ScriptedApi {
    ScriptedApi::start(|request, before| match (request.line.as_str(), before) {
        ("GET /groups/orders/status", _) => Reply::Json(200, status("orders", "healthy", 1)),
        ("GET /status", 0..=1) => Reply::Json(200, json!([status("orders", "healthy", 1)])),
        ("GET /events", _) => Reply::Events(Vec::new()),
        ("GET /status", _) => Reply::Json(200, json!([status("orders", "primary-down", 2)])),
        _ => Reply::Json(
            409,
            json!({ "title": "no", "detail": "that far and no further", "status": 409 }),
        ),
    })
}

const CHANGE: &str = "POST /groups/orders/switchover";

#[test]
fn a_person_is_asked_and_may_say_no() {
    let api = api();
    for (answer, changes, code) in [("n\n", 0, 9), ("\n", 0, 9), ("y\n", 1, 3)] {
        let (mut terminal, program) = Terminal::open();
        let mut process = spawn(&api, &["switchover", "orders", "--to", "us"], &program);
        terminal.wait_for("Do it? [y/N] ");
        assert!(
            terminal.seen.contains("1.2 KiB, 0.5 s of writes would be lost"),
            "{}",
            terminal.seen
        );
        terminal.say(answer);
        terminal.wait_for("error: ");
        let status = process.0.wait().expect("it ends");
        assert_eq!(status.code(), Some(code), "{}", terminal.seen);
        assert_eq!(api.with_line(CHANGE).len(), changes, "{answer:?}");
    }
}

#[test]
fn a_step_gets_its_line_when_it_is_over() {
    let api = switchover();
    let (mut terminal, program) = Terminal::open();
    let mut process = spawn(&api, &["switchover", "orders", "--to", "us", "--yes"], &program);
    terminal.wait_for("resyncs  1 partial, 0 full");
    assert!(process.0.wait().expect("it ends").success());
    let seen = terminal.seen.replace("\x1b[32m", "").replace("\x1b[0m", "");
    for expected in [
        "done    check",
        "done    pause-writes",
        "us (redis.us.example:6379) is the primary",
    ] {
        assert!(seen.contains(expected), "{expected}: {seen:?}");
    }
    assert!(!seen.contains("begun"), "{seen:?}");
}

#[test]
fn the_screen_is_redrawn_in_colour() {
    let api = api();
    let (mut terminal, program) = Terminal::open();
    let _process = spawn(&api, &["status", "--watch"], &program);
    terminal.wait_for("\x1b[32mHEALTHY\x1b[0m");
    terminal.wait_for("\x1b[1;31mPRIMARY-DOWN\x1b[0m");
    assert!(terminal.seen.contains("\x1b[H"), "{:?}", terminal.seen);
}
