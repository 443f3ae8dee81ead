//! `tidegate demo`: an agent in a sandbox as `tidegate run` makes it, with an internet of this machine's own.

mod client;
mod names;
mod origin;
mod home;
mod repository;
mod agent;
mod story;
mod hosts;
mod work;

use std::{collections::BTreeMap, fs, io, net::SocketAddr, path::PathBuf, sync::Arc, thread, time::Duration};

use tokio::{
    runtime::{self, Runtime},
    select,
};

pub(super) use self::agent::step;
use self::{
    agent::Agent,
    home::{Home, holds},
    hosts::{Internet, ZONE},
    names::NameServer,
    repository::{NAME, PrivateRepository},
    story::Story,
    work::BRANCH,
};
use super::{
    Console, DONE, FAILED,
    run::{Failure, Isolation, Job, SIGNALLED, Sandbox, Settings, pair},
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
    secret::Secret,
    server::seal,
    sessions::{Entry, SessionSettings},
};

/// Show what passes and what is refused, all on this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tidegate demo")]
pub(super) struct Arguments {}

pub(super) fn run(console: &mut Console<'_>) -> io::Result<u8> {
    match tell(console) {
        Ok(story) => {
            write!(console.out, "{}", story.told())?;
            Ok(DONE)
        }
        Err(Failure(why)) => {
            console.say(format_args!("tidegate: the demo went wrong: {why}"));
            Ok(FAILED)
        }
    }
}

/// Plays the whole story: behind walls, or where there are none to be had, without.
fn tell(console: &Console<'_>) -> Result<Story, Failure> {
    seal()?;
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let stage = Stage::new()?;
    let mut interrupted = runtime.spawn(stage::interrupted());
    let set = runtime.block_on(async {
        select! {
            set = Set::build(&stage) => set,
            _ = &mut interrupted => Err(interrupted_by_somebody()),
        }
    })?;
    let mut story = match play(Isolation::Netns, BEHIND_WALLS, &set, &runtime, console) {
        Ok(played) => played?,
        Err(Failure(why)) => {
            let beginning = format!("There are NO WALLS around the sandbox: {why}\n{WITHOUT_WALLS}");
            play(Isolation::Env, &beginning, &set, &runtime, console)??
        }
    };
    // Somebody may have chosen a moment in which nobody passed it on.
    if interrupted.is_finished() {
        return Err(interrupted_by_somebody());
    }
    let records = fs::read_to_string(&set.records)?;
    let (count, shown) = (records.lines().count(), records.lines().filter(|record| is_shown(record)).collect::<Vec<_>>());
    story.scene("What its owner has: a record of each decision (the [audit] file)");
    story.text(&shown.join("\n"));
    story.note(&format!("these are the refusals and the pushes of {count} records"));
    let secrets = set.repository.secrets();
    let needles = secrets.each_ref().map(Vec::as_slice);
    if holds(story.told().as_bytes(), &needles) || holds(records.as_bytes(), &needles) {
        return Err(Failure("the real credential is in what was told".to_owned()));
    }
    Ok(story)
}

/// Whether a record is one of those that say the most. A name that is not answered is asked for again and again.
fn is_shown(record: &str) -> bool {
    !record.contains("\"kind\":\"dns\"") && ["\"verdict\":\"deny\"", "\"kind\":\"push\""].iter().any(|part| record.contains(part))
}

/// What the story is about.
struct Set {
    internet: Internet,
    repository: PrivateRepository,
    /// Where all of this lies, of which the sandbox sees its own home alone.
    place: PathBuf,
    home: Home,
    records: PathBuf,
    /// The token of the sandbox's session.
    token: String,
}

impl Set {
    async fn build(stage: &Stage) -> Result<Self, Failure> {
        Ok(Self {
            internet: Internet { origin: origin::start().await?, names: NameServer::start(ZONE).await? },
            repository: PrivateRepository::start(stage.room("origin")?).await?,
            place: stage.path().to_owned(),
            home: Home::new(stage.room("sandbox")?)?,
            records: stage.path().join("audit.jsonl"),
            token: stage::random_word()?,
        })
    }

    /// What the server outside goes by.
    fn settings(&self) -> Result<Settings, Failure> {
        let problem = |problems: Vec<_>| Failure(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        let (policy, _) = Policy::parse("demo.toml", &self.internet.policy()).map_err(problem)?;
        let session = SessionSettings {
            id: SESSION.into(),
            token: Some(Secret::new(self.token.as_bytes())),
            expires: None,
            policy: Arc::new(Equipped::bare(policy)),
            grant: Grant::new(vec![RepositoryGrant::pushing(RepositoryName::parse(NAME)?, BRANCH)?])?,
            credentials: BTreeMap::new(),
        };
        let config = Config {
            listen: Listen::default(),
            state: None,
            entry: Entry::Bound(SESSION.into()),
            sessions: vec![session],
            github: vec![github(&self.repository)?],
            policy: None,
            audit: Target::File(self.records.clone()),
            on_audit_failure: OnFailure::Refuse,
            resolver: Resolver::Server(self.internet.names.address()),
            parent: None,
            upstream_roots: Vec::new(),
            timeouts: Timeouts::default(),
            warnings: Vec::new(),
        };
        Ok(Settings { config, session: SESSION.into(), token: Secret::new(self.token.as_bytes()) })
    }
}

/// The repository's server, as if it were GitHub.
fn github(repository: &PrivateRepository) -> Result<Github, Failure> {
    let host = Destination::parse(b"github.com", Some(443))?.host;
    Ok(Github {
        host: host.name().cloned().ok_or_else(|| Failure(format!("{host} is no name")))?,
        git: Endpoint::parse(&repository.url())?,
        api: None,
        uploads: None,
        archives: None,
        raw: None,
        roots: Vec::new(),
        credential: Some(Arc::new(Credential::new(Source::Value(Secret::new(repository.token().expose())), Duration::ZERO).into())),
        public_read: false,
        takes_tokens: false,
        comment_footer: None,
    })
}

/// Has an agent play the story, with or without walls. It is an error if it never began, which leaves nothing behind.
fn play(
    isolation: Isolation,
    beginning: &str,
    set: &Set,
    runtime: &Runtime,
    console: &Console<'_>,
) -> Result<Result<Story, Failure>, Failure> {
    let sandbox = Sandbox::begin(isolation, console.clock)?;
    let doors = sandbox.doors(runtime)?;
    let (channel, stdin) = pair()?;
    let job = Job {
        command: agent::command(),
        variables: set.home.variables(),
        directory: Some(set.home.path().to_owned()),
        hidden: vec![set.place.clone()],
        stdin,
        has_terminal: false,
        caller: console.environment,
        warn: None,
    };
    let settings = set.settings()?;
    thread::scope(|scope| {
        let playing = scope.spawn(|| Some(scenes(Story::new(beginning), Agent::meet(channel)?, set, isolation)));
        let ended = sandbox.run(runtime, doors, settings, job).and_then(|(status, _)| status);
        let played = playing.join().map_err(|_| Failure("the story broke off".to_owned()))?;
        match (ended, played) {
            (Ok(status), _) if status > SIGNALLED => Ok(Err(interrupted_by_somebody())),
            (Ok(_), Some(played)) => Ok(played),
            (Err(why), Some(_)) => Ok(Err(why)),
            (Err(why), None) => Err(why),
            (Ok(status), None) => Err(Failure(format!("the agent ended with status {status} before it began"))),
        }
    })
}

fn scenes(mut story: Story, mut agent: Agent, set: &Set, isolation: Isolation) -> Result<Story, Failure> {
    story.scene("The policy of this sandbox");
    story.text(&set.internet.policy());
    story.scene("What its session was granted");
    story.text(&format!("[[session.repository]]\nname = \"{NAME}\"\naccess = \"write\"\npush = [\"refs/heads/{BRANCH}\"]\n"));

    let proxy = agent.variable("HTTPS_PROXY")?.trim_start_matches("http://");
    let proxy: SocketAddr = proxy.parse().map_err(|error| Failure(format!("{proxy:?} is no proxy: {error}")))?;
    hosts::scenes(&mut story, &mut agent, &set.internet, isolation, proxy)?;
    work::scenes(&mut story, &mut agent, &set.repository)?;

    story.scene("The only token in the sandbox");
    let shown = agent.run(&["printenv", "GH_TOKEN"])?.succeed()?;
    story.ran(&shown);
    if shown.printed.trim_end() != set.token {
        return Err(Failure("GH_TOKEN is not the token of the session".into()));
    }
    work::search(&agent, &set.home, &set.repository)?;
    story.note(
        "it proves this session, and opens nothing anywhere else; the credential of the repository is in no file of the sandbox, \
         not in its environment, and in nothing that it was told",
    );

    story.scene("What the sandbox may ask, since most clients hide what a proxy answers");
    let page = client::Page { tls: false, host: proxy.ip().to_string(), port: proxy.port(), path: "/refusals".to_owned() };
    for exchange in agent.get(&page, None)? {
        story.exchange(&exchange, 200, None)?;
    }
    Ok(story)
}

fn interrupted_by_somebody() -> Failure {
    Failure("it was interrupted".to_owned())
}

const BEHIND_WALLS: &str = "Everything here happens on this machine: server, sandbox, origin and name server. The sandbox is one of \
                            tidegate run:\nnamespaces of its own, whose only way out is the server.";
const WITHOUT_WALLS: &str = "So here variables alone lead it, and what does not follow them would go anywhere. Everything happens on \
                             this machine.";

const SESSION: &str = "demo";
