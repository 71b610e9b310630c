//! Made-up runs: good ones, and those that must be rejected.

use super::*;

const EU: usize = 0;
const US: usize = 1;

fn ms(ms: u64) -> Moment {
    Duration::from_millis(ms)
}

fn write(number: u64, at: u64, service: usize) -> Write {
    Write {
        writer: 0,
        number,
        at: ms(at),
        service,
    }
}

fn lost(number: u64, at: u64, service: usize, rescued: bool) -> Lost {
    Lost {
        write: write(number, at, service),
        bytes: 50,
        rescued,
    }
}

fn bound(bytes: u64, bytes_max: Option<u64>) -> Bound {
    Bound {
        bytes,
        bytes_max,
        commands: None,
        exact: false,
    }
}

fn counted(bytes: u64, commands: u64) -> Bound {
    Bound {
        commands: Some(commands),
        exact: true,
        ..bound(bytes, None)
    }
}

/// eu fails over to us after 10 s; the report says these.
fn failover(bounds: Vec<Bound>) -> Account {
    Account {
        services: vec!["eu".to_owned(), "us".to_owned()],
        writes: vec![write(1, 1_000, EU), write(2, 9_000, EU), write(3, 10_500, US)],
        terms: vec![
            Term {
                epoch: 1,
                service: EU,
                from: ms(0),
                to: Some(ms(10_000)),
                end: Some(End::Reported(bounds)),
            },
            Term {
                epoch: 2,
                service: US,
                from: ms(10_000),
                to: None,
                end: None,
            },
        ],
        exceptions: Vec::new(),
        lost: Vec::new(),
        gone: Vec::new(),
        samples: Vec::new(),
        afterwards: Afterwards::Healthy(ms(4_000)),
        differences: None,
        copies_within_history: 0,
        nothing_to_go_on_from: false,
    }
}

#[track_caller]
fn rejected(account: &Account, why: &str) {
    let wrong = judge(account).wrong;
    assert!(
        wrong.len() == 1 && wrong[0].contains(why),
        "wanted one complaint with {why:?}: {wrong:#?}"
    );
}

#[track_caller]
fn accepted(account: &Account) -> Judgement {
    let judgement = judge(account);
    assert!(judgement.wrong.is_empty(), "{:#?}", judgement.wrong);
    judgement
}

#[test]
fn a_failover_without_a_loss_is_good() {
    accepted(&failover(vec![bound(0, Some(0))]));
}

#[test]
fn a_write_after_another_was_promoted_is_a_second_writer() {
    let mut run = failover(vec![bound(0, None)]);
    run.writes.push(write(4, 10_050, EU));
    accepted(&run);
    run.writes.push(write(5, 10_200, EU));
    rejected(&run, "two writers: eu took 1 writes after");
}

#[test]
fn a_write_before_the_promotion_is_a_second_writer() {
    let mut run = failover(vec![bound(0, None)]);
    run.writes.push(write(4, 9_900, US));
    rejected(&run, "two writers: us took 1 writes before");
}

#[test]
fn a_rule_allows_writes_of_its_service_in_its_time_alone() {
    let mut run = failover(vec![bound(0, None)]);
    run.exceptions.push(Exception {
        rule: Rule::Frozen,
        service: EU,
        from: ms(12_000),
        until: ms(14_000),
    });
    run.writes.push(write(4, 12_300, EU));
    run.writes.push(write(5, 12_100, EU));
    let judgement = accepted(&run);
    assert_eq!(judgement.excepted[&Rule::Frozen], (2, ms(2_300)));
    run.writes.push(write(6, 14_100, EU));
    rejected(&run, "two writers");
}

#[test]
fn a_service_that_was_primary_twice_may_write_in_both_terms() {
    let mut run = failover(vec![bound(0, None)]);
    run.terms[1].to = Some(ms(20_000));
    run.terms[1].end = Some(End::Reported(vec![bound(0, None)]));
    run.terms.push(Term {
        epoch: 3,
        from: ms(20_000),
        to: None,
        end: None,
        ..run.terms[0].clone()
    });
    run.writes.push(write(4, 21_000, EU));
    accepted(&run);
    run.writes.push(write(5, 15_000, EU));
    rejected(&run, "two writers: eu");
}

#[test]
fn a_lost_write_needs_a_rescue_file_and_a_report() {
    let mut run = failover(vec![bound(0, Some(5_000)), counted(50, 1)]);
    run.lost = vec![lost(2, 9_000, EU, true)];
    let judgement = accepted(&run);
    assert_eq!((judgement.lost, judgement.rescued), (1, 1));
    run.lost[0].rescued = false;
    rejected(&run, "1 lost acknowledged writes are in no rescue file");
    run.lost[0].rescued = true;
    run.terms[0].end = Some(End::Unreported);
    rejected(&run, "has no report");
}

#[test]
fn a_loss_of_the_primary_that_stayed_one_is_rejected() {
    let mut run = failover(vec![bound(0, None)]);
    run.lost = vec![lost(3, 10_500, US, true)];
    rejected(&run, "it is the primary still");
}

#[test]
fn no_word_of_a_report_may_say_less_than_was_lost() {
    let mut run = failover(vec![bound(0, Some(60)), counted(100, 2)]);
    run.lost = vec![lost(1, 8_000, EU, true), lost(2, 9_000, EU, true)];
    rejected(&run, "the report says at most 60");
    run.terms[0].end = Some(End::Reported(vec![bound(0, Some(100)), counted(60, 2)]));
    rejected(&run, "the report says at most 60");
    run.terms[0].end = Some(End::Reported(vec![bound(0, Some(100)), counted(100, 1)]));
    rejected(&run, "the report counts 1");
    // That nobody can tell is no figure that is too small.
    run.terms[0].end = Some(End::Reported(vec![bound(0, None), counted(120, 2)]));
    accepted(&run);
    // An estimate without a bound that never becomes more.
    run.terms[0].end = Some(End::Reported(vec![bound(0, Some(0))]));
    rejected(&run, "the report says at most 0");
}

#[test]
fn what_a_rule_allows_is_not_foreseen_but_counted() {
    let mut run = failover(vec![bound(0, Some(50)), counted(100, 2)]);
    run.exceptions.push(Exception {
        rule: Rule::Frozen,
        service: EU,
        from: ms(12_000),
        until: ms(14_000),
    });
    run.writes.push(write(4, 12_100, EU));
    run.lost = vec![lost(2, 9_000, EU, true), lost(4, 12_100, EU, true)];
    accepted(&run);
    run.terms[0].end = Some(End::Reported(vec![bound(0, Some(50)), counted(50, 2)]));
    rejected(&run, "the report says at most 50");
}

#[test]
fn what_went_with_a_process_needs_no_file_but_a_report() {
    let mut run = failover(vec![bound(0, Some(100))]);
    run.lost = vec![lost(2, 9_000, EU, false)];
    run.gone.push(Gone {
        why: GoneWhy::Memory,
        service: EU,
        from: ms(0),
        until: ms(9_100),
    });
    assert_eq!(accepted(&run).with_memory, 1);
    run.terms[0].end = Some(End::Reported(vec![bound(0, Some(0))]));
    rejected(&run, "the report says at most 0");
    run.gone[0].until = ms(8_000);
    run.terms[0].end = Some(End::Reported(vec![bound(0, Some(100))]));
    rejected(&run, "in no rescue file");
}

#[test]
fn what_a_sentinel_left_behind_is_not_sternas() {
    let mut run = failover(vec![bound(0, Some(0))]);
    run.lost = vec![lost(2, 9_000, EU, false)];
    run.gone.push(Gone {
        why: GoneWhy::Sentinel,
        service: EU,
        from: ms(8_000),
        until: ms(9_100),
    });
    assert_eq!(accepted(&run).by_sentinel, 1);
}

#[test]
fn what_a_node_takes_beside_the_one_that_its_sentinel_promoted_is_of_the_term_that_ended() {
    let mut run = failover(vec![counted(50, 1)]);
    run.terms[1].service = EU;
    run.writes[2].service = EU;
    run.lost = vec![lost(2, 12_000, EU, true)];
    run.gone.push(Gone {
        why: GoneWhy::Sentinel,
        service: EU,
        from: ms(8_000),
        until: ms(13_000),
    });
    accepted(&run);
    run.terms[0].end = Some(End::Reported(vec![counted(49, 1)]));
    rejected(&run, "of eu in epoch 1");
    run.gone.clear();
    rejected(&run, "the term did not end");
}

#[test]
fn an_operation_that_neither_ends_nor_says_why_is_rejected() {
    let samples = |doing: Doing, seconds: u64| -> Vec<Sample> {
        let sample = |second| Sample {
            at: ms(second * 1_000),
            running: Some(vec![(7, doing.clone())]),
        };
        (0..=seconds).map(sample).collect()
    };
    let mut run = failover(vec![bound(0, None)]);
    let waits = Doing::Waits("for us to have a whole copy".to_owned());
    run.samples = samples(waits, 90);
    accepted(&run);
    run.samples = samples(Doing::Retries("promote: refused".to_owned()), 90);
    accepted(&run);
    run.samples = samples(Doing::Nothing, 4);
    accepted(&run);
    run.samples = samples(Doing::Nothing, 9);
    rejected(&run, "operation 7 does not say for whom it waits");
    run.samples = samples(Doing::Step("promote".to_owned()), 15);
    accepted(&run);
    run.samples = samples(Doing::Step("promote".to_owned()), 60);
    rejected(&run, "operation 7 does not say for whom it waits");
    // While the gateway does not answer nobody can ask it.
    for sample in &mut run.samples {
        if sample.at.as_secs() % 10 == 0 {
            sample.running = None;
        }
    }
    accepted(&run);
}

#[test]
fn a_stuck_group_different_data_and_needless_copies_are_rejected() {
    let mut run = failover(vec![bound(0, None)]);
    run.afterwards = Afterwards::ByAPerson("no replica service is fit".to_owned());
    accepted(&run);
    run.afterwards = Afterwards::Stuck("copying".to_owned());
    rejected(&run, "stuck: copying");
    run.afterwards = Afterwards::Healthy(ms(1));
    run.differences = Some("key a".to_owned());
    rejected(&run, "data differ: key a");
    run.differences = None;
    run.copies_within_history = 2;
    rejected(&run, "2 needless full copies");
    run.nothing_to_go_on_from = true;
    assert_eq!(judge(&run).copies_for_want_of_a_log, 2);
    assert_eq!(judge(&run).wrong, Vec::<String>::new());
}
