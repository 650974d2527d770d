//! The bare tunnel: mutual TLS in, the same bytes to a unix socket. The floor under which no gate on tokio and rustls
//! can go: no HTTP, no log, no decision.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;

use crate::options::TunnelOptions;

/// Buffer of each direction. Of 8, 16, 64 and 256 KiB this is the cheapest per GiB here.
const BUFFER: usize = 64 << 10;

/// Serves until killed: one single-threaded runtime per core, connections handed out in turn.
pub(crate) fn run(options: &TunnelOptions) -> Result<(), String> {
    let acceptor = TlsAcceptor::from(Arc::new(
        config(options).map_err(|e| format!("cannot set up TLS: {e}"))?,
    ));
    let mut workers = Vec::new();
    for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZero::get) {
        let (send, mut receive) = tokio::sync::mpsc::channel::<std::net::TcpStream>(1024);
        let (acceptor, upstream) = (acceptor.clone(), options.upstream.clone());
        workers.push(send);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let Ok(runtime) = runtime else { return };
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                while let Some(stream) = receive.recv().await {
                    let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
                    tokio::task::spawn_local(async move {
                        let client = TcpStream::from_std(stream)?;
                        client.set_nodelay(true)?;
                        let mut client = acceptor.accept(client).await?;
                        let mut engine = UnixStream::connect(upstream).await?;
                        copy_bidirectional_with_sizes(&mut client, &mut engine, BUFFER, BUFFER)
                            .await
                    });
                }
            });
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start a runtime: {e}"))?;
    runtime.block_on(async {
        let address = ("127.0.0.1", options.port);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|e| format!("cannot listen on {address:?}: {e}"))?;
        for turn in 0.. {
            let (stream, _) = listener
                .accept()
                .await
                .map_err(|e| format!("cannot accept: {e}"))?;
            let stream = stream
                .into_std()
                .map_err(|e| format!("cannot hand over a connection: {e}"))?;
            let worker = &workers[turn % workers.len()];
            worker
                .send(stream)
                .await
                .map_err(|_| "a worker has ended".to_owned())?;
        }
        Ok(())
    })
}

/// The plainest mutual TLS that rustls has, from the files that `options` names.
pub(crate) fn config(options: &TunnelOptions) -> Result<ServerConfig, Box<dyn std::error::Error>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for anchor in CertificateDer::pem_file_iter(&options.tlscacert)? {
        roots.add(anchor?)?;
    }
    let chain = CertificateDer::pem_file_iter(&options.tlscert)?.collect::<Result<Vec<_>, _>>()?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(&options.tlskey)?)?;
    config.send_tls13_tickets = 0;
    Ok(config)
}
