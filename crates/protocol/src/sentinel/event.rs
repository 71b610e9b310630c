//! What a Sentinel publishes: the channel says what happened, the message to whom.

use std::fmt;

/// An instance as Sentinel's messages name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The primary of a group: `master m1 10.0.0.1 6379`.
    Master {
        /// The group.
        name: &'a str,
        host: &'a str,
        port: u16,
    },
    /// A replica node: `slave 10.0.0.2:6379 10.0.0.2 6379 @ m1 10.0.0.1 6379`.
    Replica {
        host: &'a str,
        port: u16,
        /// The group.
        name: &'a str,
        /// Host and port of the group's primary.
        primary: (&'a str, u16),
    },
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master { name, host, port } => write!(f, "master {name} {host} {port}"),
            Self::Replica {
                host,
                port,
                name,
                primary: (primary_host, primary_port),
            } => {
                let own = host_and_port(host, *port);
                write!(
                    f,
                    "slave {own} {host} {port} @ {name} {primary_host} {primary_port}"
                )
            }
        }
    }
}

/// As servers write it: the host in brackets where it is an IPv6 address.
pub(super) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A group is watched from now on.
    Monitor,
    /// A group is not watched any more.
    Unmonitor,
    /// What was known of the group's replicas is forgotten; those that it still has follow as [`EventKind::Replica`].
    ResetMaster,
    /// A replica node belongs to the group.
    Replica,
    /// An instance is down.
    SubjectivelyDown,
    /// It is back.
    NotSubjectivelyDown,
    /// The primary is down as far as a failover is concerned.
    ObjectivelyDown,
    /// It is back.
    NotObjectivelyDown,
    /// The group's epoch has changed.
    NewEpoch,
    /// A replica node was made the primary.
    Promoted,
    /// The change of primary is over.
    FailoverEnd,
    /// The group has another primary. What clients wait for.
    SwitchMaster,
}

impl EventKind {
    pub fn channel(self) -> &'static str {
        match self {
            Self::Monitor => "+monitor",
            Self::Unmonitor => "-monitor",
            Self::ResetMaster => "+reset-master",
            Self::Replica => "+slave",
            Self::SubjectivelyDown => "+sdown",
            Self::NotSubjectivelyDown => "-sdown",
            Self::ObjectivelyDown => "+odown",
            Self::NotObjectivelyDown => "-odown",
            Self::NewEpoch => "+new-epoch",
            Self::Promoted => "+promoted-slave",
            Self::FailoverEnd => "+failover-end",
            Self::SwitchMaster => "+switch-master",
        }
    }
}

/// One publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To whom.
    pub message: String,
}

impl Event {
    /// An event about one instance.
    pub fn about(kind: EventKind, subject: Subject<'_>) -> Self {
        let message = match kind {
            EventKind::Monitor => format!("{subject} quorum 1"),
            EventKind::ObjectivelyDown => format!("{subject} #quorum 1/1"),
            _ => subject.to_string(),
        };
        Self { kind, message }
    }

    /// The group `name` has another primary.
    pub fn switch_master(name: &str, from: (&str, u16), to: (&str, u16)) -> Self {
        Self {
            kind: EventKind::SwitchMaster,
            message: format!("{name} {} {} {} {}", from.0, from.1, to.0, to.1),
        }
    }

    /// A group is in another epoch.
    pub fn new_epoch(epoch: u64) -> Self {
        Self {
            kind: EventKind::NewEpoch,
            message: epoch.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The right sides are what Redis 7.0.15, 8.0.2 and Valkey 8.1.1 published.
    #[test]
    fn messages_are_those_of_a_real_sentinel() {
        let master = Subject::Master {
            name: "m1",
            host: "127.0.0.1",
            port: 17011,
        };
        let replica = Subject::Replica {
            host: "127.0.0.1",
            port: 17012,
            name: "m1",
            primary: ("127.0.0.1", 17011),
        };
        assert_eq!(
            Event::about(EventKind::ObjectivelyDown, master).message,
            "master m1 127.0.0.1 17011 #quorum 1/1"
        );
        assert_eq!(
            Event::about(EventKind::Replica, replica).message,
            "slave 127.0.0.1:17012 127.0.0.1 17012 @ m1 127.0.0.1 17011"
        );
        let switched = Event::switch_master("m1", ("127.0.0.1", 17011), ("127.0.0.1", 17012));
        assert_eq!(switched.kind.channel(), "+switch-master");
        assert_eq!(switched.message, "m1 127.0.0.1 17011 127.0.0.1 17012");
        assert_eq!(Event::new_epoch(2).message, "2");
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets_before_its_port() {
        assert_eq!(host_and_port("::1", 6379), "[::1]:6379");
        assert_eq!(host_and_port("db.example", 6379), "db.example:6379");
    }
}
