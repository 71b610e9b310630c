//! Child processes that do not outlive the test process, however it ends.
//!
//! `setpriv --pdeathsig` has the kernel kill the child when the *thread* that started it ends; so all children are
//! started by one thread that lives as long as the process.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

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

/// Starts a command from the thread that never ends.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();
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
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

/// Sends a signal to a child that has not been waited for yet.
pub(crate) fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    kill_process(pid(child), signal).map_err(io::Error::from)
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}
