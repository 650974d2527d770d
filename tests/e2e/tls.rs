//! Certificates and handshakes as clients see them (§9, 33–35; R23, R24): what is accepted, and the alert and the
//! sentence for what is refused.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::support::client::Side;
use super::support::gate::Gate;
use super::support::pki::{CLIENT_KEYS, key, key_pem};
use super::support::process::Process;
use super::support::suite::{Case, Suite};
use super::support::{OrSay, ScenarioResult, ensure};

/// How long one openssl or docker command may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::needing(&["OPENSSL", "CURL"], name, run);
    vec![
        case("c33a__refused_certificates_get_the_fitting_alert", alerts),
        case("c33b__the_docker_cli_prints_why_it_was_refused", cli_texts),
        case(
            "c33c__the_log_says_who_was_refused_and_why",
            refusals_are_logged,
        ),
        case(
            "c34__old_tls_and_foreign_alpn_are_refused",
            versions_and_alpn,
        ),
        case("c35__sessions_are_not_resumed", no_resumption),
        case(
            "client_keys__of_every_kind_work_over_both_versions",
            client_keys,
        ),
        case("client_key_files__of_every_format_work", client_key_files),
        case(
            "server_keys__of_every_kind_and_format_are_served",
            server_keys,
        ),
        case(
            "plain_http__on_the_tls_port_gets_a_readable_400",
            plain_http,
        ),
    ]
}

/// `openssl s_client` against the gate with the certificate of `client` (none for "nobody"); everything it printed.
fn s_client(suite: &Suite, client: &str, arguments: &str, request: &str) -> ScenarioResult<String> {
    let gate = suite.gate()?;
    let folder = suite.pki.client_folder(client);
    let mut script = format!(
        "printf '{request}' | {} s_client -connect 127.0.0.1:{} -CAfile {}",
        suite.tools.get("OPENSSL")?.display(),
        gate.addr.port(),
        suite.pki.ca.display()
    );
    if client != "nobody" {
        script += &format!(
            " -cert {0}/cert.pem -key {0}/key.pem -cert_chain {0}/cert.pem",
            folder.display()
        );
    }
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{script} -ign_eof {arguments} 2>&1")]);
    Process::start(
        command,
        &format!("openssl s_client {arguments} as {client}"),
    )?
    .finish(PATIENCE)
    .map(|output| output.text())
}

const PING: &str = "GET /_ping HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n";

fn alerts(suite: &Suite, _: &str) -> ScenarioResult {
    let cases = [
        ("nobody", "-tls1_3", &[116][..]),
        // dockerd says handshake_failure here; rustls says certificate_required in both versions.
        ("nobody", "-tls1_2", &[40, 116]),
        ("wrong-ca", "-tls1_3", &[48]),
        ("wrong-ca", "-tls1_2", &[48]),
        ("expired", "-tls1_3", &[45]),
        ("expired", "-tls1_2", &[45]),
        ("server-usage", "-tls1_3", &[42]),
        ("server-usage", "-tls1_2", &[42]),
    ];
    let mut wrong = Vec::new();
    for (client, version, numbers) in cases {
        let output = s_client(suite, client, version, PING)?;
        if !numbers
            .iter()
            .any(|number| output.contains(&format!("SSL alert number {number}\n")))
        {
            let got = output
                .lines()
                .find(|line| line.contains("alert"))
                .unwrap_or("no alert")
                .to_owned();
            wrong.push(format!(
                "{client} {version}: expected alert {numbers:?}, got {got}"
            ));
        }
    }
    // TLS has no alert for "not yet"; any refusal will do, as long as it is one.
    for version in ["-tls1_3", "-tls1_2"] {
        let output = s_client(suite, "not-yet-valid", version, PING)?;
        if !output.contains("SSL alert number") || output.contains("200 OK") {
            wrong.push(format!("not-yet-valid {version}: expected an alert"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The CLI's words of docker-transport §5.3, every time: a reset would take the alert's place now and then.
fn cli_texts(suite: &Suite, name: &str) -> ScenarioResult {
    let gate = suite.gate()?.addr;
    let mut wrong = Vec::new();
    for (client, runs, wanted) in [
        ("expired", 20, "tls: expired certificate"),
        ("wrong-ca", 5, "tls: "),
        ("server-usage", 5, "tls: bad certificate"),
        ("distrustful", 2, "certificate signed by unknown authority"),
    ] {
        let side = Side::gate(suite, name, gate)?.with_certificate(client);
        for _ in 0..runs {
            let output = side.shell_within("docker ps", PATIENCE)?;
            if output.code != 1
                || !output.stderr.contains(wanted)
                || output.stderr.contains("reset")
            {
                wrong.push(format!(
                    "{client}: expected exit 1 and {wanted:?}, got {} {:?}",
                    output.code, output.stderr
                ));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn refusals_are_logged(suite: &Suite, name: &str) -> ScenarioResult {
    let gate = Gate::start(&suite.pki, &suite.engine.socket, &[])?;
    for (client, words) in [
        ("expired", &["127.0.0.1:", "expired"][..]),
        ("wrong-ca", &["127.0.0.1:"]),
        ("server-usage", &["127.0.0.1:"]),
    ] {
        let side = Side::gate(suite, name, gate.addr)?.with_certificate(client);
        // curl sends its certificate whatever the server's hints say.
        let output = side.shell("api /_ping")?;
        ensure!(output.code != 0, "{client} was let in");
        let subject = format!("e2e {client}");
        let found = |line: &str| {
            let line = line.to_lowercase();
            words.iter().all(|word| line.contains(word)) && line.contains(&subject)
        };
        gate.wait_for_log(Duration::from_secs(5), found)
            .map_err(|error| {
                format!("no log line names the client {subject:?} with {words:?}: {error}")
            })?;
    }
    Ok(())
}

fn versions_and_alpn(suite: &Suite, _: &str) -> ScenarioResult {
    // OpenSSL itself refuses TLS 1.1 at its default security level.
    let old = s_client(suite, "ecdsa", "-tls1_1 -cipher DEFAULT@SECLEVEL=0", PING)?;
    ensure!(
        old.contains("SSL alert number 70\n"),
        "expected alert 70 for TLS 1.1, got {old}"
    );
    let h2 = s_client(suite, "ecdsa", "-alpn h2", PING)?;
    ensure!(
        h2.contains("SSL alert number 120"),
        "expected alert 120 for ALPN h2 alone, got {h2}"
    );
    let both = s_client(suite, "ecdsa", "-alpn h2,http/1.1", PING)?;
    ensure!(
        both.contains("ALPN protocol: http/1.1") && both.contains("200 OK"),
        "expected http/1.1 and 200, got {both}"
    );
    for version in ["-tls1_2", "-tls1_3"] {
        let nameless = s_client(suite, "ecdsa", &format!("{version} -noservername"), PING)?;
        ensure!(
            nameless.contains("200 OK"),
            "expected 200 without SNI and ALPN over {version}, got {nameless}"
        );
    }
    Ok(())
}

fn no_resumption(suite: &Suite, _: &str) -> ScenarioResult {
    for version in ["-tls1_2", "-tls1_3"] {
        let saved = suite.pki.directory.join(format!("session{version}"));
        let first = s_client(
            suite,
            "ecdsa",
            &format!("{version} -sess_out {}", saved.display()),
            PING,
        )?;
        ensure!(first.contains("200 OK"), "expected 200, got {first}");
        if saved.exists() {
            let again = s_client(
                suite,
                "ecdsa",
                &format!("{version} -sess_in {}", saved.display()),
                PING,
            )?;
            ensure!(
                again.contains("200 OK") && !again.contains("Reused, TLS"),
                "a session was resumed: {again}"
            );
        }
        ensure!(
            !first.contains("TLS session ticket:"),
            "a session ticket was issued over {version}"
        );
    }
    Ok(())
}

fn client_keys(suite: &Suite, name: &str) -> ScenarioResult {
    let gate = suite.gate()?.addr;
    for client in CLIENT_KEYS.iter().chain(&["chain"]) {
        let side = Side::gate(suite, name, gate)?.with_certificate(client);
        side.ok("docker version")
            .map_err(|error| format!("{client} with the docker CLI: {error}"))?;
        for version in ["--tls-max 1.2", "--tlsv1.3"] {
            let answer = side
                .ok(&format!("api /_ping {version}"))
                .map_err(|error| format!("{client} {version}: {error}"))?;
            ensure!(
                answer == "OK",
                "{client} {version}: expected OK, got {answer}"
            );
        }
    }
    Ok(())
}

/// PKCS#1, SEC1 and PKCS#8 key files in the hands of the docker CLI and curl.
fn client_key_files(suite: &Suite, name: &str) -> ScenarioResult {
    let gate = suite.gate()?.addr;
    for (kind, tool) in [("ecdsa", "ec"), ("rsa2048", "rsa -traditional")] {
        let (from, folder) = (
            suite.pki.client_folder(kind),
            suite.pki.client_folder(&format!("{kind}-legacy")),
        );
        fs::create_dir_all(&folder).context("make a client's directory")?;
        for file in ["ca.pem", "cert.pem"] {
            fs::copy(from.join(file), folder.join(file)).context("copy a certificate")?;
        }
        let side = Side::gate(suite, name, gate)?.with_certificate(&format!("{kind}-legacy"));
        side.ok(&format!(
            "$OPENSSL {tool} -in {}/key.pem -out {}/key.pem 2>&1",
            from.display(),
            folder.display()
        ))?;
        let text = fs::read_to_string(folder.join("key.pem")).context("read the converted key")?;
        ensure!(
            !text.contains("BEGIN PRIVATE KEY"),
            "the key was not converted: {text}"
        );
        side.ok("docker version && api /_ping")?;
    }
    Ok(())
}

fn server_keys(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    let folder = suite.scratch(&format!("{name}-certs"))?;
    for (kind, convert) in [
        ("ecdsa", "ec"),
        ("rsa2048", "rsa -traditional"),
        ("rsa4096", ""),
        ("p384", ""),
        ("ed25519", ""),
    ] {
        let key_file = folder.join(format!("{kind}-key.pem"));
        let cert_file = folder.join(format!("{kind}-cert.pem"));
        fs::write(&key_file, key_pem(&key(kind)?)).context("write a server key")?;
        let direct = Side::direct(suite, name, &suite.engine.socket)?;
        // Self-signed, and its own trust anchor for the client: what is tested is the key.
        let mut script = format!(
            "$OPENSSL req -x509 -new -key {0} -out {1} -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>&1",
            key_file.display(),
            cert_file.display()
        );
        if !convert.is_empty() {
            script += &format!(
                " && $OPENSSL {convert} -in {0} -out {0}.new 2>&1 && mv {0}.new {0}",
                key_file.display()
            );
        }
        direct.ok(&script)?;
        let gate = Gate::start_with(
            &suite.pki.ca,
            &cert_file,
            &key_file,
            &suite.engine.socket,
            &[],
        )
        .map_err(|error| format!("server key {kind} {convert}: {error}"))?;
        let side = Side::gate(suite, name, gate.addr)?;
        for version in ["--tls-max 1.2", "--tlsv1.3"] {
            let answer = side.ok(&format!(
                "api /_ping {version} --cacert {}",
                cert_file.display()
            ))?;
            ensure!(
                answer == "OK",
                "server key {kind} {version}: expected OK, got {answer}"
            );
        }
    }
    Ok(())
}

fn plain_http(suite: &Suite, name: &str) -> ScenarioResult {
    let gate = suite.gate()?.addr;
    let side = Side::gate(suite, name, gate)?;
    let text = side.ok(&format!(
        "$CURL -sS -i http://127.0.0.1:{}/_ping",
        gate.port()
    ))?;
    ensure!(
        text.starts_with("HTTP/1.") && text.contains(" 400 "),
        "expected a 400, got {text}"
    );
    ensure!(
        text.contains("HTTPS"),
        "expected a sentence about HTTPS, got {text}"
    );
    let output = side.shell(&format!(
        "env -u DOCKER_TLS_VERIFY DOCKER_HOST=tcp://127.0.0.1:{} docker ps",
        gate.port()
    ))?;
    ensure!(
        output.code == 1 && output.stderr.contains("HTTPS"),
        "expected the CLI to say so, got {}",
        output.stderr
    );
    Ok(())
}
