//! What of an error reply may be shown.

/// How servers begin to repeat the arguments of a command that they do not know.
const ARGUMENTS: &[u8] = b", with args beginning with";

/// The error without the arguments that a server repeats in it: where `AUTH` or `CONFIG` was renamed, they are passwords.
pub fn without_arguments(error: &[u8]) -> &[u8] {
    let at = error.windows(ARGUMENTS.len()).position(|part| part == ARGUMENTS);
    at.map_or(error, |at| &error[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_arguments_are_left_out() {
        let error = b"ERR unknown command 'AUTH', with args beginning with: 'secret' ";
        assert_eq!(without_arguments(error), b"ERR unknown command 'AUTH'");
        assert_eq!(without_arguments(b"ERR syntax error"), b"ERR syntax error");
    }
}
