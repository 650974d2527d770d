//! Failed handshakes in words: what the server said of the client, and what the client found wrong with the server.

use std::io::{self, Read, Write};

use rustls::{AlertDescription, CertificateError, Error};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::command::doctor::probe::answer::Head;
use crate::command::doctor::probe::{MAX_ANSWER, Probe, ProbeVerdict};
use crate::finding::Finding;
use crate::tls::files::CertificateOrigin;
use crate::tls::words;
use pki::Certificate;
use text::escape::shell_word;

impl Probe<'_> {
    /// Puts a failed handshake or first read in words.
    pub(super) fn explain(&self, err: &io::Error, verdict: &ProbeVerdict) -> Finding {
        let addr = self.addr;
        match err
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>())
        {
            Some(Error::AlertReceived(alert)) => self.explain_alert(*alert),
            Some(Error::InvalidCertificate(cause)) => self.explain_server(cause, &verdict.chain()),
            Some(Error::InvalidMessage(_)) => self.plain(),
            Some(what @ Error::PeerIncompatible(_)) => Finding::error(format!(
                "the server's TLS is out of date: {}",
                words::tls_error(what)
            ))
            .hint("it must speak TLS 1.2 or 1.3: upgrade it, or put dockgate in its place"),
            Some(other) => Finding::error(format!(
                "the TLS handshake fails: {}",
                words::tls_error(other)
            )),
            None => match err.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Finding::error(format!(
                    "{addr} accepts connections, but does not answer within {:?}",
                    self.timeout
                ))
                .hint("is it a TLS server? on its host, `dockgate doctor` says more"),
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe => Finding::error(format!(
                    "{addr} closes the connection in the handshake without a reason"
                ))
                .hint("its log says why; a load balancer with no live backend does the same"),
                _ => Finding::error(format!("the TLS handshake fails: {err}")),
            },
        }
    }

    /// The server's verdict on the client (RFC 8446 §6.2).
    fn explain_alert(&self, alert: AlertDescription) -> Finding {
        let own = self
            .material
            .cert_chain
            .first()
            .and_then(|cert| Certificate::read(cert).ok());
        let (subject, issuer, serial) = own
            .map(|s| (s.subject, s.issuer, s.serial))
            .unwrap_or_default();
        match alert {
            AlertDescription::UnknownCA => {
                Finding::error(format!("the server does not trust the CA of the client certificate ({subject}, issued by {issuer})"))
                    .hint(match self.origin() {
                        CertificateOrigin::Joined(_) => "ask for an invitation of the server's signer: `dockgate invite NAME` there; or for your signer's CA to be added to its tlscacert",
                        _ => "ask for a certificate from the server's CA: `dockgate certs client NAME` there; or add your CA to its tlscacert",
                    })
            }
            AlertDescription::CertificateExpired => {
                Finding::error(format!("the server says the client certificate ({subject}) is not valid now, though it is by this clock"))
                    .hint("the clocks differ: compare `date -u` on both sides")
            }
            AlertDescription::CertificateRevoked | AlertDescription::AccessDenied => {
                Finding::error(format!("the server has revoked or denied the client certificate ({subject}, serial {serial})"))
                    .hint(self.origin().another_client())
            }
            AlertDescription::CertificateRequired => {
                Finding::error("the server wants a client certificate and got none it could use")
                    .hint(format!("check {} and {}", self.paths.cert.display(), self.paths.key.display()))
            }
            AlertDescription::UnsupportedCertificate => {
                Finding::error(format!("the server refuses the usage or kind of the client certificate ({subject})"))
                    .hint(format!("it needs extendedKeyUsage clientAuth: {}", self.origin().another_client()))
            }
            AlertDescription::ProtocolVersion => {
                Finding::error("the server speaks neither TLS 1.2 nor 1.3").hint("upgrade it, or put dockgate in its place")
            }
            AlertDescription::BadCertificate | AlertDescription::CertificateUnknown | AlertDescription::HandshakeFailure => {
                Finding::error(format!("the server refuses the client certificate ({subject}, issued by {issuer}): {}", words::alert_name(alert)))
                    .hint("its log names the reason; a certificate from the wrong CA is the most common one")
            }
            other => Finding::error(format!("the server ends the handshake with the alert {}", words::alert_name(other))).hint("its log says why"),
        }
    }

    fn origin(&self) -> CertificateOrigin {
        CertificateOrigin::of(&self.paths.cert)
    }

    /// Our verdict on the server.
    fn explain_server(
        &self,
        cause: &CertificateError,
        chain: &[CertificateDer<'static>],
    ) -> Finding {
        let summary = chain.first().and_then(|cert| Certificate::read(cert).ok());
        let (subject, issuer, sans) = summary
            .as_ref()
            .map(|s| (s.subject.clone(), s.issuer.clone(), names(s)))
            .unwrap_or_default();
        let host = &self.target.host;
        match cause {
            CertificateError::UnknownIssuer => {
                Finding::error(format!("the server's certificate ({subject}) was issued by {issuer}, which {} does not contain", self.paths.ca.display()))
                    .hint(match self.origin() {
                        CertificateOrigin::Joined(dir) => format!("a renewal brings the CAs of the signer: `dockgate renew --force {}`", shell_word(&dir.to_string_lossy())),
                        _ => "take ca.pem from that server: `dockgate certs bundle NAME` there packs it".to_owned(),
                    })
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let names = if sans.is_empty() { "no names at all".to_owned() } else { format!("only {sans}") };
                Finding::error(format!("the server's certificate ({subject}) is valid for {names}, not for {host:?}"))
                    .hint(format!("use one of its names, or on the server, with every name that it is to have: `dockgate certs server{} --san {host} --force`", kept(summary.as_ref())))
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                let until = summary.map(|s| pki::timestamp(s.not_after)).unwrap_or_default();
                Finding::error(format!("the server's certificate ({subject}) or its CA expired; the certificate on {until}"))
                    .hint("on the server: `dockgate certs renew server`; a server that joined: `dockgate renew DIR`")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                let from = summary.map(|s| pki::timestamp(s.not_before)).unwrap_or_default();
                Finding::error(format!("the server's certificate ({subject}) is not valid before {from}, and it is {} here", pki::timestamp(OffsetDateTime::now_utc())))
                    .hint("one of the clocks is wrong: compare `date -u` on both sides")
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Finding::error(format!("the server's certificate ({subject}) has an extendedKeyUsage without serverAuth"))
                    .hint("on the server: `dockgate certs server --force` makes one that has it")
            }
            other => Finding::error(format!("the server's certificate ({subject}) cannot be accepted: {}", words::certificate(other)))
                .hint("on the server: `dockgate certs server --force` makes a sound one"),
        }
    }

    /// Not TLS: an engine without any protection, another HTTP server, or something else.
    fn plain(&self) -> Finding {
        let request = format!(
            "GET /_ping HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.target.host
        );
        let mut answer = Vec::new();
        let asked = self.tcp().and_then(|mut socket| {
            socket.write_all(request.as_bytes())?;
            socket.take(MAX_ANSWER as u64).read_to_end(&mut answer)
        });
        let url = self.target.url();
        match (Head::parse(&answer), asked) {
            (Some(head), _) if head.api_version.is_some() => {
                Finding::error(format!("{url} is a Docker Engine without TLS: anybody who reaches it is root on that host"))
                    .hint("take its tcp host out of daemon.json now, and serve it with `dockgate serve --auto-certs ./certs`")
            }
            (Some(_), _) => Finding::error(format!("{url} is a plain HTTP server, not TLS")).hint("is the port right? Docker's over TLS is 2376"),
            (None, _) => Finding::error(format!("{url} does not speak TLS")).hint("is the port right? Docker's over TLS is 2376"),
        }
    }
}

/// The names that a certificate has, as options of the command that replaces it.
fn kept(certificate: Option<&Certificate>) -> String {
    let names = certificate.iter().flat_map(|certificate| &certificate.sans);
    names.map(|name| format!(" --san {name}")).collect()
}

/// The names a certificate is valid for, in one line.
pub(super) fn names(certificate: &Certificate) -> String {
    let names: Vec<_> = certificate.sans.iter().map(ToString::to_string).collect();
    names.join(" ")
}
