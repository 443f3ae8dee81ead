//! What an agent reaches and what it does not, told.

use std::net::{Ipv4Addr, SocketAddr};

use super::{agent::Agent, client::Page, names::NameServer, story::Story};
use crate::{
    command::run::{Failure, Isolation},
    reason::Reason,
};

/// The internet of the story.
pub(super) struct Internet {
    pub(super) origin: SocketAddr,
    pub(super) names: NameServer,
}

impl Internet {
    /// What the sandbox may reach of it.
    pub(super) fn policy(&self) -> String {
        let port = self.origin.port();
        format!(
            "allow = [\n  {{ host = \"{ORIGIN}:{port}\", tls = true }},\n  \"{ALIAS}\",\n]\n\n\
             [addresses]\nallow = [\"127.0.0.1/32\"]  # the origin of this demo; refused otherwise\n"
        )
    }
}

/// Plays the scenes with an agent whose proxy listens at `proxy`. Behind walls it needs none.
pub(super) fn scenes(
    story: &mut Story,
    agent: &mut Agent,
    internet: &Internet,
    isolation: Isolation,
    proxy: SocketAddr,
) -> Result<(), Failure> {
    let needed = (isolation == Isolation::Env).then_some(proxy);
    if needed.is_none() {
        behind_walls(story, agent, internet)?;
    }
    let page = |tls, host: &str, port| Page { tls, host: host.to_owned(), port, path: "/".to_owned() };

    let allowed = page(true, ORIGIN, internet.origin.port());
    story.scene(&format!("An allowed host: {allowed}"));
    if needed.is_none() {
        story.note(&format!("the sandbox is told that {ORIGIN} is {}", agent.resolve(ORIGIN)?.map_err(Failure)?.ip()));
    }
    for exchange in agent.get(&allowed, needed)? {
        story.exchange(&exchange, 200, None)?;
    }
    story.note("TLS goes up to the origin's own certificate; nobody on the way reads this");

    let refused = page(true, REFUSED, 443);
    story.scene(&format!("A host that no entry allows: {refused}"));
    if needed.is_none() {
        match agent.resolve(REFUSED)? {
            Err(why) => story.text(&format!("$ getent hosts {REFUSED}\n{why}")),
            Ok(address) => return Err(Failure(format!("{REFUSED} was given the address {address}"))),
        }
        story.note("a client that asks the proxy of its variables is told why");
    }
    for exchange in agent.get(&refused, Some(proxy))? {
        story.exchange(&exchange, 403, Some(Reason::HostNotAllowed))?;
    }
    let asked = internet.names.asked();
    if asked.iter().any(|name| name == REFUSED) {
        return Err(Failure(format!("the name server was asked for {REFUSED}")));
    }
    story.note(&format!("the name server was never asked for it; it was asked for: {}", asked.join(", ")));

    let alias = page(false, ALIAS, 80);
    story.scene(&format!("An allowed name that leads to a cloud's metadata service: {alias}"));
    for exchange in agent.get(&alias, needed)? {
        story.exchange(&exchange, 403, Some(Reason::AddressNotAllowed))?;
    }
    Ok(())
}

/// Shows that whoever asks no proxy gets no further.
fn behind_walls(story: &mut Story, agent: &mut Agent, internet: &Internet) -> Result<(), Failure> {
    story.scene("The wall: no proxy variable is needed in here, and nothing passes that is not judged");
    agent.unset(&PROXIES)?;
    story.text(&format!("$ unset {}", PROXIES.join(" ")));
    let elsewhere = SocketAddr::from((ELSEWHERE, 443));
    for (what, to, tried) in [
        ("a connection to the origin's own address", internet.origin, agent.connect(internet.origin)?),
        ("a UDP packet to any address", elsewhere, agent.datagram(elsewhere)?),
    ] {
        match tried {
            Err(why) => story.text(&format!("{what}, {to}: {why}")),
            Ok(()) => return Err(Failure(format!("{what}, {to}, passed the wall"))),
        }
    }
    story.note("there is no interface but a loopback of its own. Every other TCP connection ends at Tidegate, wherever it is meant to go:");
    let literal = Page { tls: false, host: ELSEWHERE.to_string(), port: 80, path: "/".to_owned() };
    for exchange in agent.get(&literal, None)? {
        story.exchange(&exchange, 403, Some(Reason::IpLiteralNotAllowed))?;
    }
    Ok(())
}

/// What the name server knows.
pub(super) const ZONE: &[(&str, Ipv4Addr)] = &[(ORIGIN, Ipv4Addr::LOCALHOST), (ALIAS, METADATA)];

/// A name on the origin's certificate.
const ORIGIN: &str = "origin.tidegate.test";
const ALIAS: &str = "alias.tidegate.test";
/// A host that the policy does not mention.
const REFUSED: &str = "paste.example";
/// Where clouds hand out credentials (RFC 3927 has the network).
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Nobody has it (RFC 5737).
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Those that git and the client of the story would follow.
const PROXIES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
