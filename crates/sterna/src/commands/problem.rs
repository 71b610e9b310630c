//! What the API refuses, and what happens on the way to it, in words and with the right exit code.

use sterna_model::Problem;

use super::access::Access;
use crate::exit::{CommandError, Failure};

/// An answer that is no problem document is shown up to this many characters.
const EXCERPT_CHARS_MAX: usize = 200;

/// The API said no.
pub(super) fn refusal(status: u16, body: &str, access: &Access) -> CommandError {
    let failure = class(status);
    let Ok(problem) = serde_json::from_str::<Problem>(body) else {
        let excerpt: String = body.trim().chars().take(EXCERPT_CHARS_MAX).collect();
        return failure.because(format!(
            "the API answered {status}: {excerpt}\nhint: is that the API of a Sterna gateway? --api says where to ask"
        ));
    };
    let mut text = problem.detail;
    let mut hints: Vec<String> = problem.hint.into_iter().collect();
    if status == 401 {
        match &access.token {
            Some(token) => hints.push(format!("the token came from {}", token.from)),
            // How a program sends one is of no use here.
            None => {
                hints = vec![format!(
                    "no token was found; looked at {}",
                    access.looked.join("; ")
                )];
            }
        }
    }
    if let (Some(id), true) = (
        problem.operation,
        hints.is_empty() && !text.contains("sterna operation"),
    ) {
        hints.push(format!(
            "wait for it with `sterna operation wait {id}`, or end it with `sterna operation cancel {id}`"
        ));
    }
    for hint in hints {
        text.push_str("\nhint: ");
        text.push_str(&hint);
    }
    failure.because(text)
}

fn class(status: u16) -> Failure {
    match status {
        401 | 403 => Failure::NotAuthorised,
        429 | 502..=504 => Failure::Server,
        400..=499 => Failure::Refused,
        _ => Failure::Other,
    }
}

/// The API was not reached, or the connection broke.
pub(super) fn unreachable(base: &str, error: &ureq::Error) -> CommandError {
    use std::io::ErrorKind;
    let (reason, hint) = match error {
        ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => (
            format!("no gateway listens at {base}"),
            "start one with `sterna serve`, or say where it is with --api URL or STERNA_API".to_owned(),
        ),
        ureq::Error::HostNotFound => (
            format!("the host of {base} is not known"),
            "check --api and STERNA_API".to_owned(),
        ),
        ureq::Error::Timeout(_) => (
            format!("the gateway at {base} does not answer in time"),
            "a change that was asked for may have been begun all the same: see `sterna operation list`".to_owned(),
        ),
        ureq::Error::Rustls(error) => (
            format!("TLS with {base} failed: {error}"),
            "name the authority that signed the API's certificate with --ca-file FILE; --client-cert and --client-key \
             where the API demands a certificate"
                .to_owned(),
        ),
        ureq::Error::Io(error) if rustls_reason(error).is_some() => (
            format!(
                "TLS with {base} failed: {}",
                rustls_reason(error).unwrap_or_default()
            ),
            "name the authority that signed the API's certificate with --ca-file FILE; --client-cert and --client-key \
             where the API demands a certificate"
                .to_owned(),
        ),
        ureq::Error::Protocol(_) => (
            format!("what listens at {base} does not speak HTTP: {error}"),
            "where the API has TLS, write https:// in --api".to_owned(),
        ),
        other => (
            format!("the connection with the gateway at {base} failed: {other}"),
            "a change that was asked for may have been begun all the same: see `sterna operation list`".to_owned(),
        ),
    };
    Failure::Server.because(format!("{reason}\nhint: {hint}"))
}

fn rustls_reason(error: &std::io::Error) -> Option<String> {
    let inner = error.get_ref()?;
    inner.downcast_ref::<rustls::Error>().map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use sterna_protocol::Secret;

    use super::super::access::Token;
    use super::*;

    fn nobody() -> Access {
        Access {
            token: None,
            looked: vec!["STERNA_TOKEN: not set".to_owned()],
        }
    }

    #[test]
    fn problems_become_words_hints_and_exit_codes() {
        let body = r#"{"type":"/problems/refused","title":"Refused","status":409,"detail":"eu is well","hint":"use switchover"}"#;
        let error = refusal(409, body, &nobody());
        assert_eq!(error.failure, Failure::Refused);
        assert_eq!(error.error.to_string(), "eu is well\nhint: use switchover");

        let busy = r#"{"type":"/problems/busy","title":"Busy","status":409,"detail":"another operation is under way","operation":7}"#;
        let error = refusal(409, busy, &nobody()).error.to_string();
        assert!(error.contains("`sterna operation wait 7`"), "{error}");
    }

    #[test]
    fn without_a_valid_token_it_says_where_it_looked() {
        let body = r#"{"type":"/problems/unauthorized","title":"No valid token","status":401,"detail":"a token is needed"}"#;
        let error = refusal(401, body, &nobody());
        assert_eq!(error.failure, Failure::NotAuthorised);
        assert!(error.error.to_string().contains("STERNA_TOKEN: not set"));
        let access = Access {
            token: Some(Token {
                secret: Secret::new("sterna_x"),
                from: "/etc/token".to_owned(),
            }),
            looked: Vec::new(),
        };
        let error = refusal(401, body, &access).error.to_string();
        assert!(error.ends_with("hint: the token came from /etc/token"), "{error}");
        assert!(!error.contains("sterna_x"));
    }

    #[test]
    fn a_stranger_is_told_apart() {
        let error = refusal(404, "<html>not here</html>", &nobody());
        assert!(error.error.to_string().contains("<html>not here</html>"));
        assert_eq!(refusal(500, "", &nobody()).failure, Failure::Other);
        assert_eq!(
            refusal(503, "{\"title\":\"x\"}", &nobody()).failure,
            Failure::Server
        );
    }

    #[test]
    fn a_refused_connection_says_what_to_do() {
        let error = ureq::Error::Io(std::io::ErrorKind::ConnectionRefused.into());
        let error = unreachable("http://127.0.0.1:7800", &error);
        assert_eq!(error.failure, Failure::Server);
        assert!(error.error.to_string().contains("`sterna serve`"));
    }
}
