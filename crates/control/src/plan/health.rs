//! Is the primary lost? And if it is, may a replica service be promoted without a person?

use std::fmt;
use std::time::Duration;

use super::seconds;

/// What the last look at the primary node showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sign {
    /// It was not looked at yet.
    Unknown,
    /// It answers and says that it is a primary.
    Primary,
    /// It answers and says that it is a replica.
    Replica,
    /// It answers, but loads its data.
    Loading,
    /// It answers, but not to us: wrong password, missing rights, another engine.
    Denied,
    /// Its host refuses the connection: no process listens there.
    Refused,
    /// It does not answer in time, or can't be reached.
    Silent,
}

impl Sign {
    /// Whether a process that takes writes may stand behind this.
    pub fn answers(self) -> bool {
        matches!(self, Self::Primary | Self::Replica | Self::Loading | Self::Denied)
    }
}

/// What is known of the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sight {
    /// The last look.
    pub sign: Sign,
    /// How long ago it last showed that it works as a primary, by any signal: an answer, or bytes of its stream.
    pub quiet_for: Duration,
    /// Its history does not continue what the replica services hold: it came back empty, or older (invariant I4).
    pub lost_its_data: bool,
}

/// The rules and circumstances of a failover without a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Circumstances {
    /// How long it must have been away.
    pub down_after: Duration,
    /// How long its own Sentinels may take to promote one of its own nodes; none without Sentinels, or where none of its
    /// nodes answers that they could promote.
    pub sentinel_grace: Option<Duration>,
    /// A failover without a person is wanted.
    pub automatic: bool,
    /// A person wants nothing to be changed now.
    pub paused: bool,
    /// How long ago the last failover was.
    pub since_change: Duration,
    /// How long it must be ago.
    pub pause: Duration,
    /// Replica nodes that answer and hold a whole copy.
    pub candidates: usize,
    /// Any node of the group answers: else it is us who are cut off.
    pub anybody_answers: bool,
    /// Seconds of writes that would be lost.
    pub loss: Duration,
    /// So much may be lost without a person.
    pub loss_max: Duration,
    /// A fence is wanted and was never seen in place at this primary.
    pub unfenced: bool,
}

/// What is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It works.
    Healthy,
    /// It is there, but something is wrong that a failover would not mend, or that is not known to be its end.
    Impaired(Impairment),
    /// It seems to be lost; wait until that is sure.
    Waiting(Waiting),
    /// It is lost, and nothing is done by itself.
    LeftToPeople(Obstacle),
    /// It is lost: promote a replica service.
    FailOver(Cause),
}

/// Why a primary that is there does not do its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Impairment {
    /// Nothing is known yet.
    NotLookedAt,
    /// It refuses us.
    Denied,
    /// Somebody made it a replica.
    Demoted,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// For it to have been away long enough.
    DownAfter {
        /// So long it has been away.
        quiet_for: Duration,
        /// So long it must have been.
        down_after: Duration,
    },
    /// For its own Sentinels.
    Sentinel {
        /// So long they still have.
        left: Duration,
    },
    /// For the last change of primary to be long enough ago.
    Pause {
        /// So long still.
        left: Duration,
    },
}

/// Why nothing is done by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// It is switched off.
    NotAutomatic,
    /// The group is paused.
    Paused,
    /// The gateway reaches nobody.
    CutOff,
    /// Nobody could take over.
    NoCandidate,
    /// Too much would be lost.
    Loss {
        /// So much.
        loss: Duration,
        /// So much would be allowed.
        loss_max: Duration,
    },
    /// The old primary could go on taking writes.
    Unfenced,
}

/// Why a failover begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No process listens at its host.
    Refused {
        /// For so long.
        quiet_for: Duration,
    },
    /// It does not answer.
    Silent {
        /// For so long.
        quiet_for: Duration,
    },
    /// It loads its data, or waits for somebody to make it a primary again.
    NotServing {
        /// For so long.
        quiet_for: Duration,
    },
    /// It came back without its data.
    LostItsData,
}

/// Judges the primary.
pub fn judge(sight: &Sight, now: &Circumstances) -> Verdict {
    let lost = match sight.sign {
        Sign::Unknown => return Verdict::Impaired(Impairment::NotLookedAt),
        Sign::Denied => return Verdict::Impaired(Impairment::Denied),
        // Somebody's own failover is not fought with.
        Sign::Replica => return Verdict::Impaired(Impairment::Demoted),
        Sign::Primary if sight.lost_its_data => Cause::LostItsData,
        Sign::Primary => return Verdict::Healthy,
        Sign::Loading => Cause::NotServing {
            quiet_for: sight.quiet_for,
        },
        Sign::Refused => Cause::Refused {
            quiet_for: sight.quiet_for,
        },
        Sign::Silent => Cause::Silent {
            quiet_for: sight.quiet_for,
        },
    };
    if let Some(obstacle) = obstacle(sight.sign, now) {
        return Verdict::LeftToPeople(obstacle);
    }
    if lost != Cause::LostItsData
        && let Some(waiting) = not_sure_yet(sight, now)
    {
        return Verdict::Waiting(waiting);
    }
    if now.since_change < now.pause {
        return Verdict::Waiting(Waiting::Pause {
            left: now.pause.saturating_sub(now.since_change),
        });
    }
    Verdict::FailOver(lost)
}

fn not_sure_yet(sight: &Sight, now: &Circumstances) -> Option<Waiting> {
    if sight.quiet_for < now.down_after {
        return Some(Waiting::DownAfter {
            quiet_for: sight.quiet_for,
            down_after: now.down_after,
        });
    }
    let grace = now.sentinel_grace.filter(|grace| sight.quiet_for < *grace)?;
    Some(Waiting::Sentinel {
        left: grace.saturating_sub(sight.quiet_for),
    })
}

fn obstacle(sign: Sign, now: &Circumstances) -> Option<Obstacle> {
    if !now.automatic {
        return Some(Obstacle::NotAutomatic);
    }
    if now.paused {
        return Some(Obstacle::Paused);
    }
    if !now.anybody_answers {
        return Some(Obstacle::CutOff);
    }
    if now.candidates == 0 {
        return Some(Obstacle::NoCandidate);
    }
    // A process that is not there needs no fence.
    if now.unfenced && sign != Sign::Refused {
        return Some(Obstacle::Unfenced);
    }
    (now.loss > now.loss_max).then_some(Obstacle::Loss {
        loss: now.loss,
        loss_max: now.loss_max,
    })
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("the primary answers and takes writes"),
            Self::Impaired(impairment) => impairment.fmt(f),
            Self::Waiting(waiting) => waiting.fmt(f),
            Self::LeftToPeople(obstacle) => write!(
                f,
                "the primary is lost, and no failover happens by itself: {obstacle}"
            ),
            Self::FailOver(cause) => write!(f, "failing over: {cause}"),
        }
    }
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotLookedAt => "the primary was not looked at yet",
            Self::Denied => {
                "the primary answers, but not to this gateway: it can't be watched, and its state is not known. Clients \
                 may still write to it, so no failover happens by itself"
            }
            Self::Demoted => {
                "somebody made the primary node a replica; it is not fought with. If that was a failover of your own, \
                 the new primary is followed as soon as it is found among the service's nodes"
            }
        })
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DownAfter {
                quiet_for,
                down_after,
            } => write!(
                f,
                "the primary has not answered for {}; a failover begins after {}",
                seconds(*quiet_for),
                seconds(*down_after)
            ),
            Self::Sentinel { left } => write!(
                f,
                "the primary is lost; its own Sentinels have {} left to promote one of its own nodes",
                seconds(*left)
            ),
            Self::Pause { left } => write!(
                f,
                "the primary is lost, but the last failover was only just now: the next begins in {}",
                seconds(*left)
            ),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAutomatic => f.write_str("automatic failover is switched off (`sterna failover` does it)"),
            Self::Paused => f.write_str("the group is paused (`sterna resume` ends that, `sterna failover` does it now)"),
            Self::CutOff => f.write_str("the gateway reaches no node of the group at all, so it is probably cut off itself"),
            Self::NoCandidate => f.write_str("no replica node answers that holds a whole copy"),
            Self::Loss { loss, loss_max } => write!(
                f,
                "{} of writes would be lost, and max_lag_on_failover_seconds allows {} (`sterna failover --force` accepts it)",
                seconds(*loss),
                seconds(*loss_max)
            ),
            Self::Unfenced => f.write_str(
                "the fence was never in place at the primary, so it could go on taking writes (`sterna failover --force` \
                 accepts that)",
            ),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { quiet_for } => {
                write!(
                    f,
                    "no process listens at the primary's host any more, for {}",
                    seconds(*quiet_for)
                )
            }
            Self::Silent { quiet_for } => {
                write!(f, "the primary has not answered for {}", seconds(*quiet_for))
            }
            Self::NotServing { quiet_for } => write!(
                f,
                "the primary has been loading its data for {}",
                seconds(*quiet_for)
            ),
            Self::LostItsData => {
                f.write_str("the primary came back without the data that the replica services hold")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sight(sign: Sign, quiet_for: Duration) -> Sight {
        Sight {
            sign,
            quiet_for,
            lost_its_data: false,
        }
    }

    fn usual() -> Circumstances {
        Circumstances {
            down_after: SECOND,
            sentinel_grace: None,
            automatic: true,
            paused: false,
            since_change: 100 * SECOND,
            pause: 10 * SECOND,
            candidates: 1,
            anybody_answers: true,
            loss: Duration::ZERO,
            loss_max: 30 * SECOND,
            unfenced: false,
        }
    }

    #[test]
    fn a_primary_that_answers_is_healthy_and_one_that_lost_its_data_is_failed_over_at_once() {
        let answers = sight(Sign::Primary, Duration::ZERO);
        assert_eq!(judge(&answers, &usual()), Verdict::Healthy);
        let empty = Sight {
            lost_its_data: true,
            ..answers
        };
        assert_eq!(judge(&empty, &usual()), Verdict::FailOver(Cause::LostItsData));
    }

    #[test]
    fn a_lost_primary_is_failed_over_once_it_has_been_away_long_enough() {
        let fresh = judge(&sight(Sign::Refused, SECOND / 2), &usual());
        assert!(matches!(fresh, Verdict::Waiting(Waiting::DownAfter { .. })));
        for sign in [Sign::Refused, Sign::Silent, Sign::Loading] {
            assert!(
                matches!(judge(&sight(sign, SECOND), &usual()), Verdict::FailOver(_)),
                "{sign:?}"
            );
        }
    }

    #[test]
    fn its_own_sentinels_go_first() {
        let now = Circumstances {
            sentinel_grace: Some(45 * SECOND),
            ..usual()
        };
        let waits = judge(&sight(Sign::Silent, 5 * SECOND), &now);
        assert_eq!(waits, Verdict::Waiting(Waiting::Sentinel { left: 40 * SECOND }));
        assert!(matches!(
            judge(&sight(Sign::Silent, 45 * SECOND), &now),
            Verdict::FailOver(_)
        ));
    }

    #[test]
    fn nothing_is_decided_where_it_could_be_wrong() {
        let obstacles = [
            Circumstances {
                automatic: false,
                ..usual()
            },
            Circumstances {
                paused: true,
                ..usual()
            },
            Circumstances {
                anybody_answers: false,
                ..usual()
            },
            Circumstances {
                candidates: 0,
                ..usual()
            },
            Circumstances {
                unfenced: true,
                ..usual()
            },
            Circumstances {
                loss: 31 * SECOND,
                ..usual()
            },
        ];
        for now in obstacles {
            let verdict = judge(&sight(Sign::Silent, 60 * SECOND), &now);
            assert!(matches!(verdict, Verdict::LeftToPeople(_)), "{now:?}: {verdict}");
        }
        for sign in [Sign::Unknown, Sign::Denied, Sign::Replica] {
            let verdict = judge(&sight(sign, 60 * SECOND), &usual());
            assert!(matches!(verdict, Verdict::Impaired(_)), "{sign:?}: {verdict}");
        }
    }

    #[test]
    fn a_primary_that_was_just_made_one_is_not_replaced_again_at_once() {
        let now = Circumstances {
            since_change: 4 * SECOND,
            ..usual()
        };
        let verdict = judge(&sight(Sign::Refused, 3 * SECOND), &now);
        assert_eq!(verdict, Verdict::Waiting(Waiting::Pause { left: 6 * SECOND }));
    }
}
