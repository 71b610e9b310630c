//! Shards of one thread beside each other: what blocks for one of them holds up none of the others.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use sterna_log::sim::SimFs;
use sterna_log::{LockAttempt, LogFile, LogFs, LogSettings};
use sterna_model::{Acknowledge, LinkState};
use sterna_node::Upstream;
use sterna_node::listen::Descriptors;
use sterna_protocol::Secret;
use sterna_replication::{
    DataThreads, Login, Notice, Relay, RelaySettings, ShardAccess, ShardHandle, ShardSettings, SilenceLimits,
    UnusableLog, start,
};
use sterna_testkit::{ScriptedPrimary, ScriptedReplica};
use tokio::sync::{mpsc, watch};

const HISTORY: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const RENAMED: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const SET: [&str; 3] = ["SET", "key", "value"];
const SET_BYTES: usize = 33;

/// A simulated disk on which some operations wait while a gate is shut for them.
#[derive(Debug, Clone)]
struct GatedFs {
    disk: SimFs,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Gate {
    /// The name of the file whose locking or replacing waits.
    shut: Mutex<Option<&'static str>>,
    opened: Condvar,
    waiting: watch::Sender<bool>,
}

impl GatedFs {
    fn new() -> Self {
        let gate = Gate {
            shut: Mutex::new(None),
            opened: Condvar::new(),
            waiting: watch::Sender::new(false),
        };
        Self {
            disk: SimFs::new(1),
            gate: Arc::new(gate),
        }
    }

    fn shut_for(&self, name: &'static str) {
        *self.gate.shut.lock().expect("sound") = Some(name);
    }

    fn open(&self) {
        *self.gate.shut.lock().expect("sound") = None;
        self.gate.opened.notify_all();
    }

    /// Returns once an operation waits.
    async fn wait_blocked(&self) {
        let mut waiting = self.gate.waiting.subscribe();
        waiting
            .wait_for(|waiting| *waiting)
            .await
            .expect("the gate is here");
    }

    fn pass(&self, path: &Path) {
        let mut shut = self.gate.shut.lock().expect("sound");
        while shut.is_some_and(|name| path.ends_with(name)) {
            self.gate.waiting.send_replace(true);
            shut = self.gate.opened.wait(shut).expect("sound");
            self.gate.waiting.send_replace(false);
        }
    }
}

impl LogFs for GatedFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        self.disk.create_new(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        self.disk.open_write(path)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        self.disk.open_read(path)
    }

    /// Here the history is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass(to);
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn available_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.available_bytes(dir)
    }

    /// Here an opening begins.
    fn lock(&self, path: &Path) -> io::Result<LockAttempt> {
        self.pass(path);
        self.disk.lock(path)
    }
}

fn settings(name: &str) -> ShardSettings {
    ShardSettings {
        name: name.to_owned(),
        log_dir: "/log".into(),
        unusable_log: UnusableLog::Refuse,
        log: LogSettings::default(),
        tail_bytes: 1 << 20,
        unit_bytes_max: 1 << 30,
        acknowledge: Acknowledge::Gateway,
        accept_new_history: false,
        announce: None,
        lease: false,
        silence: SilenceLimits::default(),
    }
}

fn upstream(primary: &ScriptedPrimary) -> Upstream {
    let url = format!("redis://{}", primary.address()).parse().expect("a URL");
    Upstream::new(&url).expect("no files to read")
}

/// A primary that continues the first who asks, and under another id the next; it writes a command whenever it is told to.
fn primary() -> (ScriptedPrimary, Sender<()>) {
    let (write, writes) = channel();
    let writes: Mutex<Receiver<()>> = Mutex::new(writes);
    let primary = ScriptedPrimary::builder()
        .info("repl_backlog_active", "1")
        .info("repl_backlog_first_byte_offset", "1")
        .start(move |session, psync| {
            session.resume(if psync.before == 0 { HISTORY } else { RENAMED })?;
            let writes = writes.lock().expect("sound");
            while writes.recv().is_ok() {
                session.send_command(&SET)?;
            }
            Ok(())
        })
        .expect("it listens");
    (primary, write)
}

/// A shard that streams, with a primary that writes and a replica node that reads.
struct Streaming {
    shard: ShardHandle,
    _primary: ScriptedPrimary,
    write: Sender<()>,
    replica: Option<ScriptedReplica>,
    _relay: Relay,
    _notices: mpsc::Receiver<Notice>,
}

impl Streaming {
    async fn start(threads: &DataThreads) -> Self {
        let (primary, write) = primary();
        let fs = Arc::new(SimFs::new(1));
        let (shard, notices, _) = start(threads.place(), settings("steady"), fs, Some(upstream(&primary)))
            .await
            .expect("started");
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let relay = Relay::start(RelaySettings {
            listen,
            tls: None,
            descriptors: Descriptors::bounded(usize::MAX),
        })
        .await
        .expect("it listens");
        relay.open(ShardAccess {
            shard: shard.clone(),
            logins: vec![Login {
                name: "nodes".to_owned(),
                secret: Secret::new("secret"),
                nodes: 100,
            }],
        });
        streams(&shard).await;
        let address = relay.address();
        let attach = move || {
            let builder = ScriptedReplica::builder(address).login(Some("steady"), "secret");
            let mut replica = builder.connect().expect("logged in");
            replica.psync(HISTORY, 0).expect("answered");
            replica
        };
        let replica = tokio::task::spawn_blocking(attach).await.expect("attached");
        Self {
            shard,
            _primary: primary,
            write,
            replica: Some(replica),
            _relay: relay,
            _notices: notices,
        }
    }

    /// What its primary writes now reaches the replica node.
    async fn forwards(&mut self) {
        self.write.send(()).expect("the primary is there");
        let mut replica = self.replica.take().expect("attached");
        let read = move || {
            let bytes = replica
                .read_stream(SET_BYTES)
                .expect("the stream goes on")
                .to_vec();
            (replica, bytes)
        };
        let (replica, bytes) = tokio::task::spawn_blocking(read).await.expect("read");
        assert!(bytes.ends_with(b"value\r\n"), "{}", bytes.escape_ascii());
        self.replica = Some(replica);
    }
}

async fn streams(shard: &ShardHandle) {
    let mut status = shard.status();
    let streaming = |status: &sterna_replication::Status| status.link == LinkState::Streaming;
    status.wait_for(streaming).await.expect("it runs");
}

fn one_thread() -> DataThreads {
    DataThreads::start(NonZeroUsize::MIN).expect("started")
}

#[tokio::test]
async fn a_log_that_takes_long_to_open_holds_up_no_other_shard_of_the_thread() {
    let threads = one_thread();
    let mut steady = Streaming::start(&threads).await;
    let fs = GatedFs::new();
    fs.shut_for("lock");
    let opening = tokio::spawn(start(
        threads.place(),
        settings("slow"),
        Arc::new(fs.clone()),
        None,
    ));
    fs.wait_blocked().await;
    for _ in 0..3 {
        steady.forwards().await;
    }
    assert!(!opening.is_finished());
    fs.open();
    let (slow, ..) = opening.await.expect("no panic").expect("opened");
    assert_eq!((slow.name(), steady.shard.name()), ("slow", "steady"));
}

#[tokio::test]
async fn a_history_that_takes_long_to_write_holds_up_no_other_shard_of_the_thread() {
    let threads = one_thread();
    let mut steady = Streaming::start(&threads).await;
    let fs = GatedFs::new();
    let (primary, _write) = primary();
    fs.shut_for("history.json");
    let (slow, ..) = start(
        threads.place(),
        settings("slow"),
        Arc::new(fs.clone()),
        Some(upstream(&primary)),
    )
    .await
    .expect("started");
    // A history begins.
    fs.wait_blocked().await;
    for _ in 0..3 {
        steady.forwards().await;
    }
    assert_ne!(slow.status().borrow().link, LinkState::Streaming);
    fs.open();
    streams(&slow).await;
    assert_eq!(slow.status().borrow().history, HISTORY.parse().ok());
    // It goes on under another id.
    fs.shut_for("history.json");
    primary.hang_up();
    fs.wait_blocked().await;
    for _ in 0..3 {
        steady.forwards().await;
    }
    assert_eq!(
        slow.status().borrow().history,
        HISTORY.parse().ok(),
        "not before it is durable"
    );
    fs.open();
    let renamed = RENAMED.parse().ok();
    let mut status = slow.status();
    status
        .wait_for(|status| status.history == renamed)
        .await
        .expect("it runs");
}

/// What a person would notice: not how fast anything is.
const NOTICED: Duration = Duration::from_millis(500);
/// A peer sends so much at a time.
const FLOOD_BYTES: usize = 256 * 1024;

/// Writes go on beside what happens on the same thread.
async fn forwards_unnoticed(steady: &mut Streaming, beside: &str) {
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        steady.forwards().await;
        longest = longest.max(began.elapsed());
    }
    assert!(longest < NOTICED, "{longest:?} beside {beside}");
}

/// So much of it, over and over.
fn flood(of: &[u8]) -> Vec<u8> {
    of.repeat(FLOOD_BYTES / of.len())
}

/// A primary that answers with this and then sends the same for as long as anybody reads.
fn endless(backlog: bool, answer: &'static str, what: &'static [u8]) -> ScriptedPrimary {
    let builder = ScriptedPrimary::builder();
    let builder = if backlog {
        builder
            .info("repl_backlog_active", "1")
            .info("repl_backlog_first_byte_offset", "1")
    } else {
        builder
    };
    builder
        .start(move |session, _| {
            session.send(answer)?;
            let flood = flood(what);
            loop {
                session.send(&flood)?;
            }
        })
        .expect("it listens")
}

async fn holds_up_nobody(bad: ScriptedPrimary, beside: &str) {
    let threads = one_thread();
    let mut steady = Streaming::start(&threads).await;
    let fs = Arc::new(SimFs::new(1));
    let (shard, ..) = start(threads.place(), settings("bad"), fs, Some(upstream(&bad)))
        .await
        .expect("started");
    let asked = tokio::task::spawn_blocking(move || {
        bad.wait_psyncs(1, Duration::from_secs(30)).expect("it asks");
        bad
    });
    let _bad = asked.await.expect("no panic");
    forwards_unnoticed(&mut steady, beside).await;
    assert_eq!(shard.name(), "bad");
}

#[tokio::test]
async fn a_primary_that_sends_endless_newlines_before_its_snapshot_holds_up_no_other_shard() {
    let answer = "+FULLRESYNC aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0\r\n";
    holds_up_nobody(endless(false, answer, b"\n"), "newlines before a snapshot").await;
}

#[tokio::test]
async fn a_primary_that_sends_endless_newlines_before_its_answer_holds_up_no_other_shard() {
    holds_up_nobody(endless(true, "", b"\n"), "newlines before an answer").await;
}

#[tokio::test]
async fn a_primary_that_sends_endless_small_commands_holds_up_no_other_shard() {
    let answer = "+CONTINUE aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
    let ping = b"*1\r\n$4\r\nPING\r\n";
    holds_up_nobody(endless(true, answer, ping), "small commands").await;
}

#[tokio::test]
async fn a_replica_node_that_never_stops_talking_holds_up_no_other_shard() {
    let ack = b"*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$1\r\n0\r\n";
    for (what, beside) in [
        (b"\n".as_slice(), "newlines of a replica"),
        (ack, "acknowledgements"),
    ] {
        let threads = one_thread();
        let mut steady = Streaming::start(&threads).await;
        let mut bad = Streaming::start(&threads).await;
        let mut replica = bad.replica.take().expect("attached");
        // It ends with the connection.
        std::thread::spawn(move || {
            let flood = flood(what);
            while replica.send_raw(&flood).is_ok() {}
        });
        forwards_unnoticed(&mut steady, beside).await;
    }
}
