//! One connection to the relay: the handshake up to `PSYNC`, then bytes out and acknowledgements in.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sterna_node::Version;
use sterna_node::listen::Place;
use sterna_protocol::psync::{Announcement, PrimaryAction, PrimaryHandshake, PsyncRequest, Query};
use sterna_protocol::resp::CommandReader;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::listener::{ShardAccess, Shards};
use super::socket::Moves;
use crate::settings::LET_GO_MAX;
use crate::shard::{Attach, Event, FollowerEvent, FollowerId, LoginLimit, OUTBOX_MESSAGES_MAX, ToFollower};
use crate::status::Status;
use crate::turn::Turn;

/// From the first byte to `PSYNC`.
pub(super) const HANDSHAKE_MAX: Duration = Duration::from_secs(30);
/// Written bytes are reported in steps of this, so that a report is not due for every small write.
const REPORT_BYTES: u64 = 128 * 1024;
/// Slices given to the socket in one call.
const SLICES_MAX: usize = 64;

/// What the handshake led to.
struct Follows {
    access: ShardAccess,
    login: LoginLimit,
    request: PsyncRequest,
    failover: bool,
    follower: Announcement,
}

/// Serves one connection up to `PSYNC`, from where on it is served on the thread of its shard; the error says why it ended
/// before it followed anything.
pub(super) async fn run<S>(
    stream: S,
    peer: SocketAddr,
    id: FollowerId,
    shards: Shards,
    mut place: Place,
) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Moves + Send + Unpin + 'static,
{
    let (mut read, mut write) = tokio::io::split(stream);
    let mut input = BytesMut::with_capacity(4096);
    let mut handshake = PrimaryHandshake::new(true);
    let mut commands = CommandReader::default();
    let shaking = shake_hands(
        &mut read,
        &mut write,
        &mut input,
        &mut commands,
        &mut handshake,
        &shards,
    );
    let follows = tokio::select! {
        shaken = tokio::time::timeout(HANDSHAKE_MAX, shaking) => shaken.map_err(|_| "the handshake took too long")??,
        () = place.given_up() => return Err("too many handshakes at once; the oldest, this one, was given up".to_owned()),
    };
    drop(place);
    let mut stream = read.unsplit(write);
    let runtime = follows.access.shard.runtime().clone();
    runtime.spawn(async move {
        let served = match stream.move_here() {
            Ok(()) => feed(stream, peer, id, follows, (input, commands, handshake)).await,
            Err(error) => Err(format!("it can't go on on another thread: {error}")),
        };
        if let Err(reason) = served {
            tracing::debug!(%peer, reason, "relay connection ended");
        }
    });
    Ok(())
}

/// Feeds a node that follows, to the end of its connection.
async fn feed<S: AsyncRead + AsyncWrite>(
    stream: S,
    peer: SocketAddr,
    id: FollowerId,
    follows: Follows,
    (input, commands, handshake): (BytesMut, CommandReader, PrimaryHandshake),
) -> Result<(), String> {
    let (read, write) = tokio::io::split(stream);
    let events = follows.access.shard.events();
    let (outbox, to_follower) = mpsc::channel(OUTBOX_MESSAGES_MAX);
    let (attached, let_go) = oneshot::channel();
    let attach = Attach {
        id,
        peer,
        listening_port: follows.follower.listening_port.unwrap_or(0),
        announced: follows.follower.address,
        takes_eof: follows.follower.eof,
        version: follows.follower.version.as_deref().and_then(Version::parse),
        login: follows.login,
        request: follows.request,
        failover: follows.failover,
        outbox,
        attached,
    };
    events
        .send(Event::Attach(attach))
        .await
        .map_err(|_| "the shard has ended")?;
    let reason = tokio::select! {
        reason = read_acks(read, input, commands, handshake, id, &events) => reason,
        reason = write_stream(write, to_follower, id, &events) => reason,
        () = waits_in_vain(let_go) => "it was let go, and took no more".to_owned(),
    };
    drop(
        events
            .send(Event::Follower {
                id,
                event: FollowerEvent::Gone(reason),
            })
            .await,
    );
    Ok(())
}

/// Returns when the shard has let the node go, and a while has passed in which it could have taken what it was handed.
async fn waits_in_vain(let_go: oneshot::Receiver<Infallible>) {
    // Nothing is ever sent: the other end is dropped.
    drop(let_go.await);
    tokio::time::sleep(LET_GO_MAX).await;
}

async fn shake_hands<S: AsyncRead + AsyncWrite>(
    read: &mut ReadHalf<S>,
    write: &mut WriteHalf<S>,
    input: &mut BytesMut,
    commands: &mut CommandReader,
    handshake: &mut PrimaryHandshake,
    shards: &Shards,
) -> Result<Follows, String> {
    let mut access: Option<(ShardAccess, LoginLimit)> = None;
    loop {
        let Some(incoming) = commands.next(input).map_err(|error| error.to_string())? else {
            let count = read.read_buf(input).await.map_err(|error| error.to_string())?;
            if count == 0 {
                return Err("the peer closed the connection".to_owned());
            }
            continue;
        };
        let mut action = handshake.on(incoming);
        if let PrimaryAction::CheckSecret { user, secret } = action {
            let named = user.and_then(|user| {
                std::str::from_utf8(&user)
                    .ok()
                    .and_then(|user| shards.named(user))
            });
            let known = named.and_then(|access| {
                let mut logins = access.logins.iter();
                let login = logins.find(|login| login.secret == secret)?.limit();
                Some((access, login))
            });
            action = handshake.secret_checked(known.is_some());
            access = known;
        }
        let reply = match action {
            PrimaryAction::Reply(reply) => reply,
            PrimaryAction::Query(query) => answer(&query, access.as_ref().map(|(access, _)| access)),
            PrimaryAction::Psync {
                request,
                failover,
                follower,
            } => {
                let (access, login) = access.ok_or("PSYNC before AUTH")?;
                return Ok(Follows {
                    access,
                    login,
                    request,
                    failover,
                    follower,
                });
            }
            PrimaryAction::Close { reply, reason } => {
                drop(write.write_all(&reply).await);
                return Err(reason);
            }
            PrimaryAction::Ack(_) | PrimaryAction::Alive | PrimaryAction::CheckSecret { .. } => continue,
        };
        write.write_all(&reply).await.map_err(|error| error.to_string())?;
    }
}

/// What INFO and ROLE say to whoever looks at the relay as if it were a server.
fn answer(query: &Query, access: Option<&ShardAccess>) -> Bytes {
    let Some(access) = access else {
        return Bytes::from_static(b"-NOAUTH Authentication required.\r\n");
    };
    let status = access.shard.status();
    let status = status.borrow();
    match query {
        Query::Role => role(&status),
        Query::Info(_) => {
            let text = info(&status);
            Bytes::from(format!("${}\r\n{text}\r\n", text.len()))
        }
    }
}

fn role(status: &Status) -> Bytes {
    let replicas = status.followers.len();
    let mut text = format!("*3\r\n$6\r\nmaster\r\n:{}\r\n*{replicas}\r\n", status.log_end);
    for follower in &status.followers {
        let (ip, port) = (
            follower.peer.ip().to_string(),
            follower.listening_port.to_string(),
        );
        let offset = follower.acked.unwrap_or_default().to_string();
        text.push_str("*3\r\n");
        for field in [ip, port, offset] {
            write!(text, "${}\r\n{field}\r\n", field.len()).expect("a string takes any text");
        }
    }
    Bytes::from(text)
}

fn info(status: &Status) -> String {
    let history = status.history.map_or_else(String::new, |id| id.to_string());
    format!(
        "# Server\r\nsterna_version:{}\r\n\r\n# Replication\r\nrole:master\r\nconnected_slaves:{}\r\n\
         master_replid:{history}\r\nmaster_repl_offset:{}\r\nslave_priority:0\r\nreplica_announced:0\r\n\
         sterna_link:{}\r\n",
        env!("CARGO_PKG_VERSION"),
        status.followers.len(),
        status.log_end,
        status.link.word(),
    )
}

async fn read_acks<S: AsyncRead + AsyncWrite>(
    mut read: ReadHalf<S>,
    mut input: BytesMut,
    mut commands: CommandReader,
    mut handshake: PrimaryHandshake,
    id: FollowerId,
    events: &mpsc::Sender<Event>,
) -> String {
    let mut turn = Turn::begin();
    loop {
        turn.give_way().await;
        let event = match commands.next(&mut input) {
            Ok(Some(incoming)) => match handshake.on(incoming) {
                PrimaryAction::Ack(ack) => FollowerEvent::Acked(ack),
                PrimaryAction::Close { reason, .. } => return reason,
                // Whatever else it says, it is alive, and nothing may be put between the stream's bytes.
                _ => FollowerEvent::Alive,
            },
            Ok(None) => match read.read_buf(&mut input).await {
                Ok(0) => return "it closed the connection".to_owned(),
                Ok(_) => continue,
                Err(error) => return error.to_string(),
            },
            Err(error) => return error.to_string(),
        };
        if events.send(Event::Follower { id, event }).await.is_err() {
            return "the shard has ended".to_owned();
        }
    }
}

async fn write_stream<S: AsyncRead + AsyncWrite>(
    mut write: WriteHalf<S>,
    mut to_follower: mpsc::Receiver<ToFollower>,
    id: FollowerId,
    events: &mpsc::Sender<Event>,
) -> String {
    let (mut unreported, mut turn) = (0, Turn::begin());
    while let Some(message) = to_follower.recv().await {
        let slices = match message {
            ToFollower::Data(slices) => slices,
            ToFollower::Close(reason) => {
                drop(write.shutdown().await);
                return reason;
            }
        };
        turn.give_way().await;
        match write_all(&mut write, slices).await {
            Ok(bytes) => unreported += bytes,
            Err(error) => return error.to_string(),
        }
        if unreported >= REPORT_BYTES {
            let written = FollowerEvent::Written(std::mem::take(&mut unreported));
            if events.send(Event::Follower { id, event: written }).await.is_err() {
                return "the shard has ended".to_owned();
            }
        }
    }
    drop(write.shutdown().await);
    "the shard let it go".to_owned()
}

async fn write_all<W: AsyncWrite + Unpin>(write: &mut W, mut slices: Vec<Bytes>) -> std::io::Result<u64> {
    let total = slices.iter().map(|slice| slice.len() as u64).sum();
    let mut first = 0;
    while first < slices.len() {
        let batch: Vec<_> = slices[first..]
            .iter()
            .take(SLICES_MAX)
            .map(|slice| std::io::IoSlice::new(slice))
            .collect();
        let mut written = write.write_vectored(&batch).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        while first < slices.len() && written >= slices[first].len() {
            written -= slices[first].len();
            first += 1;
        }
        if written > 0 {
            bytes::Buf::advance(&mut slices[first], written);
        }
    }
    write.flush().await?;
    Ok(total)
}
