//! The `dockgate` binary.
use std::sync::Arc;
use std::time::Duration;
use dockgate::{front::*, listener, proxy::session::*, registry::Registry, tls::config::*, upstream::Upstream, worker::Workers};
use rustls_pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer};

fn main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let args: Vec<String> = std::env::args().collect();
    let (addr, ca, cert, key, sock) = (&args[1], &args[2], &args[3], &args[4], &args[5]);
    let material = Material {
        cert_chain: CertificateDer::pem_file_iter(cert).unwrap().map(|c| c.unwrap()).collect(),
        key: PrivateKeyDer::from_pem_file(key).unwrap(),
        client_ca: CertificateDer::pem_file_iter(ca).unwrap().map(|c| c.unwrap()).collect(),
        crls: vec![], denied: Default::default(),
    };
    let trust = Trust::build(material).unwrap();
    let gate = Arc::new(Gate { upstream: Upstream::new(sock.into(), Duration::from_secs(10)),
        deadlines: Deadlines { head: Duration::from_secs(30), tunnel_grace: Duration::from_secs(10) },
        draining: Default::default(), on_request: None });
    let registry = Arc::new(Registry::default());
    let front = Arc::new(Front::new(gate, registry, trust, Bounds { connections: 10000, handshakes: 1000, handshake_timeout: Duration::from_secs(10) }));
    let workers = Workers::start(2).unwrap();
    let l = listener::bind(addr.parse().unwrap()).unwrap();
    println!("listening {}", l.local_addr().unwrap());
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ka = listener::Keepalive { idle: Duration::from_secs(30), interval: Duration::from_secs(10), probes: 3 };
    rt.block_on(listener::accept_loop(l, ka, |s, p| { let f = front.clone(); workers.spawn(front.tasks.track_future(f.serve(s, p))); })).unwrap();
}
