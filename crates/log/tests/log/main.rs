//! Tests of the log as its owner uses it: through its public interface, on real and on simulated disks.

mod campaign;
mod common;
mod everyday;
