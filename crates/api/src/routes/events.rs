//! Live changes as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use jiff::Timestamp;
use serde::Deserialize;
use sterna_control::Control;
use sterna_model::{Event, EventKind, GroupName, TokenId};
use sterna_node::listen::remote;
use sterna_store::Tokens;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, MissedTickBehavior};
use utoipa::IntoParams;

use crate::auth::Caller;
use crate::extract::Query;
use crate::limit::Occupied;
use crate::middleware::Peer;
use crate::problem::{Kind, Refusal};
use crate::settings::{LISTENERS_MAX, LISTENERS_OF_REMOTE_MAX, LISTENERS_OF_TOKEN_MAX};
use crate::shared::{App, stopped};

/// How long a listener whose connection broke should wait before it comes back.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Only what belongs to this group.
    group: Option<GroupName>,
}

/// What happens, as it happens.
///
/// `event` is the kind (`status`, `change`, `operation`, `catalogue`, `repair`), `id` the event's number, `data` the event as JSON.
///
/// The stream begins with a `status` for each group. After that a `change` has only what is different, and its `revision`:
/// one more than that of the status that it applies to. One whose revision is not higher is in the status already. While
/// nothing changes and no figure moves, nothing is sent; figures that move are sent once a second at most.
///
/// Whoever is too slow, or comes back with `Last-Event-ID`, gets an event `missed`: some were not sent. The statuses follow
/// anew; operations should be read anew.
#[utoipa::path(
    get, path = "/api/v1/events", operation_id = "listenToEvents", tag = "events",
    params(EventsQuery),
    responses((
        status = 200, description = "Events without an end; the schema is that of one event's `data`.",
        body = Event, content_type = "text/event-stream",
    ))
)]
pub(crate) async fn listen(
    State(app): State<App>,
    caller: Caller,
    peer: Option<Extension<Peer>>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let place = place(&app, caller.token.id, peer.map(|peer| peer.0.address))?;
    let keep_alive = app.settings.timeouts.keep_alive;
    let mut recheck = tokio::time::interval(keep_alive);
    recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut listener = Listener {
        events: app.control.events(),
        group: query.group,
        tokens: app.control.catalogue().tokens.clone(),
        token: caller.token.id,
        recheck,
        stopping: app.stopping.subscribe(),
        pending: headers
            .contains_key("last-event-id")
            .then(|| missed(None))
            .into_iter()
            .collect(),
        control: app.control.clone(),
        _place: place,
    };
    listener.begin();
    let events = Sse::new(listener.stream()).keep_alive(KeepAlive::new().interval(keep_alive));
    Ok(events.into_response())
}

struct Listener {
    events: Receiver<Event>,
    group: Option<GroupName>,
    tokens: Tokens,
    token: TokenId,
    recheck: Interval,
    stopping: watch::Receiver<bool>,
    /// To be sent first.
    pending: VecDeque<sse::Event>,
    control: Control,
    _place: Place,
}

/// The place of one that listens: among all, among those with its token, among those from its address.
type Place = (OwnedSemaphorePermit, Occupied<TokenId>, Option<Occupied<IpAddr>>);

fn place(app: &App, token: TokenId, from: Option<IpAddr>) -> Result<Place, Refusal> {
    let full = |count: usize, whose: &str| {
        let why = format!("{count} listen already{whose}, and more are not served");
        Refusal::new(Kind::Overloaded, why).retry_after(10)
    };
    let of_token = app.listeners_of_token.take(token);
    let of_token = of_token.ok_or_else(|| full(LISTENERS_OF_TOKEN_MAX, " with this token"))?;
    let of_remote = from.map(|from| app.listeners_of_remote.take(remote(from)));
    if of_remote.as_ref().is_some_and(Option::is_none) {
        return Err(full(LISTENERS_OF_REMOTE_MAX, " from this address"));
    }
    let of_all = app.listeners.clone().try_acquire_owned();
    let of_all = of_all.map_err(|_| full(LISTENERS_MAX, ""))?;
    Ok((of_all, of_token, of_remote.flatten()))
}

impl Listener {
    fn stream(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(self, |mut listener| async {
            let event = listener.next().await?;
            Some((Ok(event), listener))
        })
    }

    /// Puts the statuses, as they are now, before what comes.
    fn begin(&mut self) {
        let statuses = self.control.snapshot();
        let wanted = statuses.iter().filter(|event| self.is_wanted(event));
        let written: Vec<_> = wanted.map(written).collect();
        self.pending.extend(written);
    }

    fn is_wanted(&self, event: &Event) -> bool {
        self.group.is_none() || self.group == event.group
    }

    /// The next event; none when the gateway stops, or the token is not valid any more.
    async fn next(&mut self) -> Option<sse::Event> {
        if let Some(event) = self.pending.pop_front() {
            return Some(event);
        }
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Ok(event) => {
                        if self.is_wanted(&event) {
                            return Some(written(&event));
                        }
                    }
                    Err(RecvError::Lagged(count)) => {
                        self.begin();
                        return Some(missed(Some(count)));
                    }
                    Err(RecvError::Closed) => return None,
                },
                () = stopped(&mut self.stopping) => return None,
                _ = self.recheck.tick() => if !self.is_allowed().await {
                    return None;
                },
            }
        }
    }

    async fn is_allowed(&self) -> bool {
        match self.tokens.all().await {
            Ok(tokens) => tokens
                .iter()
                .any(|token| token.id == self.token && token.is_valid(Timestamp::now())),
            // A store that can't be read for a moment revokes nobody's token.
            Err(_) => true,
        }
    }
}

fn missed(count: Option<u64>) -> sse::Event {
    let count = count.map_or("null".to_owned(), |count| count.to_string());
    sse::Event::default()
        .event("missed")
        .data(format!("{{\"missed\":{count}}}"))
        .retry(RETRY)
}

fn written(event: &Event) -> sse::Event {
    let kind = match event.kind {
        EventKind::Status { .. } => "status",
        EventKind::Change { .. } => "change",
        EventKind::Operation { .. } => "operation",
        EventKind::Catalogue { .. } => "catalogue",
        EventKind::Repair { .. } => "repair",
    };
    match serde_json::to_string(event) {
        Ok(data) => sse::Event::default()
            .event(kind)
            .id(event.id.to_string())
            .data(data),
        Err(error) => {
            tracing::error!(%error, "an event can't be written");
            missed(Some(1))
        }
    }
}
