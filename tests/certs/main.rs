//! The certificates dockgate makes, judged by those who will read them: rustls, OpenSSL, Python.

mod auto;
mod damaged;
mod encrypted;
mod example;
mod exposed;
mod files;
mod hints;
mod import;
mod issue;
mod layouts;
mod renew;
mod revoke;
mod show;
mod sign;
mod strict_handshake;
mod support;
mod terminal;
mod verdicts;
