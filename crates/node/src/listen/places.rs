//! How many connections a port serves at once, and which of them makes room for a newer one.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::descriptors::Descriptors;

/// How many connections there may be at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub all: usize,
    /// Of one remote: an IPv4 address, or the /64 that an IPv6 host chooses its address from.
    pub per_remote: usize,
    /// Among all, so many that only this machine may have: the way in of who operates it.
    pub kept_for_loopback: usize,
    /// How many eighths of the file descriptors that the listeners share are this one's; where that is less than `all`, it
    /// takes its place, and what one remote may have becomes less with it.
    pub eighths: usize,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// As many connections as there may be have proven themselves.
    #[error("as many connections are served as there may be")]
    All,
    /// As many of this remote have.
    #[error("as many connections of this address are served as there may be")]
    Remote,
    /// What descriptors are left are kept for replication, control and the store.
    #[error("the limit of open files leaves no more for it: raise it (`ulimit -n`, `LimitNOFILE` of a unit)")]
    Descriptors,
}

/// The connections of a port. One that has not proven itself yet, by a password or a sensible question, makes room for a newer
/// one: the oldest of the remote that has most of them. Those that have are never given up.
#[derive(Debug, Clone)]
pub struct Places {
    limits: Limits,
    descriptors: Descriptors,
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    by_number: BTreeMap<u64, Held>,
    by_remote: HashMap<IpAddr, Count>,
}

#[derive(Debug)]
struct Held {
    remote: IpAddr,
    is_proven: bool,
    /// Nothing is ever sent: its end says that the connection is given up.
    _keep: oneshot::Sender<Infallible>,
}

#[derive(Debug, Default)]
struct Count {
    all: usize,
    unproven: usize,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub struct Place {
    proof: Proof,
    given_up: oneshot::Receiver<Infallible>,
}

/// Says that a connection has proven itself.
#[derive(Debug, Clone)]
pub struct Proof {
    number: u64,
    places: Places,
}

impl Places {
    /// None is taken.
    pub fn new(limits: Limits, descriptors: Descriptors) -> Self {
        Self {
            limits,
            descriptors,
            book: Arc::default(),
        }
    }

    /// A place for a connection from there, where there is one or one can be made.
    pub fn take(&self, from: IpAddr) -> Result<Place, Full> {
        let remote = remote(from);
        let limits = self.limits();
        let mut book = self.lock();
        if book.of(remote) >= limits.per_remote && !book.give_up_oldest(Some(remote)) {
            return Err(Full::Remote);
        }
        let kept = if remote.is_loopback() {
            0
        } else {
            limits.kept_for_loopback
        };
        let most = book.most_unproven();
        if book.by_number.len() + kept >= limits.all && !book.give_up_oldest(most) {
            let is_short = limits.all < self.limits.all;
            return Err(if is_short { Full::Descriptors } else { Full::All });
        }
        let number = book.next;
        book.next += 1;
        let (keep, given_up) = oneshot::channel();
        let held = Held {
            remote,
            is_proven: false,
            _keep: keep,
        };
        book.by_number.insert(number, held);
        let count = book.by_remote.entry(remote).or_default();
        count.all += 1;
        count.unproven += 1;
        let places = self.clone();
        Ok(Place {
            proof: Proof { number, places },
            given_up,
        })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.lock().by_number.len()
    }

    /// What there may be with the file descriptors that are left for it.
    fn limits(&self) -> Limits {
        let share = self.descriptors.shared() / 8 * self.limits.eighths;
        let all = self.limits.all.min(share).max(1);
        Limits {
            all,
            per_remote: (self.limits.per_remote * all / self.limits.all.max(1)).max(1),
            ..self.limits
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        // A panic between two of its changes leaves a count that is one off, not a broken one.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// How many connections of this remote there are.
    fn of(&self, remote: IpAddr) -> usize {
        self.by_remote.get(&remote).map_or(0, |count| count.all)
    }

    /// The remote with most connections that have not proven themselves.
    fn most_unproven(&self) -> Option<IpAddr> {
        let unproven = self.by_remote.iter().filter(|(_, count)| count.unproven > 0);
        unproven
            .max_by_key(|(_, count)| count.unproven)
            .map(|(remote, _)| *remote)
    }

    /// Gives up the oldest of this remote that has not proven itself; whether there was one.
    fn give_up_oldest(&mut self, of: Option<IpAddr>) -> bool {
        let oldest = self
            .by_number
            .iter()
            .find(|(_, held)| Some(held.remote) == of && !held.is_proven)
            .map(|(number, _)| *number);
        oldest.is_some_and(|number| {
            self.remove(number);
            true
        })
    }

    fn prove(&mut self, number: u64) {
        let held = self.by_number.get_mut(&number).filter(|held| !held.is_proven);
        let Some(held) = held else { return };
        held.is_proven = true;
        if let Some(count) = self.by_remote.get_mut(&held.remote) {
            count.unproven -= 1;
        }
    }

    fn remove(&mut self, number: u64) {
        let Some(held) = self.by_number.remove(&number) else {
            return;
        };
        if let Some(count) = self.by_remote.get_mut(&held.remote) {
            count.all -= 1;
            count.unproven -= usize::from(!held.is_proven);
            if count.all == 0 {
                self.by_remote.remove(&held.remote);
            }
        }
    }
}

impl Place {
    /// Returns when this connection has to make room for a newer one; never, once it has proven itself.
    pub async fn given_up(&mut self) {
        drop((&mut self.given_up).await);
    }

    /// What says that it has proven itself.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.proof.places.lock().remove(self.proof.number);
    }
}

impl Proof {
    /// It has: it stays for as long as it likes.
    pub fn given(&self) {
        self.places.lock().prove(self.number);
    }
}

/// Who counts as one remote: an IPv4 address, or the /64 that an IPv6 host may choose its address from.
pub fn remote(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        all: 8,
        per_remote: 4,
        kept_for_loopback: 2,
        eighths: 4,
    };

    fn places() -> Places {
        Places::new(LIMITS, Descriptors::bounded(1024))
    }

    fn at(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn proven(places: &Places, from: IpAddr) -> Place {
        let place = places.take(from).expect("a place");
        place.proof().given();
        place
    }

    fn is_given_up(place: &mut Place) -> bool {
        place.given_up.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn places_are_given_back() {
        let places = places();
        let taken: Vec<_> = (0..4).map(|_| proven(&places, at(1))).collect();
        assert_eq!(places.take(at(1)).unwrap_err(), Full::Remote);
        drop(taken);
        assert_eq!(places.taken(), 0);
        assert!(places.lock().by_remote.is_empty());
        drop(proven(&places, at(1)));
    }

    #[test]
    fn the_oldest_that_has_not_proven_itself_makes_room_at_its_own_remote() {
        let places = places();
        let mut other = places.take(at(2)).expect("a place");
        let mut first = proven(&places, at(1));
        let mut rest: Vec<_> = (0..3).map(|_| places.take(at(1)).expect("a place")).collect();
        rest.push(places.take(at(1)).expect("a place that another made"));
        let given_up: Vec<_> = rest.iter_mut().map(is_given_up).collect();
        assert_eq!(given_up, [true, false, false, false]);
        assert!(!is_given_up(&mut first) && !is_given_up(&mut other));
    }

    #[test]
    fn a_flood_from_one_remote_pushes_out_no_other() {
        let places = places();
        let mut far = places.take(at(9)).expect("a place");
        let mut flood = Vec::new();
        for last in 1..=3 {
            flood.extend((0..4).map(|_| places.take(at(last)).expect("a place")));
        }
        assert!(!is_given_up(&mut far));
        assert!(places.taken() <= LIMITS.all - LIMITS.kept_for_loopback);
    }

    #[test]
    fn this_machine_has_places_of_its_own() {
        let places = places();
        let taken: Vec<_> = [1, 1, 1, 2, 2, 2].map(|last| proven(&places, at(last))).into();
        assert_eq!(places.take(at(3)).unwrap_err(), Full::All);
        let here = IpAddr::from([127, 0, 0, 1]);
        let also: Vec<_> = (0..2).map(|_| proven(&places, here)).collect();
        assert_eq!(places.take(here).unwrap_err(), Full::All);
        drop((taken, also));
    }

    #[test]
    fn what_is_kept_for_others_is_not_given_to_whoever_connects() {
        let descriptors = Descriptors::bounded(16);
        let places = Places::new(LIMITS, descriptors.clone());
        descriptors.keep(8);
        let mut taken: Vec<_> = [1, 2].map(|last| proven(&places, at(last))).into();
        assert_eq!(
            places.take(at(3)).unwrap_err(),
            Full::Descriptors,
            "half of eight, and two of them kept"
        );
        descriptors.keep(0);
        taken.push(proven(&places, at(3)));
        // However many are kept, a quarter is not.
        descriptors.keep(1000);
        assert_eq!(descriptors.shared(), 4);
        assert_eq!(places.take(at(4)).unwrap_err(), Full::Descriptors);
        drop(taken);
    }

    #[test]
    fn a_host_can_not_choose_itself_new_places() {
        let remote_of = |text: &str| remote(text.parse().unwrap());
        assert_eq!(remote_of("2001:db8:1:2::1"), remote_of("2001:db8:1:2:ffff::2"));
        assert_ne!(remote_of("2001:db8:1:2::1"), remote_of("2001:db8:1:3::1"));
        assert_eq!(remote_of("::ffff:192.0.2.1"), remote_of("192.0.2.1"));
        assert!(remote_of("::1").is_loopback());
    }
}
