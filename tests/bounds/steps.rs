//! Every reading is linear: twice the request costs at most twice the steps.

use ::policy::glob;
use docker_api::work;
use proptest::prelude::*;

use crate::families::{FAMILIES, decide, nowhere, policy};
use crate::turn;

/// Steps that a reading takes whatever was sent.
const FIXED: u64 = 20_000;

/// Steps for a byte: a key is held against every field of its object, two times at most.
const FOR_A_BYTE: u64 = 64;

#[test]
fn the_steps_of_a_decision_are_bounded_by_the_length_of_the_request() {
    let _turn = turn();
    for mode in ["enforce", "report"] {
        let policy = policy(mode, "4MiB");
        for family in FAMILIES {
            let cost = |n: usize| {
                let (target, body) = ((family.target)(n), (family.body)(n));
                let (steps, _) = work::steps(|| decide(&policy, &target, &body, &nowhere()));
                (steps, (target.len() + body.len()) as u64)
            };
            let (small, large) = (cost(2_000), cost(16_000));
            let most = FIXED + FOR_A_BYTE * large.1;
            assert!(
                large.0 <= most,
                "{mode}, {}: {} steps for {} bytes",
                family.name,
                large.0,
                large.1
            );
            // Eight times as long: linear is eight times, quadratic 64 times.
            assert!(
                large.0 <= FIXED + 10 * small.0,
                "{mode}, {}: {} and {} steps",
                family.name,
                small.0,
                large.0
            );
        }
    }
}

#[test]
fn one_parameter_too_many_ends_the_reading_and_one_fewer_does_not() {
    let _turn = turn();
    let policy = policy("enforce", "4MiB");
    let build = |tags: usize| {
        let target = format!(
            "/v1.45/build?{}",
            "t=registry.example.com/a/b&".repeat(tags)
        );
        decide(&policy, &target, "", &nowhere())
    };
    assert!(build(100).is_ok());
    let denied = build(101).expect_err("too many");
    assert_eq!(denied.rule, "parameters");
    assert!(denied.detail.contains("100"), "{denied}");
}

#[test]
fn in_report_mode_a_hundred_thousand_powers_leave_a_short_record_with_a_count() {
    let _turn = turn();
    let policy = policy("report", "4MiB");
    let binds: Vec<String> = (0..100_000).map(|i| format!("\"/etc/{i}:/x\"")).collect();
    let body = format!(
        r#"{{"Image":"b","HostConfig":{{"Binds":[{}]}}}}"#,
        binds.join(",")
    );
    let permitted = decide(&policy, "/containers/create", &body, &nowhere()).expect("report only");
    let denied = permitted.would_deny().expect("it would be denied");
    assert_eq!(denied.rule, "binds");
    let asked = permitted.asked();
    assert!(asked.kept.len() <= 256, "{}", asked.kept.len());
    // The image, the user, the network, the name, memory, cpus and pids too.
    assert_eq!(asked.kept.len() + asked.omitted, 100_007);
}

#[test]
fn in_enforce_mode_reading_stops_at_the_first_denial() {
    let _turn = turn();
    let policy = policy("enforce", "4MiB");
    let body = r#"{"Image":"b","HostConfig":{"Binds":["/etc:/x","/root:/y","/usr:/z"]}}"#;
    let denied = decide(&policy, "/containers/create", body, &nowhere()).expect_err("refused");
    let values: Vec<_> = denied.asked.kept.iter().map(|d| &*d.value).collect();
    assert_eq!(values.last(), Some(&"/etc:/x"), "{values:?}");
    assert!(
        !values.iter().any(|value| value.contains("/root")),
        "{values:?}"
    );
}

/// What `*` means, by trying every length.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| fits(rest, &text[at..])),
        Some((first, rest)) => text.first() == Some(first) && fits(rest, &text[1..]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_glob_means_what_trying_everything_means(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
        let _turn = turn();
        prop_assert_eq!(glob(&pattern, &text), fits(pattern.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn a_glob_takes_no_more_steps_than_pattern_and_text_have_bytes(
        part in "[ab]{1,3}", stars in 1usize..200, repeats in 1usize..2000, end in "[abc]{0,2}",
    ) {
        let _turn = turn();
        let pattern = format!("{}{end}", format!("{part}*").repeat(stars));
        let text = part.repeat(repeats);
        let (steps, _) = work::steps(|| glob(&pattern, &text));
        prop_assert!(steps <= 2 * (pattern.len() + text.len()) as u64 + 8, "{}", steps);
    }
}
