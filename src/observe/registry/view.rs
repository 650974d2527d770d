//! What the outside may see of the table: handshakes in progress, states, and sums for the gauges.

use std::collections::HashMap;
use std::sync::Arc;

use pki::Validity;
use pki::identity::Identity;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::pending::Handshake;
use super::{Entry, Registry};

/// What a connection is doing, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Proving who it is.
    Handshake,
    /// Between requests.
    Idle,
    /// In a request.
    Request,
    /// Hijacked: attach, exec, build session.
    Tunnel,
}

impl State {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Idle => "idle",
            Self::Request => "request",
            Self::Tunnel => "tunnel",
        }
    }
}

/// Sums over the table, taken in one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Live connections, handshakes aside.
    pub connections: usize,
    /// Those of them that are tunnels.
    pub tunnels: usize,
    /// Those of them that are in a request, tunnels aside.
    pub requests: usize,
    /// Handshakes in progress.
    pub handshakes: usize,
    /// Clients (public keys) with a live connection.
    pub clients: usize,
    /// Bytes from clients since start.
    pub bytes_in: u64,
    /// Bytes to clients since start.
    pub bytes_out: u64,
    /// End of validity of each connected client's certificate, seconds since the Unix epoch, one per public key, ascending.
    pub client_expiry: Vec<i64>,
    /// From when the gate warns of each of them, in the same form.
    pub client_warnings: Vec<i64>,
}

impl Entry {
    /// What it is doing, without what it is doing it to.
    #[must_use]
    pub fn state(&self) -> State {
        let activity = self.lock();
        match (activity.tunnel, activity.busy) {
            (true, _) => State::Tunnel,
            (false, true) => State::Request,
            (false, false) => State::Idle,
        }
    }
}

impl Registry {
    /// The handshakes in progress, oldest first.
    #[must_use]
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.pending.snapshot()
    }

    /// Sums over the table.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            handshakes: self.pending.count(),
            ..Totals::default()
        };
        // Copied under the lock, which also guards what has left: no byte is counted twice or missed.
        let (entries, clients, (up, down)) = {
            let table = self.lock();
            let entries: Vec<Arc<Entry>> = table.live.values().cloned().collect();
            let live = entries.iter().map(|e| e.meter.totals());
            let sum = live.fold(table.past, |sum, (up, down)| (sum.0 + up, sum.1 + down));
            (entries, table.shares.clients(), sum)
        };
        (totals.bytes_in, totals.bytes_out) = (up, down);
        totals.clients = clients;
        totals.connections = entries.len();
        let mut expiry: HashMap<[u8; 32], (i64, i64)> = HashMap::new();
        for entry in &entries {
            match entry.state() {
                State::Tunnel => totals.tunnels += 1,
                State::Request => totals.requests += 1,
                State::Idle | State::Handshake => {}
            }
            let ends = ends(&entry.identity);
            expiry
                .entry(entry.identity.spki)
                .and_modify(|known| *known = (known.0.min(ends.0), known.1.min(ends.1)))
                .or_insert(ends);
        }
        let (mut ends, mut warnings): (Vec<_>, Vec<_>) = expiry.into_values().unzip();
        ends.sort_unstable();
        warnings.sort_unstable();
        (totals.client_expiry, totals.client_warnings) = (ends, warnings);
        totals
    }
}

/// The end of a certificate, and the moment from which the gate warns of it.
fn ends(identity: &Identity) -> (i64, i64) {
    let end = identity.not_after;
    let moment = OffsetDateTime::from_unix_timestamp;
    let warning = match (moment(identity.not_before), moment(end)) {
        (Ok(from), Ok(until)) => Validity::of_certificate(from, until).warned_from(),
        _ => return (end, end),
    };
    (end, warning.unix_timestamp())
}
