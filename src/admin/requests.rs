//! What sandboxes asked for, in front of their owner: with the sandbox's own words, and with what exactly would be granted.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    audit::rfc3339,
    policy::asking::{Wish, Words},
    sessions::{Request, Session},
};

/// The number of a request in a path, as it is written there and in no other way.
pub(super) fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

pub(super) fn all(session: &Session) -> Vec<Value> {
    session.governing().requests.all().iter().map(|request| shown(session, request)).collect()
}

/// One request; `would_grant` is what its granting comes to: an entry of `allow`, or all the rights to a repository.
pub(super) fn shown(session: &Session, request: &Request) -> Value {
    let governing = session.governing();
    let would_grant = match &request.wish {
        Wish::Host(host) => json!({ "allow": host.entry() }),
        // What cannot be granted was refused when it was asked for.
        Wish::Repository(wish) => json!({ "repository": wish.granted_beside(governing.grant.find(&wish.repository)).ok() }),
    };
    json!({
        "id": format!("{}/{}", session.id(), request.number),
        "session": session.id().as_ref(),
        "number": request.number,
        "state": request.state.as_str(),
        "wish": request.wish,
        "words": request.wish.to_string(),
        "why": request.why,
        "asked": rfc3339(request.asked()),
        "decided": request.decided().map(rfc3339),
        "word": request.word,
        "would_grant": would_grant,
    })
}

/// Reads what an owner looked at and says to it, `{"wish": {…}, "word": "…"}`; either may be left out, and the body too.
pub(super) fn decided(body: &[u8]) -> Result<(Option<Wish>, Option<Words>), String> {
    let decided: Decided = match body {
        [] => Decided::default(),
        // serde would read an array as the fields in their order.
        body if !body.trim_ascii_start().starts_with(b"{") => return Err("the body is no decision: write a JSON object".to_owned()),
        body => serde_json::from_slice(body).map_err(|error| format!("the body is no decision: {error}"))?,
    };
    let word = decided.word.as_deref().map(Words::of).transpose().map_err(|error| format!("\"word\": {error}"))?;
    Ok((decided.wish, word))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Decided {
    wish: Option<Wish>,
    word: Option<String>,
}
