//! The commands there are, with their arity, and the answers to `COMMAND`.

use bytes::Bytes;

use super::{Answer, Refused};

/// One command, as `COMMAND` describes it.
pub(super) struct Spec {
    /// In lower case.
    pub(super) name: &'static str,
    /// Arguments with the name itself; a negative number is the least.
    pub(super) arity: i32,
    flags: &'static [&'static str],
    category: &'static str,
}

const fn spec(
    name: &'static str,
    arity: i32,
    flags: &'static [&'static str],
    category: &'static str,
) -> Spec {
    Spec {
        name,
        arity,
        flags,
        category,
    }
}

const OPEN: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth"];
const PUBSUB: &[&str] = &["pubsub", "noscript", "loading", "stale"];

/// What a client may send. Every one of them but `QUIT` is known to a real Sentinel too.
static COMMANDS: [Spec; 13] = [
    spec("auth", -2, OPEN, "@connection"),
    spec("client", -2, &["noscript", "loading", "stale"], "@connection"),
    spec("command", -1, &["loading", "stale"], "@connection"),
    spec("hello", -1, OPEN, "@connection"),
    spec("info", -1, &["loading", "stale"], "@dangerous"),
    spec("ping", -1, &["fast"], "@connection"),
    spec("psubscribe", -2, PUBSUB, "@pubsub"),
    spec("punsubscribe", -1, PUBSUB, "@pubsub"),
    spec("quit", -1, OPEN, "@connection"),
    spec("role", 1, &["noscript", "loading", "stale", "fast"], "@admin"),
    spec(
        "sentinel",
        -2,
        &["admin", "noscript", "loading", "stale"],
        "@admin",
    ),
    spec("subscribe", -2, PUBSUB, "@pubsub"),
    spec("unsubscribe", -1, PUBSUB, "@pubsub"),
];

const HELP: [&str; 13] = [
    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "(no subcommand)",
    "    Return details about all commands.",
    "COUNT",
    "    Return the number of commands.",
    "DOCS [<command-name> ...]",
    "    Return nothing: the commands are described by those who make them.",
    "INFO [<command-name> ...]",
    "    Return details about commands, all of them if none is named.",
    "LIST",
    "    Return the names of the commands.",
    "HELP",
    "    Print this help.",
];

impl Spec {
    /// The command of this name, in any case.
    pub(super) fn find(name: &[u8]) -> Option<&'static Self> {
        COMMANDS
            .iter()
            .find(|spec| name.eq_ignore_ascii_case(spec.name.as_bytes()))
    }

    /// Whether it takes so many arguments, its name included.
    pub(super) fn takes(&self, count: usize) -> bool {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        if self.arity < 0 {
            count >= -self.arity
        } else {
            count == self.arity
        }
    }

    /// Ten elements, as since Redis 7.0: name, arity, flags, three key positions, categories, tips, key
    /// specifications, subcommands.
    fn describe(&self) -> Answer {
        let flags = self.flags.iter().map(|flag| Answer::Simple((*flag).to_owned()));
        Answer::Array(vec![
            Answer::bulk(self.name),
            Answer::Integer(self.arity.into()),
            Answer::Array(flags.collect()),
            Answer::Integer(0),
            Answer::Integer(0),
            Answer::Integer(0),
            Answer::Array(vec![Answer::Simple(self.category.to_owned())]),
            Answer::Array(Vec::new()),
            Answer::Array(Vec::new()),
            Answer::Array(Vec::new()),
        ])
    }
}

/// What `COMMAND` was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandQuestion {
    /// `COMMAND`
    All,
    /// `COMMAND COUNT`
    Count,
    /// `COMMAND LIST`
    List,
    /// `COMMAND INFO [name…]`
    Info(Vec<Bytes>),
    /// `COMMAND DOCS [name…]`: there is none here, which `redis-cli` takes well.
    Docs,
    /// `COMMAND HELP`
    Help,
}

impl CommandQuestion {
    /// Understands what follows `COMMAND`.
    pub(super) fn parse(args: &[Bytes]) -> Result<Self, Refused> {
        let Some((word, rest)) = args.split_first() else {
            return Ok(Self::All);
        };
        match (word.to_ascii_lowercase().as_slice(), rest) {
            (b"count", []) => Ok(Self::Count),
            (b"list", []) => Ok(Self::List),
            (b"info", []) => Ok(Self::All),
            (b"info", names) => Ok(Self::Info(names.to_vec())),
            (b"docs", _) => Ok(Self::Docs),
            (b"help", []) => Ok(Self::Help),
            (b"help", _) => Err(Refused::arity("command|help")),
            _ => Err(Refused::subcommand("COMMAND", word)),
        }
    }

    pub fn answer(&self) -> Answer {
        match self {
            Self::All => Answer::Array(COMMANDS.iter().map(Spec::describe).collect()),
            Self::Count => Answer::Integer(i64::try_from(COMMANDS.len()).unwrap_or(i64::MAX)),
            Self::List => Answer::Array(COMMANDS.iter().map(|spec| Answer::bulk(spec.name)).collect()),
            Self::Info(names) => {
                let found = |name: &Bytes| Spec::find(name).map_or(Answer::NullArray, Spec::describe);
                Answer::Array(names.iter().map(found).collect())
            }
            Self::Docs => Answer::Map(Vec::new()),
            Self::Help => Answer::lines(&HELP),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arities_count_the_name() {
        let takes = |name: &[u8], count| Spec::find(name).is_some_and(|spec| spec.takes(count));
        assert!(takes(b"ROLE", 1) && !takes(b"ROLE", 2));
        assert!(!takes(b"auth", 1) && takes(b"auth", 2) && takes(b"auth", 60));
        assert!(Spec::find(b"get").is_none());
    }

    #[test]
    fn help_is_lines_and_takes_nothing_more() {
        let help = CommandQuestion::parse(&[Bytes::from_static(b"HELP")]).expect("it is known");
        let Answer::Array(lines) = help.answer() else {
            panic!("COMMAND HELP answers an array");
        };
        assert!(lines.iter().all(|line| matches!(line, Answer::Simple(_))));
        let more = [Bytes::from_static(b"help"), Bytes::from_static(b"x")];
        let refused = CommandQuestion::parse(&more).expect_err("it takes nothing");
        assert_eq!(
            refused.into_text(),
            "ERR wrong number of arguments for 'command|help' command"
        );
    }

    #[test]
    fn unknown_names_have_a_null_in_their_place() {
        let names = vec![Bytes::from_static(b"PING"), Bytes::from_static(b"get")];
        let Answer::Array(items) = CommandQuestion::Info(names).answer() else {
            panic!("COMMAND INFO answers an array");
        };
        assert!(matches!(&items[0], Answer::Array(fields) if fields.len() == 10));
        assert_eq!(items[1], Answer::NullArray);
    }
}
