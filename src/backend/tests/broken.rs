//! What breaks off, on either side, and programs that are no git.

use std::{
    os::unix::fs::PermissionsExt as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty, Full};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{
    super::{BackendError, ContentEncoding, Kind, *},
    SPOON, clone, commit, incompressible,
    site::{PATIENCE, Site, command, git_ok, until},
};
use crate::{github::Service, reason::Reason};

/// The body of a push of `agent/x`, with a pack that compresses badly.
async fn push_body(site: &Site) -> Vec<u8> {
    let work = clone(site, &[], "work").await;
    let pushed = commit(&work, "agent/x", &incompressible(1 << 20)).await;
    let line = format!("{} {pushed} refs/heads/agent/x\0 report-status", "0".repeat(40));
    let list = work.join("list");
    fs::write(&list, format!("{pushed}\n^{pushed}~\n")).unwrap();
    let mut packing = command(&work, &["pack-objects", "--quiet", "--revs", "--stdout"]);
    let pack = packing.stdin(fs::File::open(list).unwrap()).output().await.unwrap();
    assert!(pack.status.success());
    [format!("{:04x}{line}0000", line.len() + 4).as_bytes(), &pack.stdout].concat()
}

fn push_to(path: &Path) -> Call<'_> {
    let kind = Kind::Rpc(Service::ReceivePack);
    Call { path, kind, protocol: None, encoding: ContentEncoding::Identity, fast_forward_only: false }
}

fn unfinished(bare: &Path) -> bool {
    fs::read_dir(bare.join("objects")).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("tmp_objdir"))
}

/// Whether anything runs that git was told of this repository.
fn runs(bare: &Path) -> bool {
    let needle = format!("GIT_PROJECT_ROOT={}\0", bare.display());
    let environments = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("environ")).ok());
    environments.into_iter().any(|environment| environment.windows(needle.len()).any(|window| window == needle.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_broke_off_moves_nothing_and_leaves_nothing() {
    for (limit, length) in [("1", false), ("1", true), ("100", false), ("100", true)] {
        let site = Site::new().await;
        let bare = site.repository(SPOON, "sha1").await;
        git_ok(&bare, &["config", "receive.unpackLimit", limit]).await;
        let body = push_body(&site).await;
        let mut stream = TcpStream::connect(site.address()).await.unwrap();
        let framing = if length { format!("Content-Length: {}", body.len()) } else { "Transfer-Encoding: chunked".to_owned() };
        let head = format!("POST /git/o/{SPOON}/git-receive-pack HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        if !length {
            stream.write_all(format!("{:x}\r\n", body.len()).as_bytes()).await.unwrap();
        }
        stream.write_all(&body[..body.len() / 2]).await.unwrap();
        until("git unpacks", || unfinished(&bare)).await;
        assert!(runs(&bare));
        drop(stream);
        until("git is gone", || !runs(&bare)).await;
        assert_eq!((site.tip(SPOON, "refs/heads/agent/x").await, unfinished(&bare)), (None, false), "{limit} {length}");
        // The same upload, whole, is taken.
        let answer = Backend::new(None).serve(push_to(&bare), Full::new(Bytes::from(body)), ()).await.unwrap();
        let answer = answer.into_body().collect_within().await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "000eunpack ok\n001aok refs/heads/agent/x\n0000");
        assert!(site.tip(SPOON, "refs/heads/agent/x").await.is_some());
    }
}

/// All of a push, and then the news that its request has no end.
struct WholeThenBroken(Option<Bytes>);

impl Body for WholeThenBroken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(self.0.take().map(Frame::data).ok_or_else(|| io::Error::other("reset"))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_not_taken_before_its_request_has_ended() {
    let site = Site::new().await;
    let bare = site.repository(SPOON, "sha1").await;
    let body = WholeThenBroken(Some(push_body(&site).await.into()));
    let answer = match Backend::new(None).serve(push_to(&bare), body, ()).await {
        Ok(answer) => answer.into_body().collect_within().await.map(drop),
        Err(error) => Err(error),
    };
    assert_eq!(answer, Err(BackendError::Request("reset".into())));
    until("git is gone", || !runs(&bare)).await;
    assert_eq!((site.tip(SPOON, "refs/heads/agent/x").await, unfinished(&bare)), (None, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_wants_ends_all_of_git() {
    let site = Site::new().await;
    let bare = site.repository(SPOON, "sha1").await;
    let body = push_body(&site).await;
    // Deaf to a request to end, as is what it starts.
    site.hook(SPOON, "pre-receive", "trap '' TERM; touch ../waiting; sleep 1000; exit 0");
    let answer = Backend::new(None).serve(push_to(&bare), Full::new(Bytes::from(body)), ()).await.unwrap();
    until("the hook runs", || site.path().join("waiting").exists() || bare.join("waiting").exists()).await;
    drop(answer);
    until("git is gone", || !runs(&bare)).await;
    assert_eq!(site.tip(SPOON, "refs/heads/agent/x").await, None);
}

/// A body that always has more.
struct Endless {
    taken: Arc<AtomicUsize>,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let before = self.taken.fetch_add(CHUNK.len(), Relaxed);
        // What reads on and on is to fail rather than to fill this machine.
        Poll::Ready(if before > 64 << 20 { None } else { Some(Ok(Frame::data(Bytes::from_static(CHUNK)))) })
    }
}

const CHUNK: &[u8] = &[0; 64 * 1024];

/// A backend whose `git` is this script.
fn scripted(script: &str) -> (TempDir, Backend) {
    let directory = tempfile::tempdir().unwrap();
    let git = directory.path().join("git");
    fs::write(&git, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&git, fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["r.git/objects", "r.git/refs"] {
        fs::create_dir_all(directory.path().join(name)).unwrap();
    }
    fs::write(directory.path().join("r.git/HEAD"), "").unwrap();
    let mut search = directory.path().as_os_str().to_owned();
    search.push(":");
    search.push(std::env::var_os("PATH").unwrap());
    (directory, Backend { search, bundles: None, scratch: std::env::temp_dir() })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_taken_of_a_body_than_git_reads() {
    let (directory, backend) = scripted("printf '\\n'; head -c 1048576 >/dev/null; printf x; exec sleep 1000");
    let taken = Arc::new(AtomicUsize::new(0));
    let repository = directory.path().join("r.git");
    let answer = backend.serve(push_to(&repository), Endless { taken: taken.clone() }, ()).await.unwrap();
    let mut body = answer.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "x");
    // What it read, what a pipe holds, and the chunk that does not fit any more.
    assert!((1 << 20..=(1 << 20) + 3 * CHUNK.len()).contains(&taken.load(Relaxed)), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_git_is_told_as_such() {
    let died = |how: &str, said: &str| Some(BackendError::Died(how.into(), said.into()));
    for (script, expected) in [
        ("echo 'no such thing' >&2; exit 3", died("exit status: 3", "no such thing\\n")),
        ("kill -9 $$", died("signal: 9 (SIGKILL)", "")),
        ("printf 'HTTP/1.1 200 OK\\n\\n'", Some(BackendError::Answer("a line is no field"))),
        ("while :; do echo 'a: b'; done", Some(BackendError::Answer("the head is too long"))),
        ("exec head -c 100000 /dev/zero >&2", died("exit status: 0", &"\\x00".repeat(4096))),
        ("printf 'a: b\\n\\nwhole'; exit 1", None),
    ] {
        let (directory, backend) = scripted(script);
        let repository = directory.path().join("r.git");
        let answer = backend.serve(push_to(&repository), Empty::<Bytes>::new(), ()).await;
        assert_eq!(answer.err(), expected, "{script}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_cut_off_is_not_taken_for_whole() {
    let (directory, backend) = scripted("printf '\\npart'; kill -9 $$");
    let repository = directory.path().join("r.git");
    let answer = backend.serve(push_to(&repository), Empty::<Bytes>::new(), ()).await.unwrap();
    assert_eq!(answer.into_body().collect_within().await, Err(BackendError::Died("signal: 9 (SIGKILL)".into(), "".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let serve = async |backend: &Backend, name: &str| {
        let path = path.join(name);
        backend.serve(push_to(&path), Empty::<Bytes>::new(), ()).await.map(drop).unwrap_err()
    };
    git_ok(&path, &["init", "--quiet", "work"]).await;
    fs::write(path.join("file"), "no bundle").unwrap();
    let (shown, backend) = (|name: &str| shown(&path.join(name)), Backend::new(None));
    let missing = BackendError::NoRepository(shown("missing"), "No such file or directory (os error 2)".into());
    assert_eq!(serve(&backend, "missing").await, missing);
    assert_eq!(serve(&backend, "work").await, BackendError::NoRepository(shown("work"), NOT_BARE.into()));
    assert_eq!(serve(&backend, "file").await, BackendError::NoState(shown("file")));
    let nowhere = Backend { search: path.clone().into(), bundles: None, scratch: std::env::temp_dir() };
    assert_eq!(serve(&nowhere, "work/.git").await, BackendError::NoGit);
    for error in [missing, BackendError::NoState(shown("file"))] {
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!((error.public().contains(path.to_str().unwrap()), error.reason()), (false, Reason::Internal));
    }
}

trait CollectWithin: Body {
    /// The whole body, of which there must not be much.
    async fn collect_within(self) -> Result<Vec<u8>, Self::Error>;
}

impl<B: Body<Data = Bytes> + Unpin> CollectWithin for B {
    async fn collect_within(mut self) -> Result<Vec<u8>, B::Error> {
        let mut whole = Vec::new();
        while let Some(frame) = timeout(PATIENCE, self.frame()).await.unwrap() {
            whole.extend(frame?.into_data().unwrap_or_default());
            assert!(whole.len() < 1 << 20);
        }
        Ok(whole)
    }
}
