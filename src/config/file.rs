//! The configuration file: TOML, flat, each setting by the name its flag has. `[authz_plugin] socket = …` is another spelling of
//! `authz-plugin`, and `[protected] paths = […]` of `protected-paths`.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::error::ConfigProblem;
use crate::config::key::{KEYS, Key, Kind, suggest};
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
    let mut layer = Layer::new();
    let mut problems: Vec<_> = errors.iter().take(5).map(fault).collect();
    let whole = problems.is_empty();
    let base = path.parent().map(Path::to_owned);
    for (name, value) in table.get_ref() {
        let mut value = value;
        let mut origin = at(line_of(text.as_bytes(), name.span().start));
        let mut named = Key::named(name.get_ref());
        if let (PLUGIN_SECTION, DeValue::Table(section)) =
            (name.get_ref().as_ref(), value.get_ref())
        {
            match plugin_socket(section, table.get_ref()) {
                Ok(socket) => {
                    (named, value) = (Key::named(PLUGIN), socket);
                    origin = at(line_of(text.as_bytes(), socket.span().start));
                }
                Err((part, message)) => {
                    if let Some(part) = part {
                        origin = at(line_of(text.as_bytes(), part.start));
                    }
                    problems.push(ConfigProblem::new(origin, message));
                    continue;
                }
            }
        }
        if let (PROTECTED, DeValue::Table(section)) = (name.get_ref().as_ref(), value.get_ref()) {
            for (part, value) in section {
                let origin = at(line_of(text.as_bytes(), part.span().start));
                match protected(part.get_ref(), table.get_ref()) {
                    Ok(key) => match items(key.kind, value) {
                        Ok(items) => {
                            let base = base.clone();
                            let entry = LayerEntry {
                                items,
                                origin,
                                base,
                            };
                            layer.insert(key.name, entry);
                        }
                        Err(_) if !whole => {}
                        Err(found) => problems.push(wrong_type(key, found, origin)),
                    },
                    Err(message) => problems.push(ConfigProblem::new(origin, message)),
                }
            }
            continue;
        }
        let Some(key) = named else {
            // What a broken line leaves behind need not be a key at all.
            if whole {
                problems.push(unknown_key(name.get_ref(), value.get_ref(), origin));
            }
            continue;
        };
        match items(key.kind, value) {
            Ok(items) => {
                layer.insert(
                    key.name,
                    LayerEntry {
                        items,
                        origin,
                        base: base.clone(),
                    },
                );
            }
            Err(_) if !whole => {}
            Err(found) => {
                let line = line_of(text.as_bytes(), found.span().start);
                problems.push(wrong_type(key, found, at(line)));
            }
        }
    }
    Parsed {
        layer,
        problems,
        whole,
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
    kind: Kind,
    value: &'a Spanned<DeValue<'i>>,
) -> Result<Vec<String>, &'a Spanned<DeValue<'i>>> {
    let text = |value: &'a Spanned<DeValue<'i>>| match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        _ => Err(value),
    };
    match (kind, value.get_ref()) {
        (Kind::List { .. }, DeValue::Array(array)) => array.iter().map(text).collect(),
        (Kind::Text { .. } | Kind::List { .. }, _) => Ok(vec![text(value)?]),
        (Kind::Count | Kind::OptionalCount, DeValue::Integer(number)) if number.radix() == 10 => {
            Ok(vec![number.as_str().to_owned()])
        }
        (Kind::OptionalCount, DeValue::String(text)) if text == "off" => Ok(vec![text.to_string()]),
        (Kind::Switch, DeValue::Boolean(on)) => Ok(vec![on.to_string()]),
        (Kind::Count | Kind::OptionalCount | Kind::Switch, _) => Err(value),
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
