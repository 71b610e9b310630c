//! What goes wrong on a simulated disk, and when.

use std::io;

use super::rng::SimRng;

/// What goes wrong on a simulated disk. The default is nothing.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Bytes that all files together may have.
    pub capacity_bytes: Option<u64>,
    /// How many of 1000 operations fail with an I/O error; some of them have an effect nevertheless.
    pub fail_per_1000: u64,
    /// The operation, by its number, that fails.
    pub fail_at: Option<u64>,
    /// How many of 1000 writes take only a part.
    pub short_per_1000: u64,
    /// The operation, by its number, during which the power goes off.
    pub power_off_at: Option<u64>,
    /// Nothing may be changed.
    pub read_only: bool,
}

/// How an operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Succeeds,
    /// It reports an error; whether it has an effect is open.
    Fails {
        has_effect: bool,
    },
}

impl Fate {
    pub(super) fn has_effect(self) -> bool {
        !matches!(self, Self::Fails { has_effect: false })
    }

    pub(super) fn result(self) -> io::Result<()> {
        match self {
            Self::Succeeds => Ok(()),
            Self::Fails { .. } => Err(io::Error::other("simulated I/O error")),
        }
    }
}

/// Decides how each operation goes.
#[derive(Debug)]
pub(super) struct FaultInjector {
    faults: Faults,
    rng: SimRng,
    operations: u64,
    off: bool,
}

impl FaultInjector {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            faults: Faults::default(),
            rng: SimRng::new(seed),
            operations: 0,
            off: false,
        }
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(super) fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    pub(super) fn rng(&mut self) -> &mut SimRng {
        &mut self.rng
    }

    /// How many operations that change or sync something have begun so far.
    pub(super) fn operations(&self) -> u64 {
        self.operations
    }

    /// Whether the power is off.
    pub(super) fn is_off(&self) -> bool {
        self.off
    }

    pub(super) fn power_on(&mut self) {
        self.off = false;
    }

    pub(super) fn check_on(&self) -> io::Result<()> {
        if self.off {
            Err(io::Error::other("the power is off"))
        } else {
            Ok(())
        }
    }

    pub(super) fn check_writable(&self) -> io::Result<()> {
        if self.faults.read_only {
            Err(io::ErrorKind::ReadOnlyFilesystem.into())
        } else {
            Ok(())
        }
    }

    /// Counts an operation that changes something, and decides how it goes.
    pub(super) fn begin_change(&mut self) -> io::Result<Fate> {
        self.check_writable()?;
        self.begin_sync()
    }

    /// Counts an operation that syncs something, and decides how it goes.
    pub(super) fn begin_sync(&mut self) -> io::Result<Fate> {
        self.check_on()?;
        self.operations += 1;
        let has_effect = self.rng.coin();
        if self.faults.power_off_at.is_some_and(|at| self.operations >= at) {
            self.off = true;
            return Ok(Fate::Fails { has_effect });
        }
        let fails =
            self.faults.fail_at == Some(self.operations) || self.rng.chance(self.faults.fail_per_1000);
        Ok(if fails {
            Fate::Fails { has_effect }
        } else {
            Fate::Succeeds
        })
    }

    /// How much of a write of `len` bytes, at least one, goes through.
    pub(super) fn written_part(&mut self, len: usize, fate: Fate) -> usize {
        let mut part = len;
        if part > 0 && self.rng.chance(self.faults.short_per_1000) {
            part = self.rng.index(part) + 1;
        }
        if fate == Fate::Succeeds {
            part
        } else {
            part.min(self.rng.index(part + 1))
        }
    }
}
