//! A child process that does not outlive the demo.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// What becomes of a child when the demo ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// It dies with the demo, even when that is killed with -9.
    Die,
    /// It may be left running (`--keep`).
    MayStay,
}

/// A running program. It is killed when the value goes, with every process that it has forked.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stays: bool,
}

impl Process {
    /// Starts a program with these variables; what it prints goes to `stdout` and `stderr`.
    pub(super) fn spawn<A: AsRef<OsStr>>(
        program: &Path,
        args: &[A],
        env: &[(&str, &OsStr)],
        (stdout, stderr): (&Path, &Path),
        afterwards: Afterwards,
    ) -> anyhow::Result<Self> {
        let mut command = match afterwards {
            Afterwards::Die if has_setpriv() => {
                // The kernel kills it when the thread that starts it ends: this is the main thread.
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            _ => Command::new(program),
        };
        let to_file = |path: &Path| {
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| format!("{} can't be written", path.display()))
        };
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(to_file(stdout)?)
            .stderr(to_file(stderr)?)
            // A group of its own: Ctrl-C reaches the demo alone, which then ends the others.
            .process_group(0);
        // Settings that the person made for their own services are not meant for the demo's.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("STERNA_") && text != "STERNA_LOG" {
                command.env_remove(&name);
            }
        }
        command.envs(env.iter().copied());
        let child = command.spawn();
        let child = child.with_context(|| format!("{} can't be started", program.display()))?;
        Ok(Self { child, stays: false })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// `kill -9`, as when the machine loses its power.
    pub(super) fn kill9(mut self) {
        self.end();
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid();
        kill_process(Pid::from_child(&self.child), signal)
            .with_context(|| format!("no signal for process {pid}"))
    }

    /// Lets it run on after the demo.
    pub(super) fn leave(&mut self) {
        self.stays = true;
    }

    fn end(&mut self) {
        // A process that was waited for no longer owns its id. Otherwise both fail only when it is gone already.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            drop(self.child.wait());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.stays {
            self.end();
        }
    }
}

/// `setpriv` is part of util-linux, which every Linux distribution has; elsewhere only kill -9 of the demo differs.
fn has_setpriv() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let output = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "true"])
            .stdin(Stdio::null())
            .output();
        output.is_ok_and(|output| output.status.success())
    })
}
