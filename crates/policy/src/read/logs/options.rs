//! The options of log drivers: one table, with the shape that each value must have.
//!
//! The engine evaluates some of them by itself, and holds memory by others, so a value has bounds under every driver. Where an
//! option says where the log goes, or names a file, the reader of [`super`] judges it too.

use crate::read::evaluated::{SizeBase, TemplateFields, Templates, size, small_pattern};

/// The shape of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OptionShape {
    /// `true` or `false`, as Go reads them.
    Flag,
    /// A whole number, from the first to the second.
    Count(i64, i64),
    /// Bytes in powers of 1000, at least so many.
    AtLeast(u64),
    /// Bytes in powers of 1024, at most so many.
    AtMost(u64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A regular expression.
    Pattern,
    /// A template.
    Template,
    /// Any text of a usual length.
    Plain,
}

use OptionShape::{AtLeast, AtMost, Count, Flag, OneOf, Pattern, Plain, Template};

/// Most steps of a pattern: it is held against every label, variable or line.
const MOST_STEPS: usize = 512;

/// Longest plain text: lists of labels and variables, addresses, tokens.
const LONGEST: usize = 4096;

/// Longest template.
const LONGEST_TEMPLATE: usize = 1024;

/// Least size of a file: at each the engine renames all that are kept. Most that are kept.
const LEAST_FILE: u64 = 10_000;
const MOST_FILES: i64 = 100;

/// Most memory in which lines wait for a driver.
const MOST_BUFFER: u64 = 32 << 20;

/// Options of every driver, and of the files that the engine keeps of what goes elsewhere: they say how much is kept and what is noted
/// with it, and not where it goes. Without a driver they alone pass.
const COMMON: &[(&str, OptionShape)] = &[
    ("mode", OneOf(&["blocking", "non-blocking"])),
    ("max-buffer-size", AtMost(MOST_BUFFER)),
    ("max-size", AtLeast(LEAST_FILE)),
    ("max-file", Count(1, MOST_FILES)),
    ("compress", Flag),
    ("tag", Template),
    ("labels", Plain),
    ("labels-regex", Pattern),
    ("env", Plain),
    ("env-regex", Pattern),
    ("cache-disabled", Flag),
    ("cache-max-size", AtLeast(LEAST_FILE)),
    ("cache-max-file", Count(1, MOST_FILES)),
    ("cache-compress", Flag),
];

/// Options of the drivers that send the log elsewhere.
const REMOTE: &[(&str, OptionShape)] = &[
    ("syslog-address", Plain),
    ("syslog-facility", Plain),
    ("syslog-format", Plain),
    ("syslog-tls-ca-cert", Plain),
    ("syslog-tls-cert", Plain),
    ("syslog-tls-key", Plain),
    ("syslog-tls-skip-verify", Plain),
    ("gelf-address", Plain),
    ("gelf-compression-type", OneOf(&["gzip", "zlib", "none"])),
    ("gelf-compression-level", Count(-1, 9)),
    ("gelf-tcp-max-reconnect", Count(0, 1000)),
    ("gelf-tcp-reconnect-delay", Count(0, 3600)),
    ("fluentd-address", Plain),
    ("fluentd-async", Flag),
    ("fluentd-async-connect", Flag),
    ("fluentd-async-reconnect-interval", Plain),
    ("fluentd-buffer-limit", AtMost(MOST_BUFFER)),
    ("fluentd-max-retries", Count(0, u32::MAX as i64)),
    ("fluentd-request-ack", Flag),
    ("fluentd-retry-wait", Plain),
    ("fluentd-sub-second-precision", Flag),
    ("fluentd-write-timeout", Plain),
    ("fluentd-read-timeout", Plain),
    ("splunk-url", Plain),
    ("splunk-token", Plain),
    ("splunk-source", Plain),
    ("splunk-sourcetype", Plain),
    ("splunk-index", Plain),
    ("splunk-capath", Plain),
    ("splunk-caname", Plain),
    ("splunk-insecureskipverify", Flag),
    ("splunk-format", OneOf(&["inline", "json", "raw"])),
    ("splunk-verify-connection", Flag),
    ("splunk-gzip", Flag),
    ("splunk-gzip-level", Count(-1, 9)),
    ("splunk-index-acknowledgment", Flag),
    ("awslogs-region", Plain),
    ("awslogs-endpoint", Plain),
    ("awslogs-group", Plain),
    ("awslogs-stream", Plain),
    ("awslogs-create-group", Flag),
    ("awslogs-create-stream", Flag),
    ("awslogs-datetime-format", Pattern),
    ("awslogs-multiline-pattern", Pattern),
    ("awslogs-credentials-endpoint", Plain),
    ("awslogs-force-flush-interval-seconds", Count(1, 86_400)),
    ("awslogs-max-buffered-events", Count(1, 16_384)),
    ("awslogs-format", Plain),
    ("gcp-project", Plain),
    ("gcp-log-cmd", Plain),
    ("gcp-meta-zone", Plain),
    ("gcp-meta-name", Plain),
    ("gcp-meta-id", Plain),
];

/// The drivers of the engine itself. Others are plugins, with options of their own, which the engine hands on.
const BUILT_IN: &[&str] = &[
    "awslogs",
    "etwlogs",
    "fluentd",
    "gcplogs",
    "gelf",
    "journald",
    "json-file",
    "local",
    "none",
    "splunk",
    "syslog",
];

/// What `tag` may refer to: the fields that the engine documents, and those that others use.
const TAG: TemplateFields = TemplateFields {
    short: &[
        ".ID",
        ".FullID",
        ".Name",
        ".ImageID",
        ".ImageFullID",
        ".ImageName",
        ".DaemonName",
        ".Hostname",
        ".ContainerID",
        ".ContainerName",
        ".ContainerImageID",
        ".ContainerImageName",
    ],
    long: &[".Command"],
    maps: &[".ContainerLabels", "(.ExtraAttributes nil)"],
    expected: "expected text with {{.Name}}, {{.ID}}, {{.FullID}}, {{.ImageName}}, {{.ImageID}} or {{.DaemonName}} in it, and no function",
};

/// Whether an option passes without a driver: it goes to the daemon's default, whatever that is.
pub(super) fn is_common(key: &str) -> bool {
    COMMON.iter().any(|(name, _)| *name == key)
}

/// What is wrong with an option under a driver; the empty driver is the daemon's default.
pub(super) fn fault(driver: &str, key: &str, value: &str) -> Option<String> {
    let table = COMMON.iter().chain(REMOTE);
    match table.into_iter().find(|(name, _)| *name == key) {
        // Empty is the default, or a fault that the engine tells.
        Some(_) if value.is_empty() => None,
        Some((_, shape)) => shape.fault(value),
        None if BUILT_IN.contains(&driver) => Some(format!("not an option of {driver}")),
        None => None,
    }
}

impl OptionShape {
    fn fault(self, value: &str) -> Option<String> {
        let passes = match self {
            Flag => matches!(
                value,
                "1" | "t"
                    | "T"
                    | "true"
                    | "TRUE"
                    | "True"
                    | "0"
                    | "f"
                    | "F"
                    | "false"
                    | "FALSE"
                    | "False"
            ),
            Count(least, most) => {
                value.len() <= 12
                    && value
                        .parse()
                        .is_ok_and(|count: i64| (least..=most).contains(&count))
            }
            AtLeast(least) => size(value, SizeBase::Decimal).is_some_and(|size| size >= least),
            AtMost(most) => size(value, SizeBase::Binary).is_some_and(|size| size <= most),
            OneOf(words) => words.contains(&value),
            Pattern => small_pattern(value, MOST_STEPS),
            Template => value.len() <= LONGEST_TEMPLATE && Templates::of(&TAG).admit(value),
            Plain => value.len() <= LONGEST,
        };
        (!passes).then(|| self.expected())
    }

    fn expected(self) -> String {
        match self {
            Flag => "expected true or false".into(),
            Count(least, most) => format!("expected a whole number from {least} to {most}"),
            AtLeast(least) => format!("expected a size of at least {}k, such as 10m", least / 1000),
            AtMost(most) => format!("expected a size of at most {}m", most >> 20),
            OneOf(words) => format!("expected {}", words.join(" or ")),
            Pattern => format!(
                "expected a regular expression of ASCII of at most {MOST_STEPS} characters, repetitions counted, without \\p and repeated groups"
            ),
            Template => format!("{}, of at most {LONGEST_TEMPLATE} bytes", TAG.expected),
            Plain => format!("expected at most {LONGEST} bytes"),
        }
    }
}
