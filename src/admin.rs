//! Listeners that no sandbox reaches: metrics and probes, and the owner's interface.

mod requests;
mod sessions;

use std::{convert::Infallible, future::ready, sync::Arc, time::Duration};

use http::{Request, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};

use crate::{metrics::Door, passage::Gate, reason::Reason, respond::Answer, secret::Secret, sessions::is_same_token, wire::authorization};

/// Serves `/metrics`, `/livez` and `/readyz`, read-only. Ready means: accepting, and not draining.
pub(crate) async fn metrics(gate: Arc<Gate>, io: impl AsyncRead + AsyncWrite + Unpin, draining: watch::Receiver<bool>) {
    serve(io, |request| {
        ready(match (request.method().as_str(), request.uri().path()) {
            ("GET" | "HEAD", "/metrics") => Answer::page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", gate.metrics.render()),
            ("GET" | "HEAD", "/livez") => plain(StatusCode::OK, "alive\n"),
            ("GET" | "HEAD", "/readyz") if *draining.borrow() => plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            ("GET" | "HEAD", "/readyz") => plain(StatusCode::OK, "ready\n"),
            (_, "/metrics" | "/livez" | "/readyz") => plain(StatusCode::METHOD_NOT_ALLOWED, "read-only\n"),
            _ => plain(StatusCode::NOT_FOUND, "/metrics, /livez and /readyz are here\n"),
        })
    })
    .await;
}

/// Serves the owner, who proves it by `token` as a bearer where there is one, and by the socket's credentials elsewhere.
pub(crate) async fn owner(gate: Arc<Gate>, io: impl AsyncRead + AsyncWrite + Unpin, token: Option<Arc<Secret>>) {
    let _counted = gate.metrics.connection(Door::Admin);
    serve(io, |request| {
        let proven = proves(&request, token.as_deref());
        let gate = Arc::clone(&gate);
        async move {
            if proven {
                return sessions::answer(&gate, request).await;
            }
            drop(gate.record_owner(None, None, request.method().as_str(), None, Some(Reason::SessionRequired)));
            plain(StatusCode::FORBIDDEN, "send the admin token: Authorization: Bearer …\n")
        }
    })
    .await;
}

fn proves(request: &Request<Incoming>, token: Option<&Secret>) -> bool {
    let Some(token) = token else { return true };
    let mut presented = request.headers().get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (presented.next(), presented.next()) else { return false };
    authorization::parse(value.as_bytes()).is_ok_and(|presented| is_same_token(&presented.token, token))
}

async fn serve<F: Future<Output = Answer>>(io: impl AsyncRead + AsyncWrite + Unpin, answer: impl Fn(Request<Incoming>) -> F) {
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await.into_response()) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(io), service);
    match timeout(LIFETIME, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an owner's connection ended early"),
        Err(_) => tracing::debug!("an owner's connection was open for too long"),
    }
}

fn plain(status: StatusCode, body: &str) -> Answer {
    Answer::page(status, "text/plain; charset=utf-8", body.to_owned())
}

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEAD: usize = 16 * 1024;
/// Of a whole connection: there are few places, and whoever reads no answer may not keep one.
const LIFETIME: Duration = Duration::from_secs(60);
