//! A throwaway PKI: one good CA and server, good clients of every key kind, and clients that must be refused.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    RsaKeySize,
};
use time::{Duration, OffsetDateTime};

use super::{OrSay, ScenarioResult};

/// A client folder as `DOCKER_CERT_PATH` wants it: `ca.pem`, `cert.pem`, `key.pem`.
pub(crate) type ClientFolder = PathBuf;

/// The files of the suite's certificates.
pub(crate) struct SuitePki {
    /// Where everything lies; client NAME is the folder of that name.
    pub(crate) directory: PathBuf,
    /// The CA that the gate trusts and that signed the gate's own certificate.
    pub(crate) ca: PathBuf,
    /// The gate's certificate, for localhost and the loopback addresses.
    pub(crate) server_cert: PathBuf,
    /// The gate's key.
    pub(crate) server_key: PathBuf,
}

/// The kinds of client key that must be accepted: folder name and generator.
pub(crate) const CLIENT_KEYS: &[&str] = &["ecdsa", "p384", "rsa2048", "rsa4096", "ed25519"];

type CaIssuer = Issuer<'static, KeyPair>;

impl SuitePki {
    /// Makes everything in `directory`.
    pub(crate) fn create(directory: &Path) -> ScenarioResult<Self> {
        fs::create_dir_all(directory).context("make the certificates' directory")?;
        let (ca, ca_pem) = authority("dockgate e2e CA", None)?;
        let (other, _) = authority("another CA", None)?;
        let (middle, middle_pem) = authority("dockgate e2e intermediate CA", Some(&ca))?;
        let pki = Self {
            directory: directory.into(),
            ca: directory.join("ca.pem"),
            server_cert: directory.join("server-cert.pem"),
            server_key: directory.join("server-key.pem"),
        };
        write(&pki.ca, &ca_pem)?;
        let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
        let mut server = leaf("dockgate e2e", &names)?;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = key("ecdsa")?;
        let cert = server
            .signed_by(&key, &ca)
            .context("sign the server certificate")?;
        write(&pki.server_cert, &cert.pem())?;
        write(&pki.server_key, &key_pem(&key))?;

        for kind in CLIENT_KEYS {
            pki.client(kind, kind, &ca, &ca_pem, "", |_| {})?;
        }
        pki.client("chain", "ecdsa", &middle, &ca_pem, &middle_pem, |_| {})?;
        pki.client("wrong-ca", "ecdsa", &other, &ca_pem, "", |_| {})?;
        let now = OffsetDateTime::now_utc();
        pki.client("expired", "ecdsa", &ca, &ca_pem, "", |leaf| {
            leaf.not_after = now - Duration::hours(1);
        })?;
        pki.client("not-yet-valid", "ecdsa", &ca, &ca_pem, "", |leaf| {
            leaf.not_before = now + Duration::hours(1);
        })?;
        pki.client("server-usage", "ecdsa", &ca, &ca_pem, "", |leaf| {
            leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })?;
        // A client that does not know the gate's CA: it must refuse the gate.
        let stranger = pki.directory.join("distrustful");
        fs::create_dir_all(&stranger).context("make a client's directory")?;
        let (_, stranger_pem) = authority("a CA the gate does not use", None)?;
        write(&stranger.join("ca.pem"), &stranger_pem)?;
        for file in ["cert.pem", "key.pem"] {
            fs::copy(pki.client_folder("ecdsa").join(file), stranger.join(file))
                .context("copy a client's files")?;
        }
        // The CA alone: a client without a certificate.
        let nobody = pki.directory.join("nobody");
        fs::create_dir_all(&nobody).context("make a client's directory")?;
        write(&nobody.join("ca.pem"), &ca_pem)?;
        Ok(pki)
    }

    /// The folder of client `name`.
    pub(crate) fn client_folder(&self, name: &str) -> ClientFolder {
        self.directory.join(name)
    }

    fn client(
        &self,
        name: &str,
        kind: &str,
        issuer: &CaIssuer,
        ca_pem: &str,
        chain: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> ScenarioResult {
        let folder = self.client_folder(name);
        fs::create_dir_all(&folder).context("make a client's directory")?;
        let mut params = leaf(&format!("e2e {name}"), &[])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = key(kind)?;
        let cert = params
            .signed_by(&key, issuer)
            .context("sign a client certificate")?;
        write(&folder.join("ca.pem"), ca_pem)?;
        write(&folder.join("cert.pem"), &(cert.pem() + chain))?;
        write(&folder.join("key.pem"), &key_pem(&key))
    }
}

/// A key of the named kind.
pub(crate) fn key(kind: &str) -> ScenarioResult<KeyPair> {
    match kind {
        "p384" => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        "ed25519" => KeyPair::generate_for(&PKCS_ED25519),
        "rsa2048" => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        "rsa4096" => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
        _ => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
    }
    .context("generate a key")
}

/// The key as PKCS#8 version 1. Ed25519 keys come as version 2 (RFC 5958, with the public key), which OpenSSL 3.0 and
/// so curl, Python and node cannot read.
pub(crate) fn key_pem(key: &KeyPair) -> String {
    const SEED: &[u8] = &[0x04, 0x22, 0x04, 0x20];
    let der = key.serialized_der();
    let seed = der
        .windows(SEED.len())
        .position(|window| window == SEED)
        .map(|at| &der[at..]);
    match seed.and_then(|rest| rest.get(..SEED.len() + 32)) {
        Some(seed) if key.algorithm() == &PKCS_ED25519 => {
            let mut short = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70".to_vec();
            short.extend_from_slice(seed);
            let text = data_encoding::BASE64.encode(&short);
            format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
        }
        _ => key.serialize_pem(),
    }
}

fn leaf(name: &str, alternative: &[String]) -> ScenarioResult<CertificateParams> {
    let mut params = CertificateParams::new(alternative).context("take the alternative names")?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn authority(name: &str, issuer: Option<&CaIssuer>) -> ScenarioResult<(CaIssuer, String)> {
    let mut params = leaf(name, &[])?;
    params.not_before -= Duration::days(1);
    params.not_after += Duration::days(1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = key("ecdsa")?;
    let cert = match issuer {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    let pem = cert.context("sign a CA certificate")?.pem();
    Ok((Issuer::new(params, key), pem))
}

fn write(path: &Path, text: &str) -> ScenarioResult {
    fs::write(path, text).context(&format!("write {}", path.display()))
}
