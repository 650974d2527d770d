//! `dockgate join`: an invitation becomes a key, a certificate and a docker context, or the state of a gate.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use crate::cli::enrol::{JoinArgs, RenewedBy};
use crate::command::output::{Exit, Failure, Output};
use crate::enrolment::context::{DockerContext, config_dir};
use crate::enrolment::home::Home;
use crate::enrolment::{self, EnrolError, JoinCredential, Joined, block_on, timer, trust};
use enroll::oidc::MAX_OIDC_TOKEN_BYTES;
use enroll::{Secret, SignerAddress, SignerPin, Token};
use pki::event::IssuedKind;
use pki::store::inspect_file;
use pki::{CertsError, timestamp};
use text::escape::shell_word;

/// Shorter lives end long builds and sessions.
const SHORT: time::Duration = time::Duration::DAY;

impl From<EnrolError> for Failure {
    fn from(error: EnrolError) -> Self {
        let hint = error.hint();
        Self::of(Exit::FAILED, &error).hint(hint)
    }
}

pub(super) fn run(args: &JoinArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let token = match &args.oidc_token_file {
        None => JoinCredential::Invitation(token(&args.token)?),
        Some(path) => {
            let pin = SignerPin::parse(&args.token).map_err(EnrolError::from)?;
            JoinCredential::Ci(pin, of_ci(path)?)
        }
    };
    match args.server {
        true => gate(args, &token, output),
        false => person(args, &token, output),
    }
}

fn token(given: &str) -> Result<Token, Failure> {
    if given != "-" {
        return Token::parse(given).map_err(|fault| EnrolError::from(fault).into());
    }
    let mut text = Zeroizing::new(String::new());
    let most = u64::try_from(enroll::token::MAX_TOKEN_BYTES).unwrap_or(1024);
    let read = std::io::stdin().take(2 * most).read_to_string(&mut text);
    read.map_err(|source| CertsError::io("read", "standard input", source))?;
    if text.trim().is_empty() {
        let hint = "paste the line that `dockgate invite` printed and press Ctrl-D, or write `dockgate join - < FILE`";
        return Err(Failure::new(Exit::FAILED, "standard input holds no token").hint(Some(hint)));
    }
    Token::parse(&text).map_err(|fault| EnrolError::from(fault).into())
}

/// The token of CI in a file or on standard input.
fn of_ci(path: &Path) -> Result<Secret, CertsError> {
    let failed = |source| CertsError::io("read", path, source);
    let mut text = Zeroizing::new(String::new());
    let most = MAX_OIDC_TOKEN_BYTES as u64 + 2;
    match path == Path::new("-") {
        true => std::io::stdin().take(most).read_to_string(&mut text),
        false => File::open(path)
            .map_err(failed)?
            .take(most)
            .read_to_string(&mut text),
    }
    .map_err(failed)?;
    let token = text.trim();
    let is_one = token.split('.').count() == 3
        && token
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
    match is_one && token.len() <= MAX_OIDC_TOKEN_BYTES {
        true => Ok(Secret::new(token.to_owned())),
        false => Err(CertsError::refused(
            format!("{path:?} does not hold an OIDC token, which has three parts in base64url"),
            "write the token alone, without quotes or JSON around it",
        )),
    }
}

fn gate(args: &JoinArgs, token: &JoinCredential, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let home = Home::new(&args.dir, IssuedKind::Server);
    let taken = args.dir.join("docker").symlink_metadata().is_ok();
    if taken
        || home
            .state()
            .is_ok_and(|state| state.kind != IssuedKind::Server)
    {
        return Err(CertsError::refused(
            format!("{:?} holds a client's certificate", args.dir),
            "name another directory with --dir",
        )
        .into());
    }
    let joined = block_on(enrolment::join(&home, token, args.key_type, None))??;
    let trusted = block_on(trust::ask(&home, &mut trust::Heard::default(), false))?;
    if let Some(fault) = trusted?.refused {
        return Err(fault.into());
    }
    tell(&joined, &home, output);
    let dir = shell_word(&args.dir.to_string_lossy()).into_owned();
    output.next(format!("dockgate serve --enrolled {dir}"));
    Ok(Exit::OK)
}

fn person(
    args: &JoinArgs,
    token: &JoinCredential,
    output: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let host = args.host.as_deref().map(address).transpose()?;
    let signer = token.pin().signer;
    let named = host.as_ref().unwrap_or(&signer);
    let name = args
        .context
        .clone()
        .unwrap_or_else(|| DockerContext::name_of(&named.host));
    let context = DockerContext::new(&config_dir()?, &name)?;
    // Before the invitation is used: it is good once.
    context.is_free()?;
    let home = context.home();
    let before = inspect_file(&home.files().join("cert.pem"));
    let joined = block_on(enrolment::join(
        &home,
        token,
        args.key_type,
        Some(context.name()),
    ))??;
    let gate = gate_of(host.as_ref(), &context, &joined, &signer);
    context.write(&gate)?;
    let current = context.choose()?;
    tell(&joined, &home, output);
    if let Ok((_, before)) = before
        && before.not_after > pki::issue::now()
    {
        output.line(format!(
            "  replaced     the certificate of {}, which was good until {}; with --context NAME a host can have two",
            before.subject,
            timestamp(before.not_after)
        ));
    }
    output.line(format!("  context      {name}, for {gate}"));
    if let Some(said) = joined
        .gate
        .as_ref()
        .filter(|it| host.is_none() && **it != gate)
    {
        output.line(format!(
            "  note         the context keeps its gate, and the signer says {said}: give --host to change it"
        ));
    }
    match token {
        JoinCredential::Invitation(_) => renewal(args, &joined, &home, &name, output),
        JoinCredential::Ci(..) => output.line(
            "  renewal      none: a certificate for a token of CI ends, and a new token brings a new one",
        ),
    }
    output.next(match current {
        true => "docker ps".to_owned(),
        false => format!("docker --context {name} ps"),
    });
    Ok(Exit::OK)
}

/// Where the gate is: as asked for, else as the context has it, else as the signer says, else on the signer's host.
fn gate_of(
    asked: Option<&SignerAddress>,
    context: &DockerContext,
    joined: &Joined,
    signer: &SignerAddress,
) -> String {
    let assumed = SignerAddress {
        host: signer.host.clone(),
        port: crate::config::listen::DEFAULT_PORT,
    };
    let assumed = format!("tcp://{assumed}");
    if let Some(asked) = asked {
        return format!("tcp://{asked}");
    }
    // What was assumed before is nobody's choice.
    let kept = context.gate().filter(|it| *it != assumed);
    kept.or_else(|| joined.gate.clone()).unwrap_or(assumed)
}

fn address(text: &str) -> Result<SignerAddress, CertsError> {
    SignerAddress::parse(text).ok_or_else(|| {
        CertsError::refused(
            format!("--host {text:?} is not an address"),
            "write --host tcp://HOST:PORT",
        )
    })
}

fn tell(joined: &Joined, home: &Home, output: &mut Output<'_>) {
    let certificate = &joined.certificate;
    output.line(format!(
        "joined; the certificate is good until {}",
        timestamp(certificate.not_after)
    ));
    super::certs::granted(output, certificate);
    output.line(format!("  directory    {}", home.dir().display()));
    if enrolment::life(certificate) < SHORT {
        output.line(
            "  note         its life is shorter than a day, and a connection ends with the certificate it was opened with: long sessions and builds end too",
        );
    }
}

/// Sets up what renews the certificate, and says what does.
fn renewal(args: &JoinArgs, joined: &Joined, home: &Home, name: &str, output: &mut Output<'_>) {
    let dir = shell_word(&home.dir().to_string_lossy()).into_owned();
    let by_hand = format!(
        "  renewal      none: run `dockgate renew --watch {dir}`, or `dockgate renew {dir}` from a timer"
    );
    let wanted = match args.renew {
        None => timer::is_available(),
        Some(by) => by == RenewedBy::Systemd,
    };
    if !wanted {
        return output.line(by_hand);
    }
    let life = enrolment::life(&joined.certificate).whole_seconds();
    match timer::install(name, home.dir(), life.unsigned_abs()) {
        Ok(timer) => output.line(format!(
            "  renewal      {timer}; it runs while you are logged in, and always after `loginctl enable-linger`"
        )),
        Err(error) => {
            output.line(format!("  renewal      {error}"));
            output.line(by_hand);
        }
    }
}
