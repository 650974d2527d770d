//! The gate's own house: which files, volumes, container and image are the gate's, so that no limited role reaches them.
//!
//! Files come from the configuration. In a container the gate sees other paths than the engine does, so it finds its own
//! container in `/proc/self/mountinfo` and asks the engine once what is mounted there. Until that is answered, what might
//! reach the gate is refused ([`Protected::unknown`]), and the question is asked again.

mod container;
mod files;
mod links;
mod published;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use crate::engine::Upstream;
use crate::error;
use policy::{ImagePattern, OwnContainer, Protected};

pub use container::{Own, Surroundings};
pub use files::{Survey, is_shared};
pub use links::lead_to;

/// How soon the engine is asked again after it gave no answer.
const AGAIN: Duration = Duration::from_secs(1);

/// Where every engine listens unless it is told otherwise.
const ENGINE_SOCKET: &str = "/var/run/docker.sock";

/// Where engines and containerd keep their data and their sockets unless they are told otherwise.
const ENGINE_PLACES: &[&str] = &[
    "/var/lib/docker",
    "/var/lib/containerd",
    "/run/docker",
    "/run/containerd",
];

/// What is known of the house.
#[derive(Debug)]
pub struct House {
    surroundings: Surroundings,
    state: Mutex<HouseState>,
    pending: AtomicBool,
    asking: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct HouseState {
    /// The files the gate was started with, which it may use until its end.
    first: Survey,
    /// Those of the configuration in force.
    now: Survey,
    own: Result<Option<Own>, String>,
    /// Where the engine keeps its data, once it has been asked.
    data_root: Option<String>,
}

impl HouseState {
    /// The ports of the host by which the gate is reached. Where it is not known which lead to its container, they are taken to be those
    /// that it listens on.
    fn ports(&self) -> Vec<u16> {
        if let Ok(Some(own)) = &self.own
            && let Some(published) = &own.published
        {
            return published.clone();
        }
        let surveys = [&self.first, &self.now].into_iter();
        surveys
            .flat_map(|survey| survey.ports.iter().copied())
            .collect()
    }
}

impl House {
    /// The house of a gate that starts with these files in these surroundings.
    #[must_use]
    pub fn new(survey: Survey, surroundings: Surroundings) -> Self {
        let own = match surroundings.in_container() {
            false => Ok(None),
            true => Err("the engine has not been asked".to_owned()),
        };
        Self {
            pending: AtomicBool::new(own.is_err()),
            surroundings,
            state: Mutex::new(HouseState {
                first: survey.clone(),
                now: survey,
                own,
                data_root: None,
            }),
            asking: tokio::sync::Mutex::new(None),
        }
    }

    /// Takes over the files of a new configuration.
    pub fn adopt(&self, survey: Survey) {
        self.lock().now = survey;
    }

    /// What to keep limited roles away from, as far as it is known.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "sequence")]
    pub fn protected(&self) -> Arc<Protected> {
        let state = self.lock();
        let surveys = [&state.first, &state.now];
        let mut protected = Protected::default().path(ENGINE_SOCKET);
        let places = ENGINE_PLACES.iter().copied();
        for root in places.chain(state.data_root.as_deref()) {
            protected = protected.data_root(root);
        }
        for survey in surveys {
            for path in &survey.named_paths {
                protected = protected.path(path);
            }
            for volume in &survey.named_volumes {
                protected = protected.volume(volume, false);
            }
            for image in &survey.named_images {
                protected = protected.image(image.clone());
            }
        }
        for port in state.ports() {
            protected = protected.port(port);
        }
        match &state.own {
            Ok(None) => {
                if self.surroundings.in_container() {
                    // Of another engine: its host's paths are as good as this one's.
                    let mounts = self.surroundings.mounts();
                    for path in surveys.iter().flat_map(|survey| survey.through(&mounts)) {
                        protected = protected.path(&path);
                    }
                }
                for path in surveys.iter().flat_map(|survey| survey.on_host()) {
                    protected = protected.path(&path);
                }
                protected = protected.follow_links(true);
            }
            Ok(Some(own)) => {
                let mounts = &own.mounts;
                for survey in surveys {
                    for path in survey.through(mounts) {
                        protected = protected.path(&path);
                    }
                    for volume in survey.volumes(mounts) {
                        protected = protected.volume(&volume, true);
                    }
                }
                for path in &own.layers {
                    protected = protected.path(path);
                }
                for image in own.names.iter().filter_map(|name| without_tag(name)) {
                    protected = protected.image(image);
                }
                protected = protected.container(OwnContainer {
                    id: own.id.clone(),
                    image: own.image.clone(),
                    service: own.service.clone(),
                });
            }
            Err(why) => {
                let mounts = self.surroundings.mounts();
                for path in surveys.iter().flat_map(|survey| survey.through(&mounts)) {
                    protected = protected.path(&path);
                }
                protected = protected.unknown(why.clone());
            }
        }
        Arc::new(protected)
    }

    /// Whether the engine still has to be asked.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// The policy in force knows everything.
    pub fn settle(&self) {
        if self.lock().own.is_ok() {
            self.pending.store(false, Ordering::Release);
        }
    }

    /// Asks the engine which container the gate is in, if that is not known; at most once a second. True if it was found out
    /// just now.
    pub async fn ask(&self, upstream: &Upstream) -> bool {
        let called = Instant::now();
        let mut last = self.asking.lock().await;
        // An answer that came while this call waited is as good as one of its own.
        let recent = |last: Instant| last > called || last.elapsed() < AGAIN;
        if !self.is_pending() || last.is_some_and(recent) {
            return false;
        }
        let found = self.learn_all(upstream).await;
        *last = Some(Instant::now());
        match found {
            Ok(None) => {
                info!("The gate's container is not one of this engine's");
                self.lock().own = Ok(None);
                true
            }
            Ok(Some(own)) => {
                info!(
                    container = own.id,
                    image = own.names.first().map(String::as_str).unwrap_or_default(),
                    mounts = own.mounts.len(),
                    "The gate's own container is out of reach of every limited role"
                );
                self.lock().own = Ok(Some(own));
                true
            }
            Err(why) => {
                let mut state = self.lock();
                if state.own.as_ref().err() != Some(&why) {
                    warn!(
                        error = why,
                        "The gate does not know its own container yet; limited roles may not mount, tag or change containers until it does"
                    );
                }
                state.own = Err(why);
                false
            }
        }
    }

    /// The gate's container, after the place of the engine's data: nothing is settled before both are known.
    async fn learn_all(&self, upstream: &Upstream) -> Result<Option<Own>, String> {
        let root = container::data_root(upstream).await?;
        self.lock().data_root = root;
        container::find(&self.surroundings, upstream).await
    }

    /// Asks the engine where it keeps its data, unless that is known. True if it was found out just now.
    ///
    /// # Errors
    /// Why it could not be found out.
    pub async fn ask_data_root(&self, upstream: &Upstream) -> Result<bool, String> {
        let _one = self.asking.lock().await;
        if self.lock().data_root.is_some() {
            return Ok(false);
        }
        let root = container::data_root(upstream).await?;
        let is_news = root.is_some();
        if !is_news {
            debug!(
                "The engine does not say where it keeps its data; the usual places are protected"
            );
        }
        self.lock().data_root = root;
        Ok(is_news)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HouseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pattern of an image name with whatever tag.
fn without_tag(name: &str) -> Option<ImagePattern> {
    let reference = policy::Reference::parse(name)?;
    ImagePattern::parse(&reference.name).ok()
}

/// An error as one line, for the log and the client.
fn said(error: &dyn std::error::Error) -> String {
    error::report(error)
}
