//! One event as one line, as text or as JSON. Control characters cannot break a line in either.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use text::escape;
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people: short lines on a terminal, whole ones elsewhere.
    Text,
    /// For machines, one object a line.
    Json,
}

thread_local! {
    /// The second last formatted on this thread, and its text: most lines of a busy gate share it.
    static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

/// Appends an event to `out`, with its line feed.
pub(super) fn write(format: Format, event: &Event<'_>, out: &mut String) {
    let level = *event.metadata().level();
    match format {
        Format::Json => {
            out.push_str("{\"time\":\"");
            timestamp(out);
            out.push_str("\",\"level\":\"");
            out.push_str(name(level));
            out.push('"');
            event.record(&mut LogFields { format, out });
            out.push_str("}\n");
        }
        Format::Text => {
            timestamp(out);
            out.push_str(match level {
                Level::ERROR => " ERROR ",
                Level::WARN => " WARN  ",
                Level::INFO => " INFO  ",
                Level::DEBUG => " DEBUG ",
                Level::TRACE => " TRACE ",
            });
            event.record(&mut LogFields { format, out });
            out.push('\n');
        }
    }
}

/// Appends an event to `out` for somebody who watches a terminal.
pub(super) fn write_for_terminal(event: &Event<'_>, color: bool, out: &mut String) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let (hour, minute, second) = (
        now.as_secs() / 3600 % 24,
        now.as_secs() / 60 % 60,
        now.as_secs() % 60,
    );
    let time = format_args!("{hour:02}:{minute:02}:{second:02}");
    super::terminal::write(event, time, color, out);
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(out: &mut String) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now.as_secs() {
            *second = now.as_secs();
            text.clear();
            let at = i64::try_from(*second)
                .ok()
                .and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok())
                .unwrap_or(OffsetDateTime::UNIX_EPOCH);
            let (date, time) = (at.date(), at.time());
            let _ = write!(
                text,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                date.year(),
                u8::from(date.month()),
                date.day(),
                time.hour(),
                time.minute(),
                time.second()
            );
        }
        out.push_str(text);
    });
    let _ = write!(out, ".{:03}Z", now.subsec_millis());
}

/// Whether a field's text was written for people and may quote a file or an option.
fn tells(field: &Field) -> bool {
    matches!(field.name(), "error" | "message")
}

/// What may be logged of a text: an error shows nothing of a key, no matter where it comes from.
fn shown<'v>(field: &Field, value: &'v str) -> Cow<'v, str> {
    if tells(field) {
        escape::redacted(value)
    } else {
        Cow::Borrowed(value)
    }
}

/// Longest value of a field, in bytes of the line; an event has a dozen fields.
pub(super) const MAX_VALUE: usize = 4096;

/// Escapes what is written to it, as far as there is room.
struct Escaped<'a> {
    out: &'a mut String,
    room: usize,
}

impl<'a> Escaped<'a> {
    fn new(out: &'a mut String) -> Self {
        Self {
            out,
            room: MAX_VALUE,
        }
    }
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let before = self.out.len();
        if 6 * s.len() <= self.room {
            escape::json(s, self.out);
            self.room -= self.out.len() - before;
        } else if self.room > 0 {
            // Longer than the rest of the room even if nothing is escaped, or close to it.
            let begun = escape::begun(s, self.room);
            escape::json(begun, self.out);
            self.room -= self.out.len() - before;
            if begun.len() < s.len() {
                self.room = 0;
                self.out.push('…');
            }
        }
        Ok(())
    }
}

/// Appends an event's fields.
struct LogFields<'a> {
    format: Format,
    out: &'a mut String,
}

impl LogFields<'_> {
    fn key(&mut self, field: &Field) {
        let (before, after) = match self.format {
            Format::Json => (",\"", "\":"),
            Format::Text => (" ", "="),
        };
        self.out.push_str(before);
        self.out.push_str(field.name());
        self.out.push_str(after);
    }

    fn value(&mut self, field: &Field, value: impl fmt::Display) {
        self.key(field);
        let _ = write!(self.out, "{value}");
    }

    fn quoted(&mut self, value: fmt::Arguments<'_>) {
        self.out.push('"');
        let _ = Escaped::new(self.out).write_fmt(value);
        self.out.push('"');
    }
}

impl Visit for LogFields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if self.format == Format::Json && !value.is_finite() {
            self.value(field, "null");
        } else {
            self.value(field, format_args!("{value:.3}"));
        }
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field);
        let value = &*shown(field, value);
        let bare = self.format == Format::Text
            && !value.is_empty()
            && value.len() <= MAX_VALUE
            && value
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'=');
        if bare {
            self.out.push_str(value);
        } else {
            self.quoted(format_args!("{value}"));
        }
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match self.format {
            Format::Json if tells(field) => self.record_str(field, &format!("{value:?}")),
            Format::Json => {
                self.key(field);
                self.quoted(format_args!("{value:?}"));
            }
            Format::Text if field.name() == "message" => {
                let text = format!("{value:?}");
                let _ = Escaped::new(self.out).write_str(&escape::redacted(&text));
            }
            Format::Text => self.record_str(field, &format!("{value:?}")),
        }
    }
}
