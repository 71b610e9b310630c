//! Who asks, and whether they may: bearer tokens and roles.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use sterna_control::Actor;
use sterna_model::{Role, Token};
use sterna_node::listen::remote as remote_of;
use tokio::time::Instant;

use crate::problem::{Kind, Refusal};
use crate::shared::Shared;

const REALM: &str = "Bearer realm=\"sterna\"";
const INVALID_TOKEN: &str = "Bearer realm=\"sterna\", error=\"invalid_token\"";
const INSUFFICIENT: &str = "Bearer realm=\"sterna\", error=\"insufficient_scope\"";

/// Every token begins so.
const TOKEN_PREFIX: &str = "sterna_";
/// The longest text that is looked up as a token, in bytes.
const TOKEN_BYTES_MAX: usize = 128;

/// What a route asks of those who call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    Anyone,
    /// The role of a viewer, unless the settings open the metrics to everybody.
    Metrics,
    /// A role, or one above it.
    Role(Role),
}

/// Who calls: a valid token whose role suffices.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) token: Token,
}

impl Caller {
    /// Who asks, for control.
    pub(crate) fn actor(&self) -> Actor {
        Actor {
            name: self.token.name.clone(),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get().cloned().ok_or_else(|| {
            Refusal::new(
                Kind::Internal,
                "this route needs to know who calls, but lets anyone in",
            )
        })
    }
}

/// A request that is not let in.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    /// The name of the token, where it was recognised.
    pub(crate) actor: Option<String>,
    /// Whether it goes to the audit: who is told to wait has been recorded often enough.
    pub(crate) recorded: bool,
}

impl Refused {
    fn recorded(refusal: Refusal, actor: Option<String>) -> Self {
        Self {
            refusal,
            actor,
            recorded: true,
        }
    }
}

impl Shared {
    /// Lets a request in, or says why not. `None` for routes that are open to anyone.
    pub(crate) async fn admit(
        &self,
        access: Access,
        headers: &HeaderMap,
        remote: IpAddr,
    ) -> Result<Option<Caller>, Refused> {
        let role = match access {
            Access::Anyone => return Ok(None),
            Access::Metrics if self.settings.metrics_public => return Ok(None),
            Access::Metrics => Role::Viewer,
            Access::Role(role) => role,
        };
        let caller = match self.recognise(headers).await {
            Ok(caller) => caller,
            Err(refused) => return Err(self.slowed(refused, remote)),
        };
        let name = Some(caller.token.name.clone());
        if let Err(wait) = self.token_limits.take(caller.token.id, Instant::now()) {
            let refusal = Refusal::new(
                Kind::TooManyRequests,
                format!("the token {:?} asks too often", caller.token.name),
            );
            return Err(Refused {
                refusal: refusal.retry_after(wait.as_secs() + 1),
                actor: name,
                recorded: false,
            });
        }
        if caller.token.role < role {
            let refusal = Refusal::new(
                Kind::Forbidden,
                format!(
                    "this takes the role {}, and the token {:?} has the role {}",
                    word(role),
                    caller.token.name,
                    word(caller.token.role)
                ),
            );
            return Err(Refused::recorded(refusal.challenge(INSUFFICIENT), name));
        }
        Ok(Some(caller))
    }

    async fn recognise(&self, headers: &HeaderMap) -> Result<Caller, Refused> {
        let unauthorized =
            |detail: &str, challenge| Refusal::new(Kind::Unauthorized, detail).challenge(challenge);
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            let refusal = unauthorized("the request carries no token, or several", REALM);
            return Err(Refused::recorded(
                refusal.hint("send one with `Authorization: Bearer sterna_…`"),
                None,
            ));
        };
        let unknown = || {
            let refusal = unauthorized("the token is not one that this gateway knows", INVALID_TOKEN);
            Refused::recorded(refusal, None)
        };
        let text = value.to_str().ok().and_then(bearer).ok_or_else(unknown)?;
        // The semaphore is never closed.
        let permit = self.lookups.acquire().await;
        let found = self.control.catalogue().tokens.find(text).await;
        drop(permit);
        let token = match found {
            Ok(Some(token)) => token,
            Ok(None) => return Err(unknown()),
            Err(error) => {
                return Err(Refused {
                    refusal: error.into(),
                    actor: None,
                    recorded: false,
                });
            }
        };
        if token.is_valid(Timestamp::now()) {
            return Ok(Caller { token });
        }
        let why = match (token.revoked_at, token.expires_at) {
            (Some(at), _) => format!("the token {:?} was revoked at {at}", token.name),
            (None, Some(at)) => format!("the token {:?} expired at {at}", token.name),
            (None, None) => format!("the token {:?} is not valid", token.name),
        };
        let refusal = unauthorized(&why, INVALID_TOKEN).hint("ask an admin for a new token");
        Err(Refused::recorded(refusal, Some(token.name)))
    }

    /// A failed login, or word to wait where there were too many from there.
    fn slowed(&self, refused: Refused, remote: IpAddr) -> Refused {
        if refused.refusal.kind != Kind::Unauthorized {
            return refused;
        }
        match self.failed_login_limits.take(remote_of(remote), Instant::now()) {
            Ok(()) => refused,
            Err(wait) => {
                let refusal = Refusal::new(
                    Kind::TooManyRequests,
                    "too many requests without a valid token came from this address",
                );
                Refused {
                    refusal: refusal.retry_after(wait.as_secs() + 1),
                    actor: refused.actor,
                    recorded: false,
                }
            }
        }
    }
}

/// The token in the value of an `Authorization` header, if it can be one.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, text) = value.split_once(' ')?;
    let text = text.trim();
    let fits = scheme.eq_ignore_ascii_case("bearer")
        && text.starts_with(TOKEN_PREFIX)
        && text.len() <= TOKEN_BYTES_MAX;
    fits.then_some(text)
}

/// The role as a token carries it.
pub(crate) fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_token_is_looked_up() {
        assert_eq!(bearer("Bearer sterna_x"), Some("sterna_x"));
        assert_eq!(bearer("bearer  sterna_x "), Some("sterna_x"));
        let long = format!("Bearer sterna_{}", "x".repeat(TOKEN_BYTES_MAX));
        for other in ["", "Bearer", "sterna_x", "Basic sterna_x", "Bearer abc", &long] {
            assert_eq!(bearer(other), None, "{other}");
        }
    }

    #[test]
    fn roles_rise() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}
