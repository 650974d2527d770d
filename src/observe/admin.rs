//! The local listener for probes and scrapers: `/live`, `/ready`, `/metrics`, in plain HTTP.
//!
//! It shows no names and takes no orders, but it has no authentication either: keep it on a local address. Connections,
//! heads and answers are bounded, so that a probe gone wild cannot take the gate's descriptors.

pub mod serve;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};

use crate::listener;
use crate::observe::health::{Health, ReportOnly};
use crate::observe::log as logging;
use crate::observe::metrics::{Expiry, Metrics, Scene, Syntax};
use crate::observe::registry::Registry;
use serve::{AdminAnswer, json, text};

const NOTHING_ELSE: &str =
    "dockgate: there is nothing here; this listener answers GET /live, /ready and /metrics\n";

/// Gives the dates of the trust in force.
pub type ExpirySource = Arc<dyn Fn() -> Expiry + Send + Sync>;

/// What probes and scrapers ask about.
#[derive(Clone)]
pub struct Admin {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The live connections.
    pub registry: Arc<Registry>,
    /// When the parts of the trust in force end.
    pub expiry: ExpirySource,
    /// Whom the policy in force lets do everything.
    pub report_only: ReportOnly,
    /// The engine.
    pub health: Arc<Health>,
}

/// Binds the listener.
///
/// # Errors
/// When the address is in use or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    listener::bind(address, true)
}

impl Admin {
    /// Serves until dropped.
    ///
    /// # Errors
    /// When the listener cannot be registered with the runtime.
    pub async fn run(self, listener: TcpListener) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        serve::accept(
            |cx| listener.poll_accept(cx).map_ok(|(stream, _)| stream),
            move |stream| {
                let admin = self.clone();
                serve::connection(stream, move |request| {
                    let admin = admin.clone();
                    async move { admin.answer(&request).await }
                })
            },
        )
        .await;
        Ok(())
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<AdminAnswer> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let sentence = "dockgate: only GET and HEAD are answered here\n";
            return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", sentence);
        }
        match request.uri().path() {
            // Being able to say so is all there is to it.
            "/live" => text(StatusCode::OK, "text/plain", "live\n"),
            "/ready" => {
                let ready = self.health.ready().await.under(&self.report_only);
                json(serve::readiness(&ready), &ready)
            }
            "/metrics" => {
                let accept = request.headers().get("accept");
                let syntax = Syntax::accepted(accept.and_then(|a| a.to_str().ok()).unwrap_or(""));
                let page = self.scene().await.text(syntax);
                text(StatusCode::OK, syntax.content_type(), page)
            }
            _ => text(StatusCode::NOT_FOUND, "text/plain", NOTHING_ELSE),
        }
    }

    async fn scene(&self) -> Scene {
        let ready = self.health.ready().await;
        Scene {
            metrics: self.metrics.clone(),
            totals: self.registry.totals(),
            expiry: (self.expiry)(),
            engine_up: ready.engine == crate::observe::health::EngineHealth::Ok,
            draining: ready.draining,
            log_lines_dropped: logging::dropped(),
        }
    }
}
