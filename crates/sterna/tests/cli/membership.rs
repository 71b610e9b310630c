//! Services that join and leave a group, and the group's end.

use sterna_testkit::{Server, wait_until};

use crate::groups::{Pair, set};
use crate::support::{DEADLINE, url};

#[test]
fn a_service_joins_leaves_and_becomes_a_primary_of_its_own() {
    let pair = Pair::start(&[]);
    let gateway = &pair.gateway;
    let ap = Server::start();
    set(&ap, "key", "value");
    gateway.run(&["service", "add", "ap", "--url", &url(&ap)]).good();
    let args = ["group", "add-replica", "orders", "ap", "--overwrite"];
    gateway.run(&args).good();
    let said = gateway.run(&["group", "remove-replica", "orders", "ap", "--yes"]);
    assert!(
        said.err.contains("One replica service is left after this."),
        "{}",
        said.err
    );
    said.good();
    gateway.run(&["group", "add-replica", "orders", "ap"]).good();
    gateway.run(&["detach", "orders", "ap", "--yes"]).good();
    set(&ap, "mine", "it takes writes");
}

#[test]
fn a_group_ends_and_its_services_are_forgotten() {
    let pair = Pair::start(&[]);
    let gateway = &pair.gateway;
    let said = gateway.run(&["service", "remove", "eu", "--yes"]).failed(3);
    assert!(said.contains("orders"), "{said}");
    gateway.run(&["group", "delete", "orders", "--yes"]).good();
    wait_until(DEADLINE, "the group is gone", || {
        match gateway.run(&["status", "orders"]) {
            said if said.code == 3 => Ok(()),
            said => Err(said.out),
        }
    });
    let said = gateway.run(&["service", "remove", "eu", "--yes"]);
    assert!(said.err.contains("service eu is forgotten"), "{}", said.err);
    said.good();
    let audit = gateway.run(&["audit"]).good();
    assert!(
        audit.contains("group.delete") && audit.contains("service.delete"),
        "{audit}"
    );
}
