//! SOCKS (RFC 1928): CONNECT, by a name or an address. It succeeds when a CONNECT of HTTP is answered with 200, and is then the same.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpStream, sync::watch, time::timeout};

use super::{
    opened::{self, Opened},
    until,
};
use crate::{
    audit::Sighting,
    credentials::is_github_token,
    destination::Destination,
    downstream::Downstream,
    metrics::Kind,
    passage::{Asked, Subject, Visitor, part},
    reason::Reason,
    respond::{
        Refusal,
        socks::{ADDRESS_TYPE_NOT_SUPPORTED, SUCCEEDED, number, reply},
    },
    secret::Secret,
    wire::socks::{self, SocksError},
};

/// Serves one connection to its end.
pub(super) async fn serve(visitor: &Arc<Visitor>, stream: TcpStream, draining: &watch::Receiver<bool>) {
    let patience = visitor.gate.patience;
    let mut talk = Talk {
        visitor,
        downstream: Downstream::new(stream, patience, Arc::clone(visitor.stranger.known())),
        asked: Asked::new(visitor.door, Kind::Connect),
        subject: None,
        stage: Stage::Greeting,
    };
    let mut drained = draining.clone();
    let said = tokio::select! {
        said = timeout(patience.head, talk.listen()) => said.unwrap_or(Err(Unserved::Late(patience.head))),
        () = until(&mut drained) => return,
        () = visitor.stranger.evicted() => return,
    };
    let opened = match said {
        Ok(destination) => talk.open(destination).await,
        Err(unserved) => Err(unserved),
    };
    match opened {
        Ok((opened, subject)) => {
            if talk.downstream.send(&reply(SUCCEEDED)).await.is_ok() {
                opened.run(visitor, subject, talk.asked, talk.downstream, draining).await;
            }
        }
        Err(unserved) => talk.refuse(unserved).await,
    }
}

/// What is said before a tunnel is open.
struct Talk<'v> {
    visitor: &'v Visitor,
    downstream: Downstream,
    asked: Asked,
    subject: Option<Subject>,
    stage: Stage,
}

/// What the client is to say next, on which depends how it is told that it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Password,
    Request,
}

/// Why nothing is opened.
enum Unserved {
    /// The client has gone.
    Closed,
    /// It has not said everything within this time.
    Late(Duration),
    Unread(SocksError),
    Refused(Refusal),
}

impl Talk<'_> {
    /// Listens until it is known what is asked for, and by whom where they have to prove it.
    async fn listen(&mut self) -> Result<Destination, Unserved> {
        let greeting = self.take(socks::read_greeting).await?;
        if greeting.nothing && !self.visitor.gate.sessions.asks() {
            self.say(&NOTHING_IS_ASKED).await?;
        } else if greeting.password {
            self.say(&PASSWORD_IS_ASKED).await?;
            self.stage = Stage::Password;
            let presented = self.take(socks::read_password).await?;
            let token = presented.map(|presented| presented.token);
            self.asked.github_token = token.as_ref().filter(|token| is_github_token(token)).map(|_| Sighting::Password);
            self.identify(token).await?;
            self.say(&PASSWORD_IS_RIGHT).await?;
        } else {
            self.identify(None).await?;
            return Err(Unserved::Refused(Refusal::new(Reason::BadRequest, NO_METHOD)));
        }
        self.stage = Stage::Request;
        let destination = self.take(socks::read_request).await?;
        self.asked.method = Some("CONNECT".into());
        self.asked.destination = Some(destination.clone());
        Ok(destination)
    }

    /// What `read` finds, taken off the stream.
    async fn take<T>(&mut self, read: impl Fn(&[u8]) -> Result<Option<(T, usize)>, SocksError>) -> Result<T, Unserved> {
        self.downstream.take(read).await.map_err(Unserved::Unread)?.ok_or(Unserved::Closed)
    }

    async fn say(&mut self, octets: &[u8]) -> Result<(), Unserved> {
        self.downstream.send(octets).await.map_err(|_| Unserved::Closed)
    }

    async fn identify(&mut self, presented: Option<Secret>) -> Result<Subject, Unserved> {
        let subject = self.visitor.identify(|| Ok(presented)).await.map_err(Unserved::Refused)?;
        Ok(self.subject.insert(subject).clone())
    }

    /// Opens it for the session that was shown, or for the one that all are.
    async fn open(&mut self, destination: Destination) -> Result<(Opened, Subject), Unserved> {
        let subject = match self.subject.clone() {
            Some(subject) => subject,
            None => self.identify(None).await?,
        };
        let opened = opened::open(&self.visitor.gate, &subject, &mut self.asked, destination, None).await;
        Ok((opened.map_err(Unserved::Refused)?, subject))
    }

    /// Says so as well as it can be said at this point, and closes. The sentences stand on the session's pages.
    async fn refuse(mut self, unserved: Unserved) {
        let (refusal, error) = match unserved {
            Unserved::Closed => return,
            Unserved::Late(_) if self.stage == Stage::Greeting && self.downstream.is_silent() => return,
            Unserved::Late(limit) => (Refusal::new(Reason::HeadTimeout, format!("{LATE} {} s.", limit.as_secs_f32())), None),
            Unserved::Unread(error) => (self.unread(&error), Some(error)),
            Unserved::Refused(refusal) => (refusal, None),
        };
        if self.subject.is_none() && matches!(refusal.reason(), Reason::HeadTimeout) | error.is_some() {
            // It is refused to the one that all are, where nobody has to prove it.
            let _ = self.identify(None).await;
        }
        let (mut opening, mut answer) = (None, None);
        match (self.stage, error) {
            (Stage::Greeting, Some(SocksError::Version4)) => answer = Some(VERSION_4_IS_REFUSED.to_vec()),
            (Stage::Greeting, Some(_)) => opening = self.downstream.opening(HESITATION).await,
            (Stage::Greeting, None) => answer = Some(NO_METHOD_WILL_DO.to_vec()),
            (Stage::Password, _) => answer = Some(PASSWORD_IS_WRONG.to_vec()),
            (Stage::Request, Some(SocksError::AddressType(_))) => answer = Some(reply(ADDRESS_TYPE_NOT_SUPPORTED).to_vec()),
            (Stage::Request, _) => answer = Some(reply(number(refusal.reason())).to_vec()),
        }
        let words = self.visitor.gate.refuse_opening(self.subject.as_ref(), &self.asked, refusal, opening);
        part(self.downstream, answer.or(words)).await;
    }

    /// What cannot be read.
    fn unread(&mut self, error: &SocksError) -> Refusal {
        if let SocksError::Command(number) = error {
            self.asked.method = socks::command_name(*number).map(Into::into);
        }
        let hint = if self.stage == Stage::Greeting { WHAT_THIS_IS } else { "" };
        Refusal::new(error.reason(), format!("What was sent to the SOCKS door was refused: {error}.{hint}"))
    }
}

/// Waited for the first bytes of whoever speaks no SOCKS, to answer in their language.
const HESITATION: Duration = Duration::from_secs(2);
// RFC 1928, section 3.
const NOTHING_IS_ASKED: [u8; 2] = [5, 0];
const PASSWORD_IS_ASKED: [u8; 2] = [5, 2];
const NO_METHOD_WILL_DO: [u8; 2] = [5, 0xff];
// RFC 1929, section 2.
const PASSWORD_IS_RIGHT: [u8; 2] = [1, 0];
const PASSWORD_IS_WRONG: [u8; 2] = [1, 1];
/// As a server of version 4 says that it refuses.
const VERSION_4_IS_REFUSED: [u8; 8] = [0, 91, 0, 0, 0, 0, 0, 0];

const LATE: &str = "The request to the SOCKS door was not complete within";
const NO_METHOD: &str = "The client offers no method of authentication that is known here: none at all, or user name and password.";
const WHAT_THIS_IS: &str =
    " This is the SOCKS door: it speaks version 5 alone, such as a client does that is given socks5h://HOST:PORT, and no HTTP.";
