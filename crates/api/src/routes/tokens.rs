//! Tokens: who may do what.

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use sterna_model::{MadeToken, Requester, Role, Token, TokenId, TokenRequest};

use crate::audit::AuditNote;
use crate::auth::{Caller, word};
use crate::extract::{Json, Path};
use crate::problem::{Kind, Refusal};
use crate::shared::App;

/// The longest name of a token, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// The longest life of a token that ends by itself, in seconds: 10 years.
const EXPIRES_IN_SECONDS_MAX: u32 = 10 * 365 * 86_400;
/// Names that mean something else in the audit.
const RESERVED: [&str; 2] = [Requester::GATEWAY, "-"];

/// All tokens that ever were.
#[utoipa::path(
    get, path = "/api/v1/tokens", operation_id = "listTokens", tag = "tokens",
    responses((status = 200, description = "The oldest first, without what they are.", body = Vec<Token>))
)]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<Token>>, Refusal> {
    Ok(Json(app.control.catalogue().tokens.all().await?))
}

/// Make a token.
#[utoipa::path(
    post, path = "/api/v1/tokens", operation_id = "createToken", tag = "tokens",
    request_body = TokenRequest,
    responses((
        status = 201, description = "The token, with what it is: this once.", body = MadeToken,
        headers(("Location" = String, description = "Where it can be revoked.")),
    ))
)]
pub(crate) async fn create(
    State(app): State<App>,
    Extension(note): Extension<AuditNote>,
    Json(request): Json<TokenRequest>,
) -> Result<Response, Refusal> {
    check(&request)?;
    note.target(&request.name);
    note.detail(word(request.role));
    let now = Timestamp::now();
    let expires_at = request
        .expires_in_seconds
        .map(|seconds| now.checked_add(SignedDuration::from_secs(seconds.into())))
        .transpose()
        .map_err(|error| Refusal::new(Kind::Invalid, format!("expires_in_seconds: {error}")))?;
    let (token, secret) = app
        .control
        .catalogue()
        .tokens
        .create(&request.name, request.role, expires_at, now)
        .await?;
    app.control.token_changed(&token.name);
    let location = format!("/api/v1/tokens/{}", token.id);
    let made = MadeToken { token, secret };
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)).into_response())
}

fn check(request: &TokenRequest) -> Result<(), Refusal> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    let name = &request.name;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
        return Err(Refusal::new(
            Kind::Invalid,
            "the name of a token has 1 to 63 letters, digits, `-`, `_`, `.` or `@`",
        ));
    }
    if RESERVED.contains(&name.as_str()) {
        return Err(Refusal::new(
            Kind::Invalid,
            format!("the audit calls the gateway itself or nobody {name:?}; choose another name"),
        ));
    }
    match request.expires_in_seconds {
        Some(seconds) if seconds == 0 || seconds > EXPIRES_IN_SECONDS_MAX => Err(Refusal::new(
            Kind::Invalid,
            format!(
                "expires_in_seconds is 1 to {EXPIRES_IN_SECONDS_MAX}; leave it out for a token that never ends"
            ),
        )),
        _ => Ok(()),
    }
}

/// The token that is asked with.
#[utoipa::path(
    get, path = "/api/v1/tokens/self", operation_id = "getOwnToken", tag = "tokens",
    responses((status = 200, description = "Its name and role.", body = Token))
)]
pub(crate) async fn own(caller: Caller) -> Json<Token> {
    Json(caller.token)
}

/// Revoke a token.
///
/// It opens nothing from now on; who listens to events with it is cut off within seconds. The last token of an admin is
/// refused: nobody could make another.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", operation_id = "revokeToken", tag = "tokens",
    params(("id" = TokenId, Path, description = "The token.")),
    responses((status = 200, description = "It is revoked.", body = Token))
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    Extension(note): Extension<AuditNote>,
    Path(id): Path<TokenId>,
) -> Result<Json<Token>, Refusal> {
    let now = Timestamp::now();
    let catalogue = app.control.catalogue();
    let tokens = catalogue.tokens.all().await?;
    if let Some(token) = tokens.iter().find(|token| token.id == id) {
        note.target(&token.name);
    }
    let is_admin = |token: &&Token| token.role == Role::Admin && token.is_valid(now);
    let mut admins = tokens.iter().filter(is_admin);
    if let (Some(last), None) = (admins.next(), admins.next())
        && last.id == id
    {
        return Err(Refusal::new(
            Kind::Refused,
            format!(
                "{:?} is the last token of an admin: nobody could make another",
                last.name
            ),
        )
        .hint("make a new token for an admin first, then revoke this one with it"));
    }
    let token = catalogue.tokens.revoke(id, now).await?;
    app.control.token_changed(&token.name);
    Ok(Json(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_lives_are_checked() {
        let check = |name: &str, expires_in_seconds| {
            check(&TokenRequest {
                name: name.to_owned(),
                role: Role::Viewer,
                expires_in_seconds,
            })
            .is_ok()
        };
        assert!(check("me@example.com", None));
        assert!(check("ci", Some(1)));
        assert!(!check("ci", Some(0)));
        assert!(!check("ci", Some(u32::MAX)));
        for bad in ["", "-", "sterna", "a b", "ä", "a\n", &"x".repeat(64)] {
            assert!(!check(bad, None), "{bad:?}");
        }
    }
}
