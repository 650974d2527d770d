//! Lines for somebody who watches a terminal: `12:00:04 ada exec.start /exec/3f4e8a1d9c7b/start 101 75ms`.

use std::fmt::{self, Write};

use text::{escape, short_ids};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

const RED: &str = "31";
const YELLOW: &str = "33";
const DIM: &str = "2";

/// What a line is made of.
#[derive(Default)]
struct Parts {
    message: String,
    client: String,
    operation: String,
    path: String,
    status: Option<u64>,
    millis: Option<f64>,
    decision: String,
    rule: String,
    reason: String,
    error: String,
    /// The other fields, as `key=value`.
    rest: String,
}

/// Appends an event to `out`, with its line feed.
pub(super) fn write(event: &Event<'_>, time: fmt::Arguments<'_>, color: bool, out: &mut String) {
    let mut parts = Parts::default();
    event.record(&mut parts);
    let level = *event.metadata().level();
    let mut paint = Paint { color, out };
    paint.put(DIM, time);
    // What is about a request says who did what; everything else says what happened.
    match parts.message.as_str() {
        "Request" | "Session started" | "Session ended" => request(&parts, &mut paint),
        _ => other(&parts, level, &mut paint),
    }
    out.push('\n');
}

struct Paint<'a> {
    color: bool,
    out: &'a mut String,
}

impl Paint<'_> {
    fn put(&mut self, color: &str, text: fmt::Arguments<'_>) {
        let _ = match self.color {
            true => write!(self.out, "\x1b[{color}m{text}\x1b[0m"),
            false => write!(self.out, "{text}"),
        };
    }

    fn plain(&mut self, text: fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(text);
    }
}

fn request(parts: &Parts, paint: &mut Paint<'_>) {
    let client = if parts.client.is_empty() {
        "-"
    } else {
        &parts.client
    };
    paint.plain(format_args!(
        " {client} {} {}",
        parts.operation,
        short_ids(&parts.path)
    ));
    match (parts.status, parts.message.as_str()) {
        (_, "Session started") => paint.plain(format_args!(" started")),
        (Some(status @ 500..), _) => paint.put(RED, format_args!(" {status}")),
        (Some(status @ 400..), _) => paint.put(YELLOW, format_args!(" {status}")),
        (Some(status), _) => paint.plain(format_args!(" {status}")),
        (None, _) => {}
    }
    if let Some(millis) = parts.millis {
        paint.put(DIM, format_args!(" {}", took(millis)));
    }
    if matches!(parts.decision.as_str(), "deny" | "would_deny") {
        let said = if parts.decision == "deny" {
            "denied"
        } else {
            "would be denied"
        };
        paint.put(
            YELLOW,
            format_args!(" {said}: {}: {}", parts.rule, parts.reason),
        );
    } else if !parts.error.is_empty() {
        paint.put(YELLOW, format_args!(" {}", parts.error));
    }
}

fn other(parts: &Parts, level: Level, paint: &mut Paint<'_>) {
    match level {
        Level::ERROR => paint.put(RED, format_args!(" error:")),
        Level::WARN => paint.put(YELLOW, format_args!(" warning:")),
        _ => {}
    }
    paint.plain(format_args!(" {}", parts.message));
    for (key, value) in [
        ("client", &parts.client),
        ("op", &parts.operation),
        ("path", &parts.path),
        ("rule", &parts.rule),
        ("reason", &parts.reason),
    ] {
        if !value.is_empty() {
            paint.plain(format_args!(" {key}={}", short_ids(value)));
        }
    }
    paint.plain(format_args!("{}", parts.rest));
    if !parts.error.is_empty() {
        paint.plain(format_args!(": {}", parts.error));
    }
}

/// `75ms`, `4.2s`, `12m`, `3h`.
fn took(millis: f64) -> String {
    match millis {
        0.0..1_000.0 => format!("{millis:.0}ms"),
        0.0..60_000.0 => format!("{:.1}s", millis / 1e3),
        0.0..3_600_000.0 => format!("{:.0}m", millis / 6e4),
        _ => format!("{:.0}h", millis / 3.6e6),
    }
}

impl Parts {
    fn text(&mut self, field: &Field, value: &str) {
        let value = escape::begun(value, super::line::MAX_VALUE);
        let value = if field.name() == "error" {
            escape::redacted(value)
        } else {
            value.into()
        };
        let value = escape::line(&value);
        let place = match field.name() {
            "message" => &mut self.message,
            "client.id" => &mut self.client,
            "op" => &mut self.operation,
            "path" => &mut self.path,
            "decision" => &mut self.decision,
            "rule" => &mut self.rule,
            "reason" => &mut self.reason,
            "error" => &mut self.error,
            // The JSON has these.
            "conn.id" | "req.id" | "method" | "role" | "busy" | "bytes.in" | "bytes.out" => return,
            "exec.container" => {
                let _ = write!(self.rest, " exec.container={}", short_ids(&value));
                return;
            }
            name => {
                let _ = write!(self.rest, " {name}={value}");
                return;
            }
        };
        place.push_str(&value);
    }
}

impl Visit for Parts {
    fn record_f64(&mut self, field: &Field, value: f64) {
        match field.name() {
            "duration_ms" => self.millis = Some(value),
            _ => self.text(field, &format!("{value:.3}")),
        }
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "status" => self.status = Some(value),
            _ => self.text(field, &value.to_string()),
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Metadata, Subscriber, info, warn};

    use super::*;

    struct Capture(Mutex<String>, bool);

    impl Subscriber for &'static Capture {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn event(&self, event: &Event<'_>) {
            let mut out = self.0.lock().expect("not poisoned");
            write(event, format_args!("12:00:04"), self.1, &mut out);
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    fn lines(color: bool, say: impl FnOnce()) -> String {
        let lines: &'static Capture = Box::leak(Box::new(Capture(Mutex::default(), color)));
        tracing::subscriber::with_default(lines, say);
        lines.0.lock().expect("not poisoned").clone()
    }

    #[test]
    fn a_request_is_who_did_what_and_how_it_ended() {
        let id = "3f4e8a1d9c7b".repeat(6)[..64].to_owned();
        let said = lines(false, || {
            info!(
                conn.id = 7_u64, req.id = "7-1", client.id = "ada", op = "exec.start", path = format!("/v1.51/exec/{id}/start"),
                status = 101_u16, duration_ms = 75.2, bytes.in = 10_u64, "Session ended"
            );
            info!(
                client.id = "bob",
                op = "container.create",
                path = "/v1.51/containers/create",
                status = 403_u16,
                duration_ms = 0.4,
                decision = "deny",
                rule = "binds",
                reason = "Binds[0]=/etc:/x",
                error = "denied",
                "Request"
            );
        });
        assert_eq!(
            said,
            "12:00:04 ada exec.start /exec/3f4e8a1d9c7b/start 101 75ms\n\
             12:00:04 bob container.create /containers/create 403 0ms denied: binds: Binds[0]=/etc:/x\n"
        );
    }

    #[test]
    fn a_warning_says_so_and_nothing_drives_the_terminal() {
        let say = || {
            warn!(
                client.addr = "192.0.2.1:5",
                reason = "ssh",
                error = "SSH\u{1b}[2J\non it",
                "Handshake refused"
            );
        };
        assert_eq!(
            lines(false, say),
            "12:00:04 warning: Handshake refused reason=ssh client.addr=192.0.2.1:5: SSH\\u001b[2J\\non it\n"
        );
        assert!(
            lines(true, say).starts_with("\u{1b}[2m12:00:04\u{1b}[0m\u{1b}[33m warning:\u{1b}[0m ")
        );
    }

    #[test]
    fn a_container_that_is_named_beside_a_cut_is_short_too() {
        let id = "3f4e8a1d9c7b".repeat(6)[..64].to_owned();
        let said = lines(false, || {
            warn!(
                client.id = "ada",
                op = "exec.start",
                path = format!("/v1.51/exec/{id}/start"),
                exec.container = id,
                "Connection cut"
            );
        });
        assert_eq!(
            said,
            "12:00:04 warning: Connection cut client=ada op=exec.start path=/exec/3f4e8a1d9c7b/start exec.container=3f4e8a1d9c7b\n"
        );
    }

    #[test]
    fn times_are_short() {
        for (millis, text) in [
            (0.2, "0ms"),
            (75.0, "75ms"),
            (4_210.0, "4.2s"),
            (720_000.0, "12m"),
            (10_800_000.0, "3h"),
        ] {
            assert_eq!(took(millis), text);
        }
    }
}
