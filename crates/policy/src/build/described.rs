//! A call described in JSON, for `policy explain` and `policy test`: the names are those of BuildKit's own messages.
//!
//! What is described is written as the message on the wire, so that the gate's own reader and judge have the word.

use buildkit::append::{field, map_entry};
use buildkit::{Call, FrontendSolve, Solve};
use data_encoding::BASE64;
use docker_api::json::{self, Value};

use super::{Build, BuildContext, BuildFacts, Objection};
use crate::protected::Protected;

/// A call as a person describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedCall {
    /// What is called.
    pub call: Call,
    message: Vec<u8>,
    sources: Vec<String>,
}

type DescribedFields<'v> = Vec<(&'v str, &'v Value<'v>)>;

impl DescribedCall {
    /// Reads a description: `{"Frontend": "dockerfile.v0", "Exporters": [{"Type": "moby", "Attrs": {"name": "x"}}]}` and
    /// so on. `Call` names another call than Solve, and `Sources` lists what the build would take.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let value = json::parse(text, text.len()).map_err(|error| format!("not JSON: {error}"))?;
        let mut call = Call::Solve;
        let mut described = Vec::new();
        let mut sources = Vec::new();
        for (key, value) in object(&value, "the description")? {
            match key {
                "Call" => call = called(string(value, key)?)?,
                "Sources" => sources = strings(value, key)?,
                _ => described.push((key, value)),
            }
        }
        let message = match call {
            Call::Solve => solve(&described)?,
            Call::FrontendSolve => frontend(&described)?,
            _ => match described.first() {
                Some((key, _)) => {
                    return Err(format!(
                        "{key}: only a Solve is described by more than its name"
                    ));
                }
                None => Vec::new(),
            },
        };
        Ok(Self {
            call,
            message,
            sources,
        })
    }

    /// What it asks for, and why it is refused if it is. Its sessions and its build are taken for the client's own.
    #[must_use]
    pub fn judge(&self, build: &Build, protected: &Protected) -> (BuildFacts, Option<Objection>) {
        let context = BuildContext {
            namespace: "dockgate",
            owns_session: &|_| true,
            protected,
        };
        let mut facts = BuildFacts::call(self.call);
        let mut outcome = build.call(self.call);
        if outcome.is_ok() {
            outcome = match self.call {
                Call::Solve => Solve::read(&self.message)
                    .map_err(Objection::from)
                    .and_then(|solve| {
                        facts = BuildFacts::solve(&solve);
                        build.solve(&solve, &context).map(drop)
                    }),
                Call::FrontendSolve => FrontendSolve::read(&self.message)
                    .map_err(Objection::from)
                    .and_then(|solve| {
                        facts = BuildFacts::frontend(&solve);
                        build.frontend_solve(&solve, &context).map(drop)
                    }),
                _ => Ok(()),
            };
        }
        for source in &self.sources {
            facts.add("sources", source);
            if outcome.is_ok() && !build.lists(source) {
                outcome = Err(build.unlisted(source));
            }
        }
        (facts, outcome.err())
    }
}

fn called(name: &str) -> Result<Call, String> {
    let short = |call: &Call| call.path().trim_start_matches('/') == name.trim_start_matches('/');
    let known = Call::from_id(name).or_else(|| Call::ALL.iter().copied().find(short));
    known.ok_or_else(|| format!("Call: \"{name}\" is not a call that this gate knows"))
}

fn solve(members: &DescribedFields<'_>) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut reference = "described";
    for (key, value) in members {
        match *key {
            "Ref" => reference = string(value, key)?,
            "Definition" => field(&mut out, 2, &definition(value, key)?),
            "Session" => field(&mut out, 5, string(value, key)?.as_bytes()),
            "Frontend" => field(&mut out, 6, string(value, key)?.as_bytes()),
            "FrontendAttrs" => attributes(&mut out, 7, value, key)?,
            "Cache" => {
                let mut cache = Vec::new();
                for (key, value) in object(value, key)? {
                    match key {
                        "Exports" => typed(&mut cache, 4, value, key)?,
                        "Imports" => typed(&mut cache, 5, value, key)?,
                        _ => return Err(unknown(key)),
                    }
                }
                field(&mut out, 8, &cache);
            }
            "Entitlements" => {
                for entitlement in strings(value, key)? {
                    field(&mut out, 9, entitlement.as_bytes());
                }
            }
            "FrontendInputs" => inputs(&mut out, 10, value, key)?,
            "Exporters" => typed(&mut out, 13, value, key)?,
            "EnableSessionExporter" => flag(&mut out, 14, value, key)?,
            "ProxyNetwork" => flag(&mut out, 17, value, key)?,
            _ => return Err(unknown(key)),
        }
    }
    field(&mut out, 1, reference.as_bytes());
    Ok(out)
}

fn frontend(members: &DescribedFields<'_>) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for (key, value) in members {
        match *key {
            "Definition" => field(&mut out, 1, &definition(value, key)?),
            "Frontend" => field(&mut out, 2, string(value, key)?.as_bytes()),
            "FrontendOpt" => attributes(&mut out, 3, value, key)?,
            "CacheImports" => typed(&mut out, 12, value, key)?,
            "FrontendInputs" => inputs(&mut out, 13, value, key)?,
            _ => return Err(unknown(key)),
        }
    }
    Ok(out)
}

fn unknown(key: &str) -> String {
    format!("{key}: not a field of this call, or one that is not described")
}

fn object<'v>(value: &'v Value<'_>, key: &str) -> Result<DescribedFields<'v>, String> {
    match value {
        Value::Object(members) => Ok(members
            .iter()
            .map(|(key, value)| (key.as_ref(), value))
            .collect()),
        _ => Err(format!("{key}: expected an object")),
    }
}

fn string<'v>(value: &'v Value<'_>, key: &str) -> Result<&'v str, String> {
    value
        .text()
        .ok_or_else(|| format!("{key}: expected a text"))
}

fn strings(value: &Value<'_>, key: &str) -> Result<Vec<String>, String> {
    let Value::Array(list) = value else {
        return Err(format!("{key}: expected a list of texts"));
    };
    list.iter()
        .map(|value| string(value, key).map(str::to_owned))
        .collect()
}

fn attributes(out: &mut Vec<u8>, number: u32, value: &Value<'_>, key: &str) -> Result<(), String> {
    for (name, value) in object(value, key)? {
        out.extend(map_entry(number, name, string(value, name)?));
    }
    Ok(())
}

/// A list of `{"Type": …, "Attrs": {…}}`.
fn typed(out: &mut Vec<u8>, number: u32, value: &Value<'_>, key: &str) -> Result<(), String> {
    let Value::Array(list) = value else {
        return Err(format!("{key}: expected a list"));
    };
    for entry in list {
        let mut bytes = Vec::new();
        for (key, value) in object(entry, key)? {
            match key {
                "Type" => field(&mut bytes, 1, string(value, key)?.as_bytes()),
                "Attrs" => attributes(&mut bytes, 2, value, key)?,
                _ => return Err(unknown(key)),
            }
        }
        field(out, number, &bytes);
    }
    Ok(())
}

fn inputs(out: &mut Vec<u8>, number: u32, value: &Value<'_>, key: &str) -> Result<(), String> {
    for (name, value) in object(value, key)? {
        let mut entry = Vec::new();
        field(&mut entry, 1, name.as_bytes());
        field(&mut entry, 2, &definition(value, name)?);
        field(out, number, &entry);
    }
    Ok(())
}

/// `{"def": ["base64 of an operation", …]}`
fn definition(value: &Value<'_>, key: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for (name, value) in object(value, key)? {
        if name != "def" {
            return Err(unknown(name));
        }
        for operation in strings(value, name)? {
            let bytes = BASE64.decode(operation.as_bytes());
            field(
                &mut out,
                1,
                &bytes.map_err(|_| format!("{key}: expected operations in base64"))?,
            );
        }
    }
    Ok(out)
}

fn flag(out: &mut Vec<u8>, number: u32, value: &Value<'_>, key: &str) -> Result<(), String> {
    match value {
        Value::Bool(on) => {
            out.extend(buildkit::append::flag(number, *on));
            Ok(())
        }
        _ => Err(format!("{key}: expected true or false")),
    }
}
