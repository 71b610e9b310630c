//! A script or transaction that is larger than a group takes.

use sterna_model::{GroupSettings, GroupState};
use sterna_testkit::{Server, digests_equal};

use crate::common::Site;

#[test]
fn one_that_is_larger_than_the_limit_is_replaced_by_a_full_copy() {
    let site = Site::new();
    let gateway = &site.gateway;
    let (eu, us) = (Server::start(), Server::start());
    gateway.add_service("eu", &[&eu]);
    gateway.add_service("us", &[&us]);
    let settings = GroupSettings {
        unit_bytes_max: 2 << 20,
        ..GroupSettings::default()
    };
    gateway.create_group("eu", &["us"], settings);
    let copies = us.full_copies_taken();
    let script = "for i = 1, 6 do redis.call('SET', 'large:' .. i, string.rep('x', 1048576)) end";
    eu.client().cmd(&["EVAL", script, "0"]).expect("run");
    digests_equal(&eu, &us).expect("equal");
    assert_eq!(us.full_copies_taken(), copies + 1, "{}", us.log_tail());
    gateway.wait_state(GroupState::Healthy);
    eu.client().cmd(&["SET", "after", "1"]).expect("written");
    digests_equal(&eu, &us).expect("equal");
    assert_eq!(us.full_copies_taken(), copies + 1, "{}", us.log_tail());
}
