//! Child processes that do not outlive the process that started them, however it ends.
//!
//! `setpriv --pdeathsig` has the kernel kill the child when the *thread* that started it ends; so all children are
//! started by one thread that lives as long as the process. Each leads a process group of its own: Ctrl-C in a terminal
//! reaches this process alone, and what a child has forked ends with it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use crate::net::Host;

type Request = (Command, Sender<io::Result<Child>>);

/// A command whose process dies with this one. Its process id is the program's own: every step on the way execs.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    static GUARDED: OnceLock<bool> = OnceLock::new();
    let guarded = *GUARDED.get_or_init(|| {
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "true"])
            .output()
            .is_ok_and(|output| output.status.success())
    });
    if guarded {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// [`command`] on a host: `nsenter`, too, becomes the program.
pub(crate) fn command_on(host: Option<&Host>, program: impl AsRef<OsStr>) -> Command {
    let guarded = command(program);
    let Some(namespace) = host.and_then(Host::namespace_file) else {
        return guarded;
    };
    let mut command = Command::new("nsenter");
    let mut net = OsString::from("--net=");
    net.push(namespace);
    command
        .arg(net)
        .arg("--")
        .arg(guarded.get_program())
        .args(guarded.get_args());
    command
}

/// Every child that was not waited for yet.
#[derive(Debug)]
struct Children {
    running: Vec<Pid>,
    /// Whether more may be started.
    open: bool,
}

static CHILDREN: Mutex<Children> = Mutex::new(Children {
    running: Vec::new(),
    open: true,
});

impl Children {
    fn lock() -> MutexGuard<'static, Self> {
        CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A started process. It is waited for under the lock of [`CHILDREN`], so that what stands there is never the id of
/// somebody else.
#[derive(Debug)]
pub(crate) struct Guarded(Child);

impl Guarded {
    /// Its process id, which is that of its group, too.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its standard output and standard error, where they were piped and not taken yet.
    pub(crate) fn take_outputs(&mut self) -> Option<(ChildStdout, ChildStderr)> {
        Some((self.0.stdout.take()?, self.0.stderr.take()?))
    }

    /// How it ended, if it has.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let mut children = Children::lock();
        let ended = self.0.try_wait()?;
        if ended.is_some() {
            children.running.retain(|pid| *pid != self.pid());
        }
        Ok(ended)
    }

    /// `SIGKILL` for it and for what it has forked; returns when it is gone. Does nothing where it was gone before.
    pub(crate) fn kill9(&mut self) {
        if !matches!(self.try_wait(), Ok(None)) {
            return;
        }
        // Both fail only for a process that is gone already.
        let _gone = kill_process_group(self.pid(), Signal::KILL);
        let mut children = Children::lock();
        drop(self.0.wait());
        children.running.retain(|pid| *pid != self.pid());
    }

    /// Sends a signal; not to be called after it was seen to have ended.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        kill_process(self.pid(), signal).map_err(io::Error::from)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

/// Kills every process that was started here and not waited for yet, returns when all are gone, and lets none be
/// started after that: for a program that was told to stop while other threads still work with them.
pub(crate) fn end_all() {
    let mut children = Children::lock();
    children.open = false;
    for pid in &children.running {
        let _gone = kill_process_group(*pid, Signal::KILL);
    }
    for pid in &children.running {
        // They stay to be waited for by those who started them.
        let _gone = waitid(WaitId::Pid(*pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    }
}

/// Starts a command from the thread that never ends. It does not get the settings that a person has made for services
/// of their own, in variables named `STERNA_…`, but for the ones that the command names, and `STERNA_LOG`.
pub(crate) fn spawn(mut command: Command) -> io::Result<Guarded> {
    static SPAWNER: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();
    let named: Vec<OsString> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("STERNA_") && text != "STERNA_LOG" && !named.contains(&name) {
            command.env_remove(&name);
        }
    }
    command.process_group(0);
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, inbox) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // The asker waits for the answer; should it be gone, the child ends with the process.
                drop(answer.send(command.spawn()));
            }
        });
        Mutex::new(requests)
    });
    let (answer, child) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    let mut children = Children::lock();
    if !children.open {
        return Err(io::Error::other("this program is ending"));
    }
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(|_| gone())?;
    let child = child.recv().map_err(|_| gone())??;
    children.running.push(Pid::from_child(&child));
    Ok(Guarded(child))
}
