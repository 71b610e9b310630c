//! `HELLO [2|3] [AUTH user password] [SETNAME name]`.

use bytes::Bytes;

use super::client::client_name;
use super::command::repeated;
use super::{Proto, Refused};
use crate::Secret;

/// What a client says first, if it is of the newer ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// The version of RESP it wants; none leaves it as it is.
    pub proto: Option<Proto>,
    /// User and password.
    pub auth: Option<(Bytes, Secret)>,
    /// What it calls itself; empty takes a name away.
    pub name: Option<String>,
}

impl Hello {
    /// Understands what follows `HELLO`.
    pub(super) fn parse(args: &[Bytes]) -> Result<Self, Refused> {
        let mut hello = Self::default();
        let Some((version, mut options)) = args.split_first() else {
            return Ok(hello);
        };
        let version = std::str::from_utf8(version)
            .ok()
            .and_then(|text| text.parse::<i64>().ok());
        hello.proto = match version {
            Some(2) => Some(Proto::Resp2),
            Some(3) => Some(Proto::Resp3),
            Some(_) => return Err(Refused::coded("NOPROTO", "unsupported protocol version")),
            None => {
                return Err(Refused::err("Protocol version is not an integer or out of range"));
            }
        };
        while let Some((option, rest)) = options.split_first() {
            options = match (option.to_ascii_lowercase().as_slice(), rest) {
                (b"auth", [user, secret, rest @ ..]) => {
                    hello.auth = Some((user.clone(), Secret::new(secret.as_ref())));
                    rest
                }
                (b"setname", [name, rest @ ..]) => {
                    hello.name = Some(client_name(name)?);
                    rest
                }
                (b"auth" | b"setname", _) => {
                    let option = repeated(option);
                    return Err(Refused::err(format_args!(
                        "Syntax error in HELLO option '{option}'"
                    )));
                }
                // Not repeated: it may be the end of a password with a space in it.
                _ => return Err(Refused::err("Syntax error in HELLO: an unknown option")),
            };
        }
        Ok(hello)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Hello, String> {
        let args: Vec<_> = line
            .split_whitespace()
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect();
        Hello::parse(&args).map_err(Refused::into_text)
    }

    #[test]
    fn options_come_in_any_order() {
        assert_eq!(parse(""), Ok(Hello::default()));
        let full = parse("3 SETNAME web auth default hunter2").expect("a client library says so");
        assert_eq!(full.proto, Some(Proto::Resp3));
        assert_eq!(full.name.as_deref(), Some("web"));
        assert_eq!(
            full.auth,
            Some((Bytes::from_static(b"default"), Secret::new("hunter2")))
        );
    }

    #[test]
    fn what_it_does_not_take_is_refused() {
        for (line, expected) in [
            ("4", "NOPROTO unsupported protocol version"),
            ("x", "ERR Protocol version is not an integer or out of range"),
            ("2 AUTH a", "ERR Syntax error in HELLO option 'AUTH'"),
            ("2 SETNAME", "ERR Syntax error in HELLO option 'SETNAME'"),
            ("2 FOO", "ERR Syntax error in HELLO: an unknown option"),
        ] {
            assert_eq!(parse(line), Err(expected.to_owned()), "{line}");
        }
    }
}
