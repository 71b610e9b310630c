//! What a client asks a Sentinel, as types.

use bytes::Bytes;

use super::table::Spec;
use super::{ClientQuestion, CommandQuestion, Hello, Question};
use crate::Secret;

/// How much of a word that a client sent its error answer repeats.
const REPEATED_CHARS_MAX: usize = 128;

/// A command of a client, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCommand {
    /// `PING [text]`
    Ping(Option<Bytes>),
    /// `AUTH [user] password`
    Auth {
        /// The ACL user; none is the default user, with the one-argument form.
        user: Option<Bytes>,
        /// The password.
        secret: Secret,
    },
    /// `HELLO …`
    Hello(Hello),
    /// `QUIT`, which a real Sentinel doesn't know and client libraries send all the same.
    Quit,
    /// `CLIENT …`
    Client(ClientQuestion),
    /// `COMMAND …`
    Command(CommandQuestion),
    /// `INFO [section…]`, in lower case.
    Info(Vec<String>),
    /// `ROLE`
    Role,
    /// `SENTINEL …`
    Sentinel(Question),
    /// `SUBSCRIBE channel…`
    Subscribe(Vec<Bytes>),
    /// `UNSUBSCRIBE [channel…]`
    Unsubscribe(Vec<Bytes>),
    /// `PSUBSCRIBE pattern…`
    PatternSubscribe(Vec<Bytes>),
    /// `PUNSUBSCRIBE [pattern…]`
    PatternUnsubscribe(Vec<Bytes>),
}

impl ClientCommand {
    /// Whether it may be sent without having logged in.
    pub fn needs_no_login(&self) -> bool {
        matches!(self, Self::Auth { .. } | Self::Hello(_) | Self::Quit)
    }

    /// Its name in lower case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ping(_) => "ping",
            Self::Auth { .. } => "auth",
            Self::Hello(_) => "hello",
            Self::Quit => "quit",
            Self::Client(_) => "client",
            Self::Command(_) => "command",
            Self::Info(_) => "info",
            Self::Role => "role",
            Self::Sentinel(_) => "sentinel",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::PatternSubscribe(_) => "psubscribe",
            Self::PatternUnsubscribe(_) => "punsubscribe",
        }
    }
}

/// What a client sent can't be done; the text of its error answer, which begins with a code.
///
/// For the client alone, and not for a log: it may repeat a word of what the client sent.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl std::fmt::Debug for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refused(hidden)")
    }
}

impl Refused {
    /// An error answer with the code `ERR`.
    pub(super) fn err(text: impl std::fmt::Display) -> Self {
        Self(format!("ERR {text}"))
    }

    /// An error answer with a code of its own.
    pub(super) fn coded(code: &str, text: &str) -> Self {
        Self(format!("{code} {text}"))
    }

    /// `name` is a command, or a command and its subcommand with `|` between.
    pub(super) fn arity(name: &str) -> Self {
        Self::err(format_args!("wrong number of arguments for '{name}' command"))
    }

    /// `container` is in upper case.
    pub(super) fn subcommand(container: &str, word: &[u8]) -> Self {
        let word = repeated(word);
        Self::err(format_args!("unknown subcommand '{word}'. Try {container} HELP."))
    }

    /// For what is there, but takes a number here.
    pub(super) fn no_integer() -> Self {
        Self::err("value is not an integer or out of range")
    }

    /// The text, for [`super::Answer::Error`].
    pub fn into_text(self) -> String {
        self.0
    }
}

/// A word that a client sent, fit to be shown to it.
pub(super) fn repeated(word: &[u8]) -> String {
    let word = String::from_utf8_lossy(word);
    word.chars()
        .take(REPEATED_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Understands a command; `args` begins with its name, as [`crate::resp::CommandReader`] gives it.
pub fn parse_client(args: &[Bytes]) -> Result<ClientCommand, Refused> {
    let Some((name, rest)) = args.split_first() else {
        return Err(Refused::err("an empty command"));
    };
    let Some(spec) = Spec::find(name) else {
        // Without the arguments that a server shows here: they may be a password after a slip of the hand.
        let name = repeated(name);
        return Err(Refused::err(format_args!(
            "unknown command '{name}': this is Sterna's discovery endpoint, not a node. Ask it for the primary with \
             SENTINEL GET-MASTER-ADDR-BY-NAME <group>"
        )));
    };
    if !spec.takes(args.len()) {
        return Err(Refused::arity(spec.name));
    }
    match (spec.name, rest) {
        ("ping", []) => Ok(ClientCommand::Ping(None)),
        ("ping", [text]) => Ok(ClientCommand::Ping(Some(text.clone()))),
        ("auth", [secret]) => Ok(ClientCommand::Auth {
            user: None,
            secret: Secret::new(secret.as_ref()),
        }),
        ("auth", [user, secret]) => Ok(ClientCommand::Auth {
            user: Some(user.clone()),
            secret: Secret::new(secret.as_ref()),
        }),
        ("auth", _) => Err(Refused::err("syntax error")),
        ("hello", args) => Hello::parse(args).map(ClientCommand::Hello),
        ("quit", _) => Ok(ClientCommand::Quit),
        ("client", args) => ClientQuestion::parse(args).map(ClientCommand::Client),
        ("command", args) => CommandQuestion::parse(args).map(ClientCommand::Command),
        ("info", sections) => Ok(ClientCommand::Info(
            sections
                .iter()
                .map(|word| repeated(word).to_ascii_lowercase())
                .collect(),
        )),
        ("role", _) => Ok(ClientCommand::Role),
        ("sentinel", args) => Question::parse(args).map(ClientCommand::Sentinel),
        ("subscribe", names) => Ok(ClientCommand::Subscribe(names.to_vec())),
        ("unsubscribe", names) => Ok(ClientCommand::Unsubscribe(names.to_vec())),
        ("psubscribe", names) => Ok(ClientCommand::PatternSubscribe(names.to_vec())),
        ("punsubscribe", names) => Ok(ClientCommand::PatternUnsubscribe(names.to_vec())),
        (name, _) => Err(Refused::arity(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<ClientCommand, String> {
        let args: Vec<_> = line
            .split(' ')
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect();
        parse_client(&args).map_err(Refused::into_text)
    }

    #[test]
    fn commands_are_known_in_any_case() {
        assert_eq!(parse("pInG"), Ok(ClientCommand::Ping(None)));
        assert_eq!(parse("ROLE"), Ok(ClientCommand::Role));
        assert_eq!(
            parse("INFO Server sentinel"),
            Ok(ClientCommand::Info(vec!["server".into(), "sentinel".into()]))
        );
        assert_eq!(
            parse("PUNSUBSCRIBE"),
            Ok(ClientCommand::PatternUnsubscribe(vec![]))
        );
    }

    /// The texts are those of Redis 7.0.15 where it has one.
    #[test]
    fn errors_are_those_of_a_real_sentinel() {
        for (line, expected) in [
            ("PING a b", "ERR wrong number of arguments for 'ping' command"),
            ("AUTH", "ERR wrong number of arguments for 'auth' command"),
            ("ROLE x", "ERR wrong number of arguments for 'role' command"),
            ("SENTINEL", "ERR wrong number of arguments for 'sentinel' command"),
            (
                "SUBSCRIBE",
                "ERR wrong number of arguments for 'subscribe' command",
            ),
            ("COMMAND NOPE", "ERR unknown subcommand 'NOPE'. Try COMMAND HELP."),
        ] {
            assert_eq!(parse(line), Err(expected.to_owned()), "{line}");
        }
        let error = parse("GET a").expect_err("a Sentinel keeps no keys");
        assert!(error.starts_with("ERR unknown command 'GET'"), "{error}");
    }

    #[test]
    fn no_password_is_shown_whatever_goes_wrong() {
        for line in [
            "AUTH a hunter2 b",
            "AUHT hunter2",
            "HELLO 3 AUTH hunter2",
            "AUTH hunter2",
        ] {
            let args: Vec<_> = line
                .split(' ')
                .map(|word| Bytes::copy_from_slice(word.as_bytes()))
                .collect();
            let parsed = parse_client(&args);
            assert!(!format!("{parsed:?}").contains("hunter2"), "{line}");
            if let Err(refused) = parsed {
                assert!(!refused.into_text().contains("hunter2"), "{line}");
            }
        }
    }
}
