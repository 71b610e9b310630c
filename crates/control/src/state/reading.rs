//! Reading anew how the services are reached: one reading at a time, taken over when no step is under way.

use sterna_model::ServiceName;

use crate::known::{Known, KnownService};

/// How the services are reached, while that is read.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// The services that were read last, or are read now.
    services: Vec<ServiceName>,
    /// What was read of them may be old.
    is_outdated: bool,
    under_way: bool,
    /// Services that are reached in another way than before: what was seen of their nodes says nothing now.
    changed: Vec<ServiceName>,
    /// What was found. A step names its node by its place among those that were known when it was planned, so nothing
    /// is taken over before it ends.
    found: Option<Vec<KnownService>>,
}

impl Reading {
    /// These services are to be known; returns whether they must be read now.
    pub(super) fn is_due<'a>(&mut self, services: impl Iterator<Item = &'a ServiceName> + Clone) -> bool {
        if !self.services.iter().eq(services.clone()) {
            self.services = services.cloned().collect();
            self.is_outdated = true;
        }
        let due = self.is_outdated && !self.under_way;
        if due {
            self.is_outdated = false;
            self.under_way = true;
        }
        due
    }

    /// The services that are read.
    pub(super) fn services(&self) -> &[ServiceName] {
        &self.services
    }

    /// This service is reached in another way.
    pub(super) fn changed(&mut self, service: ServiceName) {
        if self.services.contains(&service) {
            self.changed.push(service);
            self.is_outdated = true;
        }
    }

    /// The reading came to its end. What it found is of no use if the services changed meanwhile.
    pub(super) fn ended(&mut self, found: Vec<KnownService>) {
        self.under_way = false;
        self.found = (!self.is_outdated).then_some(found);
    }

    /// Whether it is not known yet how the services are reached.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way || self.is_outdated
    }

    /// Takes over what was found.
    pub(super) fn take_over(&mut self, known: &mut Known) {
        let Some(found) = self.found.take() else { return };
        for service in self.changed.drain(..) {
            known.nodes.retain(|node| node.key.service != service);
            known.link.following &= service != known.record.primary;
        }
        known.reached(&found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<ServiceName> {
        names.iter().map(|name| name.parse().expect("a name")).collect()
    }

    #[test]
    fn services_are_read_once_for_as_long_as_they_stay() {
        let (mut reading, eu_us) = (Reading::default(), names(&["eu", "us"]));
        assert!(reading.is_due(eu_us.iter()));
        assert!(!reading.is_due(eu_us.iter()) && reading.is_under_way());
        reading.ended(Vec::new());
        assert_eq!(reading.found, Some(Vec::new()));
        assert!(!reading.is_due(eu_us.iter()) && !reading.is_under_way());
    }

    #[test]
    fn what_was_read_before_the_last_change_is_not_taken() {
        let (mut reading, eu_us) = (Reading::default(), names(&["eu", "us"]));
        assert!(reading.is_due(eu_us.iter()));
        reading.changed(eu_us[1].clone());
        assert!(!reading.is_due(eu_us.iter()), "one at a time");
        reading.ended(Vec::new());
        assert_eq!(reading.found, None);
        assert!(reading.is_under_way() && reading.is_due(eu_us.iter()), "again");
    }

    #[test]
    fn a_service_that_leaves_and_joins_while_it_is_read_is_known_at_the_end() {
        let (mut reading, with, without) = (Reading::default(), names(&["eu", "ap"]), names(&["eu"]));
        assert!(reading.is_due(without.iter()));
        assert!(!reading.is_due(with.iter()));
        reading.ended(Vec::new());
        assert!(reading.is_due(with.iter()));
        assert_eq!(reading.services(), with);
    }
}
