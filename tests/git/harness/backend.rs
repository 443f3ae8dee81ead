//! `git http-backend` as a web server runs it: one process a request, by the rules of CGI (RFC 3875).

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, request::Parts};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
};

use super::hub::Piped;

/// Starts it for a request. The body goes into the pipe, the answer is read by [`answer`]. git is not told how long the body is: it
/// would go round for ever where a body ends before its length.
pub(super) fn start(root: &Path, head: &Parts) -> (Child, ChildStdin) {
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    // By its own path: killing `git`, which starts it, would leave it behind.
    let mut command = Command::new(program());
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1").env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", "/nonexistent");
    command.env("REQUEST_METHOD", head.method.as_str()).env("REMOTE_USER", "octo").env("REMOTE_ADDR", "127.0.0.1");
    command.env("PATH_INFO", on_disk(head.uri.path())).env("QUERY_STRING", head.uri.query().unwrap_or_default());
    // No CONTENT_LENGTH: given one, git turns in circles for ever where a body breaks off before it.
    for (variable, header) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
        ("HTTP_USER_AGENT", "user-agent"),
    ] {
        if !text(header).is_empty() {
            command.env(variable, text(header));
        }
    }
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn();
    let mut child = child.expect("git is needed: apt-get install git");
    let stdin = child.stdin.take().expect("a pipe");
    (child, stdin)
}

fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let output = std::process::Command::new("git").arg("--exec-path").output().expect("git is needed: apt-get install git");
        Path::new(String::from_utf8_lossy(&output.stdout).trim_end()).join("git-http-backend")
    })
}

/// What it answers: the head read to its end, the rest as it comes.
pub(super) async fn answer(mut child: Child) -> io::Result<Response<Piped>> {
    let mut stdout = child.stdout.take().expect("a pipe");
    let (head, rest) = head(&mut stdout).await?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut more = if rest.is_empty() { read(&mut stdout).await } else { Some(Ok(rest)) };
        while let Some(piece) = more {
            if sender.send(piece).await.is_err() {
                break;
            }
            more = read(&mut stdout).await;
        }
        let _ = child.wait().await;
    });
    let mut response = Response::new(Piped(receiver));
    for line in head.lines() {
        let (name, value) = line.split_once(": ").unwrap_or_default();
        if name == "Status" {
            *response.status_mut() = value.get(..3).and_then(|code| code.parse::<StatusCode>().ok()).unwrap_or_default();
        } else if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

async fn head(stdout: &mut ChildStdout) -> io::Result<(String, Bytes)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = super::origin::find(&bytes, b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest.into()));
        }
        match read(stdout).await {
            Some(piece) => bytes.extend_from_slice(&piece?),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

async fn read(stdout: &mut ChildStdout) -> Option<io::Result<Bytes>> {
    let mut buffer = vec![0; 64 * 1024];
    match stdout.read(&mut buffer).await {
        Ok(0) => None,
        Ok(length) => {
            buffer.truncate(length);
            Some(Ok(buffer.into()))
        }
        Err(error) => Some(Err(error)),
    }
}

/// Writes as long as somebody reads.
pub(super) async fn feed(stdin: &mut Option<ChildStdin>, bytes: &[u8]) {
    if let Some(pipe) = stdin
        && pipe.write_all(bytes).await.is_err()
    {
        *stdin = None;
    }
}

/// The path of a repository with or without `.git`, as it lies on the disk.
fn on_disk(path: &str) -> String {
    let mut segments = path.splitn(4, '/').skip(1);
    let mut next = || segments.next().unwrap_or_default();
    let (owner, name, rest) = (next(), next(), next());
    format!("/{owner}/{}.git/{rest}", name.strip_suffix(".git").unwrap_or(name))
}
