//! Names that cannot exist: another's object is asked of the engine under one, and the client's name is put back into the answer.

use super::{Halt, Status};
use crate::engine::lookup::EngineReply;
use docker_api::json;

/// Letters that no id has, so that a name of them is not the beginning of one either.
const LETTERS: &[u8; 16] = b"ghijklmnopqrstuv";

/// Length of a name: 160 bits.
const LENGTH: usize = 40;

/// Names that are used for the client's, while a request is performed.
#[derive(Debug, Default)]
pub(super) struct Ghosts(Vec<(String, String)>);

impl Ghosts {
    /// A name that cannot exist, in place of the client's.
    pub(super) fn of(&mut self, name: &str) -> Result<String, Halt> {
        let mut bytes = [0; LENGTH];
        pki::key::random(&mut bytes)
            .map_err(|e| Halt::Refused(Status::Unavailable, e.to_string()))?;
        let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 16)]);
        let ghost: String = bytes.iter().map(letter).collect();
        self.0.push((ghost.clone(), name.to_owned()));
        Ok(ghost)
    }

    /// The answer with the client's names put back.
    pub(super) fn put_back(&self, mut reply: EngineReply) -> EngineReply {
        for (ghost, name) in &self.0 {
            let Ok(text) = std::str::from_utf8(&reply.body) else {
                return reply;
            };
            if !text.contains(ghost.as_str()) {
                continue;
            }
            let quoted = json::quoted(name);
            let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
            reply.body = text.replace(ghost.as_str(), inner).into_bytes();
        }
        reply
    }
}

/// An answer with the ids in its message masked: of a taken name, the other's.
pub(super) fn masked(mut reply: EngineReply) -> EngineReply {
    const ID: usize = 64;
    if reply.status != 409 {
        return reply;
    }
    let mut at = 0;
    while at < reply.body.len() {
        let digits = reply.body[at..]
            .iter()
            .take_while(|b| b.is_ascii_hexdigit());
        let length = digits.count();
        if length == ID {
            reply.body[at..at + ID].fill(b'*');
        }
        at += length.max(1);
    }
    reply
}
