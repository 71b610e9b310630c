//! A server: its process, its role, its lease, and the writes that it holds. Everything that it does by itself is here;
//! the behaviour is that of Redis and Valkey with `min-replicas-to-write` as the fence.

/// A node by its place in the world's list.
pub(super) type Id = usize;

/// The lease, in ticks.
pub(super) const LEASE: u8 = 1;
/// So much longer a server may go on before it shuts itself, in ticks.
pub(super) const SLACK: u8 = 1;
/// Who acknowledged last so many ticks ago is not good any more.
const OVER: i8 = (LEASE + SLACK).cast_signed();

/// A set of client writes; write number `n` is bit `n`. Numbers grow, so the highest bit is the last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Writes(pub(super) u8);

impl Writes {
    /// With one more.
    pub(super) fn with(self, number: u8) -> Self {
        Self(self.0 | 1 << number)
    }

    /// All of both.
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What the other lacks.
    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What both have.
    pub(super) fn shared(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is none.
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    pub(super) fn count(self) -> u8 {
        u8::try_from(self.0.count_ones()).expect("of eight bits")
    }

    /// The last so many.
    pub(super) fn last(self, number: u8) -> Self {
        let mut rest = self;
        for _ in 0..number {
            rest = rest.without_last();
        }
        self.without(rest)
    }

    /// Without the last one.
    pub(super) fn without_last(self) -> Self {
        match self.0.checked_ilog2() {
            Some(last) => Self(self.0 & !(1 << last)),
            None => self,
        }
    }
}

/// A position in a history, with the writes that led there. Every write is one byte of stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stream {
    /// The replication id.
    pub(super) history: u8,
    /// The offset.
    pub(super) offset: u8,
    /// The second replication id, and the last offset at which both agree.
    pub(super) before: Option<(u8, u8)>,
    /// What was written up to here.
    pub(super) writes: Writes,
}

/// A server's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Process {
    /// It runs.
    Running,
    /// It was stopped by a signal, or its host hangs.
    Frozen,
    /// There is none; connections are refused.
    Dead,
}

/// What a server is to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// A primary.
    Primary,
    /// A primary in `FAILOVER`: it keeps writes waiting.
    Pausing,
    /// It stepped down by `FAILOVER` and asks the relay to go on.
    SteppedDown,
    /// A replica of the relay.
    Replica,
}

/// What a dead server finds on its disk when it starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kept {
    /// All of its data, and where in its history that stands.
    All,
    /// All but the last write.
    Older,
    /// All of its data, and nothing of its history.
    NoHistory,
    /// Nothing.
    Nothing,
}

/// A replica of a server that is not the gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum LocalReplica {
    /// There is none, or it is away.
    #[default]
    Away,
    /// It follows and acknowledges.
    Good,
    /// It hangs; its connection stands.
    Hung {
        /// Ticks since it last acknowledged.
        ack_age: u8,
    },
}

impl LocalReplica {
    /// Whether the server counts it as good.
    fn is_good(self) -> bool {
        match self {
            Self::Away => false,
            Self::Good => true,
            Self::Hung { ack_age } => ack_age < LEASE + SLACK,
        }
    }
}

/// One server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Node {
    /// Its process.
    pub(super) process: Process,
    /// Its role.
    pub(super) role: Role,
    /// Its writes were blocked by a command.
    pub(super) blocked: bool,
    /// `min-replicas-to-write` in its running configuration.
    pub(super) min_replicas: u8,
    /// `min-replicas-to-write` in its configuration file.
    pub(super) min_replicas_in_file: u8,
    /// Ticks since it last heard from the gateway, by its own clock, which may have been set back.
    pub(super) ack_age: i8,
    /// It counts the gateway as a good replica.
    pub(super) hears: bool,
    /// As how many replicas it counts the gateway then.
    pub(super) links: u8,
    /// A replica of its own service.
    pub(super) local: LocalReplica,
    /// Somebody follows it who names no port: `sterna replicate`, or a reader of changes.
    pub(super) foreign_follower: bool,
    /// It was started again since the gateway last followed it.
    pub(super) young: bool,
    /// A full copy is on its way to it.
    pub(super) copies: bool,
    /// How often it was started.
    pub(super) run: u8,
    /// Its data.
    pub(super) stream: Stream,
}

impl Node {
    /// A server that has been running for long.
    pub(super) fn new(role: Role, stream: Stream) -> Self {
        Self {
            process: Process::Running,
            role,
            blocked: false,
            min_replicas: 1,
            min_replicas_in_file: 1,
            ack_age: if role == Role::Primary { 0 } else { OVER },
            hears: role == Role::Primary,
            links: 1,
            local: LocalReplica::Away,
            foreign_follower: false,
            young: false,
            copies: false,
            run: 0,
            stream,
        }
    }

    /// Whether it runs.
    pub(super) fn runs(&self) -> bool {
        self.process == Process::Running
    }

    /// Whether it would take a client's write, once its process runs.
    pub(super) fn open(&self) -> bool {
        self.role == Role::Primary && !self.blocked && self.good_replicas() >= self.min_replicas
    }

    /// How many replicas it counts as good.
    fn good_replicas(&self) -> u8 {
        let ours = if self.hears { self.links } else { 0 };
        ours + u8::from(self.local.is_good()) + u8::from(self.foreign_follower)
    }

    /// Whether it takes a client's write now.
    pub(super) fn accepts(&self) -> bool {
        self.runs() && self.open()
    }

    /// Takes a write.
    pub(super) fn write(&mut self, number: u8) {
        self.stream.offset += 1;
        self.stream.writes = self.stream.writes.with(number);
    }

    /// The gateway acknowledged on so many connections, or they were just attached.
    pub(super) fn acknowledged(&mut self, links: u8) {
        self.ack_age = 0;
        self.hears = true;
        self.links = links;
    }

    /// The last replica's connection was closed.
    pub(super) fn unfollowed(&mut self) {
        self.hears = false;
        self.links = 1;
        self.ack_age = OVER;
    }

    /// A tick passed; a process that does not run does not notice.
    pub(super) fn tick(&mut self) {
        self.ack_age = (self.ack_age + 1).min(OVER);
        if self.runs() && self.ack_age >= OVER {
            self.hears = false;
            self.links = 1;
        }
        if let LocalReplica::Hung { ack_age } = &mut self.local {
            *ack_age = (*ack_age + 1).min(LEASE + SLACK);
        }
    }

    /// Its clock is set back by so many ticks: what it heard last seems to have been later.
    pub(super) fn set_clock_back(&mut self, ticks: u8) {
        self.ack_age -= ticks.cast_signed();
    }

    /// Nobody follows it for longer than its backlog is kept: it takes a new id, without a word about the old.
    pub(super) fn forget_history(&mut self, new_history: u8) {
        self.stream.history = new_history;
        self.stream.before = None;
    }

    /// `REPLICAOF NO ONE`, kept in its configuration.
    pub(super) fn promote(&mut self, new_history: u8) {
        if self.role != Role::Primary {
            self.role = Role::Primary;
            self.copies = false;
            self.stream.before = Some((self.stream.history, self.stream.offset));
            self.stream.history = new_history;
            self.unfollowed();
        }
    }

    /// `REPLICAOF` the relay, kept in its configuration.
    pub(super) fn follow_relay(&mut self) {
        self.unfollowed();
        self.role = Role::Replica;
        self.place_fence(1);
    }

    /// `min-replicas-to-write`, kept in its configuration.
    pub(super) fn place_fence(&mut self, min_replicas: u8) {
        self.min_replicas = min_replicas;
        self.min_replicas_in_file = min_replicas;
        self.blocked = false;
    }

    /// `min-replicas-to-write` as it was before the group; its configuration keeps the fence.
    pub(super) fn lift_fence(&mut self) {
        self.min_replicas = 0;
        self.blocked = false;
    }

    /// Its process ends.
    pub(super) fn die(&mut self) {
        self.process = Process::Dead;
        if self.role != Role::Replica {
            // `FAILOVER` changes nothing in the configuration.
            self.role = Role::Primary;
        }
        self.unfollowed();
        self.copies = false;
        self.local = LocalReplica::Away;
        self.foreign_follower = false;
    }

    /// Its process starts again; returns the writes that are gone.
    pub(super) fn start(&mut self, kept: Kept, new_history: u8) -> Writes {
        let had = self.stream;
        self.process = Process::Running;
        self.young = true;
        self.run += 1;
        // That its writes were blocked is not in its configuration.
        self.blocked = false;
        self.min_replicas = self.min_replicas_in_file;
        let writes = match kept {
            Kept::All | Kept::NoHistory => had.writes,
            Kept::Older => had.writes.without_last(),
            Kept::Nothing => Writes::default(),
        };
        let lost = had.writes.without(writes);
        let offset = had.offset - u8::from(kept == Kept::Older && !lost.is_empty());
        self.stream = match kept {
            Kept::All | Kept::Older if self.role == Role::Replica => Stream {
                offset,
                writes,
                ..had
            },
            Kept::All | Kept::Older => Stream {
                history: new_history,
                offset,
                before: Some((had.history, offset)),
                writes,
            },
            Kept::NoHistory | Kept::Nothing => Stream {
                history: new_history,
                offset: 0,
                before: None,
                writes,
            },
        };
        lost
    }

    /// Its process goes on after it was frozen; it finds out how late it is.
    pub(super) fn thaw(&mut self) {
        self.process = Process::Running;
        if self.ack_age >= OVER {
            self.hears = false;
            self.links = 1;
        }
    }
}
