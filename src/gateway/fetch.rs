//! What refs there are, and fetching: streamed, with nothing in an advertisement that leads around the gate.

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};

use super::{
    Visit,
    body::{Asking, Body, BoxError, Download, Upload},
    check_body,
    errand::Errand,
    standing::Standing,
    trouble, whole,
};
use crate::{
    github::{
        ProtocolVersion, Service,
        advertisement::AdvertisementReader,
        answer_content_type, report,
        route::{Kind, Route},
    },
    metrics,
    policy::{RepositoryPermit, decide_repository},
    reason::Reason,
    respond::{self, Refusal},
};

/// Answers `GET info/refs`.
pub(super) async fn advertise(visit: &mut Visit<'_>, route: &Route, request: &Request<Asking>) -> Result<Response<Body>, Refusal> {
    let permit = admit(visit, route).await?;
    let service = permit.service();
    let mut errand = Errand::advertisement(permit, request.headers());
    errand.protocol = protocol(service, request);
    let asking = async {
        let answer = errand.run(visit, Upload::none(&visit.traffic)).await.map_err(|trouble| trouble.refusal)?;
        let (parts, mut rest) = answer.into_parts();
        let first = read_advertisement(service, &mut rest).await?;
        Ok::<_, Refusal>((parts, first, rest))
    };
    let (parts, first, rest) = tokio::select! {
        biased;
        refusal = standing(visit, route).withdrawn() => return Err(refusal),
        asked = asking => asked.map_err(|refusal| trouble::before(service, refusal))?,
    };
    let download = Download::new(first, rest, standing(visit, route).withdrawn(), &visit.traffic);
    Ok(Response::from_parts(parts, download.boxed_unsync()))
}

/// Answers `POST git-upload-pack`.
pub(super) async fn serve(visit: &mut Visit<'_>, route: &Route, request: Request<Asking>) -> Result<Response<Body>, Refusal> {
    let encoding = check_body(Service::UploadPack, &request)?;
    let protocol = protocol(Service::UploadPack, &request);
    let (headers, body) = (request.headers().clone(), request.into_body());
    let (upload, rest, spent) = Upload::new(Bytes::new(), body, &visit.traffic);
    let mut spent = Box::pin(spent.refusal());
    let outcome = match admit(visit, route).await {
        Ok(permit) => {
            let mut errand = Errand::fetch(permit, &headers);
            (errand.protocol, errand.encoding) = (protocol, encoding);
            tokio::select! {
                biased;
                refusal = standing(visit, route).withdrawn() => Err(refusal),
                refusal = &mut spent => Err(refusal),
                answer = errand.run(visit, upload) => answer.map_err(|trouble| trouble.refusal),
            }
        }
        Err(refusal) => {
            drop(upload);
            Err(refusal)
        }
    };
    match outcome {
        Ok(answer) => {
            let standing = standing(visit, route);
            Ok(answer.map(|body| visit.download(body, standing, spent).boxed_unsync()))
        }
        Err(refusal) => {
            let body = report::fetch_error(&respond::advice(&refusal, visit.gate.owner).join(" "));
            let content_type = answer_content_type(Kind::Rpc(Service::UploadPack));
            let answer = visit.gate.refuse_natively(visit.subject, visit.asked, refusal, content_type, body);
            rest.drain().await;
            Ok(whole(answer))
        }
    }
}

/// Decides, and records what is allowed.
async fn admit(visit: &mut Visit<'_>, route: &Route) -> Result<RepositoryPermit, Refusal> {
    visit.gate.count_upstream(visit.subject).await?;
    let public_read = visit.gate.forge_hosts.public_read(&route.repository);
    let permit = decide_repository(&visit.subject.governing.grant, &route.repository, route.kind.service(), public_read)?;
    let permit = if visit.brought.is_some() { permit.publicly()? } else { permit };
    visit.check_public(&route.repository).await?;
    // Whoever may push has only read as yet.
    visit.asked.kind = metrics::Kind::Fetch;
    visit.record_leave(&route.repository, permit.is_public())?;
    Ok(permit)
}

fn standing(visit: &Visit<'_>, route: &Route) -> Standing {
    let Route { repository, kind } = route;
    visit.standing(repository, kind.service())
}

/// The version to ask for; pushes have none but the first.
fn protocol(service: Service, request: &Request<Asking>) -> Option<ProtocolVersion> {
    let values = request.headers().get_all("git-protocol").iter().map(http::HeaderValue::as_bytes);
    ProtocolVersion::parse(values).filter(|_| service == Service::UploadPack)
}

/// The beginning of an advertisement without what a sandbox may not be offered, and what arrived behind it.
async fn read_advertisement(service: Service, body: &mut Body) -> Result<Bytes, Refusal> {
    let mut reader = AdvertisementReader::new(service);
    let mut read = BytesMut::new();
    loop {
        let answer = reader.read(&read).map_err(|error| unusable(&error.to_string()))?;
        if let Some(advertisement) = answer {
            let rest = read.get(advertisement.length..).unwrap_or_default();
            if advertisement.version == ProtocolVersion::V2 {
                // Nothing belongs behind this one, and git would take it for another answer.
                *body = Empty::new().map_err(|never| match never {}).boxed_unsync();
                return Ok(advertisement.written.into());
            }
            return Ok([&advertisement.written, rest].concat().into());
        }
        let frame = body.frame().await.ok_or_else(|| unusable("it ended before it was complete"))?;
        let frame = frame.map_err(|error: BoxError| unusable(&error.to_string()))?;
        read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
}

fn unusable(why: &str) -> Refusal {
    Refusal::new(Reason::UpstreamClosed, format!("The upstream's list of refs cannot be passed on: {why}."))
}
