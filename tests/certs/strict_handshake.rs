//! Python's `VERIFY_X509_STRICT`, default since 3.13: what docker-py meets there.

use super::support::{arg, done, external, text};

#[test]
fn python_in_strict_mode_shakes_hands_with_every_key_type() {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/certs/strict_handshake.py"
    );
    for kind in ["p256", "p384", "ed25519", "rsa2048"] {
        let dir = tempfile::tempdir().expect("temporary directory");
        done(
            dir.path(),
            &["init", "--san", "docker.example", "--key-type", kind],
        );
        done(dir.path(), &["client", "ci", "--key-type", kind]);
        let certs = dir.path().join("certs");
        let client = certs.join("clients/ci");
        let files = [
            certs.join("ca.pem"),
            certs.join("server-cert.pem"),
            certs.join("server-key.pem"),
            client.join("cert.pem"),
            client.join("key.pem"),
        ];
        let mut args = vec![script];
        args.extend(files.iter().map(|path| arg(path)));
        args.push("docker.example");
        let Some(output) = external("python3", &args) else {
            return;
        };
        assert!(output.status.success(), "{kind}: {}", text(&output));
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            "ci",
            "{kind}"
        );
        // The judge can say no: a name the certificate does not have.
        *args.last_mut().expect("host") = "other.example";
        let output = external("python3", &args).expect("ran a moment ago");
        assert!(
            !output.status.success() && text(&output).contains("Hostname mismatch"),
            "{kind}: {}",
            text(&output)
        );
    }
}
