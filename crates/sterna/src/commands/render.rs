//! Model in, text out: nothing here asks, waits or prints.

mod admin;
mod checks;
mod group;
mod impact;
mod operation;
mod report;
mod rescue;
mod service;
mod status;
pub(crate) mod style;
pub(crate) mod table;
mod units;

pub(crate) use admin::{audit, role_word, tokens};
pub(crate) use checks::checks;
pub(crate) use group::{group, groups, history};
pub(crate) use impact::{Change, impact};
pub(crate) use operation::{activity, headline, operation, operations, step_line, whole_steps};
pub(crate) use report::report;
pub(crate) use rescue::{rescue, rescues};
pub(crate) use service::{doctor, service, services};
pub(crate) use status::{change_line, status};
pub(crate) use style::Style;

#[cfg(test)]
mod samples;
#[cfg(test)]
pub(crate) use samples::rescue as sample_rescue;
