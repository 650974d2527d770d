//! `policy learn`: the least policy that would have allowed what an audit saw.

mod print;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::cli::policy::LearnArgs;
use crate::observe::audit::{Decision, Record};
use buildkit::Call;
use docker_api::Operation;
use policy::build::{Build, build_key};
use policy::{LimitGrant, LimitKey, Limits, Matcher, Policy, PolicyError, Power, Role};
use text::escape;

use super::{PolicyOutcome, for_each_request, recorded};

/// What one certificate did.
#[derive(Default)]
struct Seen {
    /// By key of the role or of its limits, and value as it will be there.
    rights: BTreeMap<(&'static str, String), Uses>,
    /// What cannot be granted.
    refused: BTreeSet<String>,
    whole: Uses,
}

/// Who used a right, and how that went.
#[derive(Default)]
struct Uses {
    /// By a client of the policy, and let through.
    passed: usize,
    denied: usize,
    /// Let through, by whomever.
    forwarded: usize,
    /// By a certificate without an entry.
    unmatched: usize,
    /// Without a look at what was asked for.
    blind: usize,
    /// A value that only `**` lets pass.
    id: Option<String>,
}

impl Uses {
    fn count(&mut self, record: &Record) {
        let (denied, unmatched) = (record.decision == Decision::Deny, record.client == "-");
        self.denied += usize::from(denied);
        self.forwarded += usize::from(!denied);
        self.unmatched += usize::from(unmatched);
        self.passed += usize::from(!denied && !unmatched);
    }
}

impl Seen {
    fn right(&mut self, key: &'static str, value: String) -> &mut Uses {
        self.rights.entry((key, value)).or_default()
    }

    fn cannot(&mut self, who: &str, what: &str) {
        let what = escape::toml(what);
        self.refused.insert(format!("{who} could send: {what}"));
    }
}

/// Key and value of the `match` that tells a certificate from others, with the order in which the keys must be tried.
type Match = (usize, &'static str, String);

/// What was found to be written into the limits for a key and a value, since an audit says the same again and again.
type Generals = HashMap<(String, String), Option<String>>;

/// How many of them are kept.
const MOST_GENERALS: usize = 10_000;

/// Reads the audit and prints a policy.
pub(super) fn run(args: &LearnArgs) -> Result<PolicyOutcome, PolicyError> {
    let mut clients: BTreeMap<Match, Seen> = BTreeMap::new();
    let looked_into = Role::looked_into();
    let mut blind = BTreeSet::new();
    let mut general = Generals::new();
    for_each_request(&args.audit, |record| {
        let wanted = |name: &String| record.client == *name || record.certificate.cn.contains(name);
        if args.client.as_ref().is_some_and(|name| !wanted(name)) {
            return;
        }
        let seen = clients.entry(key(record)).or_default();
        note(seen, record, &mut general);
        if let Some(operation) = Operation::from_id(&record.operation)
            && looked_into.contains(operation)
            && unjudged(record, operation)
        {
            seen.right("allow", operation.to_string()).blind += 1;
            blind.insert(operation.to_string());
        }
    })?;
    if clients.is_empty() {
        let whose = args
            .client
            .as_ref()
            .map_or(String::new(), |name| format!(" of client \"{name}\""));
        return Err(PolicyError::Input(format!(
            "\"{}\" has no request{whose}",
            args.audit.display()
        )));
    }
    let text = print::policy(&clients, args.with_denied)?;
    let blind: Vec<String> = blind.into_iter().collect();
    let note = match blind.is_empty() {
        true => String::new(),
        false => format!(
            "what was asked for was not recorded of {}\nhint: record under a policy with `mode = \"report\"` whose role allows them, then learn again",
            blind.join(", ")
        ),
    };
    Ok(PolicyOutcome::of(text.trim_end().lines(), 0).note(note))
}

/// Whether the record says nothing of what the request asked for, though a limited role's would be judged by it.
fn unjudged(record: &Record, operation: Operation) -> bool {
    // Every create asks for an image at least.
    let create = matches!(
        operation,
        Operation::ContainerCreate | Operation::ServiceCreate | Operation::ServiceUpdate
    );
    record.mode == "none"
        || record.role == "admin"
        || match record.rule.as_deref() {
            Some("client" | "limit") => true,
            Some("operation") => record.decision == Decision::Deny,
            _ => false,
        }
        || record.facts_omitted > 0
        || create && record.facts.is_empty()
}

/// The `match` key and value that tell this certificate from others. A certificate with several names of a kind would fit the
/// entries of others who have one of them, so its key tells it; those entries are tried first.
fn key(record: &Record) -> Match {
    let certificate = &record.certificate;
    let identity = recorded(record);
    let lists = [
        ("uri", &certificate.uri),
        ("cn", &certificate.cn),
        ("dns", &certificate.dns),
        ("email", &certificate.email),
    ];
    for (order, (key, list)) in lists.into_iter().enumerate() {
        match list.as_slice() {
            [only] if !only.contains('*') && by(key, only).matches(&identity) => {
                return (order + 1, key, only.clone());
            }
            // Several common names fit no `cn` at all.
            [_, _, ..] if key != "cn" => break,
            _ => {}
        }
    }
    (0, "spki", certificate.spki.clone())
}

/// The table with this one key.
fn by(key: &str, name: &str) -> Matcher {
    let mut matcher = Matcher::default();
    let names = match key {
        "uri" => &mut matcher.uris,
        "cn" => &mut matcher.common_names,
        "dns" => &mut matcher.dns,
        _ => &mut matcher.emails,
    };
    names.push(name.to_owned());
    matcher
}

fn note(seen: &mut Seen, record: &Record, general: &mut Generals) {
    seen.whole.count(record);
    if let Some(call) = Call::from_id(&record.operation) {
        return note_call(seen, record, call);
    }
    match Operation::from_id(&record.operation) {
        Some(Operation::BuildSession | Operation::BuildGrpc) => {
            seen.right("buildkit", "true".into()).count(record);
        }
        Some(operation) => seen.right("allow", operation.to_string()).count(record),
        None => {
            let odd = format!("{} {}", record.method, record.path);
            seen.cannot("only the role admin", &odd);
        }
    }
    let mut told = false;
    for (key, value) in &record.facts {
        let Some(power) = Power::from_fact(key, value) else {
            continue;
        };
        told |= record.rule.as_deref() == Some(power.rule()) && speaks_of(record, &power);
        let text = match general.get(&(key.clone(), value.clone())) {
            Some(known) => known.clone(),
            None => {
                let text = LimitGrant::of(&power).map(|grant| grant.text);
                if general.len() < MOST_GENERALS {
                    general.insert((key.clone(), value.clone()), text.clone());
                }
                text
            }
        };
        match (text, power.fact()) {
            (Some(text), Some((key, _))) => {
                let id = Some(value.clone()).filter(|_| text == "**");
                let uses = seen.right(key, text);
                uses.count(record);
                uses.id = uses.id.take().or(id);
            }
            _ => seen.cannot("no limited role", &format!("{key}: {value}")),
        }
    }
    // What nothing in a limited role allows cannot be learnt; it can be told.
    if let (Some(rule), Some(detail)) = (&record.rule, &record.detail)
        && !told
        && !ELSEWHERE.contains(&rule.as_str())
    {
        seen.cannot("no limited role", &format!("{rule}: {detail}"));
    }
}

/// Notes a call of a build, whose facts are keys of `[role.NAME.build]`.
fn note_call(seen: &mut Seen, record: &Record, call: Call) {
    seen.right(BUILDS, String::new()).count(record);
    if call == Call::ListenHistory && record.rule.as_deref() == Some("history") {
        seen.right("build.history", "all".into()).count(record);
    }
    for fact in &record.facts {
        let key = BUILD_KEYS.iter().find(|key| **key == fact.0);
        match (
            key,
            Build::general(fact).filter(|value| readable(&fact.0, value)),
        ) {
            (Some(key), Some(value)) => seen.right(key, value).count(record),
            // What comes from the client's own session is always allowed.
            _ if fact.1.starts_with("local://") || fact.1.starts_with("oci-layout://") => {}
            _ => seen.cannot("no limited role", &format!("{}: {}", fact.0, fact.1)),
        }
    }
}

/// Whether the gate's own reader takes a value for a key of the table.
fn readable(key: &str, value: &str) -> bool {
    let Some(key) = build_key(key) else {
        return false;
    };
    let value = print::build_value(key, &[value]);
    let text = format!(
        "version = 1\nclient = [{{ match = {{ any = true }}, role = \"r\" }}]\n[role.r.build]\n{key} = {value}"
    );
    Policy::parse("", &text).is_ok()
}

/// Stands for builds as such, without anything that they ask for.
const BUILDS: &str = "build";

/// The facts of builds, in the order in which the keys are printed.
const BUILD_KEYS: [&str; 11] = [
    "build.sources",
    "build.entitlements",
    "build.outputs",
    "build.tags",
    "build.push",
    "build.cache",
    "build.raw_llb",
    "build.debug",
    "build.history",
    "build.usage",
    "build.prune",
];

/// Rules whose refusals say nothing about what a role would need: who asked, or what is beside the policy.
const ELSEWHERE: [&str; 5] = ["operation", "client", "limit", "audit", "authz-plugin"];

/// Whether a refusal by a power's rule is about the power, as far as the record's detail tells.
fn speaks_of(record: &Record, power: &Power) -> bool {
    let value = power.value.strip_suffix(":ro").unwrap_or(&power.value);
    let plain = matches!(power.field.as_str(), "host_namespaces") || value == "true";
    let detail = record.detail.as_deref().unwrap_or_default();
    plain || detail.contains(value)
}

/// Whether a value need not be written. Where the default is everything, the least is what was used, unless that is everything too.
fn by_default(defaults: &Limits, key: &str, value: &str) -> bool {
    match LimitKey::from_name(key) {
        // They differ from one run to the next.
        Some(LimitKey::Names) => true,
        Some(LimitKey::Images) => false,
        Some(known) if defaults.is_open(known) => matches!(value, "*" | "unlimited"),
        _ => Power::from_fact(key, value).is_some_and(|power| power.is_within(defaults)),
    }
}
