//! `sterna demo` from outside: what it claims, and what it leaves behind.

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sterna_testkit::process::Source;
use sterna_testkit::{Client, Engine, Process, wait_until};
use support::{DEADLINE, sterna};
use tempfile::TempDir;

/// The whole demo, on a loaded machine.
const DEMO_DEADLINE: Duration = Duration::from_secs(180);

/// A demo that runs in a temporary directory of its own.
struct Demo {
    dir: TempDir,
    process: Process,
}

impl Demo {
    fn start(args: &[&str]) -> Self {
        Self::start_on(Engine::default().program[0].as_ref(), args)
    }

    fn start_on(server: &Path, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let env = [
            ("TMPDIR", dir.path().to_str().expect("a path in UTF-8")),
            ("STERNA_DEMO_SERVER", server.to_str().expect("a path in UTF-8")),
        ];
        let args: Vec<_> = std::iter::once("demo").chain(args.iter().copied()).collect();
        let process = Process::spawn(sterna(), &args, &env).expect("sterna starts");
        Self { dir, process }
    }

    fn exit_code(&self) -> i32 {
        self.process
            .exit_code(DEMO_DEADLINE)
            .unwrap_or_else(|error| panic!("{error:#}\n{}", self.process.tail()))
    }

    fn stdout(&self) -> String {
        self.process.text(Source::Stdout)
    }

    fn stderr(&self) -> String {
        self.process.text(Source::Stderr)
    }

    /// The process ids that the timeline names so far.
    fn pids(&self) -> Vec<u32> {
        let text = self.stdout();
        let after = text.split("pid ").skip(1);
        let digits = after.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        digits.filter_map(|digits| digits.parse().ok()).collect()
    }

    /// Processes whose command line names the demo's directory. A process that has ended has none.
    fn running(&self) -> Vec<String> {
        let dir = self.dir.path().to_str().expect("a path in UTF-8");
        let processes = fs::read_dir("/proc").expect("/proc").flatten();
        processes
            .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(dir))
            .collect()
    }

    /// Nodes show their address and not their directory on the command line, so they are known by their ids.
    fn nothing_runs(&self) {
        wait_until(DEADLINE, "the end of every process of the demo", || {
            let alive: Vec<_> = self.pids().into_iter().filter(|pid| is_server(*pid)).collect();
            let running = self.running();
            if alive.is_empty() && running.is_empty() {
                Ok(())
            } else {
                Err(format!("{alive:?} {running:?}"))
            }
        });
    }

    fn left_behind(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).expect("the directory is there");
        entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

/// Whether a process of that id is a server or a gateway: ids are used again.
fn is_server(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    ["redis", "valkey", "sterna"]
        .iter()
        .any(|name| line.contains(name))
}

/// The digest that the timeline prints for a node.
fn digest(text: &str, node: &str) -> Option<String> {
    let mut words = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(node))
        .map(str::trim);
    words
        .find(|word| word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(str::to_owned)
}

#[test]
fn it_keeps_its_claims_and_leaves_nothing_behind() {
    let demo = Demo::start(&["--megabytes", "4"]);
    let code = demo.exit_code();
    let text = demo.stdout();
    assert_eq!(code, 0, "{text}\n{}", demo.stderr());
    // The first copy, the cut, the gateway, the replica node: what the primary counts of each.
    for claim in [
        "one full copy: sync_full 0 → 1",
        "sync_full 1 → 1, sync_partial_ok 0 → 1",
        "sync_full 1 → 1, sync_partial_ok 1 → 2",
        "sync_full 1 → 1, sync_partial_ok 2 → 2",
        "0 bytes missing",
        "What you saw",
        "nothing is left on this machine",
    ] {
        assert!(text.contains(claim), "{claim:?} is not in\n{text}");
    }
    let digests: Vec<_> = ["primary", "replica 1", "replica 2"]
        .iter()
        .map(|name| digest(&text, name))
        .collect();
    assert!(digests[0].is_some(), "{text}");
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    assert!(!text.contains('\x1b'), "colour where no terminal is:\n{text}");
    assert_eq!(demo.stderr(), "");
    demo.nothing_runs();
    assert_eq!(demo.left_behind(), Vec::<String>::new());
}

#[test]
fn kept_it_runs_on_and_says_how_to_look_around_and_to_stop() {
    let demo = Demo::start(&["--megabytes", "2", "--keep"]);
    let code = demo.exit_code();
    let text = demo.stdout();
    // First of all, so that nothing stays behind when an assertion fails.
    let stop = Stop(command(&text, "kill -9 "));
    assert_eq!(code, 0, "{text}\n{}", demo.stderr());

    let port = |line: &str| -> u16 {
        let rest = command(&text, line);
        let digits: String = rest
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().expect("a port")
    };
    // The first such command is to the primary, the write at which the next one reads at the replica.
    let (primary, replica) = (port("redis-cli -p "), {
        let read = text
            .lines()
            .find(|line| line.ends_with("GET hello"))
            .expect("a read");
        read.split_whitespace()
            .nth(2)
            .and_then(|port| port.parse().ok())
            .expect("a port")
    });
    let connect = |port: u16| Client::connect(("127.0.0.1", port)).expect("it runs on");
    let mut primary = connect(primary);
    primary
        .cmd(&["SET", "hello", "tern"])
        .expect("the primary takes writes");
    assert_eq!(
        primary.cmd(&["WAIT", "1", "1000"]).expect("an answer").int(),
        Some(1)
    );
    assert_eq!(
        connect(replica).cmd(&["GET", "hello"]).expect("an answer").text(),
        "tern"
    );
    let inspect = text
        .lines()
        .find(|line| line.contains(" log inspect "))
        .expect("the command");
    let inspected = Command::new("sh")
        .args(["-c", inspect])
        .output()
        .expect("a shell");
    assert!(inspected.status.success(), "{inspect}: {inspected:?}");

    drop(stop);
    demo.nothing_runs();
    assert_eq!(demo.left_behind(), Vec::<String>::new());
}

/// The first line that begins so, as it could be pasted.
fn command(text: &str, start: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    lines
        .find(|line| line.starts_with(start))
        .unwrap_or_default()
        .to_owned()
}

/// Runs the stop command that the demo gave.
struct Stop(String);

impl Drop for Stop {
    fn drop(&mut self) {
        let stopped = Command::new("sh").args(["-c", &self.0]).status();
        let stopped = stopped.is_ok_and(|status| status.success());
        assert!(stopped || std::thread::panicking(), "{}", self.0);
    }
}

#[test]
fn ctrl_c_ends_everything() {
    let demo = Demo::start(&["--megabytes", "50"]);
    demo.process
        .wait_for_line("  replicate  ", DEMO_DEADLINE)
        .expect("it begins to replicate");
    demo.process.sigint().expect("it runs");
    assert_eq!(demo.exit_code(), 1);
    assert!(
        demo.stderr().contains("stopped before the end"),
        "{}",
        demo.stderr()
    );
    assert!(demo.pids().len() >= 3, "{}", demo.stdout());
    demo.nothing_runs();
    assert_eq!(demo.left_behind(), Vec::<String>::new());
}

#[test]
fn killed_it_takes_its_processes_with_it() {
    let demo = Demo::start(&["--megabytes", "50"]);
    demo.process
        .wait_for_line("  replicate  ", DEMO_DEADLINE)
        .expect("it begins to replicate");
    demo.process.kill9();
    assert!(demo.pids().len() >= 3, "{}", demo.stdout());
    demo.nothing_runs();
}

#[test]
fn a_claim_that_breaks_is_named_and_the_logs_are_kept() {
    // With hardly any backlog, the primary can't continue a link that was away for a second.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let server = dir.path().join("forgetful-server");
    let real = &Engine::default().program[0];
    fs::write(
        &server,
        format!("#!/bin/sh\nexec {real} \"$@\" --repl-backlog-size 16kb\n"),
    )
    .expect("a script");
    fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).expect("a script");

    let demo = Demo::start_on(&server, &["--megabytes", "2"]);
    assert_eq!(demo.exit_code(), 1, "{}", demo.stdout());
    let words = demo.stderr();
    assert!(words.contains("the primary gives no second full copy"), "{words}");
    assert!(words.contains("its sync_full went from 1 to 2"), "{words}");
    let kept = demo.left_behind();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let kept = demo.dir.path().join(&kept[0]);
    assert!(words.contains(kept.to_str().expect("a path in UTF-8")), "{words}");
    for log in ["gateway-1.jsonl", "primary/server.log", "replica-1/server.log"] {
        assert!(kept.join(log).is_file(), "{log}");
    }
    demo.nothing_runs();
}

#[test]
fn without_a_server_it_says_what_to_install() {
    for (server, problem) in [
        ("/nowhere/redis-server", "can't be run"),
        ("/bin/true", "is neither"),
    ] {
        let demo = Demo::start_on(Path::new(server), &[]);
        assert_eq!(demo.exit_code(), 5);
        let words = demo.stderr();
        assert!(words.contains(problem), "{words}");
        assert!(words.contains("apt-get install redis-server"), "{words}");
        assert_eq!(demo.left_behind(), Vec::<String>::new());
    }
}
