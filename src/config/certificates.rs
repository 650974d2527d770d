//! Which certificates to serve with: named, made by `auto-certs`, or found in a known place.

use crate::config::error::{ConfigProblem, Wrong};
use crate::config::origin::Origin;
use crate::config::resolve::Resolver;
use crate::config::search::{self, Places};
use crate::config::{AutoCerts, TlsPaths, value};

/// Three files that belong together: named, made by `auto-certs`, or found in a known place, in this order.
/// Whoever asks for nothing and has nothing is told so in `missing`, which only counts where nothing else is wrong.
pub(super) fn choose(
    r: &mut Resolver,
    places: &Places,
    missing: &mut Option<ConfigProblem>,
) -> (Option<TlsPaths>, Option<AutoCerts>) {
    const NAMES: [&str; 3] = ["tlscacert", "tlscert", "tlskey"];
    let auto = r.optional_path("auto-certs", value::path);
    let sans = r.list("sans", |text, _| san(text));
    let crl = r.list("tlscrl", value::path);
    let [ca, cert, key] = NAMES.map(|name| r.optional_path(name, value::path));
    let explicit: Vec<&str> = NAMES
        .into_iter()
        .filter(|name| r.origin(name).is_some_and(Origin::is_explicit))
        .collect();

    if let Some(dir) = auto {
        if let Some(name) = explicit.first() {
            let origin = r.origin(name).cloned().unwrap_or(Origin::Default);
            let message = format!(
                "auto-certs and {name} are both set ({} and {origin})",
                describe(r, "auto-certs")
            );
            r.problems
                .push(ConfigProblem::new(origin, message).hint(
                    "auto-certs makes and finds all three files itself: keep one of the two",
                ));
        }
        for name in NAMES {
            r.record(name, String::new(), Origin::Found(dir.clone()));
        }
        return (None, Some(AutoCerts { dir, sans, crl }));
    }
    if !sans.is_empty() {
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
        (Some(ca), Some(cert), Some(key)) => (
            Some(TlsPaths {
                ca,
                cert,
                key,
                crl,
                crl_if_present: None,
            }),
            None,
        ),
        (None, None, None) if !r.whole || r.problems.iter().any(is_about_tls) => (None, None),
        (None, None, None) => match places.find_certs() {
            Some((dir, layout)) => {
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
                (Some(paths), None)
            }
            None => {
                let message = format!(
                    "no certificates: tlscacert, tlscert and tlskey are not set, and none were found in\n{}",
                    places.describe_certs()
                );
                *missing = Some(
                    ConfigProblem::new(Origin::Default, message)
                        .hint("make them with `dockgate certs init`, or start with `dockgate serve --auto-certs ./certs`"),
                );
                (None, None)
            }
        },
        (ca, cert, key) => {
            let given = NAMES
                .into_iter()
                .zip([ca.is_some(), cert.is_some(), key.is_some()]);
            let (given, missing): (Vec<_>, Vec<_>) = given.partition(|(_, is_given)| *is_given);
            let first = given.first().map_or("tlscert", |(name, _)| name);
            let words = |names: Vec<(&str, bool)>| {
                names
                    .into_iter()
                    .map(|(n, _)| n)
                    .collect::<Vec<_>>()
                    .join(" and ")
            };
            let origin = r.origin(first).cloned().unwrap_or(Origin::Default);
            if !r.problems.iter().any(is_about_tls) {
                let message = format!(
                    "{} is set without {}; the three belong together",
                    words(given),
                    words(missing)
                );
                r.problems.push(ConfigProblem::new(origin, message));
            }
            (None, None)
        }
    }
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
    if text.is_empty() || text.contains("://") || text.contains(['/', ' ']) {
        return Err(
            "expected a DNS name or IP address such as \"docker.example.com\" or \"10.0.0.5\""
                .into(),
        );
    }
    Ok(text.to_owned())
}
