//! Which certificates to serve with: named, made by `auto-certs`, or found in a known place.

use std::path::PathBuf;

use crate::config::error::{ConfigProblem, Wrong};
use crate::config::origin::Origin;
use crate::config::resolve::Resolver;
use crate::config::search::{self, Places};
use crate::config::{AutoCerts, EnrollSettings, EnrolledGate, TlsPaths, listen, value};
use text::escape::shell_word;

/// Where the certificates come from.
#[derive(Default)]
pub(super) struct ChosenCertificates {
    pub(super) tls: Option<TlsPaths>,
    pub(super) auto_certs: Option<AutoCerts>,
    pub(super) enroll: Option<EnrollSettings>,
    pub(super) enrolled: Option<EnrolledGate>,
}

const NAMES: [&str; 3] = ["tlscacert", "tlscert", "tlskey"];

/// What only the signer beside the gate has a use for.
const SIGNERS: [&str; 2] = ["enroll-config", "enroll-metrics-file"];

/// Three files that belong together: named, made by `auto-certs`, or found in a known place, in this order.
/// If nothing is asked for and nothing is there, `missing` says so, which only counts where nothing else is wrong.
pub(super) fn choose(
    r: &mut Resolver,
    places: &Places,
    missing: &mut Option<ConfigProblem>,
) -> ChosenCertificates {
    let auto = r.optional_path("auto-certs", value::path);
    let enroll = r.optional("enroll", listen::signer);
    let (of_signer, given) = signers(r);
    let enrolled = r.optional_path("enrolled", value::path);
    let interval = r.value("trust-interval", value::time);
    let sans = r.list("sans", |text, _| san(text));
    let crl = r.list("tlscrl", value::path);
    let [ca, cert, key] = NAMES.map(|name| r.optional_path(name, value::path));
    let explicit: Vec<&str> = NAMES
        .into_iter()
        .filter(|name| r.origin(name).is_some_and(Origin::is_explicit))
        .collect();

    if let Some(dir) = enrolled {
        without_signer(r, given);
        let others = explicit.iter().chain(auto.as_ref().map(|_| &"auto-certs"));
        alone(r, "enrolled", others.copied().next());
        return of_gate(r, EnrolledGate { dir, interval }, crl);
    }
    if let Some(dir) = auto {
        alone(r, "auto-certs", explicit.first().copied());
        for name in NAMES {
            r.record(name, String::new(), Origin::Found(dir.clone()));
        }
        return match enroll {
            Some(listen) => {
                let [config, metrics_file] = of_signer;
                let enroll = EnrollSettings {
                    dir,
                    listen,
                    sans,
                    config,
                    metrics_file,
                };
                beside_signer(enroll, crl)
            }
            None => {
                without_signer(r, given);
                ChosenCertificates {
                    auto_certs: Some(AutoCerts { dir, sans, crl }),
                    ..ChosenCertificates::default()
                }
            }
        };
    }
    without_signer(r, given.filter(|_| enroll.is_none()));
    if enroll.is_some() {
        let origin = r.origin("enroll").cloned().unwrap_or(Origin::Default);
        r.problems.push(
            ConfigProblem::new(
                origin,
                "enroll is set without auto-certs, whose CA it hands certificates out of",
            )
            .hint("for a CA of your own start `dockgate signer --dir DIR` beside the gate"),
        );
    }
    let tls = named(r, places, missing, (ca, cert, key), crl, sans.is_empty());
    ChosenCertificates {
        tls,
        ..ChosenCertificates::default()
    }
}

/// What is given for the signer beside the gate, and the name of the first of it.
fn signers(r: &mut Resolver) -> ([Option<PathBuf>; 2], Option<&'static str>) {
    let paths = SIGNERS.map(|name| r.optional_path(name, value::path));
    let mut given = SIGNERS.into_iter().zip(&paths);
    let given = given.find(|(_, path)| path.is_some()).map(|(name, _)| name);
    (paths, given)
}

/// That nothing of the signer's is given without a signer.
fn without_signer(r: &mut Resolver, given: Option<&str>) {
    let Some(name) = given else { return };
    let origin = r.origin(name).cloned().unwrap_or(Origin::Default);
    let text = format!("{name} is set without enroll, which starts the signer that uses it");
    let alone = match name {
        "enroll-config" => "`dockgate signer --config FILE`",
        _ => "`dockgate signer --metrics-file FILE`",
    };
    r.problems
        .push(ConfigProblem::new(origin, text).hint(format!(
            "set enroll = \"tcp://:2378\" with auto-certs, or give the file to {alone}"
        )));
}

/// That nothing else says where the certificates are.
fn alone(r: &mut Resolver, setting: &str, other: Option<&str>) {
    let Some(name) = other else { return };
    let origin = r.origin(name).cloned().unwrap_or(Origin::Default);
    let message = format!(
        "{setting} and {name} are both set ({} and {origin})",
        describe(r, setting)
    );
    r.problems
        .push(ConfigProblem::new(origin, message).hint(format!(
            "{setting} makes and finds all three files itself: keep one of the two"
        )));
}

/// The files that the signer beside this gate puts there for it.
fn beside_signer(enroll: EnrollSettings, crl: Vec<PathBuf>) -> ChosenCertificates {
    let dir = enroll.gate();
    ChosenCertificates {
        tls: Some(TlsPaths {
            ca: dir.join("ca.pem"),
            cert: dir.join("cert.pem"),
            key: dir.join("key.pem"),
            crl,
            crl_if_present: Some(dir.join("crl.pem")),
        }),
        enroll: Some(enroll),
        ..ChosenCertificates::default()
    }
}

/// The files that `dockgate join --server` and `dockgate renew` put there.
fn of_gate(r: &mut Resolver, gate: EnrolledGate, crl: Vec<PathBuf>) -> ChosenCertificates {
    let (own, trust) = (gate.dir.join("gate"), gate.dir.join("trust"));
    let paths = TlsPaths {
        ca: trust.join("ca.pem"),
        cert: own.join("cert.pem"),
        key: own.join("key.pem"),
        crl,
        crl_if_present: Some(trust.join("crl.pem")),
    };
    for (name, path) in NAMES.into_iter().zip([&paths.ca, &paths.cert, &paths.key]) {
        r.record(
            name,
            path.display().to_string(),
            Origin::Found(gate.dir.clone()),
        );
    }
    ChosenCertificates {
        tls: Some(paths),
        enrolled: Some(gate),
        ..ChosenCertificates::default()
    }
}

/// Files that are named, or found in a known place.
fn named(
    r: &mut Resolver,
    places: &Places,
    missing: &mut Option<ConfigProblem>,
    (ca, cert, key): (Option<PathBuf>, Option<PathBuf>, Option<PathBuf>),
    crl: Vec<PathBuf>,
    is_without_sans: bool,
) -> Option<TlsPaths> {
    if !is_without_sans {
        let origin = r.origin("sans").cloned().unwrap_or(Origin::Default);
        r.problems.push(
            ConfigProblem::new(
                origin,
                "sans is set without auto-certs, the only one to use it",
            )
            .hint("for certificates made beforehand: `dockgate certs server --san NAME`"),
        );
    }
    match (ca, cert, key) {
        (Some(ca), Some(cert), Some(key)) => Some(TlsPaths {
            ca,
            cert,
            key,
            crl,
            crl_if_present: None,
        }),
        (None, None, None) if !r.whole || r.problems.iter().any(is_about_tls) => None,
        (None, None, None) => {
            let paths = found(r, places, crl);
            if paths.is_none() {
                *missing = Some(nothing_found(places));
            }
            paths
        }
        (ca, cert, key) => {
            if !r.problems.iter().any(is_about_tls) {
                let problem = incomplete(r, [ca.is_some(), cert.is_some(), key.is_some()]);
                r.problems.push(problem);
            }
            None
        }
    }
}

/// The files of a known place.
fn found(r: &mut Resolver, places: &Places, crl: Vec<PathBuf>) -> Option<TlsPaths> {
    let (dir, layout) = places.find_certs()?;
    let paths = TlsPaths {
        ca: dir.join(layout.ca),
        cert: dir.join(layout.cert),
        key: dir.join(layout.key),
        crl,
        crl_if_present: Some(dir.join(search::CRL)),
    };
    for (name, path) in NAMES.into_iter().zip([&paths.ca, &paths.cert, &paths.key]) {
        r.record(name, path.display().to_string(), Origin::Found(dir.clone()));
    }
    Some(paths)
}

fn nothing_found(places: &Places) -> ConfigProblem {
    if let Some((dir, has, lacks)) = places.find_some_certs() {
        let shown = dir.display();
        let message = format!(
            "no certificates: {shown} has {}, and lacks {}",
            has.join(" and "),
            lacks.join(" and ")
        );
        let problem = ConfigProblem::new(Origin::Default, message);
        let option = shell_word(&dir.to_string_lossy()).into_owned();
        let (cert, key) = (search::GUIDE.cert, search::GUIDE.key);
        return problem.hint(
            if lacks.iter().all(|name| [cert, key].contains(name)) {
                format!("`dockgate certs server --force --dir {option}` makes the pair again; --san names the host as clients call it")
            } else {
                format!("put {} there, or name all three: tlscacert, tlscert and tlskey", lacks.join(" and "))
            },
        );
    }
    let message = format!(
        "no certificates: tlscacert, tlscert and tlskey are not set, and none were found in {}",
        places.describe_certs()
    );
    ConfigProblem::new(Origin::Default, message).hint(
        "make them with `dockgate certs init`, or start with `dockgate serve --auto-certs ./certs`",
    )
}

/// One or two of the three are set.
fn incomplete(r: &Resolver, set: [bool; 3]) -> ConfigProblem {
    let given = NAMES.into_iter().zip(set);
    let (given, missing): (Vec<_>, Vec<_>) = given.partition(|(_, is_given)| *is_given);
    let first = given.first().map_or("tlscert", |(name, _)| name);
    let words = |names: Vec<(&str, bool)>| {
        let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
        names.join(" and ")
    };
    let message = format!(
        "{} is set without {}; the three belong together",
        words(given),
        words(missing)
    );
    ConfigProblem::new(r.origin(first).cloned().unwrap_or(Origin::Default), message)
}

/// A path that could not be read makes "is not set" a false trail.
fn is_about_tls(problem: &ConfigProblem) -> bool {
    [
        "tlscacert",
        "tlscert",
        "tlskey",
        "TLSCACERT",
        "TLSCERT",
        "TLSKEY",
    ]
    .iter()
    .any(|name| problem.message.contains(name))
}

fn describe(r: &Resolver, name: &str) -> String {
    r.origin(name)
        .map_or_else(|| "default".into(), ToString::to_string)
}

/// dockerd's switch has no second position here: without client certificates anybody on the network is root on this host.
pub(super) fn tls_verify(r: &mut Resolver, notes: &mut Vec<String>) {
    if !r.value("tlsverify", value::switch) {
        let origin = r.origin("tlsverify").cloned().unwrap_or(Origin::Default);
        r.problems.push(
            ConfigProblem::new(origin, "tlsverify is false; dockgate always verifies clients")
                .hint("remove the setting; give each client a certificate with `dockgate certs client NAME`"),
        );
    } else if r.origin("tlsverify").is_some() {
        notes.push("tlsverify has no effect: dockgate always verifies clients".into());
    }
}

fn san(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    if text.contains("://") || pki::San::parse(text).is_err() {
        return Err(
            "expected a DNS name or IP address such as \"docker.example.com\" or \"10.0.0.5\""
                .into(),
        );
    }
    Ok(text.to_owned())
}
