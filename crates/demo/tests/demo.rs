//! `sterna-demo` from outside: what it says, and what it leaves behind. It runs the `sterna` beside it, which `cargo build
//! -p sterna` makes where only this package is built.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sterna_testkit::process::Source;
use sterna_testkit::{Client, Engine, Process, wait_until};
use tempfile::TempDir;

/// Long enough for a loaded machine; nothing waits so long where all is well.
const DEADLINE: Duration = Duration::from_secs(30);
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
        let process = Process::spawn(env!("CARGO_BIN_EXE_sterna-demo"), args, &env).expect("it starts");
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
    // On the line of the first node stands the word of the row as well.
    let mut words = text
        .lines()
        .filter_map(|line| Some(line.rsplit_once(node)?.1.trim()));
    words
        .find(|word| word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(str::to_owned)
}

/// The cells of a row of the closing table.
fn summary(text: &str, what: &str) -> Vec<String> {
    let (_, table) = text.split_once("What you saw").expect("the closing table");
    let row = table.lines().find(|line| line.trim_start().starts_with(what));
    let cells = row.expect("the row").split("  ").map(str::trim);
    cells.filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

#[test]
fn it_shows_what_it_says_and_leaves_nothing_behind() {
    let demo = Demo::start(&["--megabytes", "4"]);
    let code = demo.exit_code();
    let text = demo.stdout();
    assert_eq!(code, 0, "{text}\n{}", demo.stderr());
    for told in [
        "$ sterna service add eu --url redis://127.0.0.1:",
        "$ sterna group create orders --primary eu --replica us",
        "$ sterna switchover orders --to eu --yes",
        "kill -9 of eu",
        "SIGSTOP of eu",
        "by phase: detect ",
        ", await-lease ",
        "by phase: await-step-down ",
        "0 full syncs: us-1 became a replica, and us-2 went on, with partial resyncs",
        "needless full syncs: 0",
        "nothing is left on this machine",
    ] {
        assert!(text.contains(told), "{told:?} is not in\n{text}");
    }
    let killed = summary(&text, "primary killed");
    assert_eq!(
        killed.last().map(String::as_str),
        Some("with a partial resync"),
        "{text}"
    );
    let back = summary(&text, "switchback");
    assert_eq!(
        (back[1].as_str(), back[4].as_str()),
        ("0 writes", "with a partial resync"),
        "{text}"
    );
    // What the frozen primary took alone: all of it is in a rescue file, unless it shut itself before it took any.
    let frozen = &summary(&text, "primary frozen")[1];
    assert!(
        frozen == "0 writes" || frozen.ends_with(" writes, all in rescue 1"),
        "{text}"
    );
    let digests: Vec<_> = ["eu", "us-1", "us-2"]
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
fn kept_it_runs_on_and_says_how_to_look_around_until_it_is_stopped() {
    let demo = Demo::start(&["--megabytes", "2", "--keep"]);
    let ready = demo
        .process
        .wait_for_line("Ctrl-C here ends everything", DEMO_DEADLINE);
    ready.unwrap_or_else(|error| panic!("{error:#}"));
    let text = demo.stdout();

    let status = command(&text, "export STERNA_API=") + "; " + &command_with(&text, " status orders");
    let said = shell(&status);
    assert!(said.contains("HEALTHY"), "{status}: {said}");
    let rescues = command(&text, "export STERNA_API=") + "; " + &command_with(&text, " rescue list");
    let said = shell(&rescues);
    assert!(
        said.contains("orders") || said.contains("no rescue file"),
        "{said}"
    );
    let api = command(&text, "curl ");
    assert!(
        api.contains("/api/v1/groups/orders/status") && api.contains("admin-token"),
        "{api}"
    );

    // Where discovery sends clients, writes are taken, and reach the other site.
    let asked = command_with(&text, "SENTINEL GET-MASTER-ADDR-BY-NAME orders");
    let answer = connect(port(&asked))
        .cmd(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "orders"])
        .expect("an answer");
    let primary = port(&command_with(&text, "SET hello tern"));
    assert!(
        format!("{answer:?}").contains(&primary.to_string()),
        "{answer:?}, not {primary}"
    );
    let mut primary = connect(primary);
    primary
        .cmd(&["SET", "hello", "tern"])
        .expect("the primary takes writes");
    assert_eq!(
        primary.cmd(&["WAIT", "1", "10000"]).expect("an answer").int(),
        Some(1)
    );
    let mut replica = connect(port(&command_with(&text, "GET hello")));
    assert_eq!(replica.cmd(&["GET", "hello"]).expect("an answer").text(), "tern");

    demo.process.sigint().expect("it runs on");
    assert_eq!(demo.exit_code(), 0, "{}", demo.stderr());
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

/// The first line that ends so, as it could be pasted.
fn command_with(text: &str, end: &str) -> String {
    let (_, commands) = text.split_once("Look around").expect("the commands");
    let mut lines = commands.lines().map(str::trim);
    lines
        .find(|line| line.ends_with(end))
        .unwrap_or_else(|| panic!("{end:?} is not in\n{commands}"))
        .to_owned()
}

/// The port in `redis-cli -p PORT …`.
fn port(command: &str) -> u16 {
    let port = command
        .split_whitespace()
        .nth(2)
        .and_then(|port| port.parse().ok());
    port.unwrap_or_else(|| panic!("no port in {command:?}"))
}

fn connect(port: u16) -> Client {
    Client::connect(("127.0.0.1", port)).expect("it runs on")
}

/// What a command says that was pasted into a shell.
fn shell(command: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", command])
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[test]
fn ctrl_c_ends_everything() {
    let demo = Demo::start(&["--megabytes", "50"]);
    demo.process
        .wait_for_line("$ sterna group create ", DEMO_DEADLINE)
        .expect("a group is created");
    demo.process.sigint().expect("it runs");
    assert_eq!(demo.exit_code(), 1);
    assert!(
        demo.stderr().contains("stopped before the end"),
        "{}",
        demo.stderr()
    );
    assert!(demo.pids().len() >= 4, "{}", demo.stdout());
    demo.nothing_runs();
    assert_eq!(demo.left_behind(), Vec::<String>::new());
}

#[test]
fn killed_it_takes_its_processes_with_it() {
    let demo = Demo::start(&["--megabytes", "50"]);
    demo.process
        .wait_for_line("$ sterna group create ", DEMO_DEADLINE)
        .expect("a group is created");
    demo.process.kill9();
    assert!(demo.pids().len() >= 4, "{}", demo.stdout());
    demo.nothing_runs();
}

#[test]
fn a_sentence_that_does_not_hold_is_named_and_the_logs_are_kept() {
    // A server that does not log what it copies leaves the demo without evidence.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let server = dir.path().join("silent-server");
    let real = &Engine::default().program[0];
    fs::write(
        &server,
        format!("#!/bin/sh\nexec {real} \"$@\" --loglevel warning\n"),
    )
    .expect("a script");
    fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).expect("a script");

    let demo = Demo::start_on(&server, &["--megabytes", "2"]);
    assert_eq!(demo.exit_code(), 1, "{}", demo.stdout());
    let words = demo.stderr();
    assert!(
        words.contains("both nodes of us took one full copy each"),
        "{words}"
    );
    assert!(words.contains("taken: [0, 0, 0], given: [1, 0, 0]"), "{words}");
    let kept = demo.left_behind();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let kept = demo.dir.path().join(&kept[0]);
    assert!(words.contains(kept.to_str().expect("a path in UTF-8")), "{words}");
    for log in ["gateway.log", "eu/server.log", "us-1/server.log"] {
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
