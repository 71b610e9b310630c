//! The last words of `sterna-demo --keep`: how to look around.

use std::path::Path;

use sterna_harness::GROUP;

use crate::nodes::Demo;
use crate::timeline::Timeline;

/// Prints commands to paste.
pub(crate) fn print(demo: &Demo) {
    let Demo {
        nodes,
        gateway,
        operator,
        timeline,
        dir,
    } = demo;
    let [eu, primary, _] = nodes.all();
    let sterna = quoted(&operator.sterna);
    let token = quoted(&gateway.data_dir().join("admin-token"));
    timeline.end("everything still runs");
    timeline.act("Look around");
    let paste = |why: &str, commands: &[String]| {
        timeline.remark(&format!("  # {why}"));
        for command in commands {
            Timeline::plain(&format!("  {command}"));
        }
    };
    let redis = |port: u16, command: &str| format!("redis-cli -p {port} {command}");
    paste(
        "where the gateway is, and by its configuration the admin token",
        &[operator.exports()],
    );
    paste(
        "how the group is doing, what happened to it, what was left behind",
        &[
            format!("{sterna} status {GROUP}"),
            format!("{sterna} operation list"),
            format!("{sterna} rescue list"),
        ],
    );
    paste(
        "hand over to eu, and back",
        &[
            format!("{sterna} switchover {GROUP} --to eu --yes"),
            format!("{sterna} switchover {GROUP} --to us --yes"),
        ],
    );
    paste(
        "the same by the API",
        &[format!(
            "curl -H \"Authorization: Bearer $(cat {token})\" {}/api/v1/groups/{GROUP}/status",
            gateway.api_url()
        )],
    );
    paste(
        "what clients ask",
        &[redis(
            gateway.discovery().port(),
            &format!("SENTINEL GET-MASTER-ADDR-BY-NAME {GROUP}"),
        )],
    );
    paste(
        "a write at us-1, which is the primary now, and a read at eu",
        &[
            redis(primary.server.port(), "SET hello tern"),
            redis(eu.server.port(), "GET hello"),
        ],
    );
    paste(
        "break it yourself: eu takes over",
        &[format!("kill -9 {}", primary.server.pid())],
    );
    paste(
        "what the gateway says",
        &[format!("tail -f {}", quoted(&dir.join("gateway.log")))],
    );
    timeline.act("Ctrl-C here ends everything, and removes its data");
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
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
