//! The last words of `sterna demo --keep`: how to look around, and how to stop everything.

use std::path::Path;

use super::cast::Cast;
use super::timeline::Timeline;

/// Prints commands to paste.
pub(super) fn say(cast: &mut Cast, dir: &Path, timeline: &Timeline) -> anyhow::Result<()> {
    let gateway = cast.gateway()?;
    let (gateway_pid, events) = (gateway.pid(), gateway.stdout.clone());
    let [one, two] = [&cast.replicas[0], &cast.replicas[1]].map(|node| node.port);
    let primary = cast.primary.port;
    let sterna = quoted(&cast.recipe.sterna);
    let dir = quoted(dir);
    let relay = cast.relay_port;
    timeline.end("everything still runs");
    timeline.act("Look around");
    let paste = |why: &str, commands: &[String]| {
        timeline.remark(&format!("  # {why}"));
        for command in commands {
            Timeline::plain(&format!("  {command}"));
        }
    };
    let cli = |port: u16, command: &str| format!("redis-cli -p {port} {command}");
    paste(
        &format!("the primary has one replica, the gateway, which feeds replica 2 from port {relay}"),
        &[cli(primary, "INFO replication"), cli(two, "INFO replication")],
    );
    paste(
        "replica 1 was promoted, and is a primary of its own now",
        &[cli(one, "INFO replication")],
    );
    paste(
        "a write at the primary, a read at the replica",
        &[cli(primary, "SET hello tern"), cli(two, "GET hello")],
    );
    paste(
        "a write, and WAIT until the replica has applied it: the answer is 1",
        &[format!(
            "printf 'SET hello again\\nWAIT 1 1000\\n' | redis-cli -p {primary}"
        )],
    );
    paste(
        "the same data, by digest",
        &[cli(primary, "DEBUG DIGEST"), cli(two, "DEBUG DIGEST")],
    );
    paste(
        "the gateway's log on disk, and what the gateway says",
        &[
            format!("{sterna} log inspect {}", quoted(&cast.recipe.data_dir)),
            format!("tail -f {}", quoted(&events)),
        ],
    );
    timeline.act("Stop everything");
    let mut pids = vec![gateway_pid];
    pids.extend(cast.nodes().filter_map(super::node::Node::pid));
    let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
    Timeline::plain(&format!("  kill -9 {}; sleep 1; rm -rf {dir}", pids.join(" ")));
    Ok(())
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    if text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_can_be_pasted() {
        assert_eq!(quoted(Path::new("/tmp/sterna-demo-7")), "/tmp/sterna-demo-7");
        assert_eq!(quoted(Path::new("/tmp/it's here")), "'/tmp/it'\\''s here'");
    }
}
