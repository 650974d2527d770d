//! The prune of containers, made of a list and removals: the engine would prune by labels, which containers have of their images too.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ghost::Ghosts;
use super::listed::containers;
use super::view::OwnerView;
use super::{Course, EngineCall, Halt, ScopedRequest, Status};
use crate::engine::lookup::EngineReply;
use policy::scope::MadeBy;
use policy::scope::filters::ListFilters;
use policy::scope::parameters::encoded;

/// States of containers that do not run.
const STOPPED: [&str; 3] = ["created", "dead", "exited"];

/// What else is read of a container that may be removed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StoppedContainer<'l> {
    #[serde(default)]
    created: i64,
    /// The engine says -1 where it cannot tell.
    #[serde(default)]
    size_rw: i64,
    #[serde(default, borrow)]
    labels: Option<HashMap<Cow<'l, str>, Cow<'l, str>>>,
}

impl ScopedRequest<'_> {
    /// Removes the containers that the owner made, that do not run, and that the filters let pass, each by its id.
    pub(super) async fn prune_containers(&self, view: &OwnerView<'_>) -> Result<Course, Halt> {
        let query = self.query()?;
        let filters = Self::filters(&query)?;
        // The engine says what is wrong with the filters. It is asked to remove what has a label that nothing has.
        let mut ghosts = Ghosts::default();
        let mut nothing = filters.clone();
        nothing.add("label", &ghosts.of("")?);
        let mut asked = query.clone();
        asked.set("filters", &nothing.to_json());
        let target = self.target("", &asked.to_suffix());
        let mut reply = self.perform(target, Vec::new()).await?;
        if reply.status != 200 {
            return Ok(Course::Answer(ghosts.put_back(reply)));
        }
        let until = until(&filters)?;
        let (mut deleted, mut reclaimed) = (Vec::new(), 0_u64);
        for (id, size) in self.prunable(view, &filters, until).await? {
            let removal = EngineCall {
                method: "DELETE".into(),
                target: format!("{}/containers/{id}", self.version()),
                ..EngineCall::default()
            };
            // One that was started or removed meanwhile stays, or is gone, as it is when the engine prunes.
            if self.call(removal).await?.status < 300 {
                deleted.push(id);
                reclaimed = reclaimed.saturating_add(size);
            }
        }
        if !deleted.is_empty() {
            let body = json!({"ContainersDeleted": deleted, "SpaceReclaimed": reclaimed});
            reply.body = format!("{body}\n").into_bytes();
        }
        Ok(Course::Answer(reply))
    }

    /// Ids and sizes of what is to be removed.
    async fn prunable(
        &self,
        view: &OwnerView<'_>,
        filters: &ListFilters,
        until: Option<i64>,
    ) -> Result<Vec<(String, u64)>, Halt> {
        let mut narrow = ListFilters::default();
        narrow.add("label", &view.client.owner.filter());
        for label in filters.values("label") {
            narrow.add("label", label);
        }
        for state in STOPPED {
            narrow.add("status", state);
        }
        let call = EngineCall {
            method: "GET".into(),
            target: format!(
                "{}/containers/json?all=1&size=1&filters={}",
                self.version(),
                encoded(&narrow.to_json())
            ),
            ..EngineCall::default()
        };
        let reply: EngineReply = self.call(call).await?;
        if reply.status != 200 {
            return Err(Halt::Answer(reply));
        }
        let wrong = |e: serde_json::Error| {
            Halt::Refused(Status::BadGateway, format!("the engine's answer: {e}"))
        };
        let listed = containers(&reply.body).map_err(wrong)?;
        let stopped: Vec<StoppedContainer<'_>> =
            serde_json::from_slice(&reply.body).map_err(wrong)?;
        let mut by = MadeBy::new(&view.client.owner);
        let mut found = Vec::new();
        for (container, more) in listed.iter().zip(&stopped) {
            let label = |name: &str| more.labels.as_ref()?.get(name).map(|value| &**value);
            let is_kept = filters.has("label!") && filters.match_labels("label!", label);
            // The list says when it was made in whole seconds.
            let is_later = until.is_some_and(|until| more.created >= until);
            if container.is_made(&mut by) && !is_kept && !is_later {
                found.push((
                    container.id().to_owned(),
                    more.size_rw.try_into().unwrap_or(0),
                ));
            }
        }
        Ok(found)
    }
}

/// The second since 1970 that `until` means. The engine has found it readable.
fn until(filters: &ListFilters) -> Result<Option<i64>, Halt> {
    let Some(text) = filters.values("until").next() else {
        return Ok(None);
    };
    let now = OffsetDateTime::now_utc();
    let read = match (seconds(text), duration(text), time_of(text)) {
        (Some(seconds), _, _) => Some(seconds),
        (_, Some(ago), _) => time::Duration::try_from(ago)
            .ok()
            .and_then(|ago| now.checked_sub(ago))
            .map(OffsetDateTime::unix_timestamp),
        (_, _, read) => read,
    };
    let wrong = || {
        let message = "filters: until: expected a duration such as \"10m\", a time with its zone, or seconds since 1970";
        Halt::Refused(Status::BadRequest, message.to_owned())
    };
    read.map(Some).ok_or_else(wrong)
}

/// Seconds since 1970, with or without parts of one.
fn seconds(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits(whole) && digits(part)).then(|| whole.parse().ok())?
}

/// A duration as Go writes it, such as `1h30m`, which is not negative.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut sum = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let number: f64 = number.parse().ok()?;
        let end = behind
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        sum = sum.checked_add(Duration::try_from_secs_f64(number * unit).ok()?)?;
        rest = behind;
    }
    Some(sum)
}

fn time_of(text: &str) -> Option<i64> {
    let read = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(read.unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::{StoppedContainer, duration, seconds, time_of};
    use std::time::Duration;

    #[test]
    fn a_container_whose_size_cannot_be_told_is_read_like_the_others() {
        let list = r#"[{"Id":"a","Created":1,"SizeRw":-1,"Labels":{"a":"\u0026"}},{"Id":"b","Created":2,"SizeRw":5,"Labels":null},{"Id":"c"}]"#;
        let read: Vec<StoppedContainer<'_>> = serde_json::from_str(list).expect("a list");
        let sizes: Vec<i64> = read.iter().map(|container| container.size_rw).collect();
        assert_eq!(sizes, [-1, 5, 0]);
        let labels = read.first().and_then(|container| container.labels.as_ref());
        let label = labels.and_then(|labels| labels.get("a"));
        assert_eq!(label.map(|value| &**value), Some("&"));
    }

    #[test]
    fn a_time_is_read_as_the_engine_reads_it() {
        assert_eq!(duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("300ms"), Some(Duration::from_millis(300)));
        for odd in [
            "", "-1h", "10", "h", "1d", "1h 2m", "1hm", "+", "9e99h", ".h",
        ] {
            assert_eq!(duration(odd), None, "{odd}");
        }
        assert_eq!(seconds("1136073845.000000001"), Some(1_136_073_845));
        for odd in ["", "-1", "1.", ".5", "1h", "99999999999999999999"] {
            assert_eq!(seconds(odd), None, "{odd}");
        }
        assert_eq!(time_of("2006-01-02T15:04:05Z"), Some(1_136_214_245));
        assert_eq!(time_of("2006-01-02T15:04:05+01:00"), Some(1_136_210_645));
        assert_eq!(time_of("2006-01-02"), None);
    }
}
