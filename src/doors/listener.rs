//! The proxy listener: requests in absolute-form, and those for this proxy's own pages.

use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::watch;

use super::{
    forge,
    forward::{self, Inside},
    serving,
};
use crate::{
    downstream::Downstream,
    gateway,
    passage::{Answered, Visitor},
};

/// Serves the requests of a connection. Gives it back when something else comes next.
pub(super) async fn serve(visitor: &Arc<Visitor>, downstream: Downstream, draining: &watch::Receiver<bool>) -> Option<Downstream> {
    serving::serve(downstream, draining, |request| answer(visitor, request)).await
}

async fn answer(visitor: &Visitor, request: Request<Incoming>) -> Answered<gateway::Body> {
    if let Some(permit) = forge::find_plain(&visitor.gate, &request) {
        return Box::pin(forge::answer_plain(visitor, &permit, request)).await.into();
    }
    let Answered { response, socket } = forward::answer(visitor, &Inside::Listener, request).await;
    Answered { response: response.map(BodyExt::boxed_unsync), socket }
}
