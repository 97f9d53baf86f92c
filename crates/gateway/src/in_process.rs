//! A fake gateway within this process: what a fake gateway does for the transport
//! that has no sockets.

use std::pin::Pin;
use std::time::Duration;

use super::transport::{Request, Response};

/// How long a connection is held that gets no reply, at most.
pub const HOLD_MAX: Duration = Duration::from_secs(60);

/// What comes of a request.
#[derive(Debug)]
pub enum Reaction {
    /// This reply.
    Reply(Response),
    /// As if the connection had been refused.
    Refuse,
    /// The connection is reset.
    Reset,
    /// Nothing comes, for [`HOLD_MAX`] or until the client goes.
    Hold,
    /// In-process: nothing came until the client's patience ended, which is now.
    Silence,
    /// The head of this reply, and half of its body.
    Truncate(Response),
}

/// A fake gateway, which takes requests without sockets.
pub trait FakeGateway: std::fmt::Debug + Send + Sync {
    /// Takes a request in, has its effect, and says what comes of it.
    fn handle(&self, request: Request) -> Pin<Box<dyn Future<Output = Reaction> + Send + '_>>;
}
