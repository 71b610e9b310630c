//! Tests of the log as its owner uses it: through its public interface, on real and on simulated disks.

mod aside;
mod campaign;
mod common;
mod concurrent;
mod damage;
mod every_step;
mod full_disk;
mod inspection;
mod killed;
mod links;
mod operations;
mod snapshots;
