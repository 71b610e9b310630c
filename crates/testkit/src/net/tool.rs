//! The programs that make networks: `ip` and `nft`; and what they left behind of test processes that were killed.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Where `ip netns` keeps its namespaces.
pub(super) const NAMESPACES: &str = "/run/netns";

/// Runs a program to its end; what it printed. The error holds what it complained of.
pub(super) fn run(program: &str, args: &[&str]) -> Result<String> {
    feed(program, args, "")
}

/// [`run`] with a standard input.
pub(super) fn feed(program: &str, args: &[&str], input: &str) -> Result<String> {
    let called = || format!("{program} {}", args.join(" "));
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(called)?;
    let mut stdin = child.stdin.take().context("the standard input was piped")?;
    // A program that refuses the start of its input closes it early; its complaint says more than that.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let output = child.wait_with_output().with_context(called)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}: {}\n{input}",
        called(),
        complaint.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Several `ip` commands in a namespace, each a line; it ends at the first that fails.
pub(super) fn ip_batch(namespace: Option<&str>, lines: &str) -> Result<()> {
    let place = namespace.map_or_else(Vec::new, |namespace| vec!["-n", namespace]);
    feed("ip", &[&place[..], &["-batch", "-"]].concat(), lines)?;
    Ok(())
}

/// Makes the namespace of the calling thread pass packets on.
pub(super) fn forward_packets() -> Result<()> {
    let setting = "/proc/sys/net/ipv4/ip_forward";
    fs::write(setting, "1").context(setting)
}

/// Removes namespaces and interfaces whose names begin so, followed by the id of a process that is gone.
pub(super) fn sweep(namespace: &str, interface: &str) {
    // Another process may be removing the same things just now.
    for name in left_behind(Path::new("/sys/class/net"), interface) {
        drop(run("ip", &["link", "delete", &name]));
    }
    for name in left_behind(Path::new(NAMESPACES), namespace) {
        drop(run("ip", &["netns", "delete", &name]));
    }
}

fn left_behind(folder: &Path, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| is_orphan(name, prefix)).collect()
}

fn is_orphan(name: &str, prefix: &str) -> bool {
    let owner = name
        .strip_prefix(prefix)
        .and_then(|rest| rest.split_once('-')?.0.parse::<u32>().ok());
    owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_dead_process_made_is_an_orphan() {
        // Above the largest id that the kernel gives.
        assert!(is_orphan("sterna-4194305-0-a", "sterna-"));
        assert!(!is_orphan(
            &format!("sterna-{}-0-a", std::process::id()),
            "sterna-"
        ));
        for other in [
            "sterna-",
            "sterna-x-0-a",
            "sterna-12",
            "sternax-4194305-0-a",
            "eth0",
            "st0",
        ] {
            assert!(!is_orphan(other, "sterna-") && !is_orphan(other, "st"), "{other}");
        }
    }

    #[test]
    fn a_failure_says_what_was_called_and_what_it_said() {
        let error =
            feed("sh", &["-c", "echo no such thing >&2; exit 1"], "input").expect_err("it exits with 1");
        let text = format!("{error:#}");
        assert!(text.contains("sh -c") && text.contains("no such thing"), "{text}");
    }
}
