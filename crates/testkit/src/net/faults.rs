//! Which host hears which no more, and the router's rules for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::Host;

/// What the router does to packets from one host to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Drop,
    Reject,
}

/// All faults of a network, by sender and receiver.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(BTreeMap<(Ipv4Addr, Ipv4Addr), Fault>);

impl Faults {
    pub(super) fn set(&mut self, from: &Host, to: &Host, fault: Fault) {
        self.0.insert((from.address(), to.address()), fault);
    }

    pub(super) fn clear(&mut self, from: &Host, to: &Host) {
        self.0.remove(&(from.address(), to.address()));
    }

    pub(super) fn clear_all(&mut self) {
        self.0.clear();
    }

    /// Input for `nft -f` that puts exactly these faults in force, in one transaction. Nothing here asks for the state
    /// of a connection, so that established ones are hit too.
    pub(super) fn rules(&self) -> String {
        // A table can only be deleted when it exists, and adding it twice is no error.
        let mut rules = "table inet sterna\ndelete table inet sterna\ntable inet sterna {\n\
                         chain forward {\ntype filter hook forward priority 0; policy accept;\n"
            .to_owned();
        for ((from, to), fault) in &self.0 {
            let pair = format!("ip saddr {from} ip daddr {to}");
            let written = match fault {
                Fault::Drop => writeln!(rules, "{pair} drop"),
                Fault::Reject => writeln!(
                    rules,
                    "{pair} meta l4proto tcp reject with tcp reset\n{pair} reject with icmp type port-unreachable"
                ),
            };
            written.expect("a String takes all");
        }
        rules.push_str("}\n}\n");
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fault_of_a_direction_counts() {
        let host = |name: &str, last| Host::new(name, Ipv4Addr::new(10, 0, 0, last), None);
        let (one, two) = (host("one", 1), host("two", 2));
        let mut faults = Faults::default();
        let none = faults.rules();
        faults.set(&one, &two, Fault::Reject);
        faults.set(&one, &two, Fault::Drop);
        faults.set(&two, &one, Fault::Reject);
        let rules = faults.rules();
        assert!(
            rules.contains("ip saddr 10.0.0.1 ip daddr 10.0.0.2 drop\n"),
            "{rules}"
        );
        assert!(
            !rules.contains("ip saddr 10.0.0.1 ip daddr 10.0.0.2 meta"),
            "{rules}"
        );
        assert!(
            rules.contains("ip saddr 10.0.0.2 ip daddr 10.0.0.1 meta l4proto tcp reject"),
            "{rules}"
        );
        faults.clear(&two, &one);
        assert!(!faults.rules().contains("reject"), "{}", faults.rules());
        faults.clear_all();
        assert_eq!(faults.rules(), none);
    }
}
