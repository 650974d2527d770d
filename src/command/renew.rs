//! `dockgate renew`: once if it is due, or whenever it is.

use tracing::{info, warn};

use crate::cli::enrol::RenewArgs;
use crate::command::output::{Exit, Failure, Output};
use crate::enrolment::home::Home;
use crate::enrolment::{self, block_on};
use crate::finding;
use crate::observe::log as logging;
use pki::issue::now;
use pki::timestamp;

pub(super) fn run(args: &RenewArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let home = Home::open(&args.dir)?;
    if args.watch {
        logging::start(tracing::Level::INFO, logging::automatic());
        logging::write()?;
        let end = watch(&home);
        logging::flush();
        return end;
    }
    let due = enrolment::due(&home.certificate()?);
    if !args.force && now() < due {
        output.line(format!("not due before {}", timestamp(due)));
        return Ok(Exit::OK);
    }
    let renewed = block_on(enrolment::renew(&home))??;
    output.line(format!(
        "renewed with a new key, good until {}",
        timestamp(renewed.certificate.not_after)
    ));
    output.line("connections that are open end with the certificate they were opened with");
    Ok(Exit::OK)
}

fn watch(home: &Home) -> Result<Exit, Failure> {
    let watched = block_on(enrolment::watch(home, |outcome| match outcome {
        Ok(renewed) => info!(
            dir = %home.dir().display(),
            until = timestamp(renewed.certificate.not_after),
            "Renewed the certificate"
        ),
        Err(error) => warn!(
            dir = %home.dir().display(),
            error = %finding::chain(error),
            "The certificate cannot be renewed; trying again"
        ),
    }))?;
    watched?;
    Ok(Exit::OK)
}
