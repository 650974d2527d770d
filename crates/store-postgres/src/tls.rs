//! TLS to the database, with its certificate verified for the name that it is reached by.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pki::{CertsError, pem};
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;

/// Makes TLS connections to a database.
#[derive(Clone)]
pub(crate) struct DatabaseTls(TlsConnector);

/// Makes one to a server of this name.
pub(crate) struct NamedTls(TlsConnector, ServerName<'static>);

/// One connection.
pub(crate) struct DatabaseStream<S>(ClientStream<S>);

impl DatabaseTls {
    /// With the CAs of a file, or those of the system.
    pub(crate) fn new(roots: Option<&Path>) -> Result<Self, CertsError> {
        let mut trusted = RootCertStore::empty();
        let (added, whose) = match roots {
            Some(path) => {
                let found = pem::certificates(path)?;
                (
                    trusted.add_parsable_certificates(found).0,
                    format!("{path:?}"),
                )
            }
            None => {
                let found = rustls_native_certs::load_native_certs().certs;
                let added = trusted.add_parsable_certificates(found).0;
                (added, "the system's list of CAs".to_owned())
            }
        };
        if added == 0 {
            return Err(CertsError::refused(
                format!("{whose} has no CA certificate that can be used"),
                "name the CA of the database's certificate with sslrootcert=FILE in the URL of --store",
            ));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|fault| CertsError::crypto("set up TLS to the database", fault))?;
        let config = config.with_root_certificates(trusted).with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

impl<S> MakeTlsConnect<S> for DatabaseTls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = DatabaseStream<S>;
    type TlsConnect = NamedTls;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<NamedTls, InvalidDnsNameError> {
        let name = ServerName::try_from(domain)?.to_owned();
        Ok(NamedTls(self.0.clone(), name))
    }
}

impl<S> TlsConnect<S> for NamedTls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = DatabaseStream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<DatabaseStream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { self.0.connect(self.1, stream).await.map(DatabaseStream) })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for DatabaseStream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        // The certificate is verified, so nobody is in between.
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for DatabaseStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for DatabaseStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
