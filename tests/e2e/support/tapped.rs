//! A gate of a scenario's own with a tap behind it: what the engine sees, and when.

use super::ScenarioResult;
use super::client::Side;
use super::gate::Gate;
use super::suite::{NEEDS_GATE, Suite};
use super::tap::Tap;

/// A side whose way to the engine leads through a tap. Without a gate the clients speak to the tap directly.
pub(crate) struct Tapped<'a> {
    /// The clients.
    pub(crate) side: Side<'a>,
    /// Between gate and engine.
    pub(crate) tap: Tap,
    gate: Option<Gate>,
}

impl<'a> Tapped<'a> {
    /// Starts both.
    pub(crate) fn start(suite: &'a Suite, name: &str) -> ScenarioResult<Self> {
        let socket = suite.scratch("taps")?.join(format!("{name}.sock"));
        let tap = Tap::start(&socket, &suite.engine.socket)?;
        if suite.gate().is_err() {
            return Ok(Self {
                side: Side::direct(suite, name, &socket)?,
                tap,
                gate: None,
            });
        }
        let gate = Gate::start(&suite.pki, &socket, &[])?;
        Ok(Self {
            side: Side::gate(suite, name, gate.addr)?,
            tap,
            gate: Some(gate),
        })
    }

    /// The gate, for scenarios that make no sense without.
    pub(crate) fn gate(&self) -> ScenarioResult<&Gate> {
        self.gate.as_ref().ok_or_else(|| NEEDS_GATE.into())
    }

    /// Removes what the scenario made, and fails when the gate logged an error.
    pub(crate) fn finish(&self) -> ScenarioResult {
        self.side.clean();
        self.gate.as_ref().map_or(Ok(()), Gate::check_log)
    }
}
