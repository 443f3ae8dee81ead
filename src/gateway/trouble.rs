//! Trouble on the way to a repository, in words that say which stage failed and what is safe to do about it.

use http::StatusCode;

use crate::{
    github::Service,
    reason::{Reason, Verdict},
    respond::Refusal,
};

/// A few words behind a ref that nobody heard of upstream; none where no trouble on the way was the cause.
pub(super) fn unsent(refusal: &Refusal) -> Option<String> {
    let stage = stage(refusal.reason(), refusal.status)?;
    Some(format!("{}: {stage}, nothing was sent, safe to retry", refusal.reason()))
}

/// The same refusal, for a request whose client sent nothing yet that it could lose. Whoever wanted to push is told how to keep its
/// commits meanwhile.
pub(super) fn before(service: Service, refusal: Refusal) -> Refusal {
    if stage(refusal.reason(), refusal.status).is_none() {
        return refusal;
    }
    let said: &[&str] = match service {
        Service::UploadPack => &["Nothing was changed, and asking again is safe."],
        Service::ReceivePack => &[SAFE, KEEP],
    };
    saying(refusal, said)
}

/// The same refusal, for a push of which nothing was sent. Commits that it would have carried are worth keeping.
pub(super) fn of_push(refusal: Refusal, has_pack: bool) -> Refusal {
    if stage(refusal.reason(), refusal.status).is_none() {
        return refusal;
    }
    saying(refusal, if has_pack { &[SAFE, KEEP] } else { &[SAFE] })
}

fn saying(mut refusal: Refusal, sentences: &[&str]) -> Refusal {
    for sentence in sentences {
        refusal.denial.detail.push('\n');
        refusal.denial.detail.push_str(sentence);
    }
    refusal
}

/// What failed, where somebody may try again.
fn stage(reason: Reason, answered: Option<StatusCode>) -> Option<String> {
    if reason.verdict() != Verdict::Error {
        return None;
    }
    let words = match (reason, answered) {
        (_, Some(status)) => return Some(format!("the upstream answered {}", status.as_u16())),
        (Reason::DnsFailed, None) => "the upstream's name could not be resolved",
        (Reason::ConnectFailed, None) => "the upstream could not be reached",
        (Reason::TlsFailed, None) => "no TLS came about with the upstream",
        (Reason::UpstreamTimeout, None) => "the upstream did not answer in time",
        (Reason::UpstreamClosed, None) => "the upstream gave no answer",
        (Reason::CredentialUnavailable, None) => "the owner's credential cannot be had",
        (_, None) => "this proxy could not send it",
    };
    Some(words.to_owned())
}

const SAFE: &str = "Nothing was sent, and pushing again is safe.";
/// For whoever has commits that can go nowhere.
const KEEP: &str = "If it stays so, keep the commits in a file: git bundle create work.bundle --branches --not --remotes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_words_and_a_refusal_has_none() {
        for (reason, answered, expected) in [
            (Reason::DnsFailed, None, "dns_failed: the upstream's name could not be resolved, nothing was sent, safe to retry"),
            (Reason::ConnectFailed, None, "connect_failed: the upstream could not be reached, nothing was sent, safe to retry"),
            (Reason::TlsFailed, None, "tls_failed: no TLS came about with the upstream, nothing was sent, safe to retry"),
            (Reason::UpstreamTimeout, None, "upstream_timeout: the upstream did not answer in time, nothing was sent, safe to retry"),
            (Reason::UpstreamClosed, None, "upstream_closed: the upstream gave no answer, nothing was sent, safe to retry"),
            (Reason::UpstreamClosed, Some(503), "upstream_closed: the upstream answered 503, nothing was sent, safe to retry"),
        ] {
            let status = answered.and_then(|status| StatusCode::from_u16(status).ok());
            let words = unsent(&Refusal { status, ..Refusal::new(reason, "x") }).unwrap();
            // G-28.
            assert!(words == expected && words.len() <= 200, "{words}");
        }
        for refused in [Reason::ReadOnly, Reason::BudgetExhausted, Reason::RepositoryNotGranted, Reason::SessionRevoked] {
            assert_eq!(unsent(&Refusal::new(refused, "x")), None);
            assert_eq!(of_push(Refusal::new(refused, "x"), true).denial.detail, "x");
        }
    }

    #[test]
    fn a_bundle_is_advised_where_there_is_something_to_lose() {
        let said = |refusal: Refusal| refusal.denial.detail.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        let trouble = || Refusal::new(Reason::ConnectFailed, "x");
        assert_eq!(said(of_push(trouble(), true)), [SAFE, KEEP]);
        assert_eq!(said(of_push(trouble(), false)), [SAFE], "a list that only deletes carries nothing");
        assert_eq!(said(before(Service::ReceivePack, trouble())), [SAFE, KEEP]);
        assert_eq!(said(before(Service::UploadPack, trouble())).len(), 1);
    }
}
