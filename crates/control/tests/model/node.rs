//! A server: its process, its role, its lease, and the writes that it holds. Everything that it does by itself is here;
//! the behaviour is that of Redis and Valkey with `min-replicas-to-write` as the fence.

/// A node by its place in the world's list.
pub type Id = usize;

/// The lease, in ticks.
pub const LEASE: u8 = 1;
/// So much longer a server may go on before it shuts itself, in ticks.
pub const SLACK: u8 = 1;

/// A set of client writes; write number `n` is bit `n`. Numbers grow, so the highest bit is the last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Writes(pub u8);

impl Writes {
    /// With one more.
    pub fn with(self, number: u8) -> Self {
        Self(self.0 | 1 << number)
    }

    /// All of both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What the other lacks.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What both have.
    pub fn shared(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The last so many.
    pub fn last(self, number: u8) -> Self {
        let mut rest = self;
        for _ in 0..number {
            rest = rest.without_last();
        }
        self.without(rest)
    }

    /// Without the last one.
    pub fn without_last(self) -> Self {
        match self.0.checked_ilog2() {
            Some(last) => Self(self.0 & !(1 << last)),
            None => self,
        }
    }
}

/// A position in a history, with the writes that led there. Every write is one byte of stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stream {
    /// The replication id.
    pub history: u8,
    /// The offset.
    pub offset: u8,
    /// The second replication id, and the last offset at which both agree.
    pub before: Option<(u8, u8)>,
    /// What was written up to here.
    pub writes: Writes,
}

/// A server's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Process {
    /// It runs.
    Running,
    /// It was stopped by a signal, or its host hangs.
    Frozen,
    /// There is none; connections are refused.
    Dead,
}

/// What a server is to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
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
pub enum Kept {
    /// All of its data, and where in its history that stands.
    All,
    /// All but the last write.
    Older,
    /// All of its data, and nothing of its history.
    NoHistory,
    /// Nothing.
    Nothing,
}

/// One server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    /// Its process.
    pub process: Process,
    /// Its role.
    pub role: Role,
    /// It was shut to writes by a command.
    pub shut: bool,
    /// The fence is in its configuration.
    pub armed: bool,
    /// Ticks since it last heard from a replica.
    pub ack_age: u8,
    /// It counts a replica as good.
    pub hears: bool,
    /// It was started again since the gateway last followed it.
    pub young: bool,
    /// How often it was started.
    pub run: u8,
    /// Its data.
    pub stream: Stream,
}

impl Node {
    /// A server that has been running for long.
    pub fn new(role: Role, stream: Stream) -> Self {
        Self {
            process: Process::Running,
            role,
            shut: false,
            armed: true,
            ack_age: if role == Role::Primary { 0 } else { LEASE + SLACK },
            hears: role == Role::Primary,
            young: false,
            run: 0,
            stream,
        }
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.process == Process::Running
    }

    /// What it tells of itself: nobody but itself knows what its lease does.
    pub fn as_seen(self) -> Self {
        Self {
            ack_age: 0,
            hears: false,
            young: false,
            ..self
        }
    }

    /// Whether it would take a client's write, once its process runs.
    pub fn open(&self) -> bool {
        self.role == Role::Primary && !self.shut && (!self.armed || self.hears)
    }

    /// Whether it takes a client's write now.
    pub fn accepts(&self) -> bool {
        self.runs() && self.open()
    }

    /// Takes a write.
    pub fn write(&mut self, number: u8) {
        self.stream.offset += 1;
        self.stream.writes = self.stream.writes.with(number);
    }

    /// A replica acknowledged, or was just attached.
    pub fn acknowledged(&mut self) {
        self.ack_age = 0;
        self.hears = true;
    }

    /// The last replica's connection was closed.
    pub fn unfollowed(&mut self) {
        self.hears = false;
        self.ack_age = LEASE + SLACK;
    }

    /// A tick passed; a process that does not run does not notice.
    pub fn tick(&mut self) {
        self.ack_age = (self.ack_age + 1).min(LEASE + SLACK);
        if self.runs() && self.ack_age >= LEASE + SLACK {
            self.hears = false;
        }
    }

    /// `REPLICAOF NO ONE`, kept in its configuration.
    pub fn promote(&mut self, new_history: u8) {
        if self.role != Role::Primary {
            self.role = Role::Primary;
            self.stream.before = Some((self.stream.history, self.stream.offset));
            self.stream.history = new_history;
            self.unfollowed();
        }
    }

    /// `REPLICAOF` the relay, kept in its configuration.
    pub fn follow_relay(&mut self) {
        self.unfollowed();
        self.role = Role::Replica;
        self.arm();
    }

    /// `min-replicas-to-write 1`, kept in its configuration.
    pub fn arm(&mut self) {
        self.armed = true;
        self.shut = false;
    }

    /// Its process ends.
    pub fn die(&mut self) {
        self.process = Process::Dead;
        if self.role != Role::Replica {
            // `FAILOVER` changes nothing in the configuration.
            self.role = Role::Primary;
        }
        self.unfollowed();
    }

    /// Its process starts again; returns the writes that are gone.
    pub fn start(&mut self, kept: Kept, new_history: u8) -> Writes {
        let had = self.stream;
        self.process = Process::Running;
        self.young = true;
        self.run += 1;
        // That it was shut is not in its configuration.
        self.shut = false;
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
    pub fn thaw(&mut self) {
        self.process = Process::Running;
        if self.ack_age >= LEASE + SLACK {
            self.hears = false;
        }
    }
}
