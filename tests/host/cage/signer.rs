//! The gate beside a signer: the CA's key is out of its reach even where both have one user.

use super::*;

#[test]
fn inside_a_gate_beside_its_signer_reads_its_own_key_and_never_the_cas() {
    let dir = tempfile::tempdir().expect("create a temporary directory");
    let certs = dir.path().join("certs");
    // What the signer leaves for the gate; here both have the same user.
    pki::auto::ensure(&certs, &["gate.example.com".to_owned()]).expect("a CA");
    dockgate::signer::Mirror::new(&certs, None)
        .look()
        .expect("the gate's files");
    let args = ServeArgs::default()
        .with("auto-certs", certs.display().to_string())
        .with("enroll", "tcp://127.0.0.1:0")
        .with("control-socket", "off");
    let places = Places::below(&dir.path().join("root"), dir.path(), None);
    let none: [(OsString, OsString); 0] = [];
    let config = config::load_within(&args, none, &places).expect("a configuration");
    fs::read(certs.join("ca-key.pem")).expect("the file's rights alone would let it in");
    let place = CagePlace { dir, config };
    place.inside(|_| {
        for own in ["key.pem", "cert.pem", "ca.pem"] {
            fs::read(certs.join("gate").join(own)).expect("its own files");
        }
        for other in [
            "ca-key.pem",
            "index.jsonl",
            "server-key.pem",
            "clients/admin/key.pem",
        ] {
            refused(File::open(certs.join(other)));
        }
        refused(fs::read_dir(&certs));
        refused(fs::hard_link(
            certs.join("ca-key.pem"),
            certs.join("gate/link"),
        ));
        refused(create(&certs.join("gate/new.pem")));
    });
}
