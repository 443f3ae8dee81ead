//! `tidegate demo`: the real server and a sandbox's side of it, on loopback, with an origin and a name server of its own.

mod client;
mod names;
mod origin;
mod git;
mod repository;
mod work;

use std::{
    fmt::Write as _,
    io::{self, PipeWriter, Read},
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsRawFd,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{runtime, select, sync::mpsc, time::timeout};

use self::{
    client::{Client, Exchange},
    git::{Git, holds},
    names::NameServer,
    repository::{NAME, PrivateRepository},
    work::BRANCH,
};
use super::{
    Console, DONE, FAILED,
    stage::{self, Stage},
};
use crate::{
    audit::{OnFailure, Target},
    config::{Config, Github, Listen, Resolver, Timeouts},
    credentials::{Credential, Equipped, Source},
    destination::Destination,
    endpoint::Endpoint,
    github::RepositoryName,
    policy::{
        Policy,
        grant::{Grant, RepositoryGrant},
    },
    reason::Reason,
    secret::Secret,
    server::{Order, Server},
    sessions::{Entry, SessionSettings},
};

/// Show what passes and what is refused, all on this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tidegate demo")]
pub(super) struct Arguments {}

pub(super) fn run(console: &mut Console<'_>) -> io::Result<u8> {
    match tell(console.clock) {
        Ok(story) => {
            write!(console.out, "{story}")?;
            Ok(DONE)
        }
        Err(Failure(why)) => {
            console.say(format_args!("tidegate: the demo went wrong: {why}"));
            Ok(FAILED)
        }
    }
}

/// What went otherwise than it should.
#[derive(Debug)]
struct Failure(String);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Plays the whole story. The records go through a pipe, so that nothing is left of the demo, however it ends.
fn tell(clock: fn() -> SystemTime) -> Result<String, Failure> {
    let (mut reader, writer) = io::pipe()?;
    let stage = Stage::new()?;
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (mut story, secrets) = runtime.block_on(play(&stage, &writer, clock))?;
    // Every writer has to be gone before the pipe has an end: the server's with the runtime, and ours.
    drop((runtime, writer));
    let mut records = String::new();
    reader.read_to_string(&mut records)?;
    story.scene("What its owner has: a record of each decision (the [audit] file)");
    story.text(&records);
    if holds(story.0.as_bytes(), &secrets.each_ref().map(Vec::as_slice)) {
        return Err(Failure("the real credential is in what was told".to_owned()));
    }
    Ok(story.0)
}

/// What the story is about.
struct Set<'s> {
    origin: SocketAddr,
    names: NameServer,
    repository: PrivateRepository,
    git: Git,
    /// The token of the sandbox's session.
    token: String,
    policy: String,
    records: &'s PipeWriter,
}

/// Sets the stage, plays the scenes, and ends the server. Gives back the story, and what may not be in it.
async fn play(stage: &Stage, records: &PipeWriter, clock: fn() -> SystemTime) -> Result<(Story, [Vec<u8>; 2]), Failure> {
    let origin = origin::start().await?;
    let set = Set {
        origin,
        names: NameServer::start(&[(ORIGIN, Ipv4Addr::LOCALHOST), (ALIAS, METADATA)]).await?,
        repository: PrivateRepository::start(&stage.room("origin")?).await?,
        git: Git::new(&stage.room("sandbox")?)?,
        token: stage::random_word()?,
        policy: policy_text(origin),
        records,
    };
    let server = Server::bind(config(&set)?, clock).map_err(|error| Failure(error.to_string()))?;
    let address = |wanted| {
        let found = server.addresses().into_iter().find(|(name, _)| *name == wanted).map(|(_, address)| address);
        found.ok_or_else(|| Failure(format!("the server says nothing of its {wanted} listener")))
    };
    let proxy = address("proxy")?.parse().map_err(|error| Failure(format!("the proxy listens nowhere: {error}")))?;
    set.git.point_to(&format!("http://{}/git", address("git")?), "x", &set.token)?;
    let (orders, received) = mpsc::channel(1);
    let serving = tokio::spawn(server.run(received));
    let late = |_| Failure(format!("it took longer than {} seconds", PATIENCE.as_secs()));
    let client = Client::new(proxy, &set.token);
    let story = select! {
        played = timeout(PATIENCE, scenes(&client, &set)) => played.map_err(late)??,
        interrupted = stage::interrupted() => return Err(interrupted.map_or_else(Failure::from, |()| Failure("it was interrupted".into()))),
    };
    let _ = orders.send(Order::Drain).await;
    timeout(PATIENCE, serving).await.map_err(late)?.map_err(|error| Failure(error.to_string()))?;
    Ok((story, set.repository.secrets()))
}

async fn scenes(client: &Client, set: &Set<'_>) -> Result<Story, Failure> {
    let mut story = Story(String::from("Everything here happens on this machine: server, sandbox, origin and name server.\n"));
    story.scene("The policy of this sandbox");
    story.text(&set.policy);
    story.scene("What its session was granted");
    story.text(&format!("[[session.repository]]\nname = \"{NAME}\"\naccess = \"write\"\npush = [\"refs/heads/{BRANCH}\"]\n"));

    let allowed = format!("{ORIGIN}:{}", set.origin.port());
    story.scene(&format!("An allowed host: https://{allowed}/"));
    let (opened, tunnel) = client.connect(&allowed).await?;
    story.exchange(&opened, 200, None)?;
    let tunnel = tunnel.ok_or_else(|| Failure("there is no tunnel".to_owned()))?;
    let inside = client::get_over_tls(tunnel, ORIGIN).await?;
    story.note("inside the tunnel, TLS up to the origin's own certificate; nobody on the way reads this");
    story.exchange(&inside, 200, None)?;

    story.scene(&format!("A host that no entry allows: https://{REFUSED}/"));
    story.exchange(&client.connect(&format!("{REFUSED}:443")).await?.0, 403, Some(Reason::HostNotAllowed))?;
    story.note(&format!("the name server was never asked for it; it was asked for: {}", set.names.asked().join(", ")));

    story.scene(&format!("An allowed name that leads to a cloud's metadata service: https://{ALIAS}/"));
    story.exchange(&client.connect(&format!("{ALIAS}:443")).await?.0, 403, Some(Reason::AddressNotAllowed))?;

    work::scenes(&mut story, &set.git, &set.repository).await?;

    story.scene("What the sandbox may ask, since most clients hide what a proxy answers");
    story.exchange(&client.get("/refusals").await?, 200, None)?;
    Ok(story)
}

/// What is told, so far.
struct Story(String);

impl Story {
    fn scene(&mut self, title: &str) {
        let _ = write!(self.0, "\n== {title}\n");
    }

    fn note(&mut self, note: &str) {
        let _ = write!(self.0, "\n  ({note})\n");
    }

    /// A text, set in.
    fn text(&mut self, text: &str) {
        self.0.push('\n');
        self.lines("  ", text);
    }

    fn lines(&mut self, before: &str, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.0, "{}", format!("{before}{line}").trim_end());
        }
    }

    /// Tells an exchange, if it went as it should.
    fn exchange(&mut self, exchange: &Exchange, status: u16, reason: Option<Reason>) -> Result<(), Failure> {
        let Exchange { request, reply } = exchange;
        let denied = reply.header("x-deny-reason");
        if reply.status() != Some(status) || denied != reason.map(Reason::as_str) {
            let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
            return Err(Failure(format!("{:?} was answered with {:?} ({denied:?})", first(request), first(&reply.head))));
        }
        self.0.push('\n');
        self.lines("  > ", request);
        self.lines("  < ", &reply.head);
        if !reply.body.is_empty() {
            self.lines("  <", "\n");
            self.lines("  < ", &reply.body);
        }
        Ok(())
    }
}

fn policy_text(origin: SocketAddr) -> String {
    let port = origin.port();
    format!(
        "allow = [\n  {{ host = \"{ORIGIN}:{port}\", tls = true }},\n  \"{ALIAS}\",\n]\n\n\
         [addresses]\nallow = [\"127.0.0.1/32\"]  # the origin of this demo; refused otherwise\n"
    )
}

fn config(set: &Set<'_>) -> Result<Config, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure(error.to_string());
    let problem = |problems: Vec<_>| Failure(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    let (policy, _) = Policy::parse("demo.toml", &set.policy).map_err(problem)?;
    let granted = RepositoryGrant::pushing(RepositoryName::parse(NAME).map_err(|error| failed(&error))?, BRANCH);
    let grant = Grant::new(vec![granted.map_err(|error| failed(&error))?]).map_err(|error| failed(&error))?;
    let session = SessionSettings {
        id: SESSION.into(),
        token: Some(Secret::new(set.token.as_bytes())),
        expires: None,
        policy: Arc::new(Equipped::bare(policy)),
        grant,
        credential: None,
    };
    let any = Some((Ipv4Addr::LOCALHOST, 0).into());
    Ok(Config {
        listen: Listen { proxy: any, git: any, ..Listen::default() },
        state: None,
        entry: Entry::Required,
        sessions: vec![session],
        github: vec![github(&set.repository)?],
        policy: None,
        audit: Target::File(format!("/dev/fd/{}", set.records.as_raw_fd()).into()),
        on_audit_failure: OnFailure::Refuse,
        resolver: Resolver::Server(set.names.address()),
        parent: None,
        upstream_roots: Vec::new(),
        timeouts: Timeouts::default(),
        warnings: Vec::new(),
    })
}

/// The repository's server, as if it were GitHub.
fn github(repository: &PrivateRepository) -> Result<Github, Failure> {
    let host = Destination::parse(git::GITHUB_HOST.as_bytes(), Some(443)).map_err(|error| Failure(error.to_string()))?.host;
    Ok(Github {
        host: host.name().cloned().ok_or_else(|| Failure(format!("{host} is no name")))?,
        git: Endpoint::parse(&repository.url()).map_err(|error| Failure(error.to_string()))?,
        roots: Vec::new(),
        credential: Some(Arc::new(Credential::new(Source::Value(Secret::new(repository.token().expose())), PATIENCE))),
        public_read: false,
    })
}

const SESSION: &str = "demo";
/// A name on the origin's certificate.
const ORIGIN: &str = "origin.tidegate.test";
const ALIAS: &str = "alias.tidegate.test";
/// A host that the policy does not mention.
const REFUSED: &str = "paste.example";
/// Where clouds hand out credentials (RFC 3927 has the network).
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Longest that the story, and then its end, may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_is_told_to_its_end() {
        let story = tell(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)).unwrap();
        for part in [
            "hello from the origin",
            "x-deny-reason: host_not_allowed",
            "x-deny-reason: address_not_allowed",
            "[new branch]      agent/fix-1",
            "! [remote rejected] agent/fix-1 -> main (policy: ",
            "\"reason\":\"ref_not_granted\"",
            "\"verdict\":\"allow\"",
        ] {
            assert!(story.contains(part), "{part} is missing from:\n{story}");
        }
    }
}
