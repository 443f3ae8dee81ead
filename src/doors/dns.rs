//! Names that are asked for, by UDP and TCP (RFC 1035, RFC 7766). No question goes on to anybody: a name is resolved once it is dialled.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::watch,
    time::{sleep, timeout},
};

use super::until;
use crate::{
    destination::Name,
    downstream::Bounded,
    metrics::{Door, Kind},
    passage::{Asked, Gate, Subject, Visitor},
    reason::Reason,
    respond::Refusal,
    wire::dns::{self, MAX_QUERY, Malformed, Question},
};

/// Serves one connection to its end: any number of messages, each behind its length, answered in their order.
pub(super) async fn serve(visitor: &Arc<Visitor>, stream: TcpStream, draining: &watch::Receiver<bool>) {
    let patience = visitor.gate.patience;
    let mut stream = Bounded::new(stream, patience.head);
    let mut draining = draining.clone();
    let mut idle = patience.head;
    loop {
        let begun = tokio::select! {
            begun = timeout(idle, stream.read_u8()) => begun,
            () = until(&mut draining) => return,
            () = visitor.stranger.evicted() => return,
        };
        let Ok(Ok(first)) = begun else { return };
        let message = match read_message(&mut stream, first, patience.head).await {
            Ok(message) => message,
            Err(refusal) => {
                let subject = visitor.gate.identify_bound().ok();
                if let Some(refusal) = refusal {
                    visitor.gate.refuse_name(subject.as_ref(), &asked(None), refusal);
                }
                return;
            }
        };
        let subject = visitor.identify(|| Ok(None)).await;
        let is_known = subject.is_ok();
        let Some(answer) = answer_to(&visitor.gate, subject, &message).await else { return };
        if write_message(&mut stream, &answer).await.is_err() || !is_known {
            return;
        }
        idle = patience.keep_alive;
    }
}

/// Answers datagrams one after the other until draining begins, each to where it came from.
pub(super) async fn answer(gate: Arc<Gate>, socket: Arc<UdpSocket>, mut draining: watch::Receiver<bool>) {
    // One octet more shows a datagram that is longer.
    let mut buffer = vec![0; MAX_QUERY + 1];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = until(&mut draining) => return,
        };
        let (length, client) = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "a datagram could not be received");
                sleep(PAUSE).await;
                continue;
            }
        };
        let message = buffer.get(..length).unwrap_or_default();
        if let Some(answer) = answer_to(&gate, gate.identify_bound(), message).await {
            // A client that cannot be reached asks again.
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

/// The answer to one message, and the decision on record; none for what is no query.
async fn answer_to(gate: &Gate, subject: Result<Subject, Refusal>, message: &[u8]) -> Option<Vec<u8>> {
    let question = match dns::read(message)? {
        Ok(question) => question,
        Err(Malformed { problem, answer }) => {
            let refusal = Refusal::new(Reason::BadRequest, format!("The query was refused: {problem}."));
            gate.refuse_name(subject.ok().as_ref(), &asked(None), refusal);
            return Some(answer);
        }
    };
    let asked = asked(Some(&question));
    let (subject, resolved) = match subject {
        Ok(subject) => {
            let resolved = gate.resolve(&subject, &asked, &question).await;
            (Some(subject), resolved)
        }
        Err(refusal) => (None, Err(refusal)),
    };
    Some(match resolved {
        Ok(address) => question.answer(address),
        Err(refusal) => question.refuse(&gate.refuse_name(subject.as_ref(), &asked, refusal)),
    })
}

/// What is asked for, where that could be read; the type of the question is its method.
fn asked(question: Option<&Question>) -> Asked {
    let method = question.map(|question| question.type_name().into());
    let mut asked = Asked { name: question.map(|question| question.name().clone()), method, ..Asked::new(Door::Dns, Kind::Dns) };
    asked.look("", asked.name.clone().iter().map(Name::as_str), std::iter::empty());
    asked
}

/// Reads a message behind the first octet of its length, within this time.
///
/// # Errors
/// Nothing where the client closed, else what it is refused for.
async fn read_message(stream: &mut Bounded<TcpStream>, first: u8, limit: Duration) -> Result<Vec<u8>, Option<Refusal>> {
    let read = async {
        let second = stream.read_u8().await.map_err(|_| None)?;
        let length = usize::from(u16::from_be_bytes([first, second]));
        if length > MAX_QUERY {
            let detail = format!("The query was refused: it has {length} octets, and one may have {MAX_QUERY}.");
            return Err(Some(Refusal::new(Reason::BadRequest, detail)));
        }
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await.map_err(|_| None)?;
        Ok(message)
    };
    let late = || Refusal::new(Reason::HeadTimeout, format!("A query was not complete within {} s.", limit.as_secs_f32()));
    timeout(limit, read).await.unwrap_or_else(|_| Err(Some(late())))
}

async fn write_message(stream: &mut Bounded<TcpStream>, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).unwrap_or_default();
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}

/// After a failure, so that the door does not spin.
const PAUSE: Duration = Duration::from_millis(50);
