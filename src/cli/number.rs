//! Numbers on the command line, with what was expected where one is mistyped.

use std::ops::RangeInclusive;

/// Reads a number within `range`; `what` says in a few words what is counted.
pub(super) fn number<T>(
    what: &'static str,
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: TryFrom<u64>,
{
    move |text| {
        let given = text.parse().ok().filter(|given| range.contains(given));
        given
            .and_then(|given| T::try_from(given).ok())
            .ok_or_else(|| match *range.end() {
                u64::MAX => format!("expected {what}"),
                most => format!("expected {what} from {} to {most}", range.start()),
            })
    }
}

/// A number of days.
pub(super) fn days(text: &str) -> Result<u32, String> {
    let wrong = |_| "expected a number of days, such as 90".to_owned();
    text.strip_suffix('d')
        .unwrap_or(text)
        .parse()
        .map_err(wrong)
}

/// A connection as `ps` numbers it.
pub(super) fn connection(text: &str) -> Result<u64, String> {
    let wrong = |_| {
        "expected a connection's number, as `dockgate ps` shows it; a client is named with --client"
            .to_owned()
    };
    text.parse().map_err(wrong)
}
