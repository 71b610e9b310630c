//! Problem documents (RFC 9457): every refusal has the same form, says what it means, and what to do.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sterna_control::ControlError;
use sterna_model::{OperationId, Problem};
use sterna_store::StoreError;

/// The media type of a problem document.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not HTTP or JSON as it must be, or a name or number that can't be one.
    BadRequest,
    /// No valid token.
    Unauthorized,
    /// A valid token whose role does not suffice.
    Forbidden,
    /// The thing is not there.
    NotFound,
    /// The path is not one of the API's.
    NoSuchRoute,
    /// The path is, the method is not.
    MethodNotAllowed,
    /// The body came too slowly.
    BodyTooSlow,
    /// The name is taken.
    Exists,
    /// It was changed meanwhile, and no `If-Match` was given.
    Conflict,
    /// A rule that protects data or service is in the way.
    Refused,
    /// Another operation of the group is under way.
    Busy,
    /// The request with this idempotency key is still being worked on.
    InProgress,
    /// `If-Match` does not match.
    PreconditionFailed,
    /// The body is too large.
    TooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// Understood, but it makes no sense.
    Invalid,
    /// The idempotency key was used for another request.
    KeyReused,
    /// Too many requests.
    TooManyRequests,
    /// A fault of the gateway's own.
    Internal,
    /// A stored value can't be read or unsealed.
    Damaged,
    /// A Redis or Valkey server could not be asked.
    ServerUnreachable,
    /// The gateway is stopping.
    Stopping,
    /// The gateway has not taken up all groups yet.
    NotReady,
    /// The store can't be used.
    StoreUnusable,
    /// Too much is going on at once.
    Overloaded,
    /// No answer in time.
    TookTooLong,
}

impl Kind {
    /// All of them, for the documentation.
    pub(crate) const ALL: [Self; 26] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::NoSuchRoute,
        Self::MethodNotAllowed,
        Self::BodyTooSlow,
        Self::Exists,
        Self::Conflict,
        Self::Refused,
        Self::Busy,
        Self::InProgress,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::KeyReused,
        Self::TooManyRequests,
        Self::Internal,
        Self::Damaged,
        Self::ServerUnreachable,
        Self::Stopping,
        Self::NotReady,
        Self::StoreUnusable,
        Self::Overloaded,
        Self::TookTooLong,
    ];

    /// Its word, its status, and its title.
    pub(crate) fn describe(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest => (
                "bad-request",
                StatusCode::BAD_REQUEST,
                "The request can't be understood",
            ),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "No valid token"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "The token may not do this"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::NoSuchRoute => ("no-such-route", StatusCode::NOT_FOUND, "There is no such path"),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The path does not know this method",
            ),
            Self::BodyTooSlow => (
                "body-too-slow",
                StatusCode::REQUEST_TIMEOUT,
                "The request came too slowly",
            ),
            Self::Exists => ("exists", StatusCode::CONFLICT, "The name is taken"),
            Self::Conflict => (
                "conflict",
                StatusCode::CONFLICT,
                "Somebody else changed it meanwhile",
            ),
            Self::Refused => ("refused", StatusCode::CONFLICT, "A safety rule stands against it"),
            Self::Busy => ("busy", StatusCode::CONFLICT, "Another operation is under way"),
            Self::InProgress => (
                "in-progress",
                StatusCode::CONFLICT,
                "The same request is still being worked on",
            ),
            Self::PreconditionFailed => (
                "precondition-failed",
                StatusCode::PRECONDITION_FAILED,
                "It is not at the revision that If-Match names",
            ),
            Self::TooLarge => (
                "too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request is too large",
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body must be JSON",
            ),
            Self::Invalid => (
                "invalid",
                StatusCode::UNPROCESSABLE_ENTITY,
                "What was asked for makes no sense",
            ),
            Self::KeyReused => (
                "key-reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The idempotency key belongs to another request",
            ),
            Self::TooManyRequests => (
                "too-many-requests",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests",
            ),
            Self::Internal => (
                "internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "A fault in the gateway",
            ),
            Self::Damaged => (
                "damaged",
                StatusCode::INTERNAL_SERVER_ERROR,
                "A stored value can't be read",
            ),
            Self::ServerUnreachable => (
                "server-unreachable",
                StatusCode::BAD_GATEWAY,
                "A server could not be asked",
            ),
            Self::Stopping => (
                "stopping",
                StatusCode::SERVICE_UNAVAILABLE,
                "The gateway is stopping",
            ),
            Self::NotReady => (
                "not-ready",
                StatusCode::SERVICE_UNAVAILABLE,
                "The gateway is not ready",
            ),
            Self::StoreUnusable => (
                "store-unusable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The store can't be used",
            ),
            Self::Overloaded => (
                "overloaded",
                StatusCode::SERVICE_UNAVAILABLE,
                "The gateway has too much to do",
            ),
            Self::TookTooLong => ("took-too-long", StatusCode::GATEWAY_TIMEOUT, "No answer in time"),
        }
    }
}

/// A refusal on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) kind: Kind,
    detail: String,
    hint: Option<String>,
    operation: Option<OperationId>,
    retry_after_seconds: Option<u64>,
    challenge: Option<&'static str>,
}

/// What became of a request, for the audit; rides on the response.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) word: &'static str,
    pub(crate) detail: Option<String>,
}

impl Refusal {
    /// A refusal of a kind.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            hint: None,
            operation: None,
            retry_after_seconds: None,
            challenge: None,
        }
    }

    /// With advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With the time after which to ask again.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// With the challenge that a missing or insufficient token is answered with.
    pub(crate) fn challenge(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// A conflict is a failed precondition where one was stated.
    pub(crate) fn if_match(mut self, stated: bool) -> Self {
        if stated && self.kind == Kind::Conflict {
            self.kind = Kind::PreconditionFailed;
        }
        self
    }

    fn document(&self) -> Problem {
        let (word, status, title) = self.kind.describe();
        Problem {
            kind: format!("/problems/{word}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            hint: self.hint.clone(),
            operation: self.operation,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Conflict { .. } => Kind::Conflict,
            StoreError::Exists { .. } => Kind::Exists,
            StoreError::NotFound { .. } => Kind::NotFound,
            StoreError::Unusable { .. } | StoreError::Uncertain { .. } => Kind::StoreUnusable,
            StoreError::Damaged { .. } | StoreError::Unsealable { .. } => Kind::Damaged,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        let text = error.to_string();
        match error {
            ControlError::Store(error) => error.into(),
            ControlError::Invalid(_) => Self::new(Kind::Invalid, text),
            ControlError::Refused { hint, .. } => Self {
                hint,
                ..Self::new(Kind::Refused, text)
            },
            ControlError::Busy { operation, .. } => Self {
                operation: Some(operation),
                ..Self::new(Kind::Busy, text)
            },
            ControlError::Server(_) => Self::new(Kind::ServerUnreachable, text),
            ControlError::Stopping => Self::new(Kind::Stopping, text).retry_after(5),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (word, status, _) = self.kind.describe();
        let body = serde_json::to_vec(&self.document()).expect("strings and numbers are JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response.extensions_mut().insert(Outcome {
            word,
            detail: Some(self.detail),
        });
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_words_of_their_own_and_statuses_of_errors() {
        let mut words: Vec<_> = Kind::ALL.iter().map(|kind| kind.describe().0).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let (_, status, _) = kind.describe();
            assert!(status.is_client_error() || status.is_server_error(), "{kind:?}");
        }
    }

    #[test]
    fn a_conflict_fails_a_stated_precondition() {
        let conflict = || Refusal::new(Kind::Conflict, "changed");
        assert_eq!(conflict().if_match(false).kind, Kind::Conflict);
        assert_eq!(conflict().if_match(true).kind, Kind::PreconditionFailed);
        assert_eq!(Refusal::new(Kind::Busy, "busy").if_match(true).kind, Kind::Busy);
    }
}
