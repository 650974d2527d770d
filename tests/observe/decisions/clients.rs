//! Who a client is to the policy: by its CA's key, and after a reload.

use super::*;

/// Two CAs of one name, and a client of each by the same name; the pin tells them apart, whatever is presented beside.
#[test]
fn an_issuers_pin_tells_two_cas_of_one_name_apart() {
    let dir = tempfile::tempdir().expect("a directory");
    let other = tempfile::tempdir().expect("a directory");
    let _engine = Daemon::start(&engine_socket(&dir));
    let pki = Pki::named(dir.path(), "One CA");
    let twin = Pki::named(other.path(), "One CA");
    let pin = |ca: &Pki| {
        let (_, cert) = x509_parser::parse_x509_certificate(&ca.ca).expect("a certificate");
        let digest = pki::identity::sha256(cert.public_key().raw);
        format!("sha256:{}", data_encoding::BASE64.encode(&digest))
    };
    let both =
        [&dir, &other].map(|dir| fs::read_to_string(dir.path().join("ca.pem")).expect("read"));
    fs::write(dir.path().join("ca.pem"), both.concat()).expect("written");
    let policy = dir.path().join("policy.toml");
    let text = format!(
        "version = 1\n[[client]]\nmatch = {{ cn = \"ci\", issuer_spki = \"{}\" }}\nrole = \"monitor\"\n",
        pin(&twin)
    );
    fs::write(&policy, text).expect("written");
    let command = ByOptions::command(&dir, &["--policy", &policy.display().to_string()]);
    let gate = ByOptions::run(command, pki, dir);
    let ask = |who: &Credential| gate.connect(who).ask("GET", "/_ping").status;
    let (ours, theirs) = (gate.pki.client("ci", 1), twin.client("ci", 1));
    assert_eq!((ask(&ours), ask(&theirs)), (403, 200));
    for (who, beside, status) in [
        (&ours, &twin, 403),
        (&theirs, &gate.pki, 200),
        (&theirs, &twin, 200),
    ] {
        let mut who = who.clone();
        who.chain.push(beside.ca.clone());
        assert_eq!(ask(&who), status);
    }
}

#[test]
fn streams_outlive_a_reload_and_end_with_their_clients_role() {
    let site = DecisionSite::start(POLICY, &[]);
    let (mut ci, mut viewer) = (site.client("ci"), site.client("viewer"));
    ci.hijack();
    assert_eq!(viewer.ask("GET", "/v1.51/containers/json").status, 200);
    // A faulty file keeps the old policy.
    for faulty in ["version = 1\n", &POLICY.replace("binds", "bindz"), ""] {
        site.reload(
            faulty,
            "Reload failed; the old configuration stays in force",
        );
        ci.echo("still here");
        assert_eq!(viewer.ask("GET", "/v1.51/containers/json").status, 200);
        assert_eq!(viewer.ask("GET", "/v1.51/swarm").status, 403);
    }
    // Less than before: the stream lives on as it was decided, the next one is judged again.
    let narrower = POLICY.replace("base = \"ci\"", "base = \"ci\"\ndeny = [\"exec.*\"]");
    site.reload(&narrower, "Reloaded");
    ci.echo("still here");
    let mut again = site.client("ci");
    assert_eq!(status(&mut again, EXEC_START), 403);
    // Only reported on: a client without a role is let through, so nobody is cut.
    let reported = POLICY
        .replace("version = 1", "version = 1\nmode = \"report\"")
        .replace("role = \"team-a\"", "role = \"none\"");
    site.reload(&reported, "Reloaded");
    ci.echo("still here");
    // No role any more: the stream and the idle connection end, the other client's stay.
    let gone = POLICY.replace("role = \"team-a\"", "role = \"none\"");
    let mut idle = site.client("ci");
    assert_eq!(idle.ask("GET", "/_ping").status, 200);
    site.reload(&gone, "Reloaded");
    ci.ended();
    idle.ended();
    let end = site.record(|r| r.event == Event::SessionEnd);
    assert_eq!(end.reason.as_deref(), Some("role_lost"));
    assert_eq!(viewer.ask("GET", "/v1.51/containers/json").status, 200);
}
