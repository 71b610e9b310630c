//! The patterns of `PSUBSCRIBE`, with the meaning that the server gives them (`stringmatchlen` in its `util.c`).

/// Whether all of `text` matches `pattern`: `*`, `?`, `[abc]`, `[^a-z]`, and `\` before what is meant as itself.
///
/// Takes at most the product of both lengths: only the last `*` is ever taken back.
pub fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where to go on when what follows the last `*` doesn't match: after that `*`, with it taking one byte more.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            retry = Some((at, seen));
            continue;
        }
        let step = match text.get(seen) {
            None if at == pattern.len() => return true,
            None => return false,
            Some(byte) => one(&pattern[at..], *byte),
        };
        match (step, retry) {
            (Some(len), _) => {
                at += len;
                seen += 1;
            }
            (None, Some((after, from))) => {
                at = after;
                seen = from + 1;
                retry = Some((after, seen));
            }
            (None, None) => return false,
        }
    }
}

/// How much of the pattern's beginning matches this one byte; `None` when it doesn't.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [b'[', class @ ..] => in_class(class, byte).map(|len| len + 1),
        [literal, ..] => (*literal == byte).then_some(1),
    }
}

/// `class` begins after its `[`; one that is not closed ends with the pattern, as in the server.
fn in_class(class: &[u8], byte: u8) -> Option<usize> {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                let range = *from.min(to)..=*from.max(to);
                found |= range.contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_a_server() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "+switch-master", true),
            ("+switch-master", "+switch-master", true),
            ("+switch-master", "+switch-master2", false),
            ("+*", "-sdown", false),
            ("?sdown", "-sdown", true),
            ("[-+]sdown", "+sdown", true),
            // To a server, too, this is the range from + to ], in a class that is not closed.
            ("[+-]sdown", "+sdown", false),
            ("[^+]sdown", "+sdown", false),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", true),
            ("*down*", "+odown", true),
            ("*a*b*c", "xxaybzbc", true),
            ("*a*b*c", "xxaybzbd", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("[\\]]", "]", true),
            ("[a", "a", true),
            ("", "", true),
            ("", "x", false),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(
                glob_matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_the_product_of_the_lengths() {
        let pattern = b"*a".repeat(100);
        assert!(!glob_matches(&[&pattern[..], b"b"].concat(), &[b'a'; 4000]));
    }
}
