//! What a reload changes in the configuration beyond trust and policy.

use crate::config::Config;

/// Names of settings that differ but are only read at the start.
pub(super) fn restart_only(old: &Config, new: &Config) -> Vec<&'static str> {
    let pairs = [
        ("hosts", old.listen != new.listen),
        ("upstream", old.upstream != new.upstream),
        ("metrics", old.metrics != new.metrics),
        ("control-socket", old.control_socket != new.control_socket),
        ("workers", old.workers != new.workers),
        ("log-format", old.log.format != new.log.format),
        ("limits", old.limits != new.limits),
        (
            "upstream-connect-timeout",
            old.upstream_connect_timeout != new.upstream_connect_timeout,
        ),
        (
            "exit-on-stale-socket",
            old.exit_on_stale_socket != new.exit_on_stale_socket,
        ),
        ("audit", old.audit != new.audit),
        ("audit-failure", old.audit_failure != new.audit_failure),
        ("authz-plugin", old.authz_plugin != new.authz_plugin),
        (
            "handshake-timeout",
            old.handshake_timeout != new.handshake_timeout,
        ),
        ("head-timeout", old.head_timeout != new.head_timeout),
        ("drain-timeout", old.drain_timeout != new.drain_timeout),
        ("tunnel-grace", old.tunnel_grace != new.tunnel_grace),
        ("tcp-keepalive", old.tcp_keepalive != new.tcp_keepalive),
        (
            "reload-interval",
            old.reload_interval != new.reload_interval,
        ),
    ];
    pairs
        .into_iter()
        .filter_map(|(name, changed)| changed.then_some(name))
        .collect()
}

/// The names asked for in the server certificate of `--auto-certs`.
pub(super) fn names(config: &Config) -> Option<&[String]> {
    config.auto_certs.as_ref().map(|auto| auto.sans.as_slice())
}
