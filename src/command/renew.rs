//! `dockgate renew`: once if it is due, or whenever it is.

use std::cell::RefCell;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::cli::enrol::RenewArgs;
use crate::command::output::{Exit, Failure, Output};
use crate::companion;
use crate::enrolment::home::Home;
use crate::enrolment::{self, EnrolError, block_on, trust};
use crate::error;
use crate::observe::log as logging;
use pki::event::IssuedKind;
use pki::issue::now;
use pki::timestamp;

pub(super) fn run(args: &RenewArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let home = Home::open(&args.dir)?;
    if args.watch {
        logging::start(tracing::Level::INFO, logging::automatic());
        logging::write()?;
        let end = watch(args, &home, output);
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

fn watch(args: &RenewArgs, home: &Home, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let output = RefCell::new(output);
    let tell = |line: &str| {
        if args.attached {
            let mut output = output.borrow_mut();
            output.line(line);
            output.flush();
        }
    };
    let changed = || tell("changed");
    let interval = Duration::from_secs(args.trust_interval);
    block_on(async {
        tokio::select! {
            ended = renewing(home, &changed) => ended,
            () = following(home, interval, &tell) => Ok(()),
            () = super::signer::gone(args.attached) => Ok(()),
        }
    })??;
    Ok(Exit::OK)
}

/// Renews whenever it is due. A gate goes on without a certificate of its own that is good: it is still told whom to trust.
async fn renewing(home: &Home, changed: &impl Fn()) -> Result<(), EnrolError> {
    let dir = home.dir().display().to_string();
    let ended = enrolment::watch(home, |outcome| match outcome {
        Ok(renewed) => {
            let until = timestamp(renewed.certificate.not_after);
            info!(dir, until, "Renewed the certificate");
            changed();
        }
        Err(error) => {
            let hint = error.hint();
            warn!(dir, error = %error::report(error), hint, "The certificate cannot be renewed; trying again");
        }
    })
    .await;
    match ended {
        Err(error) if home.kind() == IssuedKind::Server => {
            error!(dir, error = %error::report(&error), "The gate's certificate has ended; join again");
            std::future::pending().await
        }
        ended => ended,
    }
}

/// Takes over what the signer tells gates.
async fn following(home: &Home, interval: Duration, tell: &impl Fn(&str)) {
    if home.kind() != IssuedKind::Server {
        return std::future::pending().await;
    }
    let (mut failing, mut clock) = (false, None);
    trust::follow(home, interval, |outcome| match outcome {
        Ok(news) => {
            if news.clock.is_some() && clock != news.clock {
                clock = news.clock;
                tell(&companion::clock_line(clock.unwrap_or_default()));
            }
            match &news.refused {
                Some(fault) if !std::mem::replace(&mut failing, true) => {
                    warn!(error = %error::report(fault), "A part of the signer's news cannot be taken; what it told last of this stays in force");
                }
                None if std::mem::take(&mut failing) => info!("The signer answers again"),
                _ => {}
            }
            if news.changed {
                info!("The signer told whom to trust");
                tell("changed");
            }
        }
        Err(error) if !std::mem::replace(&mut failing, true) => {
            let hint = error.hint();
            match error.is_of_writing() {
                true => {
                    let dir = trust::dir(home).display().to_string();
                    warn!(dir, error = %error::report(error), hint, "What the signer tells cannot be kept: no revocation reaches this gate, and it lets nobody in once its list has ended");
                }
                false => warn!(error = %error::report(error), hint, "The signer gives no news; what it told last stays in force"),
            }
        }
        Err(_) => {}
    })
    .await;
}
