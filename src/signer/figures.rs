//! The signer's metrics, as a file that Prometheus' node exporter reads (its textfile collector): the signer has no listener for
//! them, because everybody reaches the one that it has.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use enroll::rules::SignerFigures;
use pki::CertsError;
use pki::crl::IssuedList;
use pki::event::IssuedKind;
use pki::index::MAX_INDEX_BYTES;
use pki::issue::now;
use pki::store::Paths;
use pki::write::{self, Existing, FileMode};
use tokio::time::interval;
use tracing::{error, warn};

use super::desk::Desk;
use super::turns::blocking;
use crate::error;

/// How often the file is written.
const EVERY: Duration = Duration::from_secs(15);

/// Writes the file from time to time. Runs until dropped.
pub(super) async fn keep(desk: Arc<Desk>) {
    let Some(path) = desk.metrics_file.clone() else {
        return std::future::pending().await;
    };
    let mut ticker = interval(EVERY);
    loop {
        ticker.tick().await;
        let (at_work, to) = (desk.clone(), path.clone());
        let written = blocking(move || Ok(put(&at_work, &to)?)).await;
        if let Err(fault) = written {
            error!(path = %path.display(), error = %error::report(&fault), "The metrics cannot be written");
        }
    }
}

fn put(desk: &Desk, path: &Path) -> Result<(), CertsError> {
    let text = page(desk)?;
    write::write(path, text.as_bytes(), FileMode::Public, Existing::Replace)
}

/// A page in the text format of Prometheus.
#[derive(Default)]
struct GaugePage(String);

impl GaugePage {
    fn gauge(&mut self, name: &str, help: &str, rows: &[(&str, u64)]) {
        let page = &mut self.0;
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "# HELP dockgate_signer_{name} {help}\n# TYPE dockgate_signer_{name} gauge"
        );
        for (labels, value) in rows {
            let _ = writeln!(page, "dockgate_signer_{name}{labels} {value}");
        }
    }
}

fn page(desk: &Desk) -> Result<String, CertsError> {
    let (paths, now) = (Paths::of(desk.dir()), now());
    let index = desk.index()?;
    let mut page = GaugePage::default();
    count(&mut page, &SignerFigures::of(&index, now));
    if paths.crl.is_file()
        && let Some(end) = IssuedList::read(&paths.crl)?.next_update
    {
        let end = end.unix_timestamp().unsigned_abs();
        page.gauge(
            "list_expiry_timestamp_seconds",
            "When the revocation list ends, and with it the work of gates without the signer.",
            &[("", end)],
        );
    }
    let bytes = desk.index_bytes()?;
    page.gauge("index_bytes", "Size of the index.", &[("", bytes)]);
    page.gauge(
        "index_bytes_max",
        "Size of the largest index that is read; above three quarters of it nothing is issued.",
        &[("", MAX_INDEX_BYTES)],
    );
    page.gauge(
        "clock_timestamp_seconds",
        "The signer's clock when this was written: compare it with the time of the scrape.",
        &[("", now.unix_timestamp().unsigned_abs())],
    );
    Ok(page.0)
}

/// Who has joined and who is invited, and in the log who does not renew.
fn count(page: &mut GaugePage, figures: &SignerFigures<'_>) {
    if let Some(first) = figures.overdue.first() {
        let (client, until) = (&first.name, &first.not_after);
        let count = figures.overdue.len();
        warn!(
            client.id = client,
            until, count, "Certificates are not renewed"
        );
    }
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let of = |kind| number(figures.members.get(&kind).copied().unwrap_or(0));
    let overdue = |kind| number(figures.overdue.iter().filter(|it| it.kind == kind).count());
    let (person, gate) = ("{kind=\"client\"}", "{kind=\"server\"}");
    let (client, server) = (IssuedKind::Client, IssuedKind::Server);
    page.gauge(
        "invitations_open",
        "Invitations that can be used.",
        &[("", number(figures.open_invitations))],
    );
    page.gauge(
        "members",
        "Holders of a certificate that renews itself.",
        &[(person, of(client)), (gate, of(server))],
    );
    page.gauge(
        "renewals_overdue",
        "Members that have not renewed although five sixths of the life are over.",
        &[(person, overdue(client)), (gate, overdue(server))],
    );
    page.gauge(
        "token_certificates",
        "Certificates by tokens of CI that have not ended.",
        &[("", number(figures.by_token))],
    );
    page.gauge(
        "certificates_on_hold",
        "Certificates on hold because somebody has a copy.",
        &[("", number(figures.on_hold))],
    );
}
