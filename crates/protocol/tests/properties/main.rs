//! Properties of every parser: any split of the input gives the same events, what was encoded is read back, a cut
//! input is waited for, and nonsense is an error and never a panic.

mod command;
mod handshake;
mod pieces;
mod rdb;
mod reply;
mod sentinel;
mod stream;
mod stream_model;
