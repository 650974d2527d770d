//! The kinds of limits: how each is read, what it admits and how it is written.

use std::fmt;
use std::ops::Deref;

use docker_api::image::{ImageName, ImagePattern};
use docker_api::work;

use crate::fetch::{Host, HostPattern};
use crate::hostpath::PathPattern;
use crate::reader::{ValueProblem, Values, nearest};
use crate::subnet::Subnet;

use super::means::{Means, Namespace};
use super::ports::{self, PortPattern};
use super::users::{AskedUser, UserPattern};

/// A limit, whatever its kind.
pub(crate) trait AnyLimit {
    /// Reads the value in the file, in place of the default.
    fn read(&mut self, from: &mut Values<'_, '_>);

    /// Whether a value passes that this limit speaks about.
    fn admits(&self, value: &str, means: &Means) -> bool;

    /// What would pass, for a denial.
    fn allowed(&self) -> String;

    /// The value as the file has it, for the reference page.
    fn written(&self) -> String;

    /// Whether everything passes that the limit speaks about.
    fn admits_everything(&self) -> bool {
        false
    }
}

/// What the table needs to know of a kind.
pub(super) trait LimitKind: AnyLimit {
    /// Whether the file says `true` or `false`.
    const FLAG: bool = false;

    /// Whether the file says a number.
    const BOUND: bool = false;

    /// The limit with these words, as the file would have them.
    fn of(words: &[&str]) -> Self;
}

impl LimitKind for bool {
    const FLAG: bool = true;

    fn of(words: &[&str]) -> Self {
        words == ["true"]
    }
}

impl LimitKind for Option<Vec<ImagePattern>> {
    fn of(words: &[&str]) -> Self {
        Some(Vec::of(words)).filter(|list: &Vec<_>| !list.is_empty())
    }
}

fn joined<T: ToString>(list: &[T]) -> String {
    let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn listed<T: ToString>(list: &[T]) -> String {
    let quoted: Vec<String> = list
        .iter()
        .map(|item| format!("\"{}\"", item.to_string()))
        .collect();
    format!("[{}]", quoted.join(", "))
}

macro_rules! words {
    ($(#[doc = $doc:literal] $name:ident;)*) => {$(
        #[doc = $doc]
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name(Vec<String>);

        impl Deref for $name {
            type Target = [String];

            fn deref(&self) -> &[String] {
                &self.0
            }
        }

        impl<'l> IntoIterator for &'l $name {
            type Item = &'l String;
            type IntoIter = std::slice::Iter<'l, String>;

            fn into_iter(self) -> Self::IntoIter {
                self.0.iter()
            }
        }

        impl LimitKind for $name {
            fn of(words: &[&str]) -> Self {
                Self(words.iter().map(|word| (*word).to_owned()).collect())
            }
        }
    )*};
}

words! {
    /// Words that are compared whole.
    Words;
    /// Names in which `*` stands for any text.
    Globs;
    /// Capabilities, upper case and without `CAP_`.
    Capabilities;
    /// Fields this version does not know that may pass, by path.
    Fields;
}

/// An item of a list of texts; an empty one would fit nothing that has a name.
fn named(text: &str, expected: &str) -> Result<String, ValueProblem> {
    match text.is_empty() {
        true => Err(expected.into()),
        false => Ok(text.to_owned()),
    }
}

impl AnyLimit for Words {
    fn read(&mut self, from: &mut Values<'_, '_>) {
        self.0 = from.each(|text| named(text, "expected a name; an empty list lets nothing pass"));
    }

    fn admits(&self, value: &str, _: &Means) -> bool {
        self.0.iter().any(|it| it == value)
    }

    fn allowed(&self) -> String {
        joined(&self.0)
    }

    fn written(&self) -> String {
        listed(&self.0)
    }
}

impl AnyLimit for Globs {
    fn read(&mut self, from: &mut Values<'_, '_>) {
        self.0 = from.each(|text| {
            named(
                text,
                "expected a name in which `*` is any text; an empty list lets nothing pass",
            )
        });
    }

    fn admits_everything(&self) -> bool {
        let stars = |pattern: &String| !pattern.is_empty() && pattern.bytes().all(|b| b == b'*');
        self.0.iter().any(stars)
    }

    fn admits(&self, value: &str, _: &Means) -> bool {
        self.0.iter().any(|pattern| glob(pattern, value))
    }

    fn allowed(&self) -> String {
        joined(&self.0)
    }

    fn written(&self) -> String {
        listed(&self.0)
    }
}

impl AnyLimit for Capabilities {
    fn read(&mut self, from: &mut Values<'_, '_>) {
        self.0 = from.each(|text| {
            let upper = text.to_ascii_uppercase();
            let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if CAPABILITIES.contains(&name) {
                return Ok(name.to_owned());
            }
            Err(ValueProblem {
                expected: "expected a capability".into(),
                hint: nearest(name, CAPABILITIES.iter().copied()),
            })
        });
    }

    fn admits(&self, value: &str, _: &Means) -> bool {
        DEFAULT_CAPABILITIES.contains(&value) || self.0.iter().any(|it| it == value)
    }

    fn allowed(&self) -> String {
        joined(&self.0)
    }

    fn written(&self) -> String {
        listed(&self.0)
    }
}

impl AnyLimit for Fields {
    fn read(&mut self, from: &mut Values<'_, '_>) {
        if from.text() == Some("deny") {
            self.0.clear();
            return;
        }
        self.0 = from.each(|text| match text {
            "" => Err("expected \"deny\" or paths such as \"HostConfig.NewThing\"".into()),
            text => Ok(text.to_owned()),
        });
    }

    fn admits(&self, value: &str, _: &Means) -> bool {
        self.0.iter().any(|it| it == value)
    }

    fn allowed(&self) -> String {
        joined(&self.0)
    }

    fn written(&self) -> String {
        match self.0.as_slice() {
            [] => "\"deny\"".into(),
            list => listed(list),
        }
    }
}

impl AnyLimit for bool {
    fn read(&mut self, from: &mut Values<'_, '_>) {
        *self = from.boolean().unwrap_or(*self);
    }

    fn admits(&self, _: &str, _: &Means) -> bool {
        *self
    }

    fn allowed(&self) -> String {
        self.to_string()
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

/// A list that the file may leave out; without it nothing passes.
impl AnyLimit for Option<Vec<ImagePattern>> {
    fn read(&mut self, from: &mut Values<'_, '_>) {
        self.get_or_insert_default().read(from);
    }

    fn admits(&self, value: &str, means: &Means) -> bool {
        self.as_ref().is_some_and(|list| list.admits(value, means))
    }

    fn allowed(&self) -> String {
        joined(self.as_deref().unwrap_or_default())
    }

    fn written(&self) -> String {
        match self {
            Some(list) => listed(list),
            None => "none".into(),
        }
    }
}

/// One line of a limit that is a list of patterns.
pub(super) trait LimitItem: Sized + fmt::Display {
    /// Reads it as the file has it.
    fn read_item(text: &str) -> Result<Self, ValueProblem>;

    /// Whether a value passes by a list of them.
    fn list_admits(list: &[Self], value: &str, means: &Means) -> bool;

    /// Whether it alone lets everything pass.
    fn is_open(&self) -> bool {
        false
    }
}

impl<T: LimitItem> LimitKind for Vec<T> {
    fn of(words: &[&str]) -> Self {
        let items = words.iter().map(|word| T::read_item(word));
        items.filter_map(Result::ok).collect()
    }
}

impl<T: LimitItem> AnyLimit for Vec<T> {
    fn read(&mut self, from: &mut Values<'_, '_>) {
        *self = from.each(T::read_item);
    }

    fn admits(&self, value: &str, means: &Means) -> bool {
        T::list_admits(self, value, means)
    }

    fn allowed(&self) -> String {
        joined(self)
    }

    fn written(&self) -> String {
        listed(self)
    }

    fn admits_everything(&self) -> bool {
        self.iter().any(T::is_open)
    }
}

impl LimitItem for Namespace {
    fn read_item(text: &str) -> Result<Self, ValueProblem> {
        let names = Namespace::ALL.iter().map(|namespace| namespace.name());
        Namespace::from_name(text).ok_or_else(|| ValueProblem {
            expected: "expected a namespace".into(),
            hint: nearest(text, names),
        })
    }

    fn list_admits(list: &[Self], _: &str, means: &Means) -> bool {
        matches!(means, Means::Namespace(namespace) if list.contains(namespace))
    }
}

impl LimitItem for PathPattern {
    fn read_item(text: &str) -> Result<Self, ValueProblem> {
        Ok(PathPattern::parse(text)?)
    }

    fn list_admits(list: &[Self], _: &str, means: &Means) -> bool {
        let Means::HostPath { path, writable } = means else {
            return false;
        };
        list.iter().any(|pattern| pattern.admits(path, *writable))
    }
}

impl LimitItem for ImagePattern {
    fn read_item(text: &str) -> Result<Self, ValueProblem> {
        Ok(ImagePattern::parse(text)?)
    }

    fn list_admits(list: &[Self], value: &str, _: &Means) -> bool {
        // What is no name passes as well where every name does.
        list.iter().any(ImagePattern::is_everything)
            || ImageName::parse(value)
                .is_some_and(|image| list.iter().any(|pattern| pattern.admits(&image)))
    }
}

impl LimitItem for HostPattern {
    fn read_item(text: &str) -> Result<Self, ValueProblem> {
        Ok(HostPattern::parse(text)?)
    }

    fn list_admits(list: &[Self], value: &str, _: &Means) -> bool {
        Host::parse(value).is_some_and(|host| list.iter().any(|pattern| pattern.admits(&host)))
    }
}

impl LimitItem for Subnet {
    fn read_item(text: &str) -> Result<Self, ValueProblem> {
        Subnet::parse(text).ok_or_else(|| "expected one such as \"10.20.0.0/16\"".into())
    }

    fn list_admits(list: &[Self], value: &str, _: &Means) -> bool {
        Subnet::parse(value).is_some_and(|asked| list.iter().any(|subnet| subnet.holds(&asked)))
    }
}

impl LimitItem for PortPattern {
    fn read_item(text: &str) -> Result<Self, ValueProblem> {
        PortPattern::parse(text).ok_or_else(|| {
            "expected a port, a range or an address with one, such as \"8080\", \"8000-8999/tcp\", \"127.0.0.1:*\" or \"[::1]:53/udp\"".into()
        })
    }

    fn list_admits(list: &[Self], value: &str, _: &Means) -> bool {
        list.iter().any(Self::is_open)
            || ports::shown(value)
                .is_some_and(|asked| list.iter().any(|pattern| pattern.admits(&asked)))
    }

    fn is_open(&self) -> bool {
        self.is_everything()
    }
}

impl LimitItem for UserPattern {
    fn read_item(text: &str) -> Result<Self, ValueProblem> {
        UserPattern::parse(text).ok_or_else(|| {
            "expected a user, such as \"1000\", \"1-65535\" (anybody but root), \"1000:1000\" or \"app\"".into()
        })
    }

    fn list_admits(list: &[Self], value: &str, _: &Means) -> bool {
        list.iter().any(Self::is_open)
            || AskedUser::read(value)
                .is_some_and(|asked| list.iter().any(|pattern| pattern.admits(&asked)))
    }

    fn is_open(&self) -> bool {
        self.is_everything()
    }
}

/// `*` stands for any text; nothing else is special.
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    // The earliest place for each part leaves the most for the next, so nothing is ever tried again.
    for part in parts {
        let found = text.find(part);
        work::add(found.unwrap_or(text.len()) + part.len());
        match found {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

/// The capabilities a container has by default; asking for one of them asks for nothing.
pub(crate) const DEFAULT_CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Every capability of Linux 6.12, and `ALL`; a policy that lists another has a misspelt one.
pub(crate) const CAPABILITIES: &[&str] = &[
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];
