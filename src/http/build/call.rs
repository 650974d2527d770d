//! One call: is it known, whose is it, and what does it ask for?

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use ::http::request::Parts;
use ::http::{HeaderMap, Method, Request};
use buildkit::calls::{self, HistoryRequest};
use buildkit::{Call, FrontendSolve, HistoryEvent, Llb, Solve, answers, grpc};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;

use super::Respond;
use super::held::{self, NotHeld};
use super::owners::{Holding, Owner};
use super::relay::{self, BUILD_ID, Broken, Passage, Upload};
use super::report::CallRecord;
use super::segments::Segments;
use crate::generation::Generation;
use crate::http::shared::Shared;
use crate::limits::{MemoryBudget, Reservation};
use crate::observe::registry::Entry;
use policy::build::{Build, BuildContext, BuildFacts, Objection};
use policy::{ClientRef, Mode, Policy};

/// The build that buildx asks the history for, to learn whether there is one.
const HISTORY_PROBE: &str = "buildx-test-history-api-feature";

/// Field of the limit in a `BuildHistoryRequest`.
const HISTORY_LIMIT: u32 = 5;

/// How a call's messages are compressed.
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Why a session is not opened, or ended.
const FOREIGN_SESSION: &str = "expected one id of a session that no other client has used";

/// gRPC's PERMISSION_DENIED.
const DENIED: u8 = 7;

/// gRPC's RESOURCE_EXHAUSTED.
const EXHAUSTED: u8 = 8;

/// gRPC's UNAVAILABLE.
const UNAVAILABLE: u8 = 14;

/// Who calls, and where the calls go.
pub(super) struct Caller<'a> {
    shared: &'a Shared,
    entry: &'a Entry,
    engine: SendRequest<Segments>,
    owner: Owner,
    namespace: String,
    room: Arc<MemoryBudget>,
    /// The tunnel's own request, which the ids of its calls begin with.
    tunnel: String,
    calls: AtomicU64,
}

/// The role under which one call is judged.
struct Judge<'p> {
    build: &'p Build,
    policy: &'p Policy,
    mode: Mode,
}

/// How a call was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// It was answered, or refused.
    Answered,
    /// It ended before its answer did.
    BrokeOff,
}

/// How a call goes on.
enum Way {
    /// As it comes.
    Stream,
    /// Its one message is read and judged.
    Hold,
    /// Its messages are judged one after the other.
    Watch,
}

impl<'a> Caller<'a> {
    pub(super) fn new(shared: &'a Shared, entry: &'a Entry, engine: SendRequest<Segments>) -> Self {
        let owner = entry.identity.spki;
        Self {
            shared,
            entry,
            engine,
            owner,
            namespace: super::namespace(&owner),
            room: shared.pending_bodies.of(&owner),
            tunnel: format!("{:x}-{}", entry.id, entry.activity().requests),
            calls: AtomicU64::default(),
        }
    }

    /// Serves one call to its end.
    #[expect(clippy::too_many_lines, reason = "sequence")]
    pub(super) async fn serve(&self, request: Request<RecvStream>, mut respond: Respond) -> Served {
        // A client that has lost its role, or whose role may not build any more, makes no further calls.
        let (generation, client) = self.judged_by();
        let policy = &generation.policy;
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("", |path| path.as_str());
        let known = Call::from_path(path).filter(|_| head.method == Method::POST);
        let id = format!("{}.{}", self.tunnel, self.calls.fetch_add(1, Relaxed) + 1);
        let mut record =
            CallRecord::new(self.shared, self.entry, (policy, client), id, known, path);
        let mut room = Reservation::new(&self.room);
        let build = policy.role(client).and_then(|role| role.build.as_ref());
        let judge = build.map(|build| Judge {
            build,
            policy,
            mode: policy.mode(client),
        });
        let judged = tokio::select! {
            judged = self.judged(judge.as_ref(), known, &head, body, &mut room, &mut record) => judged,
            // What a client gives up holds nothing of the gate any longer, whatever it was waiting for.
            _ = poll_fn(|cx| respond.poll_reset(cx)) => Err(Unsent::Gone),
        };
        let upload = match judged {
            Ok(upload) => upload,
            Err(Unsent::Gone) => {
                record.gone();
                return Served::BrokeOff;
            }
            Err(Unsent::Refused(status, objection)) => {
                return record.refuse(&mut respond, status, &objection);
            }
        };
        if let Err(e) = record.goes_on().await {
            let message = format!("the audit cannot be written, so nothing is let through: {e}");
            return record.refuse(&mut respond, UNAVAILABLE, &Objection::new("audit", message));
        }
        let _live = record.live();
        let more = match known {
            Some(Call::ControlSession) => {
                super::session_fields(&self.shared.builds, &head.headers, &self.owner)
            }
            _ => None,
        };
        let mut told = BuildFacts::default();
        let passed = {
            let judging = |message: &[u8]| match &judge {
                Some(judge) if judge.mode == Mode::Enforce => judge
                    .build
                    .exec_message(message, &self.context(judge, &|session| self.owns(session))),
                _ => Ok(()),
            };
            let mut look = |message: Option<&[u8]>| match (known, &judge) {
                (Some(Call::ListenHistory), Some(judge)) => self.may_see(judge, message),
                (Some(Call::Status), _) => {
                    let sources = message.and_then(|message| answers::sources(message).ok());
                    for source in sources.unwrap_or_default() {
                        told.add("sources", &source);
                    }
                    true
                }
                _ => true,
            };
            // What the engine refuses is not the client's: it may be somebody else's, opened past the gate.
            let opened = || self.opened(&head.headers);
            let passage = Passage {
                path,
                fields: &head.headers,
                more: more.unwrap_or_default(),
                upload,
                judge: (known == Some(Call::ExecProcess)).then_some(&judging),
                look: matches!(known, Some(Call::ListenHistory | Call::Status))
                    .then_some(&mut look),
                begin: (known == Some(Call::ControlSession)).then_some(&opened),
                room: &mut room,
            };
            relay::pass(passage, self.engine.clone(), &mut respond).await
        };
        record.takes(told);
        match passed {
            Ok(end) => {
                record.ended(&end);
                Served::Answered
            }
            Err(Broken::Http(error)) => {
                record.broken(&error);
                Served::BrokeOff
            }
            Err(Broken::Refused(objection)) => record.refuse(&mut respond, DENIED, &objection),
        }
    }

    fn judged_by(&self) -> (Arc<Generation>, ClientRef) {
        let generation = self.shared.generation();
        let client = generation.policy.client_for(&self.entry.identity);
        (generation, client)
    }

    /// Gives the client the session that the engine has opened by a call.
    fn opened(&self, fields: &HeaderMap) -> Result<(), Objection> {
        let id = fields.get(super::SESSION_ID).map(HeaderValue::to_str);
        let builds = &self.shared.builds;
        match id {
            Some(Ok(id)) if builds.claim(Holding::Session, id, &self.owner) => Ok(()),
            _ => Err(Objection::new("owner", FOREIGN_SESSION)),
        }
    }

    fn owns(&self, session: &str) -> bool {
        let builds = &self.shared.builds;
        builds.owns(Holding::Session, session, &self.owner) == Some(true)
    }

    fn context<'c>(
        &'c self,
        judge: &Judge<'c>,
        owns_session: &'c dyn Fn(&str) -> bool,
    ) -> BuildContext<'c> {
        BuildContext {
            namespace: &self.namespace,
            owns_session,
            protected: &judge.policy.protected,
        }
    }

    /// Judges a call; what of it goes on.
    async fn judged(
        &self,
        judge: Option<&Judge<'_>>,
        known: Option<Call>,
        head: &Parts,
        body: RecvStream,
        room: &mut Reservation,
        record: &mut CallRecord<'_>,
    ) -> Result<Upload, Unsent> {
        let Some(judge) = judge else {
            return Err(Objection::new("call", "the role may not build any more").into());
        };
        let way = match known {
            Some(call) => self.known(call, judge, &head.headers).await,
            None => {
                let path = head.uri.path_and_query().map_or("", |path| path.as_str());
                Err(Objection::new(
                    "call",
                    format!("{path} is not a call that this gate knows"),
                ))
            }
        };
        let way = match way {
            Ok(way) => way,
            // A call that is let pass all the same is not looked at any further.
            Err(objection) if judge.mode == Mode::Report => {
                record.would_deny(&objection);
                Way::Stream
            }
            Err(objection) => return Err(objection.into()),
        };
        match (way, known) {
            (Way::Hold, Some(call)) => {
                let gzip =
                    only(&head.headers, &ENCODING).is_some_and(|encoding| encoding == "gzip");
                let held = self.hold(judge, call, body, gzip, room, record).await;
                held.map(Upload::Judged)
            }
            _ => Ok(Upload::Streamed(body)),
        }
    }

    /// What is known of a call by its head: whether the role may make it at all, and whether its build is the client's.
    async fn known(
        &self,
        call: Call,
        judge: &Judge<'_>,
        headers: &HeaderMap,
    ) -> Result<Way, Objection> {
        let grpc = only(headers, &CONTENT_TYPE).is_some_and(|kind| {
            matches!(
                kind.as_bytes(),
                b"application/grpc" | b"application/grpc+proto"
            )
        });
        if !grpc {
            return Err(Objection::new(
                "call",
                "the content type is not application/grpc alone",
            ));
        }
        judge.build.call(call)?;
        if call == Call::ControlSession
            && super::session_fields(&self.shared.builds, headers, &self.owner).is_none()
        {
            return Err(Objection::new("owner", FOREIGN_SESSION));
        }
        if call.within_build() {
            let id = only(headers, &BUILD_ID).and_then(|id| id.to_str().ok());
            let own = match id {
                Some(id) => self.waits(Holding::Build, id).await,
                None => false,
            };
            if !own {
                let detail = format!("{} names no build of this client", call.path());
                return Err(Objection::new("owner", detail));
            }
        }
        Ok(match call {
            Call::Solve
            | Call::Status
            | Call::ListenHistory
            | Call::UpdateHistory
            | Call::FrontendSolve
            | Call::ResolveImageConfig
            | Call::ResolveSourceMeta
            | Call::NewContainer
            | Call::ContentInfo
            | Call::ContentRead => Way::Hold,
            Call::ExecProcess => Way::Watch,
            _ => Way::Stream,
        })
    }

    /// Reads a call's message and judges it; the message that goes on.
    async fn hold(
        &self,
        judge: &Judge<'_>,
        call: Call,
        mut body: RecvStream,
        gzip: bool,
        room: &mut Reservation,
        record: &mut CallRecord<'_>,
    ) -> Result<Bytes, Unsent> {
        let message = held::message(&mut body, gzip, room).await?;
        let appendix = match self.waits_and_judges(judge, call, &message, record).await {
            Err(Unsent::Refused(_, objection)) if judge.mode == Mode::Report => {
                record.would_deny(&objection);
                Vec::new()
            }
            Ok(_) if judge.mode == Mode::Report => Vec::new(),
            judged => judged?,
        };
        let framed = grpc::framed(&[&message, &appendix]);
        framed.map(Bytes::from).ok_or_else(|| {
            Objection::new(
                "message",
                "with the gate's own rules, the message is too large",
            )
            .into()
        })
    }

    async fn waits_and_judges(
        &self,
        judge: &Judge<'_>,
        call: Call,
        message: &[u8],
        record: &mut CallRecord<'_>,
    ) -> Result<Vec<u8>, Unsent> {
        match call {
            Call::Status => {
                let reference = calls::status(message)?;
                match self.waits(Holding::Build, reference).await {
                    true => Ok(Vec::new()),
                    false => Err(foreign("Status").into()),
                }
            }
            Call::Solve => {
                // The session is opened at the same time; whose it is is judged with the rest.
                let session = Solve::read(message)?.session;
                if !session.is_empty() {
                    self.waits(Holding::Session, session).await;
                }
                self.judge(judge, call, message, record)
            }
            _ => self.judge(judge, call, message, record),
        }
    }

    async fn waits(&self, holding: Holding, id: &str) -> bool {
        self.shared.builds.awaited(holding, id, &self.owner).await
    }

    fn judge(
        &self,
        judge: &Judge<'_>,
        call: Call,
        message: &[u8],
        record: &mut CallRecord<'_>,
    ) -> Result<Vec<u8>, Unsent> {
        let owns_session = |session: &str| self.owns(session);
        let context = self.context(judge, &owns_session);
        let build = judge.build;
        match call {
            Call::Solve => {
                let solve = Solve::read(message)?;
                record.asks(BuildFacts::solve(&solve));
                let appendix = build.solve(&solve, &context)?;
                let reference = solve.reference;
                let builds = &self.shared.builds;
                if reference == HISTORY_PROBE
                    || !builds.claim(Holding::Build, reference, &self.owner)
                {
                    return Err(foreign("Solve").into());
                }
                return Ok(appendix);
            }
            Call::FrontendSolve => {
                let solve = FrontendSolve::read(message)?;
                record.asks(BuildFacts::frontend(&solve));
                return Ok(build.frontend_solve(&solve, &context)?);
            }
            Call::ResolveImageConfig => {
                resolve(build, &calls::resolve_image(message)?, &context, record)?;
            }
            Call::ResolveSourceMeta => {
                resolve(build, &calls::resolve_source(message)?, &context, record)?;
            }
            Call::ListenHistory => {
                return Ok(self.history(build, &HistoryRequest::read(message)?)?);
            }
            Call::UpdateHistory => self.own(calls::update_history(message)?)?,
            Call::NewContainer => build.new_container(message, &context)?,
            Call::ContentInfo | Call::ContentRead => {
                let digest = calls::content(call, message)?;
                if !self.shared.builds.may_read(digest, &self.owner) {
                    let detail = "content that the history of this client's builds has not named";
                    return Err(Objection::new("owner", detail).into());
                }
            }
            _ => return Err(Objection::new("call", "the call cannot be judged").into()),
        }
        Ok(Vec::new())
    }

    /// Whether a client may ask this of the history; what to append. Which events of many it gets is judged as they come.
    fn history(&self, build: &Build, request: &HistoryRequest<'_>) -> Result<Vec<u8>, Objection> {
        if request.filtered || request.limited && request.reference.is_empty() {
            let detail = "a filter or a limit of ListenBuildHistory can end some engines";
            return Err(Objection::new("history", detail));
        }
        match request.reference {
            "" => {}
            HISTORY_PROBE if request.early_exit => {}
            _ if build.all_history => {}
            reference => self.own(reference)?,
        }
        // buildx has a limit beside the one build that it asks for; no engine sees it.
        Ok(match request.limited {
            true => buildkit::append::flag(HISTORY_LIMIT, false),
            false => Vec::new(),
        })
    }

    /// Whether a client may see an event of the history; what its own builds name may be read from then on.
    fn may_see(&self, judge: &Judge<'_>, message: Option<&[u8]>) -> bool {
        let event = message.and_then(|message| HistoryEvent::read(message).ok());
        let Some(event) = event else {
            return judge.mode == Mode::Report;
        };
        let all = judge.build.all_history || judge.mode == Mode::Report;
        // An event that names no build says that there are no more of the kind.
        let own = event.reference.is_empty() || self.own(event.reference).is_ok();
        if own || all {
            for digest in &event.digests {
                self.shared.builds.named(digest, &self.owner);
            }
        }
        own || all
    }

    /// Whether a build is the client's own by now.
    fn own(&self, reference: &str) -> Result<(), Objection> {
        let builds = &self.shared.builds;
        match builds.owns(Holding::Build, reference, &self.owner) {
            Some(true) => Ok(()),
            _ => Err(Objection {
                rule: "history",
                detail: "the history of a build that is not this client's".into(),
                allowed: "history = \"all\"".into(),
            }),
        }
    }
}

/// The value of a field that a call has once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}

fn resolve(
    build: &Build,
    asked: &Llb<'_>,
    context: &BuildContext<'_>,
    record: &mut CallRecord<'_>,
) -> Result<(), Objection> {
    record.asks(BuildFacts::sources(asked));
    build.resolve(asked, context)
}

fn foreign(call: &str) -> Objection {
    Objection::new(
        "owner",
        format!("{call} names a build that is not this client's"),
    )
}

/// Why a held message does not go on.
enum Unsent {
    Refused(u8, Objection),
    Gone,
}

impl From<Objection> for Unsent {
    fn from(objection: Objection) -> Self {
        Self::Refused(DENIED, objection)
    }
}

impl From<buildkit::Unreadable> for Unsent {
    fn from(unreadable: buildkit::Unreadable) -> Self {
        Objection::from(unreadable).into()
    }
}

impl From<NotHeld> for Unsent {
    fn from(not_held: NotHeld) -> Self {
        match not_held {
            NotHeld::Refused(why) => Objection::new("message", why).into(),
            NotHeld::NoRoom => {
                let detail = "too much waits for judgement already, try again";
                Self::Refused(EXHAUSTED, Objection::new("message", detail))
            }
            NotHeld::Gone => Self::Gone,
        }
    }
}
