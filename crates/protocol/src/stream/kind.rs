//! The few commands of the stream that mean something to the scanner.

/// Longest argument that can matter: a database number of ten digits.
pub(super) const WORD_BYTES_MAX: usize = 10;

/// What a command means for units, database and acknowledgements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Data, or PING: it only counts.
    Other,
    Multi,
    Exec,
    Discard,
    Select(u32),
    GetAck,
    /// One of these, but not as a primary sends it.
    Wrong(&'static str),
}

/// Whether a command whose name has this length and first byte needs [`classify`].
#[inline]
pub(super) fn may_matter(name: &[u8]) -> bool {
    let Some(first) = name.first() else {
        return false;
    };
    matches!(
        (name.len(), first | 0x20),
        (4, b'e') | (5, b'm') | (6, b's') | (7, b'd') | (8, b'r')
    )
}

/// Tells a command by its name and its second word, which is `None` where there is none that could matter.
#[cold]
pub(super) fn classify(name: &[u8], second: Option<&[u8]>, args: u64) -> Kind {
    let is = |text: &[u8]| name.eq_ignore_ascii_case(text);
    let alone = |kind, problem| if args == 1 { kind } else { Kind::Wrong(problem) };
    if is(b"MULTI") {
        alone(Kind::Multi, "MULTI with arguments")
    } else if is(b"EXEC") {
        alone(Kind::Exec, "EXEC with arguments")
    } else if is(b"DISCARD") {
        alone(Kind::Discard, "DISCARD with arguments")
    } else if is(b"SELECT") {
        match second.filter(|_| args == 2).and_then(database) {
            Some(db) => Kind::Select(db),
            None => Kind::Wrong("SELECT without one database number"),
        }
    } else if is(b"REPLCONF") && second.is_some_and(|word| word.eq_ignore_ascii_case(b"GETACK")) {
        Kind::GetAck
    } else {
        Kind::Other
    }
}

fn database(word: &[u8]) -> Option<u32> {
    if word.len() > WORD_BYTES_MAX || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_only_whole() {
        assert_eq!(classify(b"mUlTi", None, 1), Kind::Multi);
        assert_eq!(classify(b"exec", None, 1), Kind::Exec);
        assert_eq!(classify(b"Select", Some(b"15"), 2), Kind::Select(15));
        assert_eq!(classify(b"replconf", Some(b"getack"), 3), Kind::GetAck);
        assert_eq!(classify(b"REPLCONF", Some(b"ACK"), 3), Kind::Other);
        assert_eq!(classify(b"MULTI2", None, 1), Kind::Other);
        for name in ["MULTI", "exec", "Discard", "SELECT", "replconf"] {
            assert!(may_matter(name.as_bytes()), "{name} would be overlooked");
        }
    }

    #[test]
    fn a_select_that_names_no_database_is_wrong() {
        for (word, args) in [
            (None, 1),
            (Some(&b"-1"[..]), 2),
            (Some(b"+1"), 2),
            (Some(b"4294967296"), 2),
            (Some(b"1"), 3),
        ] {
            assert!(
                matches!(classify(b"SELECT", word, args), Kind::Wrong(_)),
                "{word:?}"
            );
        }
    }
}
