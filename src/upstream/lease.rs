//! Leave to use a connection for one exchange.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::time::timeout;

use super::{
    connection::{Shared, Sole},
    parent::Parent,
    pool::Home,
    tasks::Tasks,
    upload::{Fault, FirstFault, Progress, Upload},
};

/// Leave to use a connection for one exchange. Where it is dropped before [`finish`](Self::finish) the exchange is broken off:
/// HTTP/1 closes the connection, HTTP/2 resets the stream.
pub(super) enum Lease {
    Sole(Box<Sole>, Option<Home>),
    Stream(Stream),
}

/// One exchange of a connection that others share.
pub(super) struct Stream {
    connection: Arc<Shared>,
    home: Option<Home>,
    /// What is sent, and how it ends.
    sent: Option<(Progress, FirstFault)>,
}

/// What an answer holds while it comes.
pub(super) enum Hold {
    Lease(Lease),
    /// A connection that serves one exchange and no other: its tasks.
    Alone(#[expect(dead_code, reason = "it is there to be dropped")] Tasks),
}

impl Hold {
    /// Ends an exchange whose request was sent, and whose answer was read, to the end.
    pub(super) fn finish(self) {
        if let Self::Lease(lease) = self {
            lease.finish();
        }
    }
}

/// Why there is no answer.
pub(super) enum Unsent {
    /// Nothing of the request was sent.
    Unsent(Box<Request<Upload>>),
    Failed(hyper::Error),
}

impl Lease {
    /// For one exchange on a connection in HTTP/2 that has [begun](Shared::begin).
    pub(super) fn stream(connection: Arc<Shared>, home: Option<Home>) -> Self {
        Self::Stream(Stream { connection, home, sent: None })
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Sole(connection, _) => connection.address,
            Self::Stream(stream) => stream.connection.address,
        }
    }

    /// Who reads the requests in the destination's place.
    pub(super) fn parent(&self) -> Option<&Parent> {
        match self {
            Self::Sole(connection, _) => connection.parent.as_deref(),
            Self::Stream(_) => None,
        }
    }

    pub(super) fn speaks_h2(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Sends the request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
        progress: &Progress,
        fault: &FirstFault,
    ) -> Result<Response<Incoming>, Unsent> {
        match self {
            Self::Sole(connection, _) => {
                if !matches!(timeout(READY, connection.sender.ready()).await, Ok(Ok(()))) {
                    return Err(Unsent::Unsent(Box::new(request)));
                }
                connection.sender.try_send_request(request).await.map_err(unsent)
            }
            Self::Stream(stream) => {
                stream.sent = Some((progress.clone(), fault.clone()));
                stream.connection.sender.clone().try_send_request(request).await.map_err(unsent)
            }
        }
    }

    /// Whether an exchange that failed before the head of its answer had no part of one, as when the upstream closed a
    /// connection that waited.
    pub(super) fn is_unanswered(&self) -> bool {
        match self {
            Self::Sole(connection, _) => connection.turn.is_unanswered(),
            Self::Stream(_) => true,
        }
    }

    /// Ends an exchange whose request was sent, and whose answer was read, to the end.
    pub(super) fn finish(self) {
        if let Self::Sole(connection, Some(home)) = self {
            home.give_back(connection);
        }
    }

    /// Lets a connection in HTTP/1 end with this exchange.
    pub(super) fn carry_no_other(&mut self) {
        if let Self::Sole(_, home) = self {
            *home = None;
        }
    }

    /// Lets nobody use the connection after this exchange.
    pub(super) fn retire(self) {
        if let Self::Stream(stream) = &self {
            stream.connection.retire();
        }
    }
}

fn unsent(mut error: TrySendError<Request<Upload>>) -> Unsent {
    match error.take_message() {
        Some(request) => Unsent::Unsent(Box::new(request)),
        None => Unsent::Failed(error.into_error()),
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // hyper goes on sending a body whose answer nobody waits for, and not even an error ends one that is not taken: so nothing
        // new begins on the connection, and it closes with its last exchange.
        if let Some((_, fault)) = self.sent.take().filter(|(progress, _)| !progress.is_whole()) {
            fault.set(Fault::Withdrawn);
            self.connection.retire();
        }
        self.connection.end();
        if let Some(home) = self.home.take() {
            home.tidy();
        }
    }
}

/// For hyper to be done with the exchange before.
const READY: Duration = Duration::from_secs(1);
