//! The configuration file: TOML, flat, each setting by the name its flag has. `[authz_plugin] socket = …` is another spelling of
//! `authz-plugin`, and `[protected] paths = […]` of `protected-paths`.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::error::ConfigProblem;
use crate::config::key::{KEYS, Key, SettingKind, suggest};
use crate::config::layer::{Layer, LayerEntry};
use crate::config::origin::Origin;
use text::escape;

/// A configuration file is not larger.
pub const MAX_BYTES: usize = 1 << 20;

/// The setting that has a section too.
const PLUGIN: &str = "authz-plugin";
const PLUGIN_SECTION: &str = "authz_plugin";

/// The section whose keys are settings that begin with its name.
const PROTECTED: &str = "protected";

/// What came of reading a file: a fault in one setting does not hide the others.
#[derive(Debug)]
pub struct Parsed {
    /// The settings that are well written.
    pub layer: Layer,
    /// What is wrong with the others.
    pub problems: Vec<ConfigProblem>,
    /// Whether the text is TOML throughout: if not, what is missing may have been meant.
    pub whole: bool,
}

/// Reads the settings in `bytes`, the contents of `path`. Never panics, whatever the bytes.
pub fn parse(path: &Path, bytes: &[u8]) -> Parsed {
    let at = |line: usize| Origin::File {
        path: path.to_owned(),
        line,
    };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(err) => {
            let line = line_of(bytes, err.valid_up_to());
            return Parsed {
                layer: Layer::new(),
                problems: vec![ConfigProblem::new(at(line), "expected UTF-8 text")],
                whole: false,
            };
        }
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let fault = |err: &toml::de::Error| {
        let line = line_of(text.as_bytes(), err.span().map_or(0, |span| span.start));
        ConfigProblem::new(
            at(line),
            format!("not valid TOML: {}", err.message().replace('\n', ", ")),
        )
    };
    let mut problems: Vec<_> = errors.iter().map(fault).collect();
    // What follows the first on a line is most often a consequence.
    problems.dedup_by(|next, first| next.origin == first.origin);
    problems.truncate(5);
    let mut reading = FileReading {
        path,
        text,
        parsed: Parsed {
            whole: problems.is_empty(),
            layer: Layer::new(),
            problems,
        },
    };
    for (name, value) in table.get_ref() {
        reading.entry(name, value, table.get_ref());
    }
    reading.parsed
}

/// A file that is being read.
struct FileReading<'f> {
    path: &'f Path,
    text: &'f str,
    parsed: Parsed,
}

impl FileReading<'_> {
    fn at(&self, span: Range<usize>) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            line: line_of(self.text.as_bytes(), span.start),
        }
    }

    fn problem(&mut self, span: Range<usize>, message: String) {
        let problem = ConfigProblem::new(self.at(span), message);
        self.parsed.problems.push(problem);
    }

    /// A key at the top of the file: a setting, or a section of settings.
    fn entry(
        &mut self,
        name: &Spanned<Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        file: &DeTable<'_>,
    ) {
        match (name.get_ref().as_ref(), value.get_ref()) {
            (PLUGIN_SECTION, DeValue::Table(section)) => match plugin_socket(section, file) {
                Ok(socket) => {
                    if let Some(key) = Key::named(PLUGIN) {
                        self.setting(key, socket.span(), socket);
                    }
                }
                Err((part, message)) => {
                    self.problem(part.unwrap_or_else(|| name.span()), message);
                }
            },
            (PROTECTED, DeValue::Table(section)) => {
                for (part, value) in section {
                    match protected(part.get_ref(), file) {
                        Ok(key) => self.setting(key, part.span(), value),
                        Err(message) => self.problem(part.span(), message),
                    }
                }
            }
            (text, found) => match Key::named(text) {
                Some(key) => self.setting(key, name.span(), value),
                // What a broken line leaves behind need not be a key at all.
                None if !self.parsed.whole => {}
                None => {
                    let problem = unknown_key(text, found, self.at(name.span()));
                    self.parsed.problems.push(problem);
                }
            },
        }
    }

    fn setting(&mut self, key: &'static Key, span: Range<usize>, value: &Spanned<DeValue<'_>>) {
        match items(key.kind, value) {
            Ok(items) => {
                let entry = LayerEntry {
                    items,
                    origin: self.at(span),
                    base: self.path.parent().map(Path::to_owned),
                };
                self.parsed.layer.insert(key.name, entry);
            }
            Err(_) if !self.parsed.whole => {}
            Err(found) => {
                let problem = wrong_type(key, found, self.at(found.span()));
                self.parsed.problems.push(problem);
            }
        }
    }
}

fn wrong_type(key: &Key, found: &Spanned<DeValue<'_>>, origin: Origin) -> ConfigProblem {
    let message = format!(
        "{} is {}; expected {}",
        key.name,
        describe(found.get_ref()),
        key.kind.expected()
    );
    ConfigProblem::new(origin, message)
}

/// The setting that a key of `[protected]` is.
fn protected(part: &str, file: &DeTable<'_>) -> Result<&'static Key, String> {
    let name = format!("{PROTECTED}-{part}");
    let Some(key) = Key::named(&name) else {
        return Err(format!(
            "unknown key {part:?} in [{PROTECTED}]; expected paths, volumes or images"
        ));
    };
    match file.contains_key(name.as_str()) {
        true => Err(format!(
            "{name} and {part} in [{PROTECTED}] are both set: keep one of the two"
        )),
        false => Ok(key),
    }
}

/// The one value of `[authz_plugin]`, or what is wrong with the section, and where in it.
fn plugin_socket<'a, 'i>(
    section: &'a DeTable<'i>,
    file: &DeTable<'_>,
) -> Result<&'a Spanned<DeValue<'i>>, (Option<Range<usize>>, String)> {
    if let Some(other) = section.keys().find(|key| key.get_ref() != "socket") {
        let message = format!(
            "unknown key {} in [{PLUGIN_SECTION}]; expected socket alone",
            escape::quoted(other.get_ref())
        );
        return Err((Some(other.span()), message));
    }
    if file.contains_key(PLUGIN) {
        let message = format!("{PLUGIN} and [{PLUGIN_SECTION}] are both set: keep one of the two");
        return Err((None, message));
    }
    section.get("socket").ok_or_else(|| {
        let message = format!("[{PLUGIN_SECTION}] is empty; expected socket = \"/PATH\"");
        (None, message)
    })
}

/// The value's items as text, or the part that has the wrong type.
fn items<'a, 'i>(
    kind: SettingKind,
    value: &'a Spanned<DeValue<'i>>,
) -> Result<Vec<String>, &'a Spanned<DeValue<'i>>> {
    let text = |value: &'a Spanned<DeValue<'i>>| match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        _ => Err(value),
    };
    match (kind, value.get_ref()) {
        (SettingKind::List { .. }, DeValue::Array(array)) => array.iter().map(text).collect(),
        (SettingKind::Text { .. } | SettingKind::List { .. }, _) => Ok(vec![text(value)?]),
        (SettingKind::Count | SettingKind::OptionalCount, DeValue::Integer(number))
            if number.radix() == 10 =>
        {
            Ok(vec![number.as_str().to_owned()])
        }
        (SettingKind::OptionalCount, DeValue::String(text)) if text == "off" => {
            Ok(vec![text.to_string()])
        }
        (SettingKind::Switch, DeValue::Boolean(on)) => Ok(vec![on.to_string()]),
        (SettingKind::Count | SettingKind::OptionalCount | SettingKind::Switch, _) => Err(value),
    }
}

fn unknown_key(name: &str, value: &DeValue<'_>, origin: Origin) -> ConfigProblem {
    let names = || KEYS.iter().map(|key| key.name);
    if let DeValue::Table(table) = value {
        let problem = ConfigProblem::new(
            origin,
            format!(
                "unknown section [{}]: the file has none",
                escape::line(&escape::redacted(name))
            ),
        );
        let joined = table.keys().find_map(|sub| {
            let joined = format!("{name}-{}", sub.get_ref());
            suggest(&joined, names()).or_else(|| suggest(sub.get_ref(), names()))
        });
        return match joined {
            Some(meant) => problem.hint(format!("did you mean {meant:?}, at the top level?")),
            None => problem,
        };
    }
    let problem = ConfigProblem::new(origin, format!("unknown key {}", escape::quoted(name)));
    match suggest(name, names()) {
        Some(meant) => problem.hint(format!("did you mean {meant:?}?")),
        None => problem.hint("config/dockgate.toml and `dockgate serve --help` list them"),
    }
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {}", escape::quoted(text)),
        DeValue::Integer(number) => format!("the integer {}", number.as_str()),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(on) => format!("the boolean {on}"),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "an array".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// The line, counted from 1, of a byte offset.
fn line_of(text: &[u8], offset: usize) -> usize {
    let before = &text[..offset.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
