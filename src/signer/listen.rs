//! Accepts connections to the signer: each has a place, a deadline, and a share of the places that its address may take.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::desk::Desk;
use super::http;
use super::throttle::network;
use crate::tls::socket::WideSocket;

/// Connections at once that have sent nothing yet, or wait for a place; further ones wait in the kernel's queue.
const SILENT: usize = 400;

/// Connections at once that have sent something.
const CONNECTIONS: usize = 100;

/// Connections at once from one address, or one /64 of IPv6.
const PER_ADDRESS: usize = 50;

/// How long a peer may send nothing.
const SILENCE: Duration = Duration::from_secs(2);

/// A whole handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Wait after an accept that failed.
const BACK_OFF: Duration = Duration::from_millis(50);

/// How many connections each address has.
#[derive(Debug, Default)]
struct AddressShares(Mutex<HashMap<IpAddr, usize>>);

/// One place of an address, given back when dropped.
struct AddressShare {
    shares: Arc<AddressShares>,
    peer: IpAddr,
}

impl AddressShares {
    fn take(self: &Arc<Self>, peer: IpAddr) -> Option<AddressShare> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(peer).or_insert(0);
        if *count >= PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(AddressShare {
            shares: self.clone(),
            peer,
        })
    }
}

impl Drop for AddressShare {
    fn drop(&mut self) {
        let mut counts = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = counts.remove(&self.peer),
        }
    }
}

/// What a connection holds until it is known to be a gate's.
pub(super) struct VisitPlace {
    _permit: OwnedSemaphorePermit,
    _share: AddressShare,
}

/// What every connection shares.
struct VisitRoom {
    /// For those that have said something.
    places: Arc<Semaphore>,
    shares: Arc<AddressShares>,
    desk: Arc<Desk>,
    /// A whole connection.
    longest: Duration,
}

/// Accepts until dropped, and drops all connections then.
pub(super) async fn accept(listener: tokio::net::TcpListener, desk: Arc<Desk>) {
    accept_for(http::CONNECTION, listener, desk).await;
}

/// The same of connections that may last so long.
async fn accept_for(longest: Duration, listener: tokio::net::TcpListener, desk: Arc<Desk>) {
    let silent = Arc::new(Semaphore::new(SILENT));
    let room = Arc::new(VisitRoom {
        places: Arc::new(Semaphore::new(CONNECTIONS)),
        shares: Arc::default(),
        desk,
        longest,
    });
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let Ok(permit) = silent.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((socket, peer)) => _ = tasks.spawn(serve(socket, peer, room.clone(), permit)),
            Err(error) => {
                debug!(%error, "Cannot accept a connection");
                sleep(BACK_OFF).await;
            }
        }
    }
}

async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    room: Arc<VisitRoom>,
    silent: OwnedSemaphorePermit,
) {
    let _ = socket.set_nodelay(true);
    let mut socket = WideSocket::new(Arc::new(socket));
    match timeout(SILENCE, socket.peek()).await {
        Ok(Ok([_, ..])) => {}
        _ => return debug!(client.addr = %peer, "The peer sent nothing in time"),
    }
    let Some(share) = room.shares.take(network(peer.ip())) else {
        return debug!(client.addr = %peer, "Too many connections from one address");
    };
    // Those that wait here are bounded by those that may be silent.
    let place = timeout(HANDSHAKE, room.places.clone().acquire_owned()).await;
    let Ok(Ok(permit)) = place else {
        return debug!(client.addr = %peer, "No place for a connection came free in time");
    };
    drop(silent);
    let place = VisitPlace {
        _permit: permit,
        _share: share,
    };
    let handshake = TlsAcceptor::from(room.desk.serving()).accept(socket);
    match timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => {
            let chain = stream.get_ref().1.peer_certificates();
            let leaf = chain.and_then(|chain| chain.first()).cloned();
            let leaf = leaf.map(rustls::pki_types::CertificateDer::into_owned);
            let peer = http::Visitor { addr: peer, leaf };
            http::serve(stream, peer, room.desk.clone(), place, room.longest).await;
        }
        Ok(Err(error)) => debug!(client.addr = %peer, %error, "The handshake failed"),
        Err(_) => debug!(client.addr = %peer, "The handshake did not finish in time"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use pki::issue::default_authority;
    use pki::key::KeyType;
    use pki::place::StorePlace;
    use pki::write::Existing;
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::signer::SignerOptions;

    /// A desk with a CA of its own, and a client that trusts it.
    fn desk(dir: &Path) -> (Arc<Desk>, TlsConnector) {
        let authority = default_authority(KeyType::P256).expect("a CA");
        let key = authority.key().to_pem().expect("its key");
        let mut store = StorePlace::directory(dir).open().expect("a directory");
        store
            .put_ca(&authority, Some(&key), Existing::Keep)
            .expect("written");
        drop(store);
        let names = pki::san::parse_all(&["localhost"]).expect("a name");
        let options = SignerOptions {
            place: StorePlace::directory(dir),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            sans: names.clone(),
            address: None,
            gate: None,
            rules: enroll::SigningRules::default(),
            issuers: crate::signer::TrustedIssuers::default(),
            passphrase: pki::Passphrase::Absent,
            external: None,
            metrics_file: None,
        };
        let desk = Desk::open(options, names).expect("a desk");
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(authority.certificate().clone())
            .expect("a CA certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        (Arc::new(desk), TlsConnector::from(Arc::new(config)))
    }

    #[tokio::test]
    async fn a_connection_ends_at_its_deadline_however_busy_it_is_and_the_next_one_is_served() {
        let longest = Duration::from_millis(400);
        assert!(longest < http::CONNECTION);
        let dir = tempfile::tempdir().expect("create a directory");
        let (desk, connector) = desk(dir.path());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a listener");
        let addr = listener.local_addr().expect("its address");
        let busy = async {
            for _ in 0..2 {
                let socket = TcpStream::connect(addr).await.expect("connect");
                let name = ServerName::try_from("localhost").expect("a name");
                let connected = Instant::now();
                let mut stream = connector.connect(name, socket).await.expect("handshake");
                let (mut answered, mut piece) = (0, [0; 4096]);
                loop {
                    let asked = b"GET /.well-known/est/csrattrs HTTP/1.1\r\nHost: x\r\n\r\n";
                    if stream.write_all(asked).await.is_err() {
                        break;
                    }
                    match stream.read(&mut piece).await {
                        Ok(count @ 1..) => {
                            assert!(piece[..count].starts_with(b"HTTP/1.1 204 "));
                            answered += 1;
                        }
                        _ => break,
                    }
                }
                assert!(connected.elapsed() >= longest, "after {answered} answers");
                assert!(answered > 1);
            }
        };
        tokio::select! {
            () = accept_for(longest, listener, desk) => panic!("it accepts on"),
            ended = timeout(Duration::from_secs(60), busy) => ended.expect("it ends"),
        }
    }

    #[test]
    fn one_address_or_one_network_of_ipv6_has_half_of_the_places_and_gives_them_back() {
        let shares = Arc::<AddressShares>::default();
        let of =
            |net: u16, host: u16| network(IpAddr::from([0x2001, 0xdb8, 0, net, 0, 0, 0, host]));
        let most = u16::try_from(PER_ADDRESS).expect("a small number");
        let taken: Vec<_> = (0..most)
            .map_while(|host| shares.take(of(1, host)))
            .collect();
        assert_eq!(taken.len(), PER_ADDRESS);
        assert!(shares.take(of(1, 9999)).is_none());
        assert!(shares.take(of(2, 0)).is_some());
        let v4 = IpAddr::from([192, 0, 2, 1]);
        let mapped = network(IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201]));
        let four: Vec<_> = (0..most).map_while(|_| shares.take(mapped)).collect();
        assert_eq!(four.len(), PER_ADDRESS);
        assert!(shares.take(network(v4)).is_none());
        drop(taken);
        assert!(shares.take(of(1, 0)).is_some());
        drop(four);
        assert!(shares.0.lock().expect("the table").is_empty());
    }
}
