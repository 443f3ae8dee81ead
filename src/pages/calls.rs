//! Whether a call of GitHub's API would pass, by the decision that it would meet. GitHub is not asked.

use serde_json::{Value, json};

use super::Visit;
use crate::{
    destination::Name,
    github::api::{Call, Entrance, Service},
    policy::{
        Denial,
        api::{ApiSession, Known, Step, decide_api, depends_on},
    },
    reason::Verdict,
};

/// A call that is asked about.
pub(super) struct Asked<'a> {
    /// Whose API it is.
    pub(super) forge: &'a Name,
    pub(super) entrance: Entrance,
    pub(super) method: &'a str,
}

/// What the gateway would say.
pub(super) fn decide(visit: &Visit<'_>, asked: &Asked<'_>, body: Option<&Value>) -> Result<Value, Box<Denial>> {
    let Asked { forge, entrance, method } = asked;
    let written = body.map(Value::to_string).unwrap_or_default();
    let call = Call::read(method, &entrance.target, written.as_bytes(), entrance.service == Service::Uploads)
        .map_err(|error| Box::new(Denial::new(error.reason(), format!("The call would be refused: {error}."))))?;
    let (grant, hosts) = (&visit.governing.grant, visit.forge_hosts);
    let step = visit.session.calls().with_made(|made| {
        let session = ApiSession { grant, hosts, forge, login: None, made };
        decide_api(&session, &call, &Known::default())
    })?;
    let (rule, conditions) = match step {
        Step::Go(permit) => (Some(permit.rule().to_string()), Vec::new()),
        Step::Learn(question) => (None, vec![depends_on(&question)]),
        Step::Answer(_) => (None, Vec::new()),
    };
    Ok(json!({ "verdict": Verdict::Allow.as_str(), "rule": rule, "conditions": conditions }))
}
