//! What a request costs in memory is a small multiple of `max_body`.

use peak_alloc::PeakAlloc;
use policy::{DEFAULT_MAX_BODY, EngineAnswer};

use crate::families::{FAMILIES, RequestFamily, decide, nowhere, policy};
use crate::turn;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// A decision may cost this many times `max_body`, the body itself not counted.
const TIMES: usize = 4;

/// The most that was allocated at once while `work` ran, beyond what was there before.
fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = work();
    (MEMORY.peak_usage().saturating_sub(before), result)
}

/// The longest request of a family whose body a policy still reads, and whose head the gate does.
fn longest(family: &RequestFamily, most: usize) -> (String, String) {
    let length = |n: usize| (family.target)(n).len() + (family.body)(n).len();
    let for_each = (length(2_000) - length(1_000)).div_ceil(1_000);
    let mut n = most / for_each;
    // Numbers in the text grow longer.
    while length(n) > most {
        n = n * 15 / 16;
    }
    ((family.target)(n), (family.body)(n))
}

#[test]
fn the_longest_body_costs_a_small_multiple_of_its_length() {
    let _turn = turn();
    for mode in ["enforce", "report"] {
        for (max_body, bytes) in [("1MiB", 1 << 20), ("256KiB", 256 << 10)] {
            let policy = policy(mode, max_body);
            for family in FAMILIES {
                let (target, body) = longest(family, bytes);
                let (peak, _) = peak(|| decide(&policy, &target, &body, &nowhere()));
                assert!(
                    peak <= TIMES * bytes,
                    "{mode}, {}: {peak} bytes for one of {}, {} times",
                    family.name,
                    target.len() + body.len(),
                    peak / bytes
                );
            }
        }
    }
}

#[test]
fn four_megabytes_of_numbers_where_strings_belong_cost_no_more_than_they_are() {
    let _turn = turn();
    let zeros = "0,".repeat((4 << 20) / 2 - 32);
    let body = format!(r#"{{"Image":"x","Env":[{zeros}0]}}"#);
    for mode in ["enforce", "report"] {
        let policy = policy(mode, "4MiB");
        let target = "/v1.45/containers/create";
        let (peak, _) = peak(|| decide(&policy, target, &body, &nowhere()));
        assert!(peak <= TIMES * DEFAULT_MAX_BODY, "{mode}: {peak} bytes");
    }
}

#[test]
fn what_is_kept_of_a_request_for_its_record_is_short() {
    let _turn = turn();
    let policy = policy("report", "1MiB");
    for family in FAMILIES {
        let (target, body) = longest(family, 1 << 20);
        let before = MEMORY.current_usage();
        let kept = decide(&policy, &target, &body, &nowhere());
        let after = MEMORY.current_usage();
        // Twice the 64 KiB of powers, what a target brings along, and the lists around them.
        let most = (512 << 10) + 2 * target.len();
        assert!(
            after.saturating_sub(before) <= most,
            "{}: {} bytes are kept",
            family.name,
            after - before
        );
        drop(kept);
    }
}

#[test]
fn an_answer_of_the_engine_costs_a_small_multiple_of_its_length() {
    let _turn = turn();
    let policy = policy("report", "4MiB");
    let of = |text: &str| EngineAnswer {
        status: 200,
        body: text.as_bytes().to_vec(),
    };
    let many = |unit: &str| unit.repeat((2 << 20) / unit.len() - 32);
    for (name, answer) in [
        ("empty arrays", format!("{{\"Id\":[{}0]}}", many("[],"))),
        ("zeros", format!("{{\"Id\":[{}0]}}", many("0,"))),
        ("members", format!("{{\"Id\":[{}0]}}", many("{\"\":0},"))),
        (
            "binds",
            format!(
                "{{\"Id\":\"a\",\"HostConfig\":{{\"Binds\":[{}\"\"]}}}}",
                many("\"/etc/a/b/c/d/e/f/g/h:/x\",")
            ),
        ),
    ] {
        let answer = of(&answer);
        let (peak, _) =
            peak(|| decide(&policy, "/v1.45/containers/a/exec", "{\"Cmd\":[]}", &answer));
        assert!(
            peak <= TIMES * answer.body.len(),
            "{name}: {peak} bytes for {}",
            answer.body.len()
        );
    }
}

/// An archive with this Dockerfile.
fn archive(dockerfile: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_size(dockerfile.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive
        .append_data(&mut header, "Dockerfile", dockerfile.as_bytes())
        .expect("an archive in memory");
    archive.into_inner().expect("an archive in memory")
}

#[test]
fn a_build_context_costs_a_small_multiple_of_the_longest_dockerfile() {
    let _turn = turn();
    const LONGEST: usize = 1 << 20;
    let policy = policy("enforce", "4MiB");
    let most = LONGEST - 8_192;
    let fill = |line: &dyn Fn(usize) -> String| {
        let mut text = format!("ARG A={}\n", "x".repeat(4_000));
        for number in 0.. {
            let line = line(number);
            if text.len() + line.len() > most {
                return text + "FROM scratch\n";
            }
            text.push_str(&line);
        }
        text
    };
    for (name, dockerfile) in [
        (
            "arguments that repeat a long one",
            fill(&|n| format!("ARG B{n}=$A\n")),
        ),
        ("stages", fill(&|n| format!("FROM scratch AS s{n}\n"))),
        ("copies", fill(&|_| "COPY --from=s . .\n".into())),
        (
            "addresses",
            fill(&|n| format!("ADD http://{n}.example/ .\n")),
        ),
        ("variables", fill(&|_| "ADD $A$A$A$A .\n".into())),
        (
            "one line",
            format!("FROM scratch\nRUN {}\n", "\\\n".repeat(most / 2 - 16)),
        ),
    ] {
        let target = "/v1.45/build?t=registry.example.com/a/b";
        let permitted = decide(&policy, target, "", &nowhere()).expect("permitted so far");
        let context = permitted.context().expect("a context to judge");
        let archive = archive(&dockerfile);
        let (peak, judged) = peak(|| {
            let mut judge = context.judge();
            let pushed = archive
                .chunks(16 << 10)
                .try_for_each(|part| judge.push(part));
            pushed.and_then(|()| judge.finish())
        });
        // A line has a number, a command, flags and the rest; the shortest that says anything has ten bytes.
        assert!(
            peak <= 32 * LONGEST,
            "{name}: {peak} bytes, {} times; {judged:?}",
            peak / LONGEST
        );
    }
}
