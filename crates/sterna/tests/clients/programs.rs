//! Client programs with arguments of their own.

use std::path::{Path, PathBuf};

use sterna_testkit::Process;

use crate::client::installed;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../discovery/tests/clients")
}

/// Runs a script of Python or Node.js there.
pub(crate) fn program<'a>(
    script: &str,
    args: impl IntoIterator<Item = &'a str>,
    env: &[(&str, &str)],
) -> Process {
    let is_python = Path::new(script).extension().is_some_and(|ending| ending == "py");
    let interpreter = if is_python {
        installed().join("python/bin/python")
    } else {
        installed();
        PathBuf::from("node")
    };
    let path = folder().join(script).to_string_lossy().into_owned();
    let args = args.into_iter().map(str::to_owned);
    let args: Vec<_> = [path].into_iter().chain(args).collect();
    Process::spawn_in(&folder(), interpreter, &args, &quiet(env)).expect("the program starts")
}

/// Runs a worker of Celery for the application in a script there.
pub(crate) fn celery(app: &str, env: &[(&str, &str)]) -> Process {
    let args = ["-A", app, "worker", "-P", "solo", "-l", "info"];
    let celery = installed().join("python/bin/celery");
    Process::spawn_in(&folder(), celery, &args, &quiet(env)).expect("the worker starts")
}

/// Python leaves nothing behind in the sources.
fn quiet<'a>(env: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let own = [("PYTHONDONTWRITEBYTECODE", "1")];
    env.iter().copied().chain(own).collect()
}
