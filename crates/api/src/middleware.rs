//! The middleware of every route: applies the rule that its entry in the table of routes names.
//!
//! Who asks and whether they may; then the body, the idempotency key, the time limit, a panic caught, the audit. A change
//! runs in a task of its own: whoever asked for it may hang up, and it is still finished and recorded.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sterna_node::listen::Proof;

use crate::audit::{AuditEntry, AuditNote};
use crate::auth::{Access, Caller, Refused};
use crate::idempotency::{self, Begun};
use crate::problem::{Kind, Outcome, Refusal};
use crate::settings::{BODY_BYTES_MAX, CHANGE_MAX, WAIT_MAX};
use crate::shared::App;

/// How a route is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    /// It answers within the usual time.
    Prompt,
    /// It may be asked to wait.
    Waits,
}

/// What holds for a route. There is no default: a route can't be entered into the table without one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RouteRule {
    /// Who may.
    pub(crate) access: Access,
    /// What the audit calls it.
    pub(crate) action: &'static str,
    /// How it is timed.
    pub(crate) timing: Timing,
    /// Whether it is recorded although it changes nothing.
    pub(crate) recorded: bool,
}

impl RouteRule {
    /// A rule for a route that answers promptly.
    pub(crate) const fn new(access: Access, action: &'static str) -> Self {
        Self {
            access,
            action,
            timing: Timing::Prompt,
            recorded: false,
        }
    }

    /// Recorded although it changes nothing.
    pub(crate) const fn recorded(self) -> Self {
        Self {
            recorded: true,
            ..self
        }
    }

    /// It may be asked to wait.
    pub(crate) const fn waits(self) -> Self {
        Self {
            timing: Timing::Waits,
            ..self
        }
    }
}

/// The other end of the connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// What a valid token gives: the connection makes room for no other then.
    pub(crate) proof: Proof,
}

/// A rule, with what is needed to apply it: the state of the middleware.
#[derive(Debug, Clone)]
pub(crate) struct RuleState {
    pub(crate) app: App,
    pub(crate) rule: RouteRule,
}

/// Applies the rule of a route to a request.
pub(crate) async fn apply_rule(State(state): State<RuleState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().cloned();
    let remote = peer.as_ref().map(|peer| peer.address);
    let context = RequestContext {
        target: target_of(&mut parts).await,
        state: state.clone(),
        remote,
        note: AuditNote::default(),
    };
    let unknown = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    let admitted = state
        .app
        .admit(state.rule.access, &parts.headers, remote.unwrap_or(unknown))
        .await;
    let response = match admitted {
        Err(refused) => context.refuse(refused).await,
        Ok(caller) => {
            parts.extensions.insert(context.note.clone());
            if let Some(caller) = &caller {
                if let Some(peer) = peer {
                    peer.proof.given();
                }
                parts.extensions.insert(caller.clone());
            }
            match caller {
                Some(caller) if changes(&parts.method) => context.change(caller, parts, body, next).await,
                caller => context.read(caller, Request::from_parts(parts, body), next).await,
            }
        }
    };
    state.app.counters.answered(state.rule.action, response.status());
    response
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// The names in the path, for the audit.
async fn target_of(parts: &mut Parts) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    let names: Vec<&str> = params.iter().map(|(_, value)| value).collect();
    (!names.is_empty()).then(|| names.join("/"))
}

/// One request under way.
struct RequestContext {
    state: RuleState,
    remote: Option<IpAddr>,
    target: Option<String>,
    note: AuditNote,
}

impl RequestContext {
    async fn refuse(&self, refused: Refused) -> Response {
        let response = refused.refusal.into_response();
        if refused.recorded {
            let entry = self.entry(refused.actor, &response);
            self.state.app.recorder.refused(entry).await;
        }
        response
    }

    async fn read(&self, caller: Option<Caller>, request: Request, next: Next) -> Response {
        let limit = self.answer_limit();
        let response = match tokio::time::timeout(limit, caught(next.run(request))).await {
            Ok(response) => response,
            Err(_) => took_too_long(limit).into_response(),
        };
        if self.state.rule.recorded {
            let entry = self.entry(caller.map(|caller| caller.token.name), &response);
            self.state.app.recorder.done(entry).await;
        }
        response
    }

    async fn change(self, caller: Caller, parts: Parts, body: Body, next: Next) -> Response {
        let app = self.state.app.clone();
        let Ok(permit) = app.changes.clone().try_acquire_owned() else {
            let refusal = Refusal::new(
                Kind::Overloaded,
                "too many changes are being worked on; nothing was changed",
            );
            return refusal.retry_after(1).into_response();
        };
        let body = read_body(&parts, body, app.settings.timeouts.body).await;
        let limit = self.answer_limit();
        let work = async move {
            let response = match body {
                Ok(body) => perform(&self.state, &caller, parts, body, next).await,
                Err(refusal) => refusal.into_response(),
            };
            let entry = self.entry(Some(caller.token.name), &response);
            self.state.app.recorder.done(entry).await;
            drop(permit);
            response
        };
        match tokio::time::timeout(limit, tokio::spawn(work)).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => broken().into_response(),
            Err(_) => took_too_long(limit)
                .hint("the change goes on: look at the operations, or send the same Idempotency-Key again")
                .into_response(),
        }
    }

    fn answer_limit(&self) -> Duration {
        let prompt = self.state.app.settings.timeouts.answer;
        match self.state.rule.timing {
            Timing::Prompt => prompt,
            Timing::Waits => prompt + WAIT_MAX,
        }
    }

    fn entry(&self, actor: Option<String>, response: &Response) -> AuditEntry {
        let outcome = response.extensions().get::<Outcome>();
        let target = self.note.target_text().or(self.target.as_deref());
        let details = [
            self.note.detail_text(),
            outcome.and_then(|outcome| outcome.detail.as_deref()),
        ];
        let detail: Vec<&str> = details.into_iter().flatten().collect();
        AuditEntry {
            actor: actor.unwrap_or_else(|| "-".to_owned()),
            remote: self.remote,
            action: self.state.rule.action,
            target: target.unwrap_or("-").to_owned(),
            outcome: outcome.map_or("ok", |outcome| outcome.word),
            detail: (!detail.is_empty()).then(|| detail.join(": ")),
        }
    }
}

/// Does what a changing request asks for, once where it carries a key.
async fn perform(state: &RuleState, caller: &Caller, parts: Parts, body: Bytes, next: Next) -> Response {
    let begun = match begin(state, caller, &parts, &body).await {
        Ok(begun) => begun,
        Err(refusal) => return refusal.into_response(),
    };
    let ticket = match begun {
        Some(Begun::Replay(response)) => return response,
        Some(Begun::Fresh(ticket)) => Some(ticket),
        None => None,
    };
    let request = Request::from_parts(parts, Body::from(body));
    let response = match tokio::time::timeout(CHANGE_MAX, caught(next.run(request))).await {
        Ok(response) => response,
        Err(_) => took_too_long(CHANGE_MAX).into_response(),
    };
    match ticket {
        Some(ticket) => ticket.finish(response).await,
        None => response,
    }
}

async fn begin(
    state: &RuleState,
    caller: &Caller,
    parts: &Parts,
    body: &Bytes,
) -> Result<Option<Begun>, Refusal> {
    let key = match idempotency::key_of(&parts.headers)? {
        Some(key) if parts.method == Method::POST => key,
        _ => return Ok(None),
    };
    let keys = &state.app.control.catalogue().idempotency;
    idempotency::begin(keys, caller, key, parts, body).await.map(Some)
}

/// A handler's answer; a panic is one too.
async fn caught(work: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a request ran into a fault of the gateway; the panic's message stands above");
        broken().into_response()
    })
}

fn broken() -> Refusal {
    Refusal::new(
        Kind::Internal,
        "the gateway made a mistake with this request; whether it was done is not known. Its log says more",
    )
}

fn took_too_long(limit: Duration) -> Refusal {
    Refusal::new(
        Kind::TookTooLong,
        format!("there was no answer within {} s", limit.as_secs_f64()),
    )
}

async fn read_body(parts: &Parts, body: Body, limit: Duration) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::new(
            Kind::TooLarge,
            format!("the body is larger than {BODY_BYTES_MAX} bytes"),
        )
    };
    let announced = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(limit, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Refusal::new(
            Kind::BadRequest,
            format!("the body broke off: {error}"),
        )),
        Err(_) => Err(Refusal::new(
            Kind::BodyTooSlow,
            format!("the body did not arrive within {} s", limit.as_secs_f64()),
        )),
    }
}

#[cfg(test)]
mod tests;
