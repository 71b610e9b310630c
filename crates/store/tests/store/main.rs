//! The store as the crates above see it: on real files, with real processes that are killed.

mod access;
mod catalogue;
mod common;
mod files;
mod killed;
mod model;
mod races;
mod secrets;
mod values;
