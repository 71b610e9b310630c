//! `SENTINEL …`.

use bytes::Bytes;

use super::Refused;

/// What `SENTINEL` was asked for. Since Valkey 8 every word with `master` has a twin with `primary`. A name that is not UTF-8 is a name that nothing has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// `SENTINEL MASTERS`
    Masters,
    /// `SENTINEL MASTER name`
    Master(String),
    /// `SENTINEL REPLICAS name`, or `SLAVES`
    Replicas(String),
    /// `SENTINEL SENTINELS name`: the other ones.
    Sentinels(String),
    /// `SENTINEL GET-MASTER-ADDR-BY-NAME name`
    Address(String),
    /// `SENTINEL CKQUORUM name`
    Quorum(String),
    /// `SENTINEL MYID`
    MyId,
    /// `SENTINEL IS-MASTER-DOWN-BY-ADDR ip port epoch runid`; it also asks for a vote unless `runid` is `*`.
    IsDown {
        /// The host it means.
        host: String,
        /// The port it means.
        port: u16,
    },
    /// `SENTINEL PENDING-SCRIPTS`
    PendingScripts,
    /// `SENTINEL CONFIG GET pattern…`
    Config(Vec<Bytes>),
    /// `SENTINEL HELP`
    Help,
}

/// What is served, by every name it has: for the error about the number of arguments.
const SERVED: [&[u8]; 15] = [
    b"masters",
    b"primaries",
    b"master",
    b"primary",
    b"replicas",
    b"slaves",
    b"sentinels",
    b"get-master-addr-by-name",
    b"get-primary-addr-by-name",
    b"ckquorum",
    b"myid",
    b"is-master-down-by-addr",
    b"is-primary-down-by-addr",
    b"pending-scripts",
    b"help",
];

/// What a real Sentinel does on request, and this one not.
const REFUSED: [&[u8]; 10] = [
    b"failover",
    b"reset",
    b"monitor",
    b"remove",
    b"set",
    b"flushconfig",
    b"simulate-failure",
    b"debug",
    b"info-cache",
    b"config",
];

impl Question {
    /// Understands what follows `SENTINEL`.
    pub(super) fn parse(args: &[Bytes]) -> Result<Self, Refused> {
        let Some((word, rest)) = args.split_first() else {
            return Err(Refused::arity("sentinel"));
        };
        let word_lower = word.to_ascii_lowercase();
        match (word_lower.as_slice(), rest) {
            (b"masters" | b"primaries", []) => Ok(Self::Masters),
            (b"master" | b"primary", [name]) => Ok(Self::Master(text(name))),
            (b"replicas" | b"slaves", [name]) => Ok(Self::Replicas(text(name))),
            (b"sentinels", [name]) => Ok(Self::Sentinels(text(name))),
            (b"get-master-addr-by-name" | b"get-primary-addr-by-name", [name]) => {
                Ok(Self::Address(text(name)))
            }
            (b"ckquorum", [name]) => Ok(Self::Quorum(text(name))),
            (b"myid", []) => Ok(Self::MyId),
            (b"is-master-down-by-addr" | b"is-primary-down-by-addr", [host, port, epoch, _runid]) => {
                is_down(host, port, epoch)
            }
            (b"pending-scripts", []) => Ok(Self::PendingScripts),
            (b"config", [get, patterns @ ..]) if get.eq_ignore_ascii_case(b"get") && !patterns.is_empty() => {
                Ok(Self::Config(patterns.to_vec()))
            }
            (b"help", []) => Ok(Self::Help),
            (known, _) if SERVED.contains(&known) => {
                let name = String::from_utf8_lossy(&word_lower);
                Err(Refused::arity(&format!("sentinel|{name}")))
            }
            (known, _) if REFUSED.contains(&known) => {
                let name = String::from_utf8_lossy(&word_lower).to_ascii_uppercase();
                Err(Refused::err(format_args!(
                    "SENTINEL {name} is not served here: Sterna's discovery endpoint only answers questions. Change the \
                     group with the sterna command or its API"
                )))
            }
            _ => Err(Refused::subcommand("SENTINEL", word)),
        }
    }
}

fn is_down(host: &[u8], port: &[u8], epoch: &[u8]) -> Result<Question, Refused> {
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<i64>().ok();
    number(epoch).ok_or_else(Refused::no_integer)?;
    let port = number(port)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or_else(Refused::no_integer)?;
    Ok(Question::IsDown {
        host: text(host),
        port,
    })
}

fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Question, String> {
        let args: Vec<_> = line
            .split(' ')
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect();
        Question::parse(&args).map_err(Refused::into_text)
    }

    #[test]
    fn questions_are_understood() {
        assert_eq!(parse("masters"), Ok(Question::Masters));
        assert_eq!(parse("PRIMARY m1"), parse("MASTER m1"));
        assert_eq!(
            parse("GET-PRIMARY-ADDR-BY-NAME m1"),
            Ok(Question::Address("m1".to_owned()))
        );
        assert_eq!(parse("SLAVES m1"), Ok(Question::Replicas("m1".to_owned())));
        assert_eq!(
            parse("get-master-addr-by-name m1"),
            Ok(Question::Address("m1".to_owned()))
        );
        assert_eq!(
            parse("IS-MASTER-DOWN-BY-ADDR 1.2.3.4 5 0 *"),
            Ok(Question::IsDown {
                host: "1.2.3.4".to_owned(),
                port: 5
            })
        );
        assert_eq!(
            parse("CONFIG GET *"),
            Ok(Question::Config(vec![Bytes::from_static(b"*")]))
        );
    }

    /// The texts are those of Redis 7.0.15 where it has one.
    #[test]
    fn what_is_no_question_is_refused() {
        for (line, expected) in [
            ("NOPE", "ERR unknown subcommand 'NOPE'. Try SENTINEL HELP."),
            (
                "MASTER",
                "ERR wrong number of arguments for 'sentinel|master' command",
            ),
            (
                "MASTER a b",
                "ERR wrong number of arguments for 'sentinel|master' command",
            ),
            (
                "MYID x",
                "ERR wrong number of arguments for 'sentinel|myid' command",
            ),
            (
                "IS-MASTER-DOWN-BY-ADDR 1.2.3.4 x 0 *",
                "ERR value is not an integer or out of range",
            ),
            (
                "IS-MASTER-DOWN-BY-ADDR 1.2.3.4 65536 0 *",
                "ERR value is not an integer or out of range",
            ),
        ] {
            assert_eq!(parse(line), Err(expected.to_owned()), "{line}");
        }
        for line in [
            "FAILOVER m1",
            "SET m1 quorum 2",
            "CONFIG SET announce-ip x",
            "CONFIG",
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains("is not served here"), "{line}: {error}");
        }
    }
}
