//! Would clients of the source find at a target what they rely on, once it takes over?

use sterna_model::{Check, Subject};

use super::observe::Node;
use crate::client_settings::{ClientSettings, Difference};

const NAME: &str = "client settings";

/// What is different at a target that is to follow the source. Modules are judged with the engines.
pub(super) fn judge(subject: &Subject, source: &Node, target: &Node) -> Vec<Check> {
    let mut found = source.client_settings.differences(&target.client_settings, false);
    found.retain(|found| !matches!(found, Difference::ModuleMissing { .. }));
    told(subject, &found)
}

/// What is different at a node that follows the primary.
pub fn compare(subject: &Subject, primary: &ClientSettings, node: &ClientSettings) -> Vec<Check> {
    told(subject, &primary.differences(node, true))
}

fn told(subject: &Subject, found: &[Difference]) -> Vec<Check> {
    if found.is_empty() {
        let detail =
            "users, limits, notifications and modules are as at the primary, as far as they can be read";
        return vec![Check::pass(subject, NAME, detail)];
    }
    let warn = |found: &Difference| Check::warn(subject, NAME, found.to_string(), found.advice());
    found.iter().map(warn).collect()
}
