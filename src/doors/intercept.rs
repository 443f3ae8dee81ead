//! A tunnel whose TLS ends here: its `ClientHello` judged, a certificate of our own shown, and each request inside judged.

use std::{sync::Arc, time::Duration};

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    files, forge,
    forward::{self, Inside, refuse_inside},
    multiplexed::{self, Stillness},
    serving, until,
};
use crate::{
    downstream::{Bounded, Downstream, Unread},
    gateway,
    limits::Slot,
    metrics::Kind,
    passage::{Answered, Asked, Ending, Gate, Stream, Subject, Traffic, Visitor, judge_hello, session_over},
    policy::{FilesPermit, ForgePermit, Interception, Way},
    reason::Reason,
    respond::Refusal,
    upstream::Dialled,
};

type Sandbox = TlsStream<Unread<Bounded<TcpStream>>>;

/// What an intercepted tunnel is made of.
pub(super) struct Opened {
    pub(super) subject: Subject,
    pub(super) asked: Asked,
    pub(super) beyond: Beyond,
    pub(super) slot: Slot,
}

/// Where the requests of an intercepted tunnel go.
pub(super) enum Beyond {
    /// To what CONNECT has dialled.
    Upstream(Interception, Box<Dialled>),
    /// To the gateway; nothing is dialled for the tunnel.
    Forge(ForgePermit),
    /// To the gateway, or where a policy lets it go; nothing is dialled for the tunnel either.
    Files(FilesPermit),
}

impl Beyond {
    pub(super) fn interception(&self) -> Interception {
        match self {
            Self::Upstream(interception, _) => interception.clone(),
            Self::Forge(permit) => permit.interception(),
            Self::Files(permit) => permit.interception(),
        }
    }

    fn dialled(&self) -> Option<&Dialled> {
        match self {
            Self::Upstream(_, dialled) => Some(dialled),
            Self::Forge(_) | Self::Files(_) => None,
        }
    }
}

/// Serves the requests of a tunnel to its end, and records the end. Nothing goes upstream before the first bytes are judged.
pub(super) async fn serve(visitor: &Arc<Visitor>, mut downstream: Downstream, opened: Opened, draining: &watch::Receiver<bool>) {
    let Opened { subject, asked, beyond, slot } = opened;
    let gate = &visitor.gate;
    let mut ending = Ending::new(gate, &subject, &asked, beyond.dialled(), slot);
    let interception = beyond.interception();
    let judged = judge_hello(gate, &mut downstream, interception.expectation()).await;
    let acceptor = judged.and_then(|cleared| {
        ending.shows(cleared.would_deny());
        Ok(acceptor(gate, &subject, &interception)?)
    });
    let acceptor = match acceptor {
        Ok(acceptor) => acceptor,
        Err(turned_back) => {
            drop(beyond);
            return turned_back.end(downstream, ending).await;
        }
    };
    let sandbox = match shake_hands(gate, acceptor, downstream).await {
        Ok(sandbox) => sandbox,
        Err(refusal) => return ending.end(Some(refusal)),
    };
    let stream = beyond.dialled().map(|dialled| {
        let destination = dialled.permit().destination().clone();
        Stream { subject: subject.clone(), destination, way: Way::Connect, address: dialled.address() }
    });
    let withdrawn = async {
        match &stream {
            Some(stream) => stream.withdrawn(gate).await,
            None => session_over(gate, &subject).await,
        }
    };
    let conversation = Conversation { visitor, asked: &asked, subject: &subject, traffic: Arc::clone(ending.traffic()) };
    let (tell, told) = watch::channel(false);
    let mut draining = draining.clone();
    let mut served = Box::pin(conversation.serve(sandbox, beyond, &told));
    let drained = async {
        until(&mut draining).await;
        tell.send_replace(true);
        std::future::pending::<Refusal>().await
    };
    let withdrawn = tokio::select! {
        () = &mut served => None,
        refusal = withdrawn => Some(refusal),
        refusal = drained => Some(refusal),
    };
    if withdrawn.is_some() {
        // Each request that is under way learns for itself that it may no longer be, and its client is told.
        tell.send_replace(true);
        let _ = timeout(GRACE, served).await;
    }
    ending.end(withdrawn);
}

fn acceptor(gate: &Gate, subject: &Subject, interception: &Interception) -> Result<TlsAcceptor, Refusal> {
    let config = gate.authority.server_config(subject.session.id(), interception, (gate.clock)()).map_err(|error| {
        tracing::error!(destination = %interception.destination(), %error, "no certificate can be shown for a destination that is intercepted");
        Refusal::new(Reason::PolicyUnavailable, NO_CERTIFICATE)
    })?;
    Ok(TlsAcceptor::from(config))
}

async fn shake_hands(gate: &Gate, acceptor: TlsAcceptor, downstream: Downstream) -> Result<Sandbox, Refusal> {
    let limit = gate.patience.handshake;
    let started = Instant::now();
    let shaken = timeout(limit, acceptor.accept(downstream.into_unread())).await;
    gate.metrics.tls_downstream(started.elapsed());
    match shaken {
        Ok(Ok(sandbox)) => Ok(sandbox),
        Ok(Err(error)) => Err(Refusal::new(
            Reason::TlsFailed,
            format!(
                "The sandbox's client did not finish the TLS handshake with this proxy ({error}); it has to trust this proxy's authority."
            ),
        )),
        Err(_) => Err(Refusal::new(
            Reason::HeadTimeout,
            format!("The sandbox's client did not finish the TLS handshake within {} s.", limit.as_secs_f32()),
        )),
    }
}

/// What is said inside TLS.
struct Conversation<'v> {
    visitor: &'v Arc<Visitor>,
    /// What CONNECT asked for.
    asked: &'v Asked,
    subject: &'v Subject,
    traffic: Arc<Traffic>,
}

/// Who answers what is said inside TLS.
enum Answering {
    Upstream(Inside),
    Forge(forge::Tunnel),
    Files(files::Tunnel),
}

impl Answering {
    async fn answer(&self, visitor: &Visitor, request: Request<Incoming>) -> Answered<gateway::Body> {
        match self {
            Self::Upstream(inside) => {
                let Answered { response, socket } = forward::answer(visitor, inside, request).await;
                Answered { response: response.map(BodyExt::boxed_unsync), socket }
            }
            Self::Forge(tunnel) => forge::answer(visitor, tunnel, request).await.into(),
            Self::Files(tunnel) => files::answer(visitor, tunnel, request).await,
        }
    }
}

impl Conversation<'_> {
    async fn serve(&self, sandbox: Sandbox, beyond: Beyond, told: &watch::Receiver<bool>) {
        let (subject, traffic) = (self.subject.clone(), Arc::clone(&self.traffic));
        let asked = Asked { method: None, kind: Kind::Http, ..self.asked.clone() };
        let (answering, asked) = match beyond {
            Beyond::Upstream(_, dialled) => (Answering::Upstream(Inside::intercepted(subject, *dialled, traffic)), asked),
            Beyond::Forge(permit) => {
                let asked = forge::asked(asked.door, &permit, "");
                (Answering::Forge(forge::Tunnel { permit, subject, traffic }), asked)
            }
            Beyond::Files(permit) => {
                let asked = files::asked(asked.door, &permit);
                (Answering::Files(files::Tunnel::new(permit, subject, traffic)), asked)
            }
        };
        if sandbox.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.serve_http2(sandbox, answering, told).await;
        } else {
            self.serve_http1(sandbox, answering, &asked, told).await;
        }
    }

    async fn serve_http1(&self, sandbox: Sandbox, answering: Answering, asked: &Asked, told: &watch::Receiver<bool>) {
        let downstream = Downstream::inside_tls(sandbox, self.visitor.gate.patience);
        let stopped = serving::serve(downstream, told, |request| answering.answer(self.visitor, request)).await;
        if let Some(stopped) = stopped {
            refuse_inside(self.visitor, self.subject, asked, stopped).await;
        }
    }

    async fn serve_http2(&self, sandbox: Sandbox, answering: Answering, told: &watch::Receiver<bool>) {
        let answering = Arc::new(answering);
        let gate = &self.visitor.gate;
        let stillness = Stillness {
            empty: gate.patience.keep_alive,
            stalled: gate.patience.idle.max(gate.timeouts.first_byte),
            untaken: gate.patience.idle,
        };
        let answer = |request| {
            let (visitor, answering) = (Arc::clone(self.visitor), Arc::clone(&answering));
            async move { answering.answer(&visitor, request).await }
        };
        multiplexed::serve(sandbox, told, &self.traffic, stillness, answer).await;
    }
}

/// For answers that say why a connection ends.
const GRACE: Duration = Duration::from_millis(500);

const NO_CERTIFICATE: &str = "This proxy can make no certificate for this destination; the operator finds the cause in Tidegate's log.";

#[cfg(test)]
pub(super) mod tests;
