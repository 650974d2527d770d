//! Renewal: new dates, everything else as it was.

use std::fs;

use super::support::{
    arg, done, external, initialised, inspect_file, openssl_accepts, ran, refused,
};

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn renewal_keeps_key_identity_and_length_of_life() {
    let dir = initialised();
    done(
        dir.path(),
        &[
            "client",
            "ci",
            "--ou",
            "builders",
            "--o",
            "Example",
            "--uri",
            "spiffe://example.org/ci",
            "--days",
            "40",
        ],
    );
    let certs = dir.path().join("certs");
    for (name, file, key) in [
        ("ci", "clients/ci/cert.pem", "clients/ci/key.pem"),
        ("server", "server-cert.pem", "server-key.pem"),
    ] {
        let (file, key) = (certs.join(file), certs.join(key));
        let (old, old_key) = (inspect_file(&file), fs::read(&key).expect("key"));
        let said = done(dir.path(), &["renew", name]);
        assert!(
            said.contains("with the same key") && said.contains(&old.serial),
            "{said}"
        );
        let new = inspect_file(&file);
        assert_ne!(new.serial, old.serial);
        assert_eq!(fs::read(&key).expect("key"), old_key);
        assert_eq!(
            (
                &new.subject,
                &new.sans,
                &new.spki_sha256,
                &new.extended_key_usage
            ),
            (
                &old.subject,
                &old.sans,
                &old.spki_sha256,
                &old.extended_key_usage
            )
        );
        assert_eq!(
            (new.not_after - new.not_before).whole_days(),
            (old.not_after - old.not_before).whole_days()
        );

        done(dir.path(), &["renew", name, "--new-key"]);
        let newer = inspect_file(&file);
        assert_ne!(newer.spki_sha256, new.spki_sha256);
        assert_eq!(
            (&newer.subject, &newer.sans, &newer.key),
            (&old.subject, &old.sans, &old.key)
        );
        let fits =
            external("openssl", &["pkey", "-in", arg(&key), "-pubout"]).map(|output| output.stdout);
        let certified = external("openssl", &["x509", "-in", arg(&file), "-noout", "-pubkey"])
            .map(|output| output.stdout);
        assert_eq!(
            fits, certified,
            "{name}: key and certificate belong together"
        );
    }
    openssl_accepts(
        &certs.join("ca.pem"),
        &certs.join("server-cert.pem"),
        "sslserver",
        &["-verify_hostname", "docker.example"],
    );
    openssl_accepts(
        &certs.join("ca.pem"),
        &certs.join("clients/ci/cert.pem"),
        "sslclient",
        &[],
    );
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn only_what_is_due_is_renewed_by_a_timer() {
    let dir = initialised();
    done(dir.path(), &["client", "fresh"]);
    assert!(done(dir.path(), &["renew", "--all", "--if-due"]).contains("nothing is due"));
    // Most of its life in the past: what openssl can make and dockgate, by design, cannot.
    let path = |name: &str| dir.path().join("certs").join(name);
    fs::create_dir(path("clients/old")).expect("directory");
    let (key, csr, cert, database, config) = (
        path("clients/old/key.pem"),
        path("old.csr"),
        path("clients/old/cert.pem"),
        path("db"),
        path("cnf"),
    );
    if !ran(
        "openssl",
        &[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            arg(&key),
            "-out",
            arg(&csr),
            "-subj",
            "/O=Old/CN=old",
        ],
    ) {
        return;
    }
    let text = format!(
        "[ca]\ndefault_ca=d\n[d]\ndatabase={}\nnew_certs_dir={}\ndefault_md=sha256\npolicy=p\nrand_serial=yes\nx509_extensions=x\n[p]\nO=optional\nCN=supplied\n[x]\nextendedKeyUsage=clientAuth\n",
        database.display(),
        dir.path().display()
    );
    fs::write(&config, text).expect("write");
    let (ca, ca_key) = (path("ca.pem"), path("ca-key.pem"));
    let certified = |from: &str, to: &str| {
        fs::write(&database, "").expect("write");
        ran(
            "openssl",
            &[
                "ca",
                "-batch",
                "-config",
                arg(&config),
                "-cert",
                arg(&ca),
                "-keyfile",
                arg(&ca_key),
                "-in",
                arg(&csr),
                "-out",
                arg(&cert),
                "-notext",
                "-startdate",
                from,
                "-enddate",
                to,
            ],
        )
    };
    assert!(certified("20250101000000Z", "20991231000000Z"));
    let info = inspect_file(&cert);
    assert!(
        info.renewal_due() > time::OffsetDateTime::now_utc(),
        "not due yet"
    );
    let end = (time::OffsetDateTime::now_utc() + time::Duration::days(5))
        .date()
        .to_string()
        .replace('-', "");
    assert!(certified("20200101000000Z", &format!("{end}000000Z")));
    let fresh = inspect_file(&path("clients/fresh/cert.pem"));
    let old = inspect_file(&cert);
    assert!(done(dir.path(), &["list"]).contains("due"));
    let said = done(dir.path(), &["renew", "--all", "--if-due"]);
    assert!(
        said.contains("renewed old") && !said.contains("fresh") && !said.contains("renewed server"),
        "{said}"
    );
    let renewed = inspect_file(&cert);
    assert_eq!(
        (&renewed.subject, &renewed.spki_sha256),
        (&old.subject, &old.spki_sha256)
    );
    assert_eq!(
        inspect_file(&path("clients/fresh/cert.pem")).serial,
        fresh.serial
    );
}

#[test]
fn revoked_and_foreign_certificates_are_not_renewed() {
    let dir = initialised();
    done(dir.path(), &["client", "ci"]);
    done(dir.path(), &["revoke", "ci"]);
    let said = refused(dir.path(), &["renew", "ci"]);
    assert!(
        said.contains("is revoked") && said.contains("certs client ci --force"),
        "{said}"
    );
    let said = done(dir.path(), &["renew", "--all"]);
    assert!(
        said.contains("renewed server") && !said.contains("renewed ci"),
        "{said}"
    );
    let said = refused(dir.path(), &["renew", "nobody"]);
    assert!(
        said.contains("there is no certificate \"nobody\"")
            && said.contains("known are: server, ci"),
        "{said}"
    );
    let other = initialised();
    let theirs = other.path().join("certs/server-cert.pem");
    let said = refused(dir.path(), &["renew", arg(&theirs)]);
    assert!(said.contains("was issued by CN=dockgate CA"), "{said}");
}
