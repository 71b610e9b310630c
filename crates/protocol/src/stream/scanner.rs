//! Finds unit boundaries in the stream as it passes, without copying it: the hot path of the data plane.
//!
//! A command that is whole in the bytes fed is walked over from header to header (`super::whole`). One that is not,
//! or that has anything unusual in it, goes through the byte-wise state machine (`super::partial`), which can stop
//! anywhere and says exactly what is wrong. Both end in `complete`, where the few commands that matter are acted on.

use super::StreamError;
use super::kind::Kind;
use super::partial::Partial;
use super::whole::whole;
use crate::{Excerpt, Offset};

/// What one [`UnitScanner::feed`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fed {
    /// Commands that were completed, PING, SELECT, MULTI and EXEC included.
    pub commands: u64,
    /// The offset just before the last completed `REPLCONF GETACK`: what the ACK that answers it says.
    pub getack: Option<Offset>,
}

/// Follows the stream and knows where the last whole unit ended. A unit is one command, or one MULTI..EXEC.
#[derive(Debug, Clone)]
pub struct UnitScanner {
    position: Offset,
    unit_end: Offset,
    db: Option<u32>,
    transaction: Option<Transaction>,
    /// The command that the bytes fed so far end inside of.
    partial: Option<Partial>,
    failed: Option<StreamError>,
}

/// A MULTI whose EXEC has not come yet.
#[derive(Debug, Clone, Copy)]
struct Transaction {
    /// The database that EXEC leaves selected.
    db: Option<u32>,
}

impl UnitScanner {
    /// A scanner of the stream after `start`, which is a unit boundary, with database `db` selected if it is known.
    pub fn new(start: Offset, db: Option<u32>) -> Self {
        Self {
            position: start,
            unit_end: start,
            db,
            transaction: None,
            partial: None,
            failed: None,
        }
    }

    /// Takes the next bytes of the stream. After an error the scanner keeps failing with that same error, and
    /// [`Self::position`] stays where the error is.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Fed, StreamError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let fed = self.scan(bytes);
        if let Err(error) = &fed {
            self.position = error.offset();
            self.failed = Some(error.clone());
        }
        fed
    }

    /// The offset after all bytes fed.
    pub fn position(&self) -> Offset {
        self.position
    }

    /// The offset after the last whole unit.
    pub fn unit_end(&self) -> Offset {
        self.unit_end
    }

    /// The selected database as of [`Self::unit_end`].
    pub fn selected_db(&self) -> Option<u32> {
        self.db
    }

    fn scan(&mut self, bytes: &[u8]) -> Result<Fed, StreamError> {
        let base = self.position;
        let mut fed = Fed::default();
        let mut at = 0;
        let mut pending = self.partial.take();
        loop {
            if pending.is_none() {
                at = self.scan_whole(base, bytes, at, &mut fed)?;
                if at == bytes.len() {
                    break;
                }
            }
            let mut partial = pending.take().unwrap_or_else(|| Partial::new(base + at as u64));
            let Some(taken) = partial.feed(&bytes[at..])? else {
                self.partial = Some(partial);
                break;
            };
            at += taken;
            fed.commands += 1;
            self.complete(partial.kind(), partial.start(), base + at as u64, &mut fed)
                .map_err(|problem| misplaced(problem, partial.start(), partial.excerpt()))?;
        }
        self.position = base + bytes.len() as u64;
        Ok(fed)
    }

    /// Walks over the whole commands from `at` on; gives the position after them.
    fn scan_whole(
        &mut self,
        base: Offset,
        bytes: &[u8],
        mut at: usize,
        fed: &mut Fed,
    ) -> Result<usize, StreamError> {
        let mut commands = 0;
        while let Some(command) = whole(bytes, at) {
            commands += 1;
            // Most commands only move the end of the unit: that is written down once, after the last of them.
            if command.kind != Kind::Other {
                let start = base + at as u64;
                self.complete(command.kind, start, base + command.end as u64, fed)
                    .map_err(|problem| misplaced(problem, start, Excerpt::of(&bytes[at..command.end])))?;
            }
            at = command.end;
        }
        fed.commands += commands;
        if self.transaction.is_none() {
            self.unit_end = base + at as u64;
        }
        Ok(at)
    }

    /// Acts on a whole command; fails with what is wrong about it.
    fn complete(
        &mut self,
        kind: Kind,
        start: Offset,
        end: Offset,
        fed: &mut Fed,
    ) -> Result<(), &'static str> {
        if self.transaction.is_none() {
            self.unit_end = start;
        }
        match (kind, &mut self.transaction) {
            // To a MULTI inside a transaction servers answer with an error, which nobody hears. Redis then executes the
            // transaction and Valkey 9 discards it, both at its EXEC.
            (Kind::Other, _) | (Kind::Multi, Some(_)) => {}
            (Kind::GetAck, _) => fed.getack = Some(start),
            (Kind::Select(db), None) => self.db = Some(db),
            (Kind::Select(db), Some(transaction)) => transaction.db = Some(db),
            (Kind::Multi, None) => self.transaction = Some(Transaction { db: self.db }),
            (Kind::Exec, Some(transaction)) => {
                self.db = transaction.db;
                self.transaction = None;
            }
            (Kind::Exec, None) => return Err("EXEC without MULTI"),
            (Kind::Discard, Some(_)) => self.transaction = None,
            (Kind::Discard, None) => return Err("DISCARD without MULTI"),
            (Kind::Wrong(problem), _) => return Err(problem),
        }
        if self.transaction.is_none() {
            self.unit_end = end;
        }
        Ok(())
    }
}

fn misplaced(problem: &'static str, offset: Offset, found: Excerpt) -> StreamError {
    StreamError::Misplaced {
        problem,
        offset,
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
    const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
    const EXEC: &[u8] = b"*1\r\n$4\r\nexec\r\n";
    const SELECT: &[u8] = b"*2\r\n$6\r\nSELECT\r\n$1\r\n5\r\n";
    const GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";

    fn fed(scanner: &mut UnitScanner, bytes: &[u8]) -> Fed {
        scanner.feed(bytes).expect("the stream is well-formed")
    }

    #[test]
    fn a_transaction_is_one_unit_and_its_select_counts_at_exec() {
        let start = Offset::new(1000);
        let mut scanner = UnitScanner::new(start, Some(0));
        fed(&mut scanner, PING);
        let before = start + PING.len() as u64;
        assert_eq!(scanner.unit_end(), before);
        for part in [MULTI, SELECT, PING] {
            assert_eq!(fed(&mut scanner, part).commands, 1);
            assert_eq!((scanner.unit_end(), scanner.selected_db()), (before, Some(0)));
        }
        fed(&mut scanner, EXEC);
        assert_eq!(
            (scanner.unit_end(), scanner.selected_db()),
            (scanner.position(), Some(5))
        );
    }

    /// Shown on real servers by testkit's tests of peers.
    #[test]
    fn a_multi_inside_a_transaction_begins_none() {
        let mut scanner = UnitScanner::new(Offset::ZERO, Some(0));
        let fed = fed(&mut scanner, &[MULTI, SELECT, MULTI, PING].concat());
        assert_eq!((fed.commands, scanner.unit_end()), (4, Offset::ZERO));
        scanner.feed(EXEC).expect("it ends the one transaction");
        assert_eq!(
            (scanner.unit_end(), scanner.selected_db()),
            (scanner.position(), Some(5))
        );
        let after = scanner.position();
        scanner.feed(PING).expect("a unit of its own");
        assert_eq!(scanner.unit_end(), after + PING.len() as u64);
    }

    #[test]
    fn the_answer_to_getack_does_not_include_its_bytes() {
        let mut scanner = UnitScanner::new(Offset::ZERO, None);
        let fed = fed(&mut scanner, &[PING, GETACK, PING, GETACK].concat());
        let before = 2 * PING.len() + GETACK.len();
        assert_eq!(
            fed,
            Fed {
                commands: 4,
                getack: Some(Offset::new(before as u64))
            }
        );
    }

    #[test]
    fn a_unit_ends_before_the_piece_of_a_command() {
        let mut scanner = UnitScanner::new(Offset::ZERO, None);
        fed(&mut scanner, &[PING, &SELECT[..9]].concat());
        assert_eq!(
            (scanner.unit_end(), scanner.position()),
            (Offset::new(14), Offset::new(23))
        );
        fed(&mut scanner, &[&SELECT[9..], PING].concat());
        assert_eq!(
            (scanner.unit_end(), scanner.selected_db()),
            (scanner.position(), Some(5))
        );
    }

    #[test]
    fn what_no_primary_sends_is_an_error_that_stays() {
        let inline = &b"PING\r\n"[..];
        for bad in [
            &b"\n"[..],
            inline,
            b"*0\r\n",
            b"*-1\r\n",
            b"*01\r\n",
            b"*2147483648\r\n",
            b"*1\r\n$4294967297\r\n",
            b"*1\n$4\nPING\n",
            b"*1\r\n$4\r\nPINGS\r\n",
            b"*2\r\n$6\r\nSELECT\r\n$1\r\nx\r\n",
            EXEC,
            b"*1\r\n$7\r\nDISCARD\r\n",
        ] {
            let mut scanner = UnitScanner::new(Offset::new(50), None);
            fed(&mut scanner, PING);
            let error = scanner.feed(bad).expect_err("no primary sends this");
            assert_eq!(scanner.feed(PING), Err(error.clone()));
            assert_eq!(scanner.unit_end(), Offset::new(64), "{error}");
        }
    }

    #[test]
    fn errors_name_offset_and_bytes() {
        let mut scanner = UnitScanner::new(Offset::new(50), None);
        let error = scanner
            .feed(b"*1\r\n$4\r\nPING\r\n\n*1\r\n")
            .expect_err("a newline is no command");
        assert_eq!(
            error.to_string(),
            r#"expected a command (*count) in the replication stream after offset 64, found "\n*1\r\n""#
        );
        let mut scanner = UnitScanner::new(Offset::ZERO, None);
        let error = scanner
            .feed(&[PING, EXEC].concat())
            .expect_err("there is nothing to execute");
        assert_eq!(
            error.to_string(),
            "EXEC without MULTI in the replication stream, in the command after offset 14: \
             \"*1\\r\\n$4\\r\\nexec\\r\\n\""
        );
    }
}
