//! The certificates dockgate makes, judged by those who will read them: rustls, OpenSSL, Python.

mod auto;
mod support;
