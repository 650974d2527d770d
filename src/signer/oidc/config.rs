//! The signer's configuration: `[[oidc]]` tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use enroll::oidc::{DEFAULT_LIFE_SECS, OidcRule};
use pki::{CertsError, write};
use serde::Deserialize;

use super::TrustedIssuers;
use super::source::{IssuerKeys, KeySource};
use crate::config::value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignerFile {
    #[serde(default)]
    oidc: Vec<OidcTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct OidcTable {
    issuer: String,
    audience: String,
    /// A file, or an https address.
    keys: String,
    /// CA certificates that the https address is checked with; the system's if not given.
    keys_ca: Option<PathBuf>,
    claims: BTreeMap<String, String>,
    name: String,
    o: Option<String>,
    ou: Option<String>,
    life: Option<String>,
}

pub(super) fn read(path: &Path) -> Result<TrustedIssuers, CertsError> {
    let unexpected = |found: String| CertsError::Unexpected {
        path: path.into(),
        expected: "the signer's configuration",
        found,
        hint: Some("docs/reference/signer.md shows an [[oidc]] table".into()),
    };
    let bytes = write::read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| unexpected("no UTF-8".into()))?;
    let file: SignerFile = toml::from_str(text).map_err(|fault| {
        let line = fault
            .span()
            .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let place = line.map_or(String::new(), |line| format!("line {line}: "));
        unexpected(format!("{place}{}", fault.message()))
    })?;
    let mut issuers = TrustedIssuers::default();
    for table in file.oidc {
        add(&mut issuers, table)?;
    }
    Ok(issuers)
}

fn add(issuers: &mut TrustedIssuers, table: OidcTable) -> Result<(), CertsError> {
    let rule = OidcRule {
        life_secs: life(&table)?,
        issuer: table.issuer,
        audience: table.audience,
        claims: table.claims,
        name: table.name,
        organization: table.o,
        organizational_unit: table.ou,
    };
    rule.check()?;
    let source = KeySource::parse(&table.keys, table.keys_ca)?;
    match issuers.keys.get(&rule.issuer) {
        None => {
            let keys = IssuerKeys::new(source)?;
            issuers.keys.insert(rule.issuer.clone(), Arc::new(keys));
        }
        Some(known) if *known.source() == source => {}
        Some(_) => {
            return Err(CertsError::refused(
                format!("two [[oidc]] tables name other keys for {:?}", rule.issuer),
                "an issuer has one set of keys: write the same `keys` in each of its tables",
            ));
        }
    }
    issuers.rules.push(rule);
    Ok(())
}

fn life(table: &OidcTable) -> Result<u64, CertsError> {
    let Some(text) = &table.life else {
        return Ok(DEFAULT_LIFE_SECS);
    };
    let secs = value::time(text).ok().map(|time| time.as_secs());
    secs.filter(|secs| *secs > 0).ok_or_else(|| {
        CertsError::refused(
            format!("life = {text:?} of {:?} is not a time", table.name),
            "write a number with its unit (s, m, h, d), such as life = \"2h\"",
        )
    })
}
