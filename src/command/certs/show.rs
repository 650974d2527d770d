//! `certs show`: what a certificate says, and what dockgate would say to it.

use std::path::Path;

use data_encoding::{BASE64, HEXLOWER};
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Serialize;

use super::names;
use super::probe;
use super::verdict::{ChainJudge, ChainVerdict};
use crate::cli::certs::Show;
use crate::command::output::Output;
use pki::{Certificate, CertsError, issue::now, pem, timestamp};

/// One certificate of the chain, for `--json`.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    info: Certificate,
    days_left: i64,
    /// The digest of the public key as a policy and the deny list take it.
    spki: String,
    /// Only on the leaf.
    verdict: Option<ChainVerdict>,
}

pub(super) fn show(args: &Show, output: &mut Output<'_>) -> Result<(), CertsError> {
    let (chain, asked_for) = if args.target.contains("://") {
        let presented = probe::fetch(&args.target)?;
        (presented.chain, Some(presented.name))
    } else {
        (pem::certificates(Path::new(&args.target))?, None)
    };
    let verdict = verdict(args, &chain, asked_for.as_ref(), output)?;
    let mut shown = Vec::new();
    for der in &chain {
        let info = read(&args.target, der)?;
        shown.push(Shown {
            days_left: info.days_left(now()),
            spki: pin(&info.spki_sha256),
            info,
            verdict: None,
        });
    }
    if let Some(first) = shown.first_mut() {
        first.verdict = verdict;
    }
    if args.json {
        output.json(&shown);
        return Ok(());
    }
    for (position, certificate) in shown.iter().enumerate() {
        if position > 0 {
            output.line("");
        }
        describe(output, certificate);
    }
    if shown.first().is_some_and(|first| first.verdict.is_none()) {
        output.line(
            "verdict        none: there is no CA to judge by; give --ca-cert FILE, --dir DIR or --config-file FILE",
        );
    }
    Ok(())
}

fn verdict(
    args: &Show,
    chain: &[CertificateDer<'static>],
    asked_for: Option<&ServerName<'static>>,
    output: &mut Output<'_>,
) -> Result<Option<ChainVerdict>, CertsError> {
    let (Some(leaf), Some(judge)) = (chain.first(), ChainJudge::of(args, output)?) else {
        return Ok(None);
    };
    let leaf = read(&args.target, leaf)?;
    judge.judge(chain, &leaf, asked_for).map(Some)
}

fn read(target: &str, der: &CertificateDer<'_>) -> Result<Certificate, CertsError> {
    Certificate::read(der).map_err(|found| CertsError::Unexpected {
        path: target.into(),
        expected: "an X.509 certificate",
        found,
        hint: None,
    })
}

/// `sha256:` and the digest in base64.
fn pin(hex: &str) -> String {
    let digest = HEXLOWER.decode(hex.as_bytes()).unwrap_or_default();
    format!("sha256:{}", BASE64.encode(&digest))
}

#[expect(clippy::too_many_lines, reason = "sequence")]
fn describe(output: &mut Output<'_>, certificate: &Shown) {
    let Shown {
        info,
        days_left,
        spki,
        verdict,
    } = certificate;
    let mut field = |name: &str, value: &str| output.row(format!("{name:13}  {value}"));
    field("subject", &info.subject);
    field(
        "issuer",
        if info.self_issued {
            "itself"
        } else {
            &info.issuer
        },
    );
    field(
        "names",
        &if info.sans.is_empty() {
            "none".into()
        } else {
            names(&info.sans)
        },
    );
    field("serial", &info.serial);
    field("valid from", &timestamp(info.not_before));
    let left = match *days_left {
        days if days < 0 => "expired".to_owned(),
        days => format!("{} left", text::counted(days, "day")),
    };
    field(
        "valid until",
        &format!("{} ({left})", timestamp(info.not_after)),
    );
    field("key", &info.key);
    field(
        "key usage",
        &info
            .key_usage
            .as_ref()
            .map_or("any".into(), |usage| usage.join(", ")),
    );
    field(
        "extended",
        &info
            .extended_key_usage
            .as_ref()
            .map_or("any".into(), |usage| usage.join(", ")),
    );
    if info.is_ca {
        field(
            "CA",
            &info.path_len.map_or("yes".into(), |length| {
                format!("yes, with at most {length} CAs below it")
            }),
        );
    }
    field("key id", info.subject_key_id.as_deref().unwrap_or("none"));
    field(
        "issuer key id",
        info.authority_key_id.as_deref().unwrap_or("none"),
    );
    field("SHA-256", &info.sha256);
    field("SPKI", spki);
    if let Some(verdict) = verdict {
        field("verdict", &verdict.text);
        field("judged by", &verdict.judged_by);
    }
}
