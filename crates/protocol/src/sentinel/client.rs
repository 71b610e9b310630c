//! `CLIENT …`: what client libraries send on connecting.

use bytes::Bytes;

use super::Refused;

/// How long the name of a connection may be.
pub const CLIENT_NAME_BYTES_MAX: usize = 256;

/// What `CLIENT HELP` answers, line by line.
pub const CLIENT_HELP: [&str; 22] = [
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CAPA <option> [<option> ...]",
    "    Take what the client is capable of; it changes nothing here.",
    "GETNAME",
    "    Return the name of this connection.",
    "ID",
    "    Return the id of this connection.",
    "INFO",
    "    Describe this connection.",
    "LIST",
    "    The same: a connection is shown none but itself.",
    "NO-EVICT (ON|OFF), NO-TOUCH (ON|OFF)",
    "    Change nothing here.",
    "REPLY (ON)",
    "    Change nothing here.",
    "SETINFO <option> <value>, SETNAME <name>",
    "    Take the library's name and version, and the name of this connection.",
    "TRACKING (ON|OFF) [<option> ...]",
    "    Change nothing here: there are no keys.",
    "HELP",
    "    Print this help.",
    "This is Sterna's discovery endpoint, not a node.",
];

/// What `CLIENT` was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientQuestion {
    /// `CLIENT ID`
    Id,
    /// `CLIENT GETNAME`
    GetName,
    /// `CLIENT SETNAME name`; empty takes the name away.
    SetName(String),
    /// `CLIENT INFO`
    Info,
    /// `CLIENT LIST`, which shows a connection nothing but itself.
    List,
    /// What changes nothing here and is answered with `+OK`: `SETINFO`, `NO-EVICT`, `NO-TOUCH`, `REPLY ON`, `CAPA`,
    /// `TRACKING`.
    Accepted,
    /// `CLIENT HELP`
    Help,
}

impl ClientQuestion {
    /// Understands what follows `CLIENT`.
    pub(super) fn parse(args: &[Bytes]) -> Result<Self, Refused> {
        let Some((word, rest)) = args.split_first() else {
            return Err(Refused::arity("client"));
        };
        let word_lower = word.to_ascii_lowercase();
        match (word_lower.as_slice(), rest) {
            (b"id", []) => Ok(Self::Id),
            (b"getname", []) => Ok(Self::GetName),
            (b"setname", [name]) => client_name(name).map(Self::SetName),
            (b"info", []) => Ok(Self::Info),
            (b"list", _) => Ok(Self::List),
            (b"setinfo", [attribute, value]) => set_info(attribute, value),
            (b"no-evict" | b"no-touch", [flag]) if is_one_of(flag, &["on", "off"]) => Ok(Self::Accepted),
            // Valkey's: the client would take a redirection, which never comes from here.
            (b"capa", [_, ..]) => Ok(Self::Accepted),
            // There are no keys here of which a client would be told that they changed.
            (b"tracking", [flag, options @ ..]) => tracking(flag, options),
            (b"help", []) => Ok(Self::Help),
            (b"reply", [mode]) if is_one_of(mode, &["on"]) => Ok(Self::Accepted),
            (b"reply", [mode]) if is_one_of(mode, &["off", "skip"]) => {
                Err(Refused::err("CLIENT REPLY OFF and SKIP are not supported here"))
            }
            (b"no-evict" | b"no-touch" | b"reply", [_]) => Err(Refused::err("syntax error")),
            (
                b"id" | b"getname" | b"setname" | b"info" | b"setinfo" | b"no-evict" | b"no-touch" | b"capa"
                | b"reply" | b"tracking" | b"help",
                _,
            ) => {
                let name = String::from_utf8_lossy(&word_lower);
                Err(Refused::arity(&format!("client|{name}")))
            }
            _ => Err(Refused::subcommand("CLIENT", word)),
        }
    }
}

/// `CLIENT TRACKING`, with what stands behind it.
fn tracking(flag: &[u8], options: &[Bytes]) -> Result<ClientQuestion, Refused> {
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let takes_one = is_one_of(option, &["redirect", "prefix"]);
        let known = takes_one || is_one_of(option, &["bcast", "optin", "optout", "noloop"]);
        if !known || (takes_one && options.next().is_none()) {
            return Err(Refused::err("syntax error"));
        }
    }
    if is_one_of(flag, &["on", "off"]) {
        Ok(ClientQuestion::Accepted)
    } else {
        Err(Refused::err("syntax error"))
    }
}

/// The name of a connection: printable and without spaces, as in a server.
pub(super) fn client_name(name: &[u8]) -> Result<String, Refused> {
    printable(name).ok_or_else(|| {
        Refused::err("Client names cannot contain spaces, newlines or special characters, and must be short.")
    })
}

fn set_info(attribute: &[u8], value: &[u8]) -> Result<ClientQuestion, Refused> {
    if !is_one_of(attribute, &["lib-name", "lib-ver"]) {
        return Err(Refused::err("Unrecognized option of CLIENT SETINFO"));
    }
    match printable(value) {
        Some(_) => Ok(ClientQuestion::Accepted),
        None => Err(Refused::err(
            "the library's name and version cannot contain spaces, newlines or special characters",
        )),
    }
}

fn printable(text: &[u8]) -> Option<String> {
    let fits = text.len() <= CLIENT_NAME_BYTES_MAX && text.iter().all(u8::is_ascii_graphic);
    fits.then(|| String::from_utf8_lossy(text).into_owned())
}

fn is_one_of(word: &[u8], words: &[&str]) -> bool {
    words
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<ClientQuestion, String> {
        let args: Vec<_> = line
            .split(' ')
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect();
        ClientQuestion::parse(&args).map_err(Refused::into_text)
    }

    #[test]
    fn what_libraries_send_on_connecting_is_taken() {
        for line in [
            "SETINFO lib-name redis-py(web_v1)",
            "SETINFO LIB-VER 5.0",
            "NO-EVICT on",
            "NO-TOUCH ON",
            "REPLY ON",
            "CAPA redirect",
            // rueidis and valkey-go ask for it at every connection.
            "TRACKING ON OPTIN",
            "TRACKING on REDIRECT 7 PREFIX a BCAST",
            "TRACKING OFF",
        ] {
            assert_eq!(parse(line), Ok(ClientQuestion::Accepted), "{line}");
        }
        assert_eq!(
            parse("setname web-1"),
            Ok(ClientQuestion::SetName("web-1".to_owned()))
        );
        assert_eq!(parse("ID"), Ok(ClientQuestion::Id));
    }

    #[test]
    fn what_would_break_the_conversation_is_refused() {
        for (line, expected) in [
            ("NOPE", "ERR unknown subcommand 'NOPE'. Try CLIENT HELP."),
            (
                "SETNAME a b",
                "ERR wrong number of arguments for 'client|setname' command",
            ),
            ("SETNAME a\nb", "ERR Client names cannot contain"),
            ("SETINFO FOO bar", "ERR Unrecognized option"),
            ("REPLY OFF", "ERR CLIENT REPLY OFF"),
            ("NO-EVICT maybe", "ERR syntax error"),
            ("TRACKING maybe", "ERR syntax error"),
            ("TRACKING ON REDIRECT", "ERR syntax error"),
            ("TRACKING ON SOMETHING", "ERR syntax error"),
            (
                "TRACKING",
                "ERR wrong number of arguments for 'client|tracking' command",
            ),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.starts_with(expected), "{line}: {error}");
        }
    }
}
