//! Idempotency keys: a `POST` that is sent again gets the first one's answer, and changes nothing.
//!
//! A key belongs to the token that used it. Answers of requests that succeeded are kept; what failed changed nothing, so it
//! may be tried again under the same key.

use aws_lc_rs::digest::{Context, SHA256};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_store::{Idempotency, IdempotencyKeys};

use crate::auth::Caller;
use crate::problem::{Kind, Outcome, Refusal};
use crate::settings::BODY_BYTES_MAX;

/// The header that carries a key.
pub(crate) const KEY: &str = "idempotency-key";
/// The header of an answer that was given before.
pub(crate) const REPLAYED: &str = "idempotency-replayed";
/// The longest key, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 128;

/// Headers that belong to an answer.
const KEPT_HEADERS: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];

/// A request that was begun under a key.
#[derive(Debug)]
pub(crate) struct Ticket {
    keys: IdempotencyKeys,
    key: String,
}

/// What a request with a key is.
#[derive(Debug)]
pub(crate) enum Begun {
    /// A new one.
    Fresh(Ticket),
    /// An old one, with its answer.
    Replay(Response),
}

/// What the store keeps of an answer beside its status.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    headers: Vec<(String, String)>,
    body: String,
}

/// The key that a request carries.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    value
        .to_str()
        .ok()
        .filter(|text| values.next().is_none() && !text.is_empty() && text.len() <= KEY_BYTES_MAX)
        .map(Some)
        .ok_or_else(|| {
            Refusal::new(
                Kind::BadRequest,
                format!("Idempotency-Key must be one text of 1 to {KEY_BYTES_MAX} ASCII characters"),
            )
        })
}

/// Begins a request under a key, or finds its answer.
pub(crate) async fn begin(
    keys: &IdempotencyKeys,
    caller: &Caller,
    key: &str,
    parts: &Parts,
    body: &[u8],
) -> Result<Begun, Refusal> {
    let key = format!("{}/{key}", caller.token.id);
    let begun = keys
        .begin(&key, &fingerprint(parts, body), Timestamp::now())
        .await?;
    match begun {
        Idempotency::Fresh => Ok(Begun::Fresh(Ticket {
            keys: keys.clone(),
            key,
        })),
        Idempotency::Replay { status, body } => replay(status, &body).map(Begun::Replay),
        Idempotency::Mismatch => Err(Refusal::new(
            Kind::KeyReused,
            "this Idempotency-Key was sent with another request before; nothing was changed",
        )
        .hint("make a new key for each request, and repeat it only with the same request")),
        Idempotency::InProgress => Err(Refusal::new(
            Kind::InProgress,
            "the first request with this Idempotency-Key is still being worked on",
        )
        .retry_after(1)),
    }
}

impl Ticket {
    /// Keeps the answer of a request that succeeded, and forgets one that did not.
    pub(crate) async fn finish(self, response: Response) -> Response {
        let status = response.status();
        if !status.is_success() {
            self.forget().await;
            return response;
        }
        let (parts, body) = response.into_parts();
        let body = match axum::body::to_bytes(body, BODY_BYTES_MAX).await {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "an answer is too large to be kept for its idempotency key");
                Bytes::new()
            }
        };
        let stored = Stored {
            headers: KEPT_HEADERS
                .iter()
                .filter_map(|name| {
                    let value = parts.headers.get(name)?.to_str().ok()?;
                    Some((name.to_string(), value.to_owned()))
                })
                .collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let text = serde_json::to_string(&stored).expect("strings are JSON");
        if let Err(error) = self.keys.finish(&self.key, status.as_u16(), &text).await {
            tracing::error!(%error, "an answer could not be kept for its idempotency key");
        }
        Response::from_parts(parts, Body::from(body))
    }

    async fn forget(self) {
        if let Err(error) = self.keys.abandon(&self.key).await {
            tracing::error!(%error, "an idempotency key could not be freed; it frees itself later");
        }
    }
}

fn replay(status: u16, text: &str) -> Result<Response, Refusal> {
    let unreadable = || {
        Refusal::new(
            Kind::Damaged,
            "the answer kept for this Idempotency-Key can't be read",
        )
    };
    let stored: Stored = serde_json::from_str(text).map_err(|_| unreadable())?;
    let mut response = Response::new(Body::from(stored.body));
    *response.status_mut() = StatusCode::from_u16(status).map_err(|_| unreadable())?;
    let headers = response.headers_mut();
    for (name, value) in stored.headers {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) else {
            return Err(unreadable());
        };
        headers.insert(name, value);
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response.extensions_mut().insert(Outcome {
        word: "replayed",
        detail: None,
    });
    Ok(response)
}

/// Everything of a request that must be the same.
fn fingerprint(parts: &Parts, body: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    for part in [parts.method.as_str().as_bytes(), target.as_bytes()] {
        context.update(part);
        context.update(b"\n");
    }
    context.update(body);
    HEXLOWER.encode(context.finish().as_ref())
}
