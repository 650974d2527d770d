//! One call: is it known, whose is it, and what does it ask for?

use std::sync::Arc;

use ::http::header::CONTENT_TYPE;
use ::http::{Method, Request};
use buildkit::calls::{self, HistoryRequest};
use buildkit::{Call, FrontendSolve, Llb, Solve, grpc};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use h2::RecvStream;
use h2::client::SendRequest;

use super::Respond;
use super::held::{self, NotHeld};
use super::owners::{Holding, Owner};
use super::relay::{self, BUILD_ID, Upload};
use super::report::{CallRecord, Facts};
use crate::generation::Generation;
use crate::http::shared::Shared;
use crate::limits::{MemoryBudget, Reservation};
use crate::observe::registry::Entry;
use policy::build::{Build, BuildContext, Objection};
use policy::{ClientRef, Policy};

/// The build that buildx asks the history for, to learn whether there is one.
const HISTORY_PROBE: &str = "buildx-test-history-api-feature";

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
    engine: SendRequest<Bytes>,
    owner: Owner,
    namespace: String,
    room: Arc<MemoryBudget>,
}

/// The role under which one call is judged.
struct Judge<'p> {
    build: &'p Build,
    policy: &'p Policy,
}

/// How a call goes on.
enum Way {
    /// As it comes.
    Stream,
    /// Its one message is read and judged.
    Hold,
}

impl<'a> Caller<'a> {
    pub(super) fn new(shared: &'a Shared, entry: &'a Entry, engine: SendRequest<Bytes>) -> Self {
        let owner = entry.identity.spki;
        Self {
            shared,
            entry,
            engine,
            owner,
            // The digest of the public key tells nothing that the certificate does not.
            namespace: format!("dockgate-{}", HEXLOWER.encode(&owner[..16])),
            room: shared.builds.room(&owner),
        }
    }

    /// Serves one call to its end.
    pub(super) async fn serve(&self, request: Request<RecvStream>, respond: Respond) {
        // A client that has lost its role, or whose role may not build any more, makes no further calls.
        let (generation, client) = self.judged_by();
        let policy = &generation.policy;
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("", |path| path.as_str());
        let known = Call::from_path(path).filter(|_| head.method == Method::POST);
        let id = known.map_or("build.unknown", Call::id);
        let mut record = CallRecord::new(self.shared, self.entry, policy, client, id, path);
        let build = policy.role(client).and_then(|role| role.build.as_ref());
        let (Some(call), Some(build)) = (known, build) else {
            let detail = match build {
                Some(_) => format!("{path} is not a call that this gate knows"),
                None => "the role may not build any more".to_owned(),
            };
            return record.refuse(respond, DENIED, &Objection::new("call", detail));
        };
        let judge = Judge { build, policy };
        let grpc = head.headers.get(CONTENT_TYPE).is_some_and(|kind| {
            matches!(
                kind.as_bytes(),
                b"application/grpc" | b"application/grpc+proto"
            )
        });
        if !grpc {
            let objection = Objection::new("call", "the content type is not application/grpc");
            return record.refuse(respond, DENIED, &objection);
        }
        let way = match self.known(call, build, &head.headers).await {
            Ok(way) => way,
            Err(objection) => return record.refuse(respond, DENIED, &objection),
        };
        let mut room = [
            Reservation::new(&self.room),
            Reservation::new(&self.shared.pending_bodies),
        ];
        let upload = match way {
            Way::Stream => Upload::Streamed(body),
            Way::Hold => {
                let gzip = head.headers.get("grpc-encoding");
                let gzip = gzip.is_some_and(|encoding| encoding.as_bytes() == b"gzip");
                match self
                    .hold(&judge, call, body, gzip, &mut room, &mut record)
                    .await
                {
                    Ok(message) => Upload::Judged(message),
                    Err(Unsent::Gone) => return record.gone(),
                    Err(Unsent::Refused(status, objection)) => {
                        return record.refuse(respond, status, &objection);
                    }
                }
            }
        };
        if let Err(e) = record.goes_on() {
            let message = format!("the audit cannot be written, so nothing is let through: {e}");
            return record.refuse(respond, UNAVAILABLE, &Objection::new("audit", message));
        }
        let passed = relay::pass(call, &head.headers, upload, self.engine.clone(), respond).await;
        record.ended(passed.err().as_ref());
    }

    fn judged_by(&self) -> (Arc<Generation>, ClientRef) {
        let generation = self.shared.generation();
        let client = generation.policy.client_for(&self.entry.identity);
        (generation, client)
    }

    /// What is known of a call by its head: whether the role may make it at all, and whether its build is the client's.
    async fn known(
        &self,
        call: Call,
        build: &Build,
        headers: &::http::HeaderMap,
    ) -> Result<Way, Objection> {
        let granted = |granted: bool, key: &'static str| match granted {
            true => Ok(Way::Stream),
            false => {
                let detail = format!("{} concerns the builds of all clients", call.path());
                Err(Objection {
                    rule: key,
                    detail,
                    allowed: format!("{key} = true"),
                })
            }
        };
        match call {
            Call::DiskUsage => return granted(build.usage, "usage"),
            Call::Prune => return granted(build.prune, "prune"),
            Call::ControlSession => {
                let detail = "sessions are opened by POST /session, where they get an owner";
                return Err(Objection::new("owner", detail));
            }
            Call::NewContainer | Call::ReleaseContainer | Call::ExecProcess => {
                let detail = format!("{} is for debugging", call.path());
                return Err(Objection::new("debug", detail));
            }
            _ => {}
        }
        if call.within_build() {
            let mut ids = headers.get_all(BUILD_ID).iter();
            let id = match (ids.next(), ids.next()) {
                (Some(id), None) => id.to_str().ok(),
                _ => None,
            };
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
            | Call::ResolveSourceMeta => Way::Hold,
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
        room: &mut [Reservation; 2],
        record: &mut CallRecord<'_>,
    ) -> Result<Bytes, Unsent> {
        let message = held::message(&mut body, gzip, room).await?;
        let appendix = match call {
            Call::Status => {
                let reference = calls::status(&message)?;
                if !self.waits(Holding::Build, reference).await {
                    return Err(foreign("Status").into());
                }
                Vec::new()
            }
            _ => {
                if call == Call::Solve {
                    // The session is opened at the same time; whose it is is judged with the rest.
                    let session = Solve::read(&message)?.session;
                    if !session.is_empty() {
                        self.waits(Holding::Session, session).await;
                    }
                }
                self.judge(judge, call, &message, record)?
            }
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
        let owns_session = |session: &str| {
            let own = self
                .shared
                .builds
                .owns(Holding::Session, session, &self.owner);
            own == Some(true)
        };
        let context = BuildContext {
            namespace: &self.namespace,
            owns_session: &owns_session,
            protected: &judge.policy.protected,
        };
        match call {
            Call::Solve => {
                let solve = Solve::read(message)?;
                record.asks(Facts::solve(&solve));
                let appendix = judge.build.solve(&solve, &context)?;
                let reference = solve.reference;
                if reference == HISTORY_PROBE
                    || !self
                        .shared
                        .builds
                        .claim(Holding::Build, reference, &self.owner)
                {
                    return Err(foreign("Solve").into());
                }
                Ok(appendix)
            }
            Call::FrontendSolve => {
                let solve = FrontendSolve::read(message)?;
                record.asks(Facts::frontend(&solve));
                Ok(judge.build.frontend_solve(&solve, &context)?)
            }
            Call::ResolveImageConfig => {
                resolve(judge, &calls::resolve_image(message)?, &context, record)
            }
            Call::ResolveSourceMeta => {
                resolve(judge, &calls::resolve_source(message)?, &context, record)
            }
            Call::ListenHistory => {
                let request = HistoryRequest::read(message)?;
                self.history(judge.build, &request)?;
                Ok(Vec::new())
            }
            Call::UpdateHistory => {
                self.own(calls::update_history(message)?)?;
                Ok(Vec::new())
            }
            _ => Err(Objection::new("call", "the call cannot be judged").into()),
        }
    }

    fn history(&self, build: &Build, request: &HistoryRequest<'_>) -> Result<(), Objection> {
        if request.filtered {
            let detail = "a filter or a limit of ListenBuildHistory can end some engines";
            return Err(Objection::new("history", detail));
        }
        if build.all_history || request.reference == HISTORY_PROBE && request.early_exit {
            return Ok(());
        }
        self.own(request.reference)
    }

    /// Whether a build is the client's own by now.
    fn own(&self, reference: &str) -> Result<(), Objection> {
        match self
            .shared
            .builds
            .owns(Holding::Build, reference, &self.owner)
        {
            Some(true) => Ok(()),
            _ => Err(Objection {
                rule: "history",
                detail: "the history of a build that is not this client's".into(),
                allowed: "history = \"all\"".into(),
            }),
        }
    }
}

fn resolve(
    judge: &Judge<'_>,
    asked: &Llb<'_>,
    context: &BuildContext<'_>,
    record: &mut CallRecord<'_>,
) -> Result<Vec<u8>, Unsent> {
    record.asks(Facts::sources(asked));
    judge.build.resolve(asked, context)?;
    Ok(Vec::new())
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
        Objection::new("message", unreadable.to_string()).into()
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
