//! Reading requests and writing answers: JSON, paths and queries, strict, with problem documents for what is wrong.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sterna_model::{Operation, Revision, strictly};

use crate::problem::{Kind, Refusal};

/// A JSON body, in and out.
#[derive(Debug, Clone)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        if !is_json(request.headers()) {
            return Err(Refusal::new(
                Kind::UnsupportedMediaType,
                "the body must be JSON, and say so with `Content-Type: application/json`",
            ));
        }
        let body = whole_body(request, state).await?;
        read_json(&body).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => (
                [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
                body,
            )
                .into_response(),
            Err(error) => {
                Refusal::new(Kind::Internal, format!("the answer can't be written: {error}")).into_response()
            }
        }
    }
}

/// A JSON body that may be left out; then everything in it has its default.
#[derive(Debug, Clone)]
pub(crate) struct MaybeJson<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for MaybeJson<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        if is_json(request.headers()) {
            return Json::from_request(request, state)
                .await
                .map(|Json(body)| Self(body));
        }
        let body = whole_body(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        Err(Refusal::new(
            Kind::UnsupportedMediaType,
            "the body must be empty, or JSON that says so with `Content-Type: application/json`",
        ))
    }
}

async fn whole_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refusal> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| Refusal::new(Kind::BadRequest, rejection.body_text()))
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(media_type)) = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str) else {
        return false;
    };
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads JSON: what is not JSON is a bad request, what does not fit or is not known is invalid.
pub(crate) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let read = || {
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let value = strictly(&mut deserializer)?;
        deserializer.end().map(|()| value)
    };
    read().map_err(|error: serde_json::Error| {
        if error.is_data() {
            Refusal::new(Kind::Invalid, masked(&error.to_string()))
        } else {
            Refusal::new(
                Kind::BadRequest,
                format!(
                    "the body is not JSON: {} at line {}, column {}",
                    if error.is_eof() {
                        "it ends too early"
                    } else {
                        "unexpected characters"
                    },
                    error.line(),
                    error.column()
                ),
            )
        }
    })
}

/// Hides what stands before an `@` in each word: people paste URLs, and errors show what they could not read.
pub(crate) fn masked(text: &str) -> String {
    text.split_inclusive(char::is_whitespace)
        .map(|word| match word.rsplit_once('@') {
            Some((_, rest)) => format!("***@{rest}"),
            None => word.to_owned(),
        })
        .collect()
}

/// The values in a path.
#[derive(Debug, Clone)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection: PathRejection| {
                let text = rejection.body_text();
                let what = text.strip_prefix("Invalid URL: ").unwrap_or(&text);
                Refusal::new(Kind::BadRequest, format!("in the path: {what}"))
            })
    }
}

/// The values in a query; unknown ones are refused by their types.
#[derive(Debug, Clone)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection: QueryRejection| {
                let text = rejection.body_text();
                let what = text
                    .strip_prefix("Failed to deserialize query string: ")
                    .unwrap_or(&text);
                Refusal::new(Kind::BadRequest, format!("in the query: {what}"))
            })
    }
}

/// The revision that `If-Match` names, if it names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IfMatch(pub(crate) Option<Revision>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let mut values = parts.headers.get_all(header::IF_MATCH).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return if parts.headers.contains_key(header::IF_MATCH) {
                Err(one_tag())
            } else {
                Ok(Self(None))
            };
        };
        let text = value.to_str().map_err(|_| one_tag())?.trim();
        if text == "*" {
            return Ok(Self(None));
        }
        if text.contains(',') {
            return Err(one_tag());
        }
        // Any other tag is not one of ours, so it can't be that of what is there now.
        text.strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .and_then(|text| text.parse().ok())
            .map(|revision| Self(Some(revision)))
            .ok_or_else(|| {
                Refusal::new(
                    Kind::PreconditionFailed,
                    "If-Match carries an entity tag that was never given out here",
                )
                .hint("send the ETag of the answer to the last GET as it was")
            })
    }
}

fn one_tag() -> Refusal {
    Refusal::new(Kind::BadRequest, "If-Match must carry one entity tag, or `*`")
}

/// An answer with the revision as its entity tag.
pub(crate) fn tagged<T: Serialize>(revision: Revision, value: T) -> impl IntoResponse {
    ([(header::ETAG, format!("\"{revision}\""))], Json(value))
}

/// The answer to a request that began an operation.
pub(crate) fn accepted(operation: Operation) -> Response {
    let location = format!("/api/v1/operations/{}", operation.id);
    (
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(operation),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_errors_show_of_a_url_is_not_its_password() {
        assert_eq!(
            masked("\"redis://me:pass@word@db:6379\" is not an address"),
            "***@db:6379\" is not an address"
        );
        assert_eq!(masked("two words\n"), "two words\n");
    }

    #[test]
    fn what_is_no_json_is_told_from_what_does_not_fit() {
        let kind = |body: &[u8]| read_json::<Vec<u8>>(body).unwrap_err().kind;
        assert_eq!(kind(b"[1"), Kind::BadRequest);
        assert_eq!(kind(b"[1]x"), Kind::BadRequest);
        assert_eq!(kind(b"\"text\""), Kind::Invalid);
        let nested = read_json::<serde_json::Value>(&[b'['; 4096]).unwrap_err();
        assert_eq!(nested.kind, Kind::BadRequest, "nesting is bounded");
    }

    #[test]
    fn media_types_are_json_or_not() {
        let with = |value: &'static str| {
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))])
        };
        assert!(is_json(&with("application/json")));
        assert!(is_json(&with("Application/JSON; charset=utf-8")));
        assert!(is_json(&with("application/merge-patch+json")));
        assert!(!is_json(&with("text/json")));
        assert!(!is_json(&with("text/plain; application/json")));
        assert!(!is_json(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn if_match_is_one_tag() {
        async fn read(value: &str) -> Result<IfMatch, Kind> {
            let request = Request::builder()
                .header(header::IF_MATCH, value)
                .body(axum::body::Body::empty())
                .unwrap();
            let (mut parts, _) = request.into_parts();
            IfMatch::from_request_parts(&mut parts, &())
                .await
                .map_err(|refusal| refusal.kind)
        }
        assert_eq!(read("\"12\"").await, Ok(IfMatch(Some(Revision(12)))));
        assert_eq!(read("*").await, Ok(IfMatch(None)));
        for foreign in ["W/\"12\"", "12", "\"twelve\"", "\"\"", ""] {
            assert_eq!(read(foreign).await, Err(Kind::PreconditionFailed), "{foreign}");
        }
        assert_eq!(read("\"1\", \"2\"").await, Err(Kind::BadRequest));
    }
}
