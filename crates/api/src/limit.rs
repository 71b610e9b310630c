//! How often somebody may do something, by token buckets, and how many at once. Memory is bounded whoever asks.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Keys that are counted one by one; the rest share one bucket until some of those have been quiet.
const KEYS_MAX: usize = 4096;

/// How much at once, and how much for ever.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// So many at once.
    pub burst: u32,
    /// And so many a second after that.
    pub per_second: f64,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self {
            left: f64::from(rate.burst),
            at: now,
        }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + seconds * rate.per_second).min(f64::from(rate.burst));
        self.at = now;
    }

    /// Takes one, or says how long until there is one.
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.refill(rate, now);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        let seconds = (1.0 - self.left) / rate.per_second;
        // A rate of 0 never refills; a day stands for that.
        Err(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(86_400)))
    }
}

#[derive(Debug)]
struct Buckets<K> {
    by_key: HashMap<K, Bucket>,
    rest: Bucket,
}

/// Buckets by key.
#[derive(Debug)]
pub(crate) struct Limiter<K> {
    rate: Rate,
    keys_max: usize,
    buckets: Mutex<Buckets<K>>,
}

impl<K: Eq + Hash> Limiter<K> {
    /// A full bucket for everybody.
    pub(crate) fn new(rate: Rate) -> Self {
        Self::bounded(rate, KEYS_MAX)
    }

    fn bounded(rate: Rate, keys_max: usize) -> Self {
        Self {
            rate,
            keys_max,
            buckets: Mutex::new(Buckets {
                by_key: HashMap::new(),
                rest: Bucket::full(rate, Instant::now()),
            }),
        }
    }

    /// Takes one from the bucket of `key`, or says how long until there is one.
    pub(crate) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let rate = self.rate;
        // A panic between two updates of a bucket leaves numbers, not broken ones.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.by_key.len() >= self.keys_max && !buckets.by_key.contains_key(&key) {
            buckets.by_key.retain(|_, bucket| {
                bucket.refill(rate, now);
                bucket.left < f64::from(rate.burst)
            });
            if buckets.by_key.len() >= self.keys_max {
                return buckets.rest.take(rate, now);
            }
        }
        buckets
            .by_key
            .entry(key)
            .or_insert_with(|| Bucket::full(rate, now))
            .take(rate, now)
    }
}

/// How many of something each key has at once. Its size is bounded by how many there are in all.
#[derive(Debug)]
pub(crate) struct Occupancy<K: Eq + Hash + Copy> {
    most: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// One of a key's; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Occupied<K: Eq + Hash + Copy> {
    key: K,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Copy> Occupancy<K> {
    /// So many for each.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    /// One more for `key`, unless it has as many as it may.
    pub(crate) fn take(&self, key: K) -> Option<Occupied<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(key).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Occupied {
            key,
            taken: Arc::clone(&self.taken),
        })
    }
}

impl<K: Eq + Hash + Copy> Drop for Occupied<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        burst: 2,
        per_second: 0.5,
    };

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let limiter = Limiter::new(RATE);
        let now = Instant::now();
        assert_eq!(limiter.take("a", now), Ok(()));
        assert_eq!(limiter.take("a", now), Ok(()));
        assert_eq!(limiter.take("a", now), Err(Duration::from_secs(2)));
        assert_eq!(limiter.take("b", now), Ok(()), "somebody else's bucket is full");
        let later = now + Duration::from_secs(2);
        assert_eq!(limiter.take("a", later), Ok(()));
        assert!(limiter.take("a", later).is_err());
        let much_later = later + Duration::from_secs(3600);
        assert_eq!(limiter.take("a", much_later), Ok(()));
        assert_eq!(limiter.take("a", much_later), Ok(()));
        assert!(
            limiter.take("a", much_later).is_err(),
            "more than the burst was saved up"
        );
    }

    #[test]
    fn memory_is_bounded_and_the_rest_share_a_bucket() {
        let limiter = Limiter::bounded(RATE, 2);
        let now = Instant::now();
        for key in [1, 2] {
            assert_eq!(limiter.take(key, now), Ok(()));
        }
        assert_eq!(limiter.take(3, now), Ok(()));
        assert_eq!(limiter.take(4, now), Ok(()));
        assert!(limiter.take(5, now).is_err(), "3, 4 and 5 share one bucket");
        assert_eq!(limiter.take(1, now), Ok(()), "1 has its own still");
        let later = now + Duration::from_secs(60);
        assert_eq!(limiter.take(5, later), Ok(()));
        assert!(limiter.buckets.lock().unwrap().by_key.len() <= 2);
    }

    #[test]
    fn what_a_key_has_is_given_back() {
        let occupancy = Occupancy::new(2);
        let first = occupancy.take("a").unwrap();
        let second = occupancy.take("a").unwrap();
        assert!(occupancy.take("a").is_none());
        assert!(occupancy.take("b").is_some());
        drop(first);
        assert!(occupancy.take("a").is_some());
        drop(second);
        assert!(occupancy.taken.lock().unwrap().is_empty());
    }
}
