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
        let hint = error.hint();
        if !matches!(error, ClientError::Answer(_)) {
            return Self::of(Exit::FAILED, &error).hint(hint);
        }
        // What the gate answers may be several faults, each with its advice on the next line.
        let mut faults: Vec<(String, Option<String>)> = Vec::new();
        for line in crate::error::report(&error).lines() {
            match (line.strip_prefix("hint: "), faults.last_mut()) {
                (Some(advice), Some((_, told))) => *told = Some(advice.to_owned()),
                _ => faults.push((line.to_owned(), None)),
            }
        }
        Self {
            faults,
            exit: Exit::FAILED,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gate_refuses_is_told_fault_by_fault_with_its_advice() {
        let answer = "it failed: p.toml:3: unknown key \"a\"\nhint: did you mean \"b\"?\np.toml:4: expected 1";
        let failure = Failure::from(ClientError::Answer(answer.to_owned()));
        let advice = Some("did you mean \"b\"?".to_owned());
        let first = "the gate refused: it failed: p.toml:3: unknown key \"a\"".to_owned();
        let second = ("p.toml:4: expected 1".to_owned(), None);
        assert_eq!(failure.faults, [(first, advice), second]);
    }
}
