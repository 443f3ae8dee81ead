//! A tunnel whose TLS ends here: its `ClientHello` judged, a certificate of our own shown, and each request inside judged.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    forward::{self, Inside, answer, refuse_inside},
    multiplexed::{self, Stillness},
    until,
};
use crate::{
    downstream::{Bounded, Downstream, Unread},
    limits::Slot,
    metrics::Kind,
    passage::{Asked, Ending, Gate, Stream, Subject, Traffic, Visitor, judge_hello, turn_back},
    policy::Way,
    reason::Reason,
    respond::Refusal,
    upstream::Dialled,
};

type Sandbox = TlsStream<Unread<Bounded<TcpStream>>>;

/// What an intercepted tunnel is made of.
pub(super) struct Opened {
    pub(super) subject: Subject,
    pub(super) asked: Asked,
    pub(super) dialled: Dialled,
    pub(super) slot: Slot,
}

/// Serves the requests of a tunnel to its end, and records the end. Nothing goes upstream before the first bytes are judged.
pub(super) async fn serve(visitor: &Arc<Visitor>, mut downstream: Downstream, opened: Opened, draining: &watch::Receiver<bool>) {
    let Opened { subject, asked, dialled, slot } = opened;
    let gate = &visitor.gate;
    let mut ending = Ending::new(gate, &subject, &asked, &dialled, slot);
    let judged = judge_hello(&mut downstream, &dialled.permit().expectation()).await;
    let acceptor = judged.and_then(|cleared| {
        ending.shows(cleared.would_deny());
        acceptor(gate, &subject, &dialled)
    });
    let acceptor = match acceptor {
        Ok(acceptor) => acceptor,
        Err(refusal) => return turn_back(downstream, dialled, ending, refusal).await,
    };
    let sandbox = match shake_hands(gate, acceptor, downstream).await {
        Ok(sandbox) => sandbox,
        Err(refusal) => return ending.end(Some(refusal)),
    };
    let destination = dialled.permit().destination().clone();
    let stream = Stream { subject: subject.clone(), destination, way: Way::Connect, address: dialled.address().ip() };
    let traffic = Arc::clone(ending.traffic());
    let conversation = Conversation { visitor, asked: &asked, subject, traffic };
    let (tell, told) = watch::channel(false);
    let mut draining = draining.clone();
    let mut served = Box::pin(conversation.serve(sandbox, dialled, &told));
    let drained = async {
        until(&mut draining).await;
        tell.send_replace(true);
        std::future::pending::<Refusal>().await
    };
    let withdrawn = tokio::select! {
        () = &mut served => None,
        refusal = stream.withdrawn(gate) => Some(refusal),
        refusal = drained => Some(refusal),
    };
    if withdrawn.is_some() {
        // Each request that is under way learns for itself that it may no longer be, and its client is told.
        tell.send_replace(true);
        let _ = timeout(GRACE, served).await;
    }
    ending.end(withdrawn);
}

fn acceptor(gate: &Gate, subject: &Subject, dialled: &Dialled) -> Result<TlsAcceptor, Refusal> {
    let permit = dialled.permit();
    let config = gate.authority.server_config(subject.session.id(), permit, (gate.clock)()).map_err(|error| {
        tracing::error!(destination = %permit.destination(), %error, "no certificate can be shown for a destination that is intercepted");
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
    subject: Subject,
    traffic: Arc<Traffic>,
}

impl Conversation<'_> {
    async fn serve(&self, sandbox: Sandbox, dialled: Dialled, told: &watch::Receiver<bool>) {
        let inside = Inside::intercepted(self.subject.clone(), dialled, Arc::clone(&self.traffic));
        if sandbox.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.serve_http2(sandbox, inside, told).await;
        } else {
            self.serve_http1(sandbox, inside, told).await;
        }
    }

    async fn serve_http1(&self, sandbox: Sandbox, inside: Inside, told: &watch::Receiver<bool>) {
        let downstream = Downstream::inside_tls(sandbox, self.visitor.gate.patience);
        if let Some(stopped) = forward::serve(self.visitor, downstream, inside, told).await {
            let asked = Asked { method: None, kind: Kind::Http, ..self.asked.clone() };
            refuse_inside(self.visitor, &self.subject, &asked, stopped).await;
        }
    }

    async fn serve_http2(&self, sandbox: Sandbox, inside: Inside, told: &watch::Receiver<bool>) {
        let inside = Arc::new(inside);
        let gate = &self.visitor.gate;
        let stillness = Stillness {
            empty: gate.patience.keep_alive,
            stalled: gate.patience.idle.max(gate.timeouts.first_byte),
            untaken: gate.patience.idle,
        };
        let answer = |request| {
            let (visitor, inside) = (Arc::clone(self.visitor), Arc::clone(&inside));
            async move { answer(&visitor, &inside, request).await }
        };
        multiplexed::serve(sandbox, told, &self.traffic, stillness, answer).await;
    }
}

/// For answers that say why a connection ends.
const GRACE: Duration = Duration::from_millis(500);

const NO_CERTIFICATE: &str = "This proxy can make no certificate for this destination; the operator finds the cause in Tidegate's log.";

#[cfg(test)]
mod tests;
