//! Any program as a child process, with its output line by line: meant for the `sterna` binary.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::guard::{self, Guarded};
use crate::net::Host;
use crate::usage;
use crate::wait::try_wait_until;

/// Lines kept; a program that says more than this loses its oldest ones here.
const LINES_MAX: usize = 100_000;

/// A running or ended program. It is killed when the value goes.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Mutex<Guarded>,
    pid: u32,
    output: Arc<Output>,
}

/// Which of the two outputs a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line of output, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it was written to.
    pub source: Source,
    /// What it says.
    pub text: String,
}

#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    kept: Vec<Line>,
    /// Index of the first line that [`Process::wait_for_line`] has not passed yet.
    next: usize,
    /// Outputs that are not at their end.
    open: usize,
    /// Gets every line, too.
    log: Option<File>,
}

/// Kills every process and server that was started here, returns when all are gone, and lets none be started after
/// that: for a program that was told to stop while other threads still work with them.
pub fn end_all() {
    guard::end_all();
}

impl Process {
    /// Starts a program with additional environment variables; its standard input is empty.
    pub fn spawn<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        args: &[A],
        env: &[(&str, &str)],
    ) -> Result<Self> {
        Self::spawn_in(Path::new("."), program, args, env)
    }

    /// [`Process::spawn`] in a folder.
    pub fn spawn_in<A: AsRef<OsStr>>(
        dir: &Path,
        program: impl AsRef<OsStr>,
        args: &[A],
        env: &[(&str, &str)],
    ) -> Result<Self> {
        Self::launch(None, dir, program, args, env, None)
    }

    /// [`Process::spawn_in`] on a host of a private network. Its id, and all signals, are the program's own.
    pub fn spawn_on<A: AsRef<OsStr>>(
        host: &Host,
        dir: &Path,
        program: impl AsRef<OsStr>,
        args: &[A],
        env: &[(&str, &str)],
    ) -> Result<Self> {
        Self::launch(Some(host), dir, program, args, env, None)
    }

    /// [`Process::spawn`]; each line of both outputs is added to a file, too, as it comes.
    pub fn spawn_logged<A: AsRef<OsStr>>(
        log: &Path,
        program: impl AsRef<OsStr>,
        args: &[A],
        env: &[(&str, &str)],
    ) -> Result<Self> {
        Self::launch(None, Path::new("."), program, args, env, Some(log))
    }

    fn launch<A: AsRef<OsStr>>(
        host: Option<&Host>,
        dir: &Path,
        program: impl AsRef<OsStr>,
        args: &[A],
        env: &[(&str, &str)],
        log: Option<&Path>,
    ) -> Result<Self> {
        let name = program.as_ref().to_string_lossy().into_owned();
        let mut command = guard::command_on(host, program);
        command
            .args(args)
            .envs(env.iter().copied())
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let log = log.map(open_log).transpose()?;
        let mut child = guard::spawn(command).with_context(|| format!("{name} can't be started"))?;
        let output = Arc::new(Output::default());
        *output.lock() = Lines {
            open: 2,
            log,
            ..Lines::default()
        };
        let (stdout, stderr) = child.take_outputs().context("both outputs were piped")?;
        read_lines(stdout, Source::Stdout, &output);
        read_lines(stderr, Source::Stderr, &output);
        Ok(Self {
            name,
            pid: child.id(),
            child: Mutex::new(child),
            output,
        })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for a line that holds `pattern`, among those after the last one found, and hands it back.
    pub fn wait_for_line(&self, pattern: &str, deadline: Duration) -> Result<String> {
        let end = Instant::now() + deadline;
        let mut lines = self.output.lock();
        loop {
            let found = lines
                .kept
                .iter()
                .skip(lines.next)
                .position(|line| line.text.contains(pattern));
            if let Some(found) = found {
                let at = lines.next + found;
                lines.next = at + 1;
                return Ok(lines.kept[at].text.clone());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || lines.open == 0 {
                let why = if lines.open == 0 { "ended" } else { "ran on" };
                drop(lines);
                bail!(
                    "{} {why} without a line with {pattern:?}; it said:\n{}",
                    self.name,
                    self.tail()
                );
            }
            lines = self
                .output
                .changed
                .wait_timeout(lines, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.output.lock().kept.clone()
    }

    /// Everything written to one of the outputs so far; complete once [`Process::exit_code`] has returned.
    pub fn text(&self, source: Source) -> String {
        let lines = self.output.lock();
        let own = lines.kept.iter().filter(|line| line.source == source);
        own.map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// The last 40 lines of both outputs.
    pub fn tail(&self) -> String {
        let lines = self.output.lock();
        let last = &lines.kept[lines.kept.len().saturating_sub(40)..];
        last.iter()
            .map(|line| line.text.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// `SIGKILL`; returns when the process is gone.
    pub fn kill9(&self) {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).kill9();
    }

    /// `SIGINT`, as from Ctrl-C.
    pub fn sigint(&self) -> Result<()> {
        self.signal(Signal::INT)
    }

    /// `SIGTERM`.
    pub fn sigterm(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// `SIGSTOP`.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// `SIGCONT`.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(child.try_wait(), Ok(None))
    }

    /// Waits for the end: the exit code, or 128 + the signal that ended it.
    pub fn exit_code(&self, deadline: Duration) -> Result<i32> {
        let ended = try_wait_until(deadline, "the end of the process", || {
            let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            child
                .try_wait()
                .map_err(|error| error.to_string())?
                .ok_or_else(|| "running".to_owned())
        });
        let status = ended.with_context(|| format!("{}; it said:\n{}", self.name, self.tail()))?;
        // Its last words may still be in the pipes (unless a child of its own holds them open).
        drop(try_wait_until(
            Duration::from_secs(1),
            "the end of its output",
            || self.output.lock().open == 0,
        ));
        status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal))
            .with_context(|| format!("{status} is neither an exit nor a signal"))
    }

    /// Memory resident now, in bytes.
    pub fn rss_bytes(&self) -> Result<u64> {
        usage::rss_bytes(self.pid)
    }

    /// The most memory that was ever resident, in bytes.
    pub fn peak_rss_bytes(&self) -> Result<u64> {
        usage::peak_rss_bytes(self.pid)
    }

    /// Processor time of all its threads, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        usage::cpu_seconds(self.pid)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // A process that was waited for no longer owns its id: nothing must be sent to that.
        if let Some(status) = child.try_wait()? {
            bail!("{} has ended already with {status}", self.name);
        }
        child.signal(signal).with_context(|| self.name.clone())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_log(path: &Path) -> Result<File> {
    let opened = File::options().create(true).append(true).open(path);
    opened.with_context(|| format!("{} can't be written", path.display()))
}

fn read_lines(from: impl Read + Send + 'static, source: Source, output: &Arc<Output>) {
    let output = Arc::clone(output);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line)
                .trim_end_matches(['\r', '\n'])
                .to_owned();
            line.clear();
            let mut lines = output.lock();
            if lines.kept.len() == LINES_MAX {
                lines.kept.remove(0);
                lines.next = lines.next.saturating_sub(1);
            }
            if let Some(log) = &mut lines.log {
                // A log that can't be written is no reason to lose the line here.
                drop(writeln!(log, "{text}"));
            }
            lines.kept.push(Line { source, text });
            output.changed.notify_all();
        }
        output.lock().open -= 1;
        output.changed.notify_all();
    });
}
