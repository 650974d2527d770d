//! The log: one subscriber for `tracing` events, as text on a terminal and JSON otherwise, on standard error.
//!
//! Written here rather than taken from tracing-subscriber because a line for every request is on the hot path: formatting
//! one costs under a microsecond, and writing happens on a thread of its own (see `sink`). Spans are not used.

mod line;
mod sink;
mod terminal;

use std::cell::RefCell;
use std::io::IsTerminal;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

pub use line::Format;
use sink::LogSink;

/// How long the end of the process waits for the log's reader.
const LAST_WORDS: Duration = Duration::from_secs(1);

static SINK: OnceLock<LogSink> = OnceLock::new();
static FORMAT: OnceLock<Format> = OnceLock::new();
static WRITING: AtomicBool = AtomicBool::new(false);
static LEVEL: AtomicUsize = AtomicUsize::new(3);

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Log {
    format: Format,
    /// Whether somebody watches, and whether in colour.
    terminal: Option<bool>,
}

/// Whether standard error is a terminal, and whether it wants colour (no-color.org).
fn terminal() -> Option<bool> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stderr()
        .is_terminal()
        .then(|| !is_set("NO_COLOR") && !is_dumb)
}

/// Starts logging to standard error: lines wait until [`write()`] or [`flush`] is called. Only the first call in a process counts.
pub fn start(level: Level, format: Format) {
    set_level(level);
    if SINK.get().is_some() {
        return;
    }
    SINK.get_or_init(LogSink::default);
    // Fails only when a subscriber is set already, which then stays.
    let _ = tracing::subscriber::set_global_default(Log {
        format,
        terminal: terminal().filter(|_| format == Format::Text),
    });
    let _ = FORMAT.set(format);
}

/// Writes lines out as they come, on a thread of its own. It is started apart from [`start`] so that the thread has the cage of
/// the one that calls. Only the first call in a process counts.
///
/// # Errors
/// When the thread cannot be started.
pub fn write() -> std::io::Result<()> {
    let (Some(sink), Some(format)) = (SINK.get(), FORMAT.get().copied()) else {
        return Ok(());
    };
    if WRITING.swap(true, Relaxed) {
        return Ok(());
    }
    std::thread::Builder::new().name("log".into()).spawn(move || {
        sink.run(std::io::stderr(), |dropped| {
            match format {
                Format::Json => format!("{{\"level\":\"warn\",\"message\":\"Log lines dropped\",\"lines\":{dropped}}}\n"),
                Format::Text => format!("WARN  Log lines dropped lines={dropped}\n"),
            }
            .into_bytes()
        })
    })?;
    Ok(())
}

/// Text on a terminal, JSON otherwise.
#[must_use]
pub fn automatic() -> Format {
    if std::io::stderr().is_terminal() {
        Format::Text
    } else {
        Format::Json
    }
}

/// Changes the level while running.
pub fn set_level(level: Level) {
    LEVEL.store(rank(level), Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// Lines dropped since start because their reader was too slow.
#[must_use]
pub fn dropped() -> u64 {
    SINK.get().map_or(0, LogSink::lost)
}

/// Waits, briefly, until everything logged has been written.
pub fn flush() {
    // Without the thread there is nobody to wait for.
    if write().is_ok()
        && let Some(sink) = SINK.get()
    {
        sink.flush(LAST_WORDS);
    }
}

fn rank(level: Level) -> usize {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target().starts_with("dockgate")
            && rank(*metadata.level()) <= LEVEL.load(Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match LEVEL.load(Relaxed) {
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn event(&self, event: &Event<'_>) {
        let Some(sink) = SINK.get() else { return };
        LINE.with_borrow_mut(|text| {
            text.clear();
            match self.terminal {
                Some(color) => line::write_for_terminal(event, color, text),
                None => line::write(self.format, event, text),
            }
            sink.push(text.as_bytes());
        });
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
