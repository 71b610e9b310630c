//! A gateway from the outside, for tests and benches of the whole: its process, its API, a client that follows it by
//! discovery, and its rescue files as a person loads them. Everything is about one group, [`GROUP`].

mod finder;
mod gateway;
mod look;
mod rescues;
mod rest;

pub use finder::Finder;
pub use gateway::{GROUP, Gateway, Setup, succeeded};
pub use look::{DEADLINE, look_until};
pub use rescues::{Rescues, absent, keys};
pub use rest::Rest;
