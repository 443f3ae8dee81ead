//! Who works in the sandbox: this program again, as the COMMAND of a run, which does what it is told over its stdin.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    client::{Exchange, Page},
    home::{Ran, run},
};
use crate::command::run::{OURSELVES, receive, send};

/// The COMMAND that is the agent.
pub(super) fn command() -> Vec<OsString> {
    [OURSELVES, WORD].map(OsString::from).to_vec()
}

/// Works as the agent where the arguments of this process say so, and says with which status that ended.
pub(in crate::command) fn step(arguments: &[OsString]) -> Option<u8> {
    if arguments.get(1..)? != [WORD] {
        return None;
    }
    let inside = Inside::new(std::env::vars_os());
    // Whoever told it what to do sees that it is gone.
    Some(inside.obey(io::stdin()).map_or(1, |()| 0))
}

/// What it can be told.
#[derive(Debug, Serialize, Deserialize)]
enum Task {
    /// To say what its environment is.
    Variables,
    /// To run its programs without these variables from now on.
    Unset(Vec<String>),
    /// To run a program in its home.
    Run(Vec<String>),
    /// To look up a name.
    Resolve(String),
    /// To ask for a page, by a proxy or straight away.
    Get(Page, Option<SocketAddr>),
    /// To open a connection.
    Connect(SocketAddr),
    /// To send a datagram, and wait for an answer.
    Datagram(SocketAddr),
}

/// The agent, where it works.
pub(super) struct Inside {
    variables: BTreeMap<OsString, OsString>,
    home: PathBuf,
}

impl Inside {
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let variables: BTreeMap<_, _> = variables.into_iter().collect();
        let home = variables.get(OsStr::new("HOME")).map(PathBuf::from).unwrap_or_default();
        Self { variables, home }
    }

    /// Does what it is told until there is nobody any more to tell it.
    pub(super) fn obey(mut self, channel: impl AsFd) -> io::Result<()> {
        while let Some((task, _)) = receive(&channel)? {
            match task {
                Task::Variables => answer(&channel, Ok(self.shown())),
                Task::Unset(names) => {
                    self.variables.retain(|known, _| names.iter().all(|name| known != name.as_str()));
                    answer(&channel, Ok(()))
                }
                Task::Run(words) => answer(&channel, self.run(&words)),
                Task::Resolve(name) => answer(&channel, resolve(&name)),
                Task::Get(page, proxy) => answer(&channel, page.get(proxy)),
                Task::Connect(to) => answer(&channel, TcpStream::connect_timeout(&to, PATIENCE).map(|_| ())),
                Task::Datagram(to) => answer(&channel, datagram(to)),
            }?;
        }
        Ok(())
    }

    fn shown(&self) -> BTreeMap<String, String> {
        let shown = |text: &OsString| text.to_string_lossy().into_owned();
        self.variables.iter().map(|(name, value)| (shown(name), shown(value))).collect()
    }

    fn run(&self, words: &[String]) -> io::Result<Ran> {
        let (program, arguments) = words.split_first().ok_or_else(|| io::Error::other("there is no program to run"))?;
        run(Command::new(program).args(arguments).env_clear().envs(&self.variables).current_dir(&self.home))
    }
}

fn answer<T: Serialize>(channel: impl AsFd, done: io::Result<T>) -> io::Result<()> {
    send(channel, &done.map_err(|error| error.to_string()), &[])
}

fn resolve(name: &str) -> io::Result<SocketAddr> {
    (name, 443).to_socket_addrs()?.next().ok_or_else(|| io::Error::other("there is no address"))
}

fn datagram(to: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(to)?;
    socket.send(b"hello")?;
    socket.recv(&mut [0; 16]).map(|_| ())
}

/// The agent, from outside: tells it what to do, and keeps all that it says.
pub(super) struct Agent {
    channel: OwnedFd,
    said: Vec<u8>,
    variables: BTreeMap<String, String>,
}

/// What a task came to: the agent's own error is one of the story's.
pub(super) type Done<T> = Result<T, String>;

impl Agent {
    /// Meets the agent at the other end; `None` where there never was one.
    pub(super) fn meet(channel: OwnedFd) -> Option<Self> {
        let mut agent = Self { channel, said: Vec::new(), variables: BTreeMap::new() };
        set_socket_timeout(&agent.channel, Timeout::Recv, Some(LATE)).ok()?;
        agent.variables = agent.ask(&Task::Variables).ok()?.ok()?;
        Some(agent)
    }

    /// Its environment, as it was when it began.
    pub(super) fn variable(&self, name: &str) -> io::Result<&str> {
        let found = self.variables.get(name).map(String::as_str);
        found.ok_or_else(|| io::Error::other(format!("{name} is not in the environment of the sandbox")))
    }

    /// All that it said so far.
    pub(super) fn said(&self) -> &[u8] {
        &self.said
    }

    pub(super) fn unset(&mut self, names: &[&str]) -> io::Result<()> {
        self.do_it(&Task::Unset(names.iter().map(|name| (*name).to_owned()).collect()))
    }

    pub(super) fn run(&mut self, words: &[&str]) -> io::Result<Ran> {
        self.do_it(&Task::Run(words.iter().map(|word| (*word).to_owned()).collect()))
    }

    pub(super) fn resolve(&mut self, name: &str) -> io::Result<Done<SocketAddr>> {
        self.ask(&Task::Resolve(name.to_owned()))
    }

    pub(super) fn get(&mut self, page: &Page, proxy: Option<SocketAddr>) -> io::Result<Vec<Exchange>> {
        self.do_it(&Task::Get(page.clone(), proxy))
    }

    pub(super) fn connect(&mut self, to: SocketAddr) -> io::Result<Done<()>> {
        self.ask(&Task::Connect(to))
    }

    pub(super) fn datagram(&mut self, to: SocketAddr) -> io::Result<Done<()>> {
        self.ask(&Task::Datagram(to))
    }

    /// What has to go well.
    fn do_it<T: Serialize + DeserializeOwned>(&mut self, task: &Task) -> io::Result<T> {
        self.ask(task)?.map_err(|why| io::Error::other(format!("in the sandbox: {why}")))
    }

    fn ask<T: Serialize + DeserializeOwned>(&mut self, task: &Task) -> io::Result<Done<T>> {
        send(&self.channel, task, &[])?;
        let late = |error: io::Error| {
            let is_late = error.kind() == io::ErrorKind::WouldBlock;
            if is_late { io::Error::other(format!("it took longer than {} seconds", LATE.as_secs())) } else { error }
        };
        let (done, _) = receive(&self.channel).map_err(late)?.ok_or_else(|| io::Error::other("the agent is gone"))?;
        self.said.extend(serde_json::to_vec(&done)?);
        Ok(done)
    }
}

/// The argument by which this program is the agent.
const WORD: &str = "demo: agent";

/// Longest that the agent waits for the network.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest that a task may take.
const LATE: Duration = Duration::from_secs(30);
