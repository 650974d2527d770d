//! Holds the message of a judged call.

use std::time::Duration;

use buildkit::grpc::{self, BadBody};
use h2::RecvStream;
use tokio::time::timeout;

use crate::limits::Reservation;

/// How long a judged message may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a message could not be held.
pub(super) enum NotHeld {
    /// It is refused with these words.
    Refused(String),
    /// There is no room for it now.
    NoRoom,
    /// Its client has gone.
    Gone,
}

impl From<BadBody> for NotHeld {
    fn from(bad: BadBody) -> Self {
        Self::Refused(bad.to_string())
    }
}

/// Reads a call's only message, within the `room` of its client.
pub(super) async fn message(
    body: &mut RecvStream,
    gzip: bool,
    room: &mut Reservation,
) -> Result<Vec<u8>, NotHeld> {
    let read = timeout(PATIENCE, whole(body, room)).await;
    let body = read.map_err(|_| NotHeld::Refused("the message did not come in time".into()))??;
    let message = grpc::only_message(&body, gzip)?;
    grow(room, body.len() + message.len())?;
    Ok(message)
}

pub(super) fn grow(room: &mut Reservation, bytes: usize) -> Result<(), NotHeld> {
    room.grow_to(bytes).map_err(|_| NotHeld::NoRoom)
}

async fn whole(body: &mut RecvStream, room: &mut Reservation) -> Result<Vec<u8>, NotHeld> {
    let mut whole: Vec<u8> = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|_| NotHeld::Gone)?;
        // Given back at once: what is held is bounded by the room.
        let _ = body.flow_control().release_capacity(data.len());
        grow(room, whole.len() + data.len())?;
        whole.extend_from_slice(&data);
        if grpc::announced(&whole)?.is_some_and(|most| whole.len() > most) {
            return Err(BadBody::More.into());
        }
    }
    // Trailers of a request mean nothing in gRPC; they end with it.
    body.trailers().await.map_err(|_| NotHeld::Gone)?;
    Ok(whole)
}
