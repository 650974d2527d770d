//! Texts that must be the same, and the one way in which the engine alone can make them differ.

use super::ScenarioResult;

/// How a verdict begins when lines of output are missing and nothing else is wrong. The engine loses what a short process wrote now and
/// then: of 2,067 `echo | docker run -i … cat` on its own socket, beside a busy suite, 2 printed nothing and ended with 0, and
/// `docker logs` had nothing either. Whose loss it was cannot be told from what a client printed; that the gate loses none is
/// for `run_output__what_the_engine_has_logged_is_what_the_client_got`, which is never repeated for it.
pub(crate) const OUTPUT_LOST: &str = "output is missing";

/// What two runs printed, which must be the same. When lines are missing from one and nothing else is different, the verdict
/// begins with [`OUTPUT_LOST`].
pub(crate) fn same_text(one: &str, other: &str, what: &str, names: [&str; 2]) -> ScenarioResult {
    compared(
        one,
        other,
        within(one, other) || within(other, one),
        what,
        names,
    )
}

/// What a run printed, which must be what is expected. The verdict begins with [`OUTPUT_LOST`] when some of it is missing and
/// nothing else is different.
pub(crate) fn expected_text(expected: &str, got: &str, what: &str) -> ScenarioResult {
    let lost = within(got, expected);
    compared(expected, got, lost, what, ["expected", "got"])
}

/// Whether all lines of a part stand in the whole, in their order.
fn within(part: &str, whole: &str) -> bool {
    let mut whole = whole.lines();
    part.lines().all(|line| whole.any(|other| other == line))
}

fn compared(one: &str, other: &str, lost: bool, what: &str, names: [&str; 2]) -> ScenarioResult {
    if one == other {
        return Ok(());
    }
    let kind = if lost { OUTPUT_LOST } else { "different" };
    let [first, second] = names;
    Err(format!(
        "{kind}: {what}\n--- {first}\n{one}\n--- {second}\n{other}"
    ))
}
