//! Requests and answers that many tests send.

/// A whole request without a body.
pub const PING: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";

/// A whole answer.
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";

/// An upgrade as the docker CLI sends it.
pub const ATTACH: &[u8] =
    b"POST /v1.51/containers/c/attach?stdin=1&stdout=1&stream=1 HTTP/1.1\r\nHost: docker\r\n\
    Connection: Upgrade\r\nContent-Length: 0\r\nContent-Type: text/plain\r\nUpgrade: tcp\r\n\r\n";

/// The engine's answer to it.
pub const UPGRADED: &[u8] =
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
    Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
