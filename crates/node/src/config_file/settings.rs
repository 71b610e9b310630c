//! What a node would have after its restart of the settings that a group needs, as its files stand.

use super::read::{ConfigFiles, Line};

/// What a group sets at a node; of each, the name that it is rewritten under, an older name, and what it is where it stands in
/// no file.
const SETTINGS: &[(&str, &str, &[&str])] = &[
    ("min-replicas-to-write", "min-slaves-to-write", &["0"]),
    ("min-replicas-max-lag", "min-slaves-max-lag", &["10"]),
    ("repl-backlog-size", "", &["1mb", "10mb"]),
    ("repl-backlog-ttl", "", &["3600"]),
    ("replica-read-only", "slave-read-only", &["yes"]),
    ("replicaof", "slaveof", &[""]),
    ("masteruser", "", &[""]),
    ("masterauth", "", &[""]),
];

/// The settings that a person can write to the file by hand: the others hold a secret, or change with the group.
pub(super) const BY_HAND: [&str; 4] = [
    "min-replicas-to-write",
    "min-replicas-max-lag",
    "repl-backlog-size",
    "repl-backlog-ttl",
];

/// All that is looked at.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|(name, ..)| *name)
}

/// Lines of included files that would win over what CONFIG REWRITE writes. It writes a setting where that stands first in the
/// main file, and at the end where it stands nowhere there and is not the default; of several lines the last one counts.
///
/// `running` gives the values that are to be kept; none means: any.
pub(super) fn overriding<'a>(
    files: &'a ConfigFiles,
    running: impl Fn(&str) -> Option<&'a str>,
) -> Vec<&'a Line> {
    let wins = |(name, older, defaults): &(&'static str, &str, &[&str])| {
        let is_it = |line: &&Line| line.name == *name || line.name == *older;
        let wanted = running(name);
        let of_main = files
            .lines
            .iter()
            .position(|line| is_it(&line) && !line.is_included());
        let from = match (of_main, wanted) {
            (Some(place), _) => place,
            (None, Some(wanted)) if defaults.iter().any(|default| same(default, wanted)) => 0,
            (None, _) => return None,
        };
        let mut after = files.lines[from..].iter().rev();
        let winner = after.find(|line| is_it(line) && line.is_included())?;
        let differs = wanted.is_none_or(|wanted| !same(&winner.args.join(" "), wanted));
        differs.then_some(winner)
    };
    SETTINGS.iter().filter_map(wins).collect()
}

/// Whether the files as they stand give the node these values at its restart.
pub(super) fn keep<'a>(files: &ConfigFiles, mut wanted: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
    wanted.all(|(name, value)| {
        let Some((_, older, defaults)) = SETTINGS.iter().find(|(known, ..)| *known == name) else {
            return false;
        };
        let mut lines = files.lines.iter().rev();
        match lines.find(|line| line.name == name || line.name == *older) {
            Some(line) => same(&line.args.join(" "), value),
            // The default size of the backlog differs by engine: whoever wants it writes it down.
            None => defaults.len() == 1 && same(defaults[0], value),
        }
    })
}

/// Whether two texts mean the same value.
fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || bytes(one).is_some_and(|bytes| Some(bytes) == self::bytes(other))
}

/// A number, or a size as configuration files have it, in bytes.
fn bytes(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_end_matches(|unit: char| !unit.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(lines: &[(usize, &str, &str)]) -> ConfigFiles {
        let line = |(file, name, value): &(usize, &str, &str)| Line {
            file: *file,
            name: (*name).to_owned(),
            args: vec![(*value).to_owned()],
        };
        ConfigFiles {
            names: vec!["main".to_owned(), "included".to_owned()],
            lines: lines.iter().map(line).collect(),
        }
    }

    #[test]
    fn an_included_line_wins_from_below_the_line_that_is_rewritten() {
        const MIN: &str = "min-replicas-to-write";
        let won = |lines: &[(usize, &str, &str)], running: Option<&str>| {
            let running = running.map(str::to_owned);
            let files = files(lines);
            let found = overriding(&files, |name| running.as_deref().filter(|_| name == MIN));
            found.len()
        };
        let (main, included) = ((0, MIN, "0"), (1, "min-slaves-to-write", "0"));
        assert_eq!(won(&[main, included], Some("1")), 1);
        assert_eq!(won(&[main, included], None), 1);
        assert_eq!(won(&[included, main], Some("1")), 0);
        // Of several lines of the main file only the first stays.
        assert_eq!(won(&[main, included, main], Some("1")), 1);
        // It is written at the end.
        assert_eq!(won(&[included], Some("1")), 0);
        assert_eq!(won(&[included], None), 0);
        // A default is written nowhere.
        assert_eq!(won(&[(1, MIN, "1")], Some("0")), 1);
        assert_eq!(won(&[main, (1, MIN, "1")], Some("1")), 0);
    }

    #[test]
    fn what_is_written_by_hand_is_recognised() {
        let wanted = || [("min-replicas-to-write", "1"), ("repl-backlog-size", "67108864")].into_iter();
        let size = (0, "repl-backlog-size", "64mb");
        assert!(keep(&files(&[size, (1, "min-replicas-to-write", "1")]), wanted()));
        assert!(!keep(&files(&[size]), wanted()));
        let overridden = [
            (0, "min-replicas-to-write", "1"),
            size,
            (1, "min-replicas-to-write", "0"),
        ];
        assert!(!keep(&files(&overridden), wanted()));
    }
}
