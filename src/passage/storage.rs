//! Where the upstream of a repository keeps what Git LFS moves: no host of the sandbox's choosing, and none of a list.

use std::error::Error as StdError;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;

use super::{Asked, Gate, Subject};
use crate::{
    policy::{Permit, RequestFacts},
    respond::Refusal,
    upstream::{ExchangeTimeouts, Key, ResponseBody, TlsClient},
};

impl Gate {
    /// Sends a request of ours to storage that was permitted, over TLS where there is a client for it, and puts the decision on record.
    pub(crate) async fn ask_storage<B>(
        &self,
        subject: &Subject,
        asked: &Asked,
        permit: Permit,
        (tls, timeouts): (Option<&TlsClient>, ExchangeTimeouts),
        request: Request<B>,
    ) -> Result<Response<ResponseBody>, Refusal>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let origin_form = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let facts = RequestFacts { method: request.method().as_str(), host: None, target: None, origin_form, body_length: None };
        let cleared = permit.expectation().decide_request(&facts)?;
        self.spend_head(subject, request.method(), request.uri(), request.headers())?;
        let key = Key::new(subject.session.identity(), permit.destination().clone(), tls);
        let route = self.route(subject, asked, permit, None, key, &request).await?;
        Ok(self.upstream.exchange_over(route, cleared, tls, timeouts, request).await?)
    }
}
