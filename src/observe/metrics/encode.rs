//! Everything as text: OpenMetrics 1.0, or the older Prometheus text format for who asks for nothing newer.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use buildkit::Call;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::families::{self as f, Family};
use super::process::ProcessFigures;
use super::{
    CLASSES, DecisionLabel, Expiry, HANDSHAKES, KINDS, Limit, Metrics, RISKS, Reload, STATUSES,
    Shape, UpstreamError, build_place, place,
};
use crate::observe::registry::{Cut, Totals};

const DAY: i64 = 86_400;

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text format 0.0.4, which every tool of the field reads.
    Prometheus,
}

impl Syntax {
    /// By the `Accept` field of the scraper.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The value of `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The counters, and what was read off at the moment of the scrape.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Sums over the live connections.
    pub totals: Totals,
    /// When the gate's own files expire.
    pub expiry: Expiry,
    /// Whether the engine answers.
    pub engine_up: bool,
    /// Whether the gate drains.
    pub draining: bool,
    /// Log lines dropped since start.
    pub log_lines_dropped: u64,
}

impl Scene {
    /// The page.
    #[must_use]
    pub fn text(self, syntax: Syntax) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut page = String::with_capacity(32 * 1024);
        // Writing to a string cannot fail.
        let _ = text::encode(&mut page, &registry);
        match syntax {
            Syntax::OpenMetrics => page,
            Syntax::Prometheus => prometheus(&page),
        }
    }
}

/// The older format knows no `info` type, names a counter by its sample, and has no end mark.
fn prometheus(page: &str) -> String {
    let mut out = String::with_capacity(page.len() + 1024);
    let mut help = "";
    for line in page.lines() {
        if line == "# EOF" {
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest;
            continue;
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            let text = help.strip_prefix(name).unwrap_or_default();
            let _ = write!(
                out,
                "# HELP {name}{suffix}{text}\n# TYPE {name}{suffix} {kind}\n"
            );
            continue;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// What `encode_counter` takes for "no exemplar".
const NO_EXEMPLAR: Option<&Exemplar<[(&str, &str); 0], f64>> = None;

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn family(&mut self, family: &Family) -> Result<MetricEncoder<'_>, fmt::Error> {
        self.0
            .encode_descriptor(family.name, family.help, None, family.kind)
    }

    fn counter(&mut self, family: &Family, value: u64) -> fmt::Result {
        self.family(family)?.encode_counter(&value, NO_EXEMPLAR)
    }

    fn gauge(&mut self, family: &Family, value: usize) -> fmt::Result {
        self.family(family)?
            .encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn float(&mut self, family: &Family, value: f64) -> fmt::Result {
        self.family(family)?.encode_gauge(&value)
    }

    /// A counter with one label; every value of its set is shown, so that a rate exists before the first event.
    fn counters<'l>(
        &mut self,
        family: &Family,
        ids: impl IntoIterator<Item = &'l str>,
        counters: &[AtomicU64],
    ) -> fmt::Result {
        let mut encoder = self.family(family)?;
        for (id, counter) in ids.into_iter().zip(counters) {
            let labels = [(family.labels[0], id)];
            encoder
                .encode_family(&labels)?
                .encode_counter(&counter.load(Relaxed), NO_EXEMPLAR)?;
        }
        Ok(())
    }
}

impl Collector for Scene {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let page = &mut Page(encoder);
        page.family(&f::BUILD)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        self.traffic(page)?;
        self.requests(page)?;
        self.state(page)?;
        self.expires(page)?;
        page.counter(&f::LOG_DROPPED, self.log_lines_dropped)?;
        process(page)
    }
}

impl Scene {
    fn traffic(&self, page: &mut Page<'_>) -> fmt::Result {
        let (metrics, totals) = (&self.metrics, &self.totals);
        page.counter(&f::ACCEPTED, metrics.accepted.load(Relaxed))?;
        page.gauge(&f::CONNECTIONS, totals.connections)?;
        page.gauge(&f::TUNNELS, totals.tunnels)?;
        page.gauge(&f::IN_FLIGHT, totals.requests)?;
        page.gauge(&f::CLIENTS, totals.clients)?;
        page.gauge(&f::SHAKING, totals.handshakes)?;
        page.counters(&f::HANDSHAKES, HANDSHAKES, &metrics.handshakes)?;
        let mut bytes = page.family(&f::BYTES)?;
        for (direction, n) in [("in", totals.bytes_in), ("out", totals.bytes_out)] {
            bytes
                .encode_family(&[("direction", direction)])?
                .encode_counter(&n, NO_EXEMPLAR)?;
        }
        Ok(())
    }

    /// Of the thousand possible series only those that have happened are shown.
    fn requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let mut encoder = page.family(&f::REQUESTS)?;
        for (c, class) in CLASSES.iter().enumerate() {
            for (k, kind) in KINDS.iter().enumerate() {
                for decision in DecisionLabel::ALL {
                    for (s, status) in STATUSES.iter().enumerate() {
                        let n = self.metrics.requests[place(c, k, decision, s)].load(Relaxed);
                        if n > 0 {
                            let labels = [
                                ("class", *class),
                                ("kind", kind),
                                ("decision", decision.id()),
                                ("status", status),
                            ];
                            encoder
                                .encode_family(&labels)?
                                .encode_counter(&n, NO_EXEMPLAR)?;
                        }
                    }
                }
            }
        }
        let mut encoder = page.family(&f::BUILD_CALLS)?;
        let calls = Call::ALL.iter().copied().map(Some).chain([None]);
        for call in calls {
            for decision in DecisionLabel::ALL {
                let n = self.metrics.build_calls[build_place(call, decision)].load(Relaxed);
                if n > 0 {
                    let id = call.map_or("build.unknown", Call::id);
                    encoder
                        .encode_family(&[("call", id), ("decision", decision.id())])?
                        .encode_counter(&n, NO_EXEMPLAR)?;
                }
            }
        }
        let mut encoder = page.family(&f::DURATION)?;
        for (class, shapes) in CLASSES[..RISKS].iter().zip(&self.metrics.durations) {
            for (shape, histogram) in Shape::ALL.into_iter().zip(shapes) {
                let (sum, count, buckets) = histogram.read();
                if count > 0 {
                    encoder
                        .encode_family(&[("class", *class), ("shape", shape.id())])?
                        .encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)?;
                }
            }
        }
        Ok(())
    }

    fn state(&self, page: &mut Page<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        page.counters(&f::LIMITED, Limit::ALL.map(Limit::key), &metrics.limits)?;
        page.counters(&f::CUTS, Cut::IDS, &metrics.cuts)?;
        page.counter(
            &f::UPSTREAM_CONNECTS,
            metrics.upstream_connects.load(Relaxed),
        )?;
        let reasons = UpstreamError::ALL.map(UpstreamError::id);
        page.counters(&f::UPSTREAM_ERRORS, reasons, &metrics.upstream_errors)?;
        page.gauge(&f::ENGINE_UP, usize::from(self.engine_up))?;
        page.gauge(&f::DRAINING, usize::from(self.draining))?;
        page.counters(&f::RELOADS, Reload::ALL.map(Reload::id), &metrics.reloads)?;
        let ok = !metrics.last_reload_failed.load(Relaxed);
        page.gauge(&f::LAST_RELOAD_OK, usize::from(ok))?;
        let last = metrics.last_reload.load(Relaxed) as f64 / 1e3;
        page.float(&f::LAST_RELOAD, last)?;
        let mut clock = page.family(&f::SIGNER_CLOCK)?;
        match metrics.signer_clock_seconds() {
            Some(seconds) => clock.encode_gauge(&seconds),
            None => Ok(()),
        }
    }

    fn expires(&self, page: &mut Page<'_>) -> fmt::Result {
        let expiry = &self.expiry;
        for (family, moments) in [
            (&f::CERT_EXPIRY, &expiry.ends),
            (&f::CERT_WARNING, &expiry.warned_from),
        ] {
            let mut encoder = page.family(family)?;
            for (role, at) in moments {
                encoder
                    .encode_family(&[("role", *role)])?
                    .encode_gauge(at)?;
            }
        }
        let clients = &self.totals.client_expiry;
        let mut encoder = page.family(&f::CLIENT_EXPIRY)?;
        if let Some(first) = clients.first() {
            encoder.encode_gauge(first)?;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |t| i64::try_from(t.as_secs()).unwrap_or(i64::MAX));
        let mut encoder = page.family(&f::CLIENTS_EXPIRING)?;
        let within = |days| clients.partition_point(|end| *end < now + days * DAY);
        let warned_of = self.totals.client_warnings.iter();
        for (within, n) in [
            ("1d", within(1)),
            ("7d", within(7)),
            ("30d", within(30)),
            ("warning", warned_of.filter(|from| **from <= now).count()),
        ] {
            encoder
                .encode_family(&[("within", within)])?
                .encode_gauge(&i64::try_from(n).unwrap_or(i64::MAX))?;
        }
        Ok(())
    }
}

fn process(page: &mut Page<'_>) -> fmt::Result {
    let Some(process) = ProcessFigures::read() else {
        return Ok(());
    };
    page.family(&f::CPU)?
        .encode_counter(&process.cpu_seconds, NO_EXEMPLAR)?;
    for (family, value) in [
        (f::RESIDENT, process.resident_bytes),
        (f::VIRTUAL, process.virtual_bytes),
        (f::THREADS, process.threads),
        (f::OPEN_FDS, process.open_fds),
        (f::MAX_FDS, process.max_fds),
    ] {
        page.float(&family, value as f64)?;
    }
    page.float(&f::START, process.start_seconds)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use docker_api::Operation;

    fn scene(metrics: Arc<Metrics>) -> Scene {
        Scene {
            metrics,
            totals: Totals {
                client_expiry: vec![0, i64::MAX],
                ..Totals::default()
            },
            expiry: Expiry {
                ends: vec![("server", 7)],
                warned_from: vec![("server", 5)],
            },
            engine_up: true,
            draining: false,
            log_lines_dropped: 0,
        }
    }

    #[test]
    fn both_syntaxes_name_every_family_once_and_end_as_they_should() {
        let metrics = Arc::new(Metrics::default());
        metrics.request(
            Operation::SystemPing,
            DecisionLabel::Allowed,
            Some(200),
            Duration::from_millis(3),
        );
        let open = scene(metrics.clone()).text(Syntax::OpenMetrics);
        let old = scene(metrics).text(Syntax::Prometheus);
        assert!(open.ends_with("# EOF\n"));
        assert!(!old.contains("# EOF"));
        for family in crate::observe::metrics::FAMILIES {
            let kind = family.kind.as_str();
            let line = format!("# TYPE {} {kind}\n", family.name);
            assert_eq!(open.matches(&line).count(), 1, "{line}");
            let kind = if kind == "info" { "gauge" } else { kind };
            let line = format!("# TYPE {} {kind}\n", family.sample());
            assert_eq!(old.matches(&line).count(), 1, "{line}");
            let line = format!("# HELP {} {}\n", family.sample(), family.help);
            assert_eq!(old.matches(&line).count(), 1, "{line}");
        }
        let request = "dockgate_requests_total{class=\"read\",kind=\"inspect\",decision=\"allowed\",status=\"2xx\"} 1\n";
        assert!(open.contains(request) && old.contains(request), "{open}");
        assert!(open.contains("dockgate_request_duration_seconds_bucket{le=\"0.005\",class=\"read\",shape=\"plain\"} 1\n"), "{open}");
        assert!(
            open.contains("dockgate_certificate_expiry_timestamp_seconds{role=\"server\"} 7\n")
        );
        assert!(!open.contains("role=\"crl\""));
        assert!(open.contains("dockgate_clients_expiring{within=\"1d\"} 1\n"));
    }

    #[test]
    fn the_newer_syntax_is_only_for_who_asks_for_it() {
        let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(Syntax::accepted(accept), Syntax::OpenMetrics);
        assert_eq!(Syntax::accepted("*/*"), Syntax::Prometheus);
    }
}
