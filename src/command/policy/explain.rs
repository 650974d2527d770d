//! `policy explain`: one request, walked through identity, entry, role, operation and limits by the gate's own code.

mod document;
mod replay;

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use serde_json::json;

use crate::cli::policy::ExplainArgs;
use docker_api::{Operation, classify};
use pki::identity::Identity;
use policy::build::{Build, BuildFacts, DescribedCall, build_key};
use policy::{
    BodyLength, Client, ClientRef, Denied, EngineAnswer, EngineHeaders, Known, LimitKey, Lookup,
    Mode, Permitted, Policy, PolicyError, Power, Powers, Request, grant_line,
};

use super::owned::HiddenObjects;
use super::{PolicyOutcome, identity, read};
use text::columns;

/// How a walk ends.
pub(super) enum ExplainVerdict {
    /// Forwarded.
    Allow(Permitted),
    /// Refused.
    Deny(Box<Denied>),
    /// The target itself is refused before any policy.
    Malformed(String),
    /// The engine must be asked, and no answer was given.
    Unknown(String),
    /// A call of a build was judged.
    Call(Box<CallVerdict>),
}

/// What comes of a call of a build.
pub(super) struct CallVerdict {
    call: buildkit::Call,
    facts: BuildFacts,
    /// Why it is refused, or would be.
    pub(super) denied: Option<Denied>,
    /// Whether the refusal is enforced.
    pub(super) enforced: bool,
}

/// What a request needs to be walked through.
pub(super) struct Walk<'w> {
    pub(super) method: &'w str,
    pub(super) target: &'w str,
    pub(super) content_type: Option<&'w str>,
    pub(super) body: &'w [u8],
    /// Answers of the engine by look-up target; a `None` is a 404.
    pub(super) answers: &'w HashMap<String, Option<Vec<u8>>>,
    /// The answer for any container that has none of its own.
    pub(super) container: Option<&'w [u8]>,
    /// What the client does not see.
    pub(super) hidden: &'w HiddenObjects,
}

/// A body that the gate would judge on its way, where there is one.
fn streamed(permitted: Permitted, body: &[u8]) -> ExplainVerdict {
    let Some(context) = permitted.context().filter(|_| !body.is_empty()) else {
        return ExplainVerdict::Allow(permitted);
    };
    let mut judge = context.judge();
    match judge.push(body).and_then(|()| judge.finish()) {
        Err(denied) if context.mode() == Mode::Enforce => ExplainVerdict::Deny(denied),
        _ => ExplainVerdict::Allow(permitted),
    }
}

/// Decides as the gate would.
///
/// # Errors
/// When the body should describe a call of a build, and does not.
pub(super) fn walk(
    policy: &Policy,
    client: ClientRef,
    walk: &Walk<'_>,
) -> Result<ExplainVerdict, PolicyError> {
    let classified = match classify(walk.method, walk.target) {
        Ok(classified) => classified,
        Err(error) => return Ok(ExplainVerdict::Malformed(error.to_string())),
    };
    let build = policy.role(client).and_then(|role| role.build.as_ref());
    let build =
        build.filter(|_| classified.judged() == Operation::BuildGrpc && !walk.body.is_empty());
    // The body describes a call inside the tunnel; the request that opens the tunnel has none.
    let body = if walk.body.is_empty() || build.is_some() {
        BodyLength::Empty
    } else {
        BodyLength::Exact(walk.body.len() as u64)
    };
    let content_type = walk.content_type.filter(|_| !walk.body.is_empty());
    let request = Request {
        classified: &classified,
        content_type,
        content_encoding: None,
        headers: EngineHeaders::default(),
        body,
    };
    let mut known = Given(walk);
    Ok(match policy.decide_knowing(client, &request, &mut known) {
        Ok(Ok(permitted)) => match build {
            Some(build) => call(policy, client, build, walk.body)?,
            None => streamed(permitted, walk.body),
        },
        Ok(Err(denied)) => ExplainVerdict::Deny(denied),
        Err(target) => ExplainVerdict::Unknown(target),
    })
}

/// Judges a call of a build by its description.
fn call(
    policy: &Policy,
    client: ClientRef,
    build: &Build,
    body: &[u8],
) -> Result<ExplainVerdict, PolicyError> {
    let described = DescribedCall::parse(body).map_err(|error| {
        PolicyError::Input(format!("the description of a build's call: {error}"))
    })?;
    let (facts, objection) = described.judge(build, &policy.protected);
    Ok(ExplainVerdict::Call(Box::new(CallVerdict {
        call: described.call,
        facts,
        denied: objection.map(|objection| Denied {
            client: policy.client_name(client).to_owned(),
            role: policy.role_name(client).to_owned(),
            operation: Operation::BuildGrpc,
            rule: objection.rule,
            detail: objection.detail,
            allowed: objection.allowed,
            status: policy::DenialStatus::Forbidden,
            command: None,
            asked: Powers::default(),
            grant: String::new(),
        }),
        enforced: policy.mode(client) == Mode::Enforce,
    })))
}

/// What the command line has of a request; the error is the target of a look-up that it does not answer.
struct Given<'g>(&'g Walk<'g>);

impl Known for Given<'_> {
    type Error = String;

    fn body(&self) -> &[u8] {
        self.0.body
    }

    fn answer(&mut self, lookup: &Lookup) -> Result<EngineAnswer, String> {
        let target = &lookup.target;
        if self.0.hidden.has(target) {
            return Ok(EngineAnswer {
                status: 404,
                body: Vec::new(),
            });
        }
        let general = self
            .0
            .container
            .filter(|_| target.starts_with("/containers/"));
        let (status, body) = match (self.0.answers.get(target), general) {
            (Some(Some(body)), _) => (200, body.clone()),
            (Some(None), _) => (404, Vec::new()),
            (None, Some(body)) => (200, body.to_vec()),
            (None, None) => return Err(target.clone()),
        };
        Ok(EngineAnswer { status, body })
    }
}

/// Walks and prints.
pub(super) fn run(args: &ExplainArgs, input: &mut dyn Read) -> Result<PolicyOutcome, PolicyError> {
    if let (Some(audit), Some(request)) = (&args.audit, &args.request) {
        return replay::run(args, audit, request);
    }
    let policy = Policy::read(&args.file)?;
    let identity = identity(&args.who, args.ca.as_deref())?;
    let client = policy.client_for(&identity);
    if let Some(entry) = in_doubt(&policy, client, &identity) {
        return Ok(PolicyOutcome::of(doubt(entry, args, &identity), 2));
    }
    let body = match &args.body {
        Some(path) => read(path)?,
        None if matches!(args.method(), "GET" | "HEAD") => Vec::new(),
        None => {
            let mut body = Vec::new();
            let most = policy.max_body as u64 + 1;
            input
                .take(most)
                .read_to_end(&mut body)
                .map_err(|source| PolicyError::Read {
                    what: "the body on",
                    path: "standard input".into(),
                    source,
                })?;
            body
        }
    };
    let inspected = args
        .inspected
        .as_deref()
        .map(read)
        .transpose()?
        .map(|bytes| unwrap_array(&bytes));
    let answers = answers(&args.answer)?;
    let walk_args = Walk {
        method: args.method(),
        target: args.target(),
        content_type: Some(&args.content_type),
        body: &body,
        answers: &answers,
        container: inspected.as_deref(),
        hidden: &HiddenObjects::default(),
    };
    let verdict = walk(&policy, client, &walk_args)?;
    let code = match &verdict {
        ExplainVerdict::Call(call) if call.denied.is_some() && call.enforced => 3,
        ExplainVerdict::Allow(_) | ExplainVerdict::Call(_) => 0,
        ExplainVerdict::Deny(_) | ExplainVerdict::Malformed(_) => 3,
        ExplainVerdict::Unknown(_) => 2,
    };
    let lines = match args.json {
        true => vec![document::of(&policy, client, &verdict)],
        false => lines(&policy, client, &identity, args, &verdict),
    };
    Ok(PolicyOutcome::of(lines, code))
}

/// The entry that the certificate may belong to, which only its issuer could tell.
fn in_doubt<'p>(policy: &'p Policy, client: ClientRef, who: &Identity) -> Option<&'p Client> {
    let before = client.index().unwrap_or(policy.clients.len());
    policy.clients.iter().take(before).find(|entry| {
        let mut matcher = entry.matcher.clone();
        matcher.issuer_spki.clear();
        who.issuer_spki.is_none() && matcher.matches(who)
    })
}

fn doubt(entry: &Client, args: &ExplainArgs, who: &Identity) -> Vec<String> {
    if args.json {
        return vec![
            json!({ "verdict": "unknown", "client": entry.name, "needs": "issuer_spki" })
                .to_string(),
        ];
    }
    let or = match args.who.cert {
        Some(_) => "the listener's CA file with --ca, or ",
        None => "",
    };
    vec![
        format!("identity  {}", who.names()),
        format!(
            "client    cannot tell whether it is \"{}\" ({}:{}), which asks for issuer_spki",
            entry.name,
            args.file.display(),
            entry.line
        ),
        format!("hint: give {or}the issuer's pin with --issuer-spki"),
    ]
}

/// `docker inspect` prints an array of one; the API answers the object.
fn unwrap_array(bytes: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(serde_json::Value::Array(items)) if items.len() == 1 => {
            items[0].to_string().into_bytes()
        }
        _ => bytes.to_vec(),
    }
}

fn answers(options: &[String]) -> Result<HashMap<String, Option<Vec<u8>>>, PolicyError> {
    let mut answers = HashMap::new();
    for option in options {
        let Some((target, file)) = option.split_once('=') else {
            return Err(PolicyError::Input(format!(
                "--answer: expected PATH=FILE or PATH=404, found \"{option}\""
            )));
        };
        let body = if file == "404" {
            None
        } else {
            Some(unwrap_array(&read(Path::new(file))?))
        };
        answers.insert(target.to_owned(), body);
    }
    Ok(answers)
}

/// The entry that a client has, and where the file has it.
fn entry(policy: &Policy, client: ClientRef, file: &Path) -> String {
    match policy.client(client) {
        Some(entry) => {
            let index = policy
                .clients
                .iter()
                .position(|other| other == entry)
                .map_or(0, |index| index + 1);
            format!(
                "client {index} \"{}\" ({}:{}) -> role {}",
                entry.name,
                file.display(),
                entry.line,
                policy.role_name(client)
            )
        }
        None => "no client entry matches".to_owned(),
    }
}

/// What was asked for and what the limits say to it, a row each.
fn limits_rows(policy: &Policy, client: ClientRef, asked: &Powers) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let role = policy.role(client);
    let Some((role, limits)) = role.and_then(|role| Some((role, role.limits.as_ref()?))) else {
        return rows;
    };
    // Where a limit is open, what was asked for says nothing; images are shown since they are what people look for.
    let tells = |power: &&Power| {
        let key = power.key();
        key.is_none_or(|key| key == LimitKey::Images || !limits.is_open(key))
    };
    for power in asked.kept.iter().filter(tells) {
        let head = if rows.is_empty() { "limits" } else { "" };
        let ok = power.is_within(limits);
        let allowed = match power.allowed_by(limits) {
            allowed if ok || allowed.is_empty() => String::new(),
            allowed => format!("  (allowed: {allowed})"),
        };
        let verdict = if ok { "ok  " } else { "DENY" };
        let text = format!("{:<18} {verdict}  {power}{allowed}", power.rule());
        rows.push(vec![head.to_owned(), text]);
        let line = grant_line(power, role);
        if !ok && !line.is_empty() {
            let text = format!("{:<18} hint  {line} would allow it", "");
            rows.push(vec![String::new(), text]);
        }
    }
    rows
}

#[expect(clippy::too_many_lines, reason = "sequence")]
fn lines(
    policy: &Policy,
    client: ClientRef,
    who: &Identity,
    args: &ExplainArgs,
    verdict: &ExplainVerdict,
) -> Vec<String> {
    let mut rows = Vec::new();
    let mut row = |cells: [&str; 2]| rows.push(cells.map(str::to_owned).to_vec());
    let entry = entry(policy, client, &args.file);
    row(["identity", &who.names()]);
    row(["client", &entry]);
    if let Ok(classified) = classify(args.method(), args.target()) {
        let operation = classified.judged();
        let how = match policy.role(client) {
            Some(role) if role.unlimited() => "allowed: the role is not limited".to_owned(),
            Some(role) if role.allowed.contains(operation) => {
                format!("allowed by role {} (base {})", role.name, role.base)
            }
            Some(role) => format!("not among the operations of role {}", role.name),
            None => String::new(),
        };
        row(["operation", &format!("{operation}  {how}")]);
    }
    let nothing = Powers::default();
    let (asked, refused) = match verdict {
        ExplainVerdict::Allow(permitted) => match permitted.would_deny() {
            Some(denied) => (&denied.asked, Some(denied)),
            None => (permitted.asked(), None),
        },
        ExplainVerdict::Deny(denied) => (&denied.asked, Some(&**denied)),
        ExplainVerdict::Call(call) => (&nothing, call.denied.as_ref()),
        _ => (&nothing, None),
    };
    rows.append(&mut limits_rows(policy, client, asked));
    let mut row = |cells: [&str; 2]| rows.push(cells.map(str::to_owned).to_vec());
    if let (ExplainVerdict::Call(call), Some(build)) = (
        verdict,
        policy.role(client).and_then(|role| role.build.as_ref()),
    ) {
        row(["call", call.call.id()]);
        for fact in &call.facts.kept {
            let key = build_key(&fact.0).unwrap_or(&fact.0);
            let verdict = if build.admits(fact) { "ok  " } else { "DENY" };
            row(["build", &format!("{key:<18} {verdict}  {}", fact.1)]);
        }
    }
    if asked.omitted > 0 {
        row(["", &format!("and {} more", asked.omitted)]);
    }
    if let Some(denied) = refused.filter(|denied| {
        !asked
            .kept
            .iter()
            .any(|power| power.to_string() == denied.detail)
    }) {
        row([
            "rule",
            &format!("{:<18} DENY  {}", denied.rule, denied.detail),
        ]);
    }
    let mode = match policy.mode(client) {
        Mode::Report => "report",
        Mode::Enforce => "enforce",
    };
    let decision = match verdict {
        ExplainVerdict::Allow(permitted) if permitted.would_deny().is_some() => {
            format!("would deny, forwarded ({mode})")
        }
        ExplainVerdict::Call(call) if call.denied.is_some() && !call.enforced => {
            format!("would deny, forwarded ({mode})")
        }
        ExplainVerdict::Call(call) if call.denied.is_some() => {
            format!("deny ({mode}), gRPC status 7")
        }
        ExplainVerdict::Allow(_) | ExplainVerdict::Call(_) => format!("allow ({mode})"),
        ExplainVerdict::Deny(denied) => format!("deny ({mode}), status {}", denied.status.code()),
        ExplainVerdict::Malformed(why) => format!("refused before any policy, status 400: {why}"),
        ExplainVerdict::Unknown(lookup) => {
            format!("cannot tell without the engine's answer to GET {lookup}")
        }
    };
    row(["decision", &decision]);
    let mut lines = columns(&rows, &[]);
    match verdict {
        ExplainVerdict::Deny(denied) => lines.push(format!("message   dockgate: {denied}")),
        ExplainVerdict::Call(call) => {
            lines.extend(
                call.denied
                    .iter()
                    .map(|denied| format!("message   dockgate: {denied}")),
            );
        }
        ExplainVerdict::Unknown(_) => {
            lines.push(
                "hint: give it with --inspect FILE (containers) or --answer PATH=FILE".to_owned(),
            );
        }
        _ => {}
    }
    lines
}
