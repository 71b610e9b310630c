//! What a gateway says: the JSON lines of `sterna replicate --output json`, read from the file that they go to.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

/// The events of one run of the gateway.
#[derive(Debug)]
pub(super) struct Events {
    file: File,
    /// The beginning of a line whose end is not written yet.
    unfinished: Vec<u8>,
    seen: Vec<Value>,
}

/// One status, as far as the demo uses it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct GatewayStatus {
    pub(super) stream_bytes: u64,
    pub(super) commands: u64,
    pub(super) full_syncs_up: u64,
    pub(super) full_syncs_down: u64,
    pub(super) partial_syncs_up: u64,
    pub(super) partial_syncs_down: u64,
    pub(super) full_syncs_needless: u64,
}

impl Events {
    /// Opens the file, which must be there.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("{} can't be read", path.display()))?;
        Ok(Self {
            file,
            unfinished: Vec::new(),
            seen: Vec::new(),
        })
    }

    /// Every event of that name so far.
    pub(super) fn named(&mut self, name: &str) -> anyhow::Result<Vec<&Value>> {
        self.read()?;
        Ok(self.seen.iter().filter(|event| event["event"] == name).collect())
    }

    /// How many events of that name there were so far.
    pub(super) fn count(&mut self, name: &str) -> anyhow::Result<usize> {
        Ok(self.named(name)?.len())
    }

    /// How many events of that name there were before the first of another.
    pub(super) fn count_before(&mut self, name: &str, end: &str) -> anyhow::Result<usize> {
        self.read()?;
        let before = self.seen.iter().take_while(|event| event["event"] != end);
        Ok(before.filter(|event| event["event"] == name).count())
    }

    /// The last status, and how many there were.
    pub(super) fn status(&mut self) -> anyhow::Result<(usize, GatewayStatus)> {
        let all = self.named("status")?;
        let Some(last) = all.last() else {
            return Ok((0, GatewayStatus::default()));
        };
        let counter = |name: &str| last["counters"][name].as_u64().unwrap_or_default();
        let status = GatewayStatus {
            stream_bytes: counter("stream_bytes"),
            commands: counter("commands"),
            full_syncs_up: counter("full_syncs_up"),
            full_syncs_down: counter("full_syncs_down"),
            partial_syncs_up: counter("partial_syncs_up"),
            partial_syncs_down: counter("partial_syncs_down"),
            full_syncs_needless: counter("full_syncs_needless"),
        };
        Ok((all.len(), status))
    }

    fn read(&mut self) -> anyhow::Result<()> {
        self.file.read_to_end(&mut self.unfinished)?;
        let Some(end) = self.unfinished.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(());
        };
        let rest = self.unfinished.split_off(end + 1);
        for line in self
            .unfinished
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let event = serde_json::from_slice(line)
                .with_context(|| format!("the gateway printed {:?}", String::from_utf8_lossy(line)))?;
            self.seen.push(event);
        }
        self.unfinished = rest;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_are_taken_when_they_are_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        let mut file = fs::File::create(&path).unwrap();
        let mut events = Events::open(&path).unwrap();
        assert_eq!(events.count("a").unwrap(), 0);
        file.write_all(b"{\"event\":\"a\"}\n{\"event\":\"status\",\"counters\":{\"comm")
            .unwrap();
        assert_eq!(events.count("a").unwrap(), 1);
        assert_eq!(events.status().unwrap().0, 0);
        file.write_all(b"ands\":7}}\n").unwrap();
        assert_eq!(events.count("a").unwrap(), 1);
        assert_eq!(events.status().unwrap().1.commands, 7);
        file.write_all(b"no json\n").unwrap();
        assert!(events.count("a").is_err());
    }
}
