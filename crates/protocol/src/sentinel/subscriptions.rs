//! What one connection has subscribed to, and what it is sent for it.

use bytes::Bytes;

use super::{Answer, Event, Refused, glob_matches};

/// How many channels and patterns together a connection may subscribe to: there are a dozen kinds of events.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// How long the name of a channel, or a pattern, may be.
pub const CHANNEL_BYTES_MAX: usize = 256;

/// The channels and patterns of one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscriptions {
    channels: Vec<Bytes>,
    patterns: Vec<Bytes>,
}

impl Subscriptions {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty()
    }

    /// How many channels and how many patterns there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.channels.len(), self.patterns.len())
    }

    /// `SUBSCRIBE`: one answer for each name.
    pub fn subscribe(&mut self, names: &[Bytes]) -> Vec<Answer> {
        names
            .iter()
            .map(|name| {
                let room = self.room();
                let added = add(&mut self.channels, name, room);
                self.confirm("subscribe", name, added)
            })
            .collect()
    }

    /// `PSUBSCRIBE`: one answer for each pattern.
    pub fn subscribe_patterns(&mut self, patterns: &[Bytes]) -> Vec<Answer> {
        patterns
            .iter()
            .map(|pattern| {
                let room = self.room();
                let added = add(&mut self.patterns, pattern, room);
                self.confirm("psubscribe", pattern, added)
            })
            .collect()
    }

    /// `UNSUBSCRIBE`: one answer for each name; without names from all, and one answer if there is none.
    pub fn unsubscribe(&mut self, names: &[Bytes]) -> Vec<Answer> {
        let names = all_unless_named(&self.channels, names);
        self.leave("unsubscribe", &names, |own| &mut own.channels)
    }

    /// `PUNSUBSCRIBE`, as [`Subscriptions::unsubscribe`].
    pub fn unsubscribe_patterns(&mut self, patterns: &[Bytes]) -> Vec<Answer> {
        let patterns = all_unless_named(&self.patterns, patterns);
        self.leave("punsubscribe", &patterns, |own| &mut own.patterns)
    }

    /// What this connection is sent for an event: a message for its channel, and one for each pattern that fits.
    pub fn deliver(&self, event: &Event) -> Vec<Answer> {
        let channel = event.kind.channel();
        let mut messages = Vec::new();
        if self.channels.iter().any(|name| name == channel) {
            messages.push(Answer::Push(vec![
                Answer::bulk("message"),
                Answer::bulk(channel),
                Answer::bulk(&event.message),
            ]));
        }
        for pattern in &self.patterns {
            if glob_matches(pattern, channel.as_bytes()) {
                messages.push(Answer::Push(vec![
                    Answer::bulk("pmessage"),
                    Answer::Bulk(pattern.clone()),
                    Answer::bulk(channel),
                    Answer::bulk(&event.message),
                ]));
            }
        }
        messages
    }

    fn room(&self) -> usize {
        SUBSCRIPTIONS_MAX.saturating_sub(self.channels.len() + self.patterns.len())
    }

    fn leave(
        &mut self,
        kind: &str,
        names: &[Bytes],
        list: impl Fn(&mut Self) -> &mut Vec<Bytes>,
    ) -> Vec<Answer> {
        if names.is_empty() {
            return vec![self.confirmation(kind, Answer::Null)];
        }
        names
            .iter()
            .map(|name| {
                list(self).retain(|known| known != name);
                self.confirmation(kind, Answer::Bulk(name.clone()))
            })
            .collect()
    }

    fn confirm(&self, kind: &str, name: &Bytes, added: Result<(), Refused>) -> Answer {
        match added {
            Ok(()) => self.confirmation(kind, Answer::Bulk(name.clone())),
            Err(refused) => Answer::Error(refused.into_text()),
        }
    }

    fn confirmation(&self, kind: &str, name: Answer) -> Answer {
        let count = self.channels.len() + self.patterns.len();
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Answer::Push(vec![Answer::bulk(kind), name, Answer::Integer(count)])
    }
}

fn add(list: &mut Vec<Bytes>, name: &Bytes, room: usize) -> Result<(), Refused> {
    if name.len() > CHANNEL_BYTES_MAX {
        return Err(Refused::err(format_args!(
            "the name of a channel may have {CHANNEL_BYTES_MAX} bytes"
        )));
    }
    if list.contains(name) {
        return Ok(());
    }
    if room == 0 {
        return Err(Refused::err(format_args!(
            "a connection may have {SUBSCRIPTIONS_MAX} subscriptions; there are few kinds of events, and PSUBSCRIBE * \
             gets them all"
        )));
    }
    // A copy: the name itself keeps the whole input buffer that it came in.
    list.push(Bytes::copy_from_slice(name));
    Ok(())
}

fn all_unless_named(list: &[Bytes], names: &[Bytes]) -> Vec<Bytes> {
    if names.is_empty() { list } else { names }.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<Bytes> {
        words
            .iter()
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect()
    }

    fn confirmation(kind: &str, name: Option<&str>, count: i64) -> Answer {
        let name = name.map_or(Answer::Null, Answer::bulk);
        Answer::Push(vec![Answer::bulk(kind), name, Answer::Integer(count)])
    }

    /// The answers are those of Redis 7.0.15.
    #[test]
    fn each_name_is_confirmed_with_the_count_so_far() {
        let mut own = Subscriptions::default();
        assert_eq!(
            own.subscribe(&names(&["b", "c", "b"])),
            [
                confirmation("subscribe", Some("b"), 1),
                confirmation("subscribe", Some("c"), 2),
                confirmation("subscribe", Some("b"), 2),
            ]
        );
        assert_eq!(
            own.subscribe_patterns(&names(&["*"])),
            [confirmation("psubscribe", Some("*"), 3)]
        );
        assert_eq!(
            own.unsubscribe(&names(&["x"])),
            [confirmation("unsubscribe", Some("x"), 3)]
        );
        assert_eq!(own.unsubscribe(&[]).len(), 2);
        assert_eq!(own.unsubscribe(&[]), [confirmation("unsubscribe", None, 1)]);
        assert_eq!(
            own.unsubscribe_patterns(&[]),
            [confirmation("punsubscribe", Some("*"), 0)]
        );
        assert!(own.is_empty());
    }

    #[test]
    fn an_event_comes_once_for_its_channel_and_once_for_each_pattern() {
        let event = Event::new_epoch(3);
        let mut own = Subscriptions::default();
        assert!(own.deliver(&event).is_empty());
        own.subscribe(&names(&["+new-epoch", "+switch-master"]));
        own.subscribe_patterns(&names(&["+*", "-*"]));
        assert_eq!(
            own.deliver(&event),
            [
                Answer::Push(["message", "+new-epoch", "3"].map(Answer::bulk).to_vec()),
                Answer::Push(["pmessage", "+*", "+new-epoch", "3"].map(Answer::bulk).to_vec()),
            ]
        );
    }

    #[test]
    fn subscriptions_are_bounded() {
        let mut own = Subscriptions::default();
        let long = "x".repeat(CHANNEL_BYTES_MAX + 1);
        assert!(matches!(own.subscribe(&names(&[&long]))[0], Answer::Error(_)));
        for number in 0..=SUBSCRIPTIONS_MAX {
            let answer = own.subscribe(&names(&[&number.to_string()]));
            assert_eq!(
                matches!(answer[0], Answer::Error(_)),
                number == SUBSCRIPTIONS_MAX,
                "{number}"
            );
        }
        assert_eq!(
            own.subscribe(&names(&["0"])),
            [confirmation("subscribe", Some("0"), 64)]
        );
    }
}
