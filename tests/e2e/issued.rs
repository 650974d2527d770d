//! "Accepted as issued: every certificate kind works with docker CLI, curl, docker-py (Python 3.13 strict flags), dockerode and
//! `openssl verify -x509_strict`, in a test." CA, server and client all come from `dockgate certs`.

use std::fs;

use super::support::client::Side;
use super::support::gate::{Gate, certs};
use super::support::suite::{Case, Suite};
use super::support::{OrSay, ScenarioResult, ensure};

/// The key types `dockgate certs` offers.
const KEYS: [&str; 5] = ["p256", "p384", "rsa2048", "rsa4096", "ed25519"];

/// One API call by each client; each line of output names the client.
const CLIENTS: &str = r#"
docker version --format 'docker {{.Server.Version}}' | cut -d' ' -f1
api /_ping | grep -qx OK && echo curl
$PYTHON - <<'PY'
# Python 3.13 verifies like this by default.
import os, ssl, urllib3.connection, urllib3.util.ssl_ as tls
make = tls.create_urllib3_context
def strict(*args, **kwargs):
    context = make(*args, **kwargs)
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
tls.create_urllib3_context = urllib3.connection.create_urllib3_context = strict
import docker
assert docker.from_env().ping()
print('docker-py')
PY
$NODE -e "new (require('dockerode'))().ping().then((answer) => console.log(String(answer) === 'OK' ? 'dockerode' : answer))"
$OPENSSL verify -x509_strict -purpose sslclient -CAfile "$DOCKER_CERT_PATH/ca.pem" "$DOCKER_CERT_PATH/cert.pem" | grep -q ': OK$' && echo openssl
"#;

pub(crate) fn cases() -> Vec<Case> {
    vec![Case {
        name: "issued__every_key_type_works_with_every_client",
        needs: &["PYTHON", "NODE", "NODE_PATH"],
        run: every_key_type,
    }]
}

fn every_key_type(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    for key in KEYS {
        let ca = suite.scratch(&format!("{name}-{key}"))?.join("certs");
        certs(&ca, &["init", "--san", "localhost", "--key-type", key])?;
        certs(&ca, &["client", "ci", "--key-type", key])?;
        let folder = suite.pki.client_folder(&format!("{name}-{key}"));
        fs::create_dir_all(&folder).context("make a client's folder")?;
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            fs::copy(ca.join("clients/ci").join(file), folder.join(file))
                .context("copy a client's file")?;
        }
        let gate = Gate::start_with(
            &ca.join("ca.pem"),
            &ca.join("server-cert.pem"),
            &ca.join("server-key.pem"),
            &suite.engine.socket,
            &[],
        )?;
        let side = Side::gate(suite, name, gate.addr)?.with_certificate(&format!("{name}-{key}"));
        let said = side.ok(CLIENTS)?;
        ensure!(
            said == "docker\ncurl\ndocker-py\ndockerode\nopenssl",
            "{key}: {said}"
        );
        // The deny beside the allow: who trusts this gate, and has another CA's certificate, gets nowhere.
        let folder = suite.pki.client_folder(&format!("{name}-{key}-stranger"));
        fs::create_dir_all(&folder).context("make a stranger's folder")?;
        fs::copy(ca.join("ca.pem"), folder.join("ca.pem")).context("copy the gate's CA")?;
        for file in ["cert.pem", "key.pem"] {
            fs::copy(
                suite.pki.client_folder("ecdsa").join(file),
                folder.join(file),
            )
            .context("copy a stranger's file")?;
        }
        let stranger =
            Side::gate(suite, name, gate.addr)?.with_certificate(&format!("{name}-{key}-stranger"));
        let refused = stranger.shell("docker version --format '{{.Server.Version}}'")?;
        ensure!(
            refused.code == 1
                && refused
                    .stderr
                    .contains("remote error: tls: unknown certificate authority"),
            "{key}: a stranger was not refused by the gate: exit {} {} {}",
            refused.code,
            refused.text(),
            refused.stderr
        );
    }
    Ok(())
}
