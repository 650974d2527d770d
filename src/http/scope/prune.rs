//! The prunes of containers and networks, made of a list and removals: the engine would prune by labels, which containers have of
//! their images too, and the owner's other requests would wait for all of it.

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

/// What is read of a network that may be removed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UnusedNetwork {
    id: String,
    name: String,
    #[serde(default)]
    created: String,
    #[serde(default)]
    labels: Option<HashMap<String, String>>,
}

impl ScopedRequest<'_> {
    /// Removes the containers that the owner made, that do not run, and that the filters let pass, each by its id.
    pub(super) async fn prune_containers(&self, view: &OwnerView<'_>) -> Result<Course, Halt> {
        let (filters, mut reply) = self.pruned_nothing().await?;
        let until = until(&filters)?;
        let (mut deleted, mut reclaimed) = (Vec::new(), 0_u64);
        for (id, size) in self.prunable(view, &filters, until).await? {
            if self.is_removed(view, &format!("/containers/{id}")).await? {
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

    /// Removes the networks that the owner made, that the filters let pass, and that have no container in them: the engine keeps others.
    pub(super) async fn prune_networks(&self, view: &OwnerView<'_>) -> Result<Course, Halt> {
        let (filters, mut reply) = self.pruned_nothing().await?;
        let until = until(&filters)?;
        let mut deleted = Vec::new();
        for network in view.listed("/networks").await? {
            let network: UnusedNetwork = serde_json::from_value(network).map_err(|e| wrong(&e))?;
            let label = |name: &str| network.labels.as_ref()?.get(name).map(String::as_str);
            let is_kept = filters.has("label!") && filters.match_labels("label!", label);
            let is_other = !filters.match_labels("label", label);
            // One whose age is not told is not older than anything.
            let is_later = until.is_some_and(|until| {
                time_of(&network.created).is_none_or(|created| created > until)
            });
            if is_kept || is_other || is_later {
                continue;
            }
            if self
                .is_removed(view, &format!("/networks/{}", network.id))
                .await?
            {
                deleted.push(network.name);
            }
        }
        if !deleted.is_empty() {
            let body = json!({"NetworksDeleted": deleted});
            reply.body = format!("{body}\n").into_bytes();
        }
        Ok(Course::Answer(reply))
    }

    /// The filters, and the engine's answer where nothing is removed: it says what is wrong with them. It is asked to remove what has a
    /// label that nothing has.
    async fn pruned_nothing(&self) -> Result<(ListFilters, EngineReply), Halt> {
        let mut asked = self.query()?;
        let filters = Self::filters(&asked)?;
        let mut ghosts = Ghosts::default();
        let mut nothing = filters.clone();
        nothing.add("label", &ghosts.of("")?);
        asked.set("filters", &nothing.to_json());
        let target = self.target("", &asked.to_suffix());
        let reply = self.perform(target, Vec::new()).await?;
        match reply.status {
            200 => Ok((filters, reply)),
            _ => Err(Halt::Answer(ghosts.put_back(reply))),
        }
    }

    /// Removes one object, under the owner's lock, which others get in between. One that was used or removed meanwhile stays, or is
    /// gone, as it is when the engine prunes.
    async fn is_removed(&self, view: &OwnerView<'_>, path: &str) -> Result<bool, Halt> {
        let _lock = self.lock(view).await;
        let removal = EngineCall {
            method: "DELETE".into(),
            target: format!("{}{path}", self.version()),
            ..EngineCall::default()
        };
        Ok(self.call(removal).await?.status < 300)
    }

    /// Ids and sizes of what is to be removed.
    async fn prunable(
        &self,
        view: &OwnerView<'_>,
        filters: &ListFilters,
        until: Option<OffsetDateTime>,
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
        let listed = containers(&reply.body).map_err(|e| wrong(&e))?;
        let stopped: Vec<StoppedContainer<'_>> =
            serde_json::from_slice(&reply.body).map_err(|e| wrong(&e))?;
        let mut by = MadeBy::new(&view.client.owner);
        let mut found = Vec::new();
        for (container, more) in listed.iter().zip(&stopped) {
            let label = |name: &str| more.labels.as_ref()?.get(name).map(|value| &**value);
            let is_kept = filters.has("label!") && filters.match_labels("label!", label);
            // The list says when it was made in whole seconds.
            let is_later = until.is_some_and(|until| more.created >= until.unix_timestamp());
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

fn wrong(error: &serde_json::Error) -> Halt {
    Halt::Refused(Status::BadGateway, format!("the engine's answer: {error}"))
}

/// The time that `until` means. The engine has found it readable.
fn until(filters: &ListFilters) -> Result<Option<OffsetDateTime>, Halt> {
    let Some(text) = filters.values("until").next() else {
        return Ok(None);
    };
    let now = OffsetDateTime::now_utc();
    let read = match (seconds(text), duration(text), time_of(text)) {
        (Some(seconds), _, _) => OffsetDateTime::from_unix_timestamp(seconds).ok(),
        (_, Some(ago), _) => time::Duration::try_from(ago)
            .ok()
            .and_then(|ago| now.checked_sub(ago)),
        (_, _, read) => read,
    };
    let unread = || {
        let message = "filters: until: expected a duration such as \"10m\", a time with its zone, or seconds since 1970";
        Halt::Refused(Status::BadRequest, message.to_owned())
    };
    read.map(Some).ok_or_else(unread)
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

fn time_of(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::{OffsetDateTime, StoppedContainer, duration, seconds, time_of};
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
        let second = |text: &str| time_of(text).map(OffsetDateTime::unix_timestamp);
        assert_eq!(second("2006-01-02T15:04:05Z"), Some(1_136_214_245));
        assert_eq!(second("2006-01-02T15:04:05+01:00"), Some(1_136_210_645));
        assert_eq!(second("2006-01-02"), None);
    }
}
