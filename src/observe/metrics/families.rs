//! The table of metrics: one row each. The encoder, the reference page's test and the dashboard's test read it.

use prometheus_client::metrics::MetricType;

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name, without `_total`, `_bucket` and the like.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricType,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

impl Family {
    /// The name of its samples, as queries have it; a histogram's also end in `_bucket`, `_sum` and `_count`.
    #[must_use]
    pub fn sample(&self) -> String {
        match self.kind {
            MetricType::Counter => format!("{}_total", self.name),
            MetricType::Info => format!("{}_info", self.name),
            _ => self.name.to_owned(),
        }
    }
}

macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) const $constant: Family = Family {
            name: $name, kind: MetricType::$kind, labels: &[$($label),*], help: $help,
        };)*

        /// Every metric, in the order of the page.
        pub const FAMILIES: &[Family] = &[$($constant),*];
    };
}

families! {
    BUILD: Info "dockgate_build" ["version"] "The running version.";
    ACCEPTED: Counter "dockgate_connections_accepted" [] "TCP connections accepted.";
    CONNECTIONS: Gauge "dockgate_connections" [] "Live connections of verified clients, tunnels included.";
    TUNNELS: Gauge "dockgate_tunnels" [] "Live connections that are hijacked: attach, exec, build sessions.";
    IN_FLIGHT: Gauge "dockgate_requests_in_flight" [] "Requests in progress, tunnels aside.";
    CLIENTS: Gauge "dockgate_clients" [] "Client keys with at least one live connection.";
    SHAKING: Gauge "dockgate_handshakes_in_flight" [] "TLS handshakes in progress.";
    HANDSHAKES: Counter "dockgate_handshakes" ["outcome"] "TLS handshakes finished, by outcome.";
    REQUESTS: Counter "dockgate_requests" ["class", "kind", "decision", "status"] "Requests finished, by class and kind of operation, decision and class of the status code.";
    BUILD_CALLS: Counter "dockgate_build_calls" ["call", "decision"] "Calls of judged builds finished, by call and decision.";
    DURATION: Histogram "dockgate_request_duration_seconds" ["class", "shape"] "Time from a request's head to the end of its answer, or of its tunnel.";
    BYTES: Counter "dockgate_bytes" ["direction"] "Bytes carried for clients, without TLS overhead: in is from clients, out is to clients.";
    LIMITED: Counter "dockgate_limit_refusals" ["limit"] "Connections and requests turned away by a limit, by the name of its setting.";
    CUTS: Counter "dockgate_cuts" ["reason"] "Live connections that were cut, by reason.";
    UPSTREAM_CONNECTS: Counter "dockgate_upstream_connects" [] "Attempts to connect to the Docker Engine for a client.";
    UPSTREAM_ERRORS: Counter "dockgate_upstream_errors" ["reason"] "Failures of the Docker Engine that a client noticed, by reason.";
    ENGINE_UP: Gauge "dockgate_engine_up" [] "Whether the Docker Engine answered GET /_ping in time at this scrape.";
    DRAINING: Gauge "dockgate_draining" [] "Whether the gate is draining before its end.";
    RELOADS: Counter "dockgate_reloads" ["outcome"] "Reloads of certificates, lists and policy, by outcome.";
    LAST_RELOAD_OK: Gauge "dockgate_last_reload_successful" [] "Whether the last reload succeeded; after a failure the old configuration stays in force.";
    LAST_RELOAD: Gauge "dockgate_last_reload_success_timestamp_seconds" [] "When the last successful reload, or the start, was.";
    SIGNER_CLOCK: Gauge "dockgate_signer_clock_difference_seconds" [] "How far the clock of the signer of an enrolled gate is ahead of the gate's; missing until the signer has answered.";
    CERT_EXPIRY: Gauge "dockgate_certificate_expiry_timestamp_seconds" ["role"] "When the server certificate, the first client CA or the first CRL expires.";
    CERT_WARNING: Gauge "dockgate_certificate_warning_timestamp_seconds" ["role"] "From when the gate warns that the server certificate, the first client CA or the first CRL expires, by the measure of its life.";
    CLIENT_EXPIRY: Gauge "dockgate_client_certificate_expiry_timestamp_seconds" [] "When the first certificate of a connected client expires.";
    CLIENTS_EXPIRING: Gauge "dockgate_clients_expiring" ["within"] "Connected clients whose certificate expires within this time, or of which the gate warns.";
    LOG_DROPPED: Counter "dockgate_log_lines_dropped" [] "Log lines dropped because their reader was too slow.";
    CPU: Counter "process_cpu_seconds" [] "User and system CPU time spent in seconds.";
    RESIDENT: Gauge "process_resident_memory_bytes" [] "Resident memory size in bytes.";
    VIRTUAL: Gauge "process_virtual_memory_bytes" [] "Virtual memory size in bytes.";
    THREADS: Gauge "process_threads" [] "Operating system threads.";
    OPEN_FDS: Gauge "process_open_fds" [] "Open file descriptors.";
    MAX_FDS: Gauge "process_max_fds" [] "Maximum number of open file descriptors.";
    START: Gauge "process_start_time_seconds" [] "Start time of the process since the Unix epoch in seconds.";
}
