//! What each kind of error is to the person who ran a command: its sentences, its advice and the exit code.

use pki::CertsError;
use policy::PolicyError;

use crate::app::StartError;
use crate::command::output::{Exit, Failure};
use crate::config::error::ConfigError;
use crate::generation::told;
use crate::observe::control::client::ClientError;

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let exit = Exit::of(error.exit_code());
        let faults = error
            .problems
            .into_iter()
            .map(|mut problem| {
                let hint = problem.hint.take();
                (problem.to_string(), hint)
            })
            .collect();
        Self { faults, exit }
    }
}

impl From<PolicyError> for Failure {
    fn from(error: PolicyError) -> Self {
        Self {
            faults: told(&error),
            exit: Exit::CONFIGURATION,
        }
    }
}

impl From<CertsError> for Failure {
    fn from(error: CertsError) -> Self {
        Self::of(Exit::FAILED, &error).hint(error.hint())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::of(Exit::FAILED, &error).hint(error.hint())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let exit = Exit::of(error.exit_code());
        match error {
            StartError::Generation(fault) => Self {
                faults: fault.told(),
                exit,
            },
            error => Self::of(exit, &error).hint(error.hint()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::of(Exit::FAILED, &error)
    }
}
