//! The gRPC methods of the engine's builder, and the short messages of some.

use crate::definition::Llb;
use crate::wire::{Fields, Unreadable};

macro_rules! calls {
    ($($name:ident $path:literal $id:literal;)*) => {
        /// A method of the engine's builder.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Call {
            $(#[doc = $path] $name,)*
        }

        impl Call {
            /// Every method.
            pub const ALL: &'static [Call] = &[$(Call::$name),*];

            /// Its path, which `:path` must equal byte for byte.
            #[must_use]
            pub fn path(self) -> &'static str {
                match self {
                    $(Call::$name => $path,)*
                }
            }

            /// Its name in records.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self {
                    $(Call::$name => $id,)*
                }
            }
        }
    };
}

calls! {
    ListWorkers "/moby.buildkit.v1.Control/ListWorkers" "build.list-workers";
    Info "/moby.buildkit.v1.Control/Info" "build.info";
    Solve "/moby.buildkit.v1.Control/Solve" "build.solve";
    Status "/moby.buildkit.v1.Control/Status" "build.status";
    ControlSession "/moby.buildkit.v1.Control/Session" "build.control-session";
    DiskUsage "/moby.buildkit.v1.Control/DiskUsage" "build.disk-usage";
    Prune "/moby.buildkit.v1.Control/Prune" "build.prune-cache";
    ListenHistory "/moby.buildkit.v1.Control/ListenBuildHistory" "build.history";
    UpdateHistory "/moby.buildkit.v1.Control/UpdateBuildHistory" "build.update-history";
    Ping "/moby.buildkit.v1.frontend.LLBBridge/Ping" "build.ping";
    FrontendSolve "/moby.buildkit.v1.frontend.LLBBridge/Solve" "build.frontend-solve";
    Return "/moby.buildkit.v1.frontend.LLBBridge/Return" "build.return";
    ResolveImageConfig "/moby.buildkit.v1.frontend.LLBBridge/ResolveImageConfig" "build.resolve-image";
    ResolveSourceMeta "/moby.buildkit.v1.frontend.LLBBridge/ResolveSourceMeta" "build.resolve-source";
    ReadFile "/moby.buildkit.v1.frontend.LLBBridge/ReadFile" "build.read-file";
    ReadDir "/moby.buildkit.v1.frontend.LLBBridge/ReadDir" "build.read-dir";
    StatFile "/moby.buildkit.v1.frontend.LLBBridge/StatFile" "build.stat-file";
    Evaluate "/moby.buildkit.v1.frontend.LLBBridge/Evaluate" "build.evaluate";
    Inputs "/moby.buildkit.v1.frontend.LLBBridge/Inputs" "build.inputs";
    Warn "/moby.buildkit.v1.frontend.LLBBridge/Warn" "build.warn";
    NewContainer "/moby.buildkit.v1.frontend.LLBBridge/NewContainer" "build.new-container";
    ReleaseContainer "/moby.buildkit.v1.frontend.LLBBridge/ReleaseContainer" "build.release-container";
    ExecProcess "/moby.buildkit.v1.frontend.LLBBridge/ExecProcess" "build.exec-process";
    ReadFileContainer "/moby.buildkit.v1.frontend.LLBBridge/ReadFileContainer" "build.read-file-container";
    ReadDirContainer "/moby.buildkit.v1.frontend.LLBBridge/ReadDirContainer" "build.read-dir-container";
    StatFileContainer "/moby.buildkit.v1.frontend.LLBBridge/StatFileContainer" "build.stat-file-container";
    ContentInfo "/containerd.services.content.v1.Content/Info" "build.content-info";
    ContentRead "/containerd.services.content.v1.Content/Read" "build.content-read";
    TraceExport "/opentelemetry.proto.collector.trace.v1.TraceService/Export" "build.trace";
    Health "/grpc.health.v1.Health/Check" "build.health";
}

impl Call {
    /// The method with exactly this path.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Call> {
        Call::ALL.iter().copied().find(|call| call.path() == path)
    }

    /// The method with this name in records.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Call> {
        Call::ALL.iter().copied().find(|call| call.id() == id)
    }

    /// Whether the call looks into a build that failed, as `docker buildx debug` does.
    #[must_use]
    pub fn debugs(self) -> bool {
        matches!(
            self,
            Call::NewContainer
                | Call::ReleaseContainer
                | Call::ExecProcess
                | Call::ReadFileContainer
                | Call::ReadDirContainer
                | Call::StatFileContainer
        )
    }

    /// Whether the call belongs to a running build, which the metadata `buildkit-controlapi-buildid` names.
    #[must_use]
    pub fn within_build(self) -> bool {
        self.path()
            .starts_with("/moby.buildkit.v1.frontend.LLBBridge/")
    }
}

/// The `Ref` of a `StatusRequest`.
///
/// # Errors
/// When it cannot be read with certainty.
pub fn status(bytes: &[u8]) -> Result<&str, Unreadable> {
    let mut fields = Fields::new("StatusRequest", bytes);
    let mut reference = "";
    while let Some(field) = fields.next_field()? {
        fields.once(field.number)?;
        match field.number {
            1 => reference = field.text()?,
            _ => return Err(field.unknown()),
        }
    }
    Ok(reference)
}

/// `BuildHistoryRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryRequest<'b> {
    /// One build's id.
    pub reference: &'b str,
    /// Whether the stream ends after what is there.
    pub early_exit: bool,
    /// Whether a filter is set, which can crash some engines.
    pub filtered: bool,
    /// Whether a limit is set, which can crash some engines too.
    pub limited: bool,
}

impl<'b> HistoryRequest<'b> {
    /// Reads the message.
    ///
    /// # Errors
    /// When it cannot be read with certainty.
    pub fn read(bytes: &'b [u8]) -> Result<Self, Unreadable> {
        let mut request = Self::default();
        let mut fields = Fields::new("BuildHistoryRequest", bytes);
        while let Some(field) = fields.next_field()? {
            if field.number != 4 {
                fields.once(field.number)?;
            }
            match field.number {
                1 => _ = field.flag()?,
                2 => request.reference = field.text()?,
                3 => request.early_exit = field.flag()?,
                4 => {
                    field.bytes()?;
                    request.filtered = true;
                }
                5 => request.limited = field.number()? != 0,
                _ => return Err(field.unknown()),
            }
        }
        Ok(request)
    }
}

/// The `Ref` of an `UpdateBuildHistoryRequest`.
///
/// # Errors
/// When it cannot be read with certainty.
pub fn update_history(bytes: &[u8]) -> Result<&str, Unreadable> {
    let mut fields = Fields::new("UpdateBuildHistoryRequest", bytes);
    let mut reference = "";
    while let Some(field) = fields.next_field()? {
        fields.once(field.number)?;
        match field.number {
            1 => reference = field.text()?,
            2..=4 => _ = field.flag()?,
            _ => return Err(field.unknown()),
        }
    }
    Ok(reference)
}

/// The digest of a request to containerd's content store.
///
/// # Errors
/// When it cannot be read with certainty.
pub fn content(call: Call, bytes: &[u8]) -> Result<&str, Unreadable> {
    let mut fields = Fields::new("content request", bytes);
    let mut digest = "";
    while let Some(field) = fields.next_field()? {
        fields.once(field.number)?;
        match field.number {
            1 => digest = field.text()?,
            // Where to begin, and how much.
            2 | 3 if call == Call::ContentRead => _ = field.number()?,
            _ => return Err(field.unknown()),
        }
    }
    Ok(digest)
}

/// What a `ResolveImageConfigRequest` asks for.
///
/// # Errors
/// When it cannot be read with certainty.
pub fn resolve_image(bytes: &[u8]) -> Result<Llb<'_>, Unreadable> {
    let mut fields = Fields::new("ResolveImageConfigRequest", bytes);
    let mut llb = Llb::default();
    while let Some(field) = fields.next_field()? {
        if field.number != 8 {
            fields.once(field.number)?;
        }
        match field.number {
            1 => _ = llb.sources.insert(field.text()?),
            6 => {
                let session = field.text()?;
                if !session.is_empty() {
                    llb.sessions.insert(session);
                }
            }
            2..=5 | 7 | 8 => {}
            _ => return Err(field.unknown()),
        }
    }
    Ok(llb)
}

/// What a `ResolveSourceMetaRequest` asks for.
///
/// # Errors
/// When it cannot be read with certainty.
pub fn resolve_source(bytes: &[u8]) -> Result<Llb<'_>, Unreadable> {
    let mut fields = Fields::new("ResolveSourceMetaRequest", bytes);
    let mut llb = Llb::default();
    while let Some(field) = fields.next_field()? {
        if field.number != 8 {
            fields.once(field.number)?;
        }
        match field.number {
            1 => llb.source(field.bytes()?)?,
            2..=8 => {}
            _ => return Err(field.unknown()),
        }
    }
    Ok(llb)
}
