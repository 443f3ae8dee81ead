use std::{
    future::{Future, poll_fn},
    os::unix::fs::OpenOptionsExt as _,
    pin::Pin,
    task::Poll,
};

use tempfile::TempDir;

use super::*;

const SECRET: &str = "ghs_1234567_eyJhbGciOi.eyJpc3Mi-_.c2ln";
const LONG: Duration = Duration::from_secs(3600);
/// Longer than any of this takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

fn command(argv: &[&str], max_age: Duration) -> Credential {
    let argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
    Credential::new(Source::Command { argv, max_age }, PATIENCE)
}

/// A shell script; `$0` is a file of the directory, to which it adds a line first.
fn script(directory: &TempDir, script: &str, max_age: Duration) -> Credential {
    let runs = directory.path().join("runs");
    command(&["sh", "-c", &format!("echo $$ >> \"$0\"; {script}"), runs.to_str().unwrap()], max_age)
}

/// The process ids of all runs of a script.
fn runs(directory: &TempDir) -> Vec<String> {
    let text = fs::read_to_string(directory.path().join("runs")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn ask(credential: &Credential) -> Result<String, String> {
    shown(credential.secret().await)
}

fn shown(outcome: Result<Arc<Secret>, CredentialError>) -> Result<String, String> {
    let error = |error: CredentialError| {
        assert!(!format!("{error} {error:?}").contains("ghs_"), "{error:?}");
        error.to_string()
    };
    outcome.map(|secret| String::from_utf8(secret.expose().to_vec()).unwrap()).map_err(error)
}

/// Lets forty ask before anything else happens, and returns what each is told.
async fn ask_forty(credential: &Credential) -> Vec<Result<String, String>> {
    let mut askers: Vec<Pin<Box<dyn Future<Output = _> + '_>>> = (0..40).map(|_| Box::pin(credential.secret()) as _).collect();
    poll_fn(|context| {
        assert!(askers.iter_mut().all(|asker| asker.as_mut().poll(context).is_pending()));
        Poll::Ready(())
    })
    .await;
    let mut told = Vec::new();
    for asker in askers {
        told.push(shown(asker.await));
    }
    told
}

#[test]
fn one_line_of_visible_ascii() {
    let read = |text: &[u8]| read_line(text).map(|secret| secret.expose().to_vec());
    let longest = "x".repeat(MAX_CREDENTIAL);
    for (text, expected) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), (SECRET, SECRET), (&format!("{longest}\r\n"), &longest)] {
        assert_eq!(read(text.as_bytes()).as_deref(), Some(expected.as_bytes()), "{text:?}");
    }
    for text in ["", "\n", "a b", "a\n\n", "a\nb", "a\nb\n", "\na", " a", "a\t", "a\0", "ä", "a\x7f", &format!("{longest}x")] {
        assert_eq!(read(text.as_bytes()), None, "{text:?}");
    }
    assert!(FORM.contains(&MAX_CREDENTIAL.to_string()));
}

/// The working directory of a run is a sandbox's to write: what git, for one, runs there is said in `.git/config`.
#[tokio::test]
async fn a_command_runs_where_no_sandbox_writes() {
    assert_eq!(ask(&command(&["pwd"], LONG)).await.as_deref(), Ok("/"));
    let relative = Source::command(vec!["./token".into()], Path::new("settings"), LONG);
    assert!(matches!(relative, Source::Command { argv, .. } if Path::new(&argv[0]).is_absolute() && argv[0].ends_with("/settings/token")));
}

#[test]
fn nothing_shows_a_secret() {
    let argv = vec!["printf".to_owned(), SECRET.to_owned()];
    let command = Source::Command { argv, max_age: LONG };
    let sources = [Source::Value(Secret::new(SECRET)), Source::File("/x/token".into()), command];
    let expected = ["Source(the environment)", "Source(file /x/token)", "Source(command printf, kept 3600s)"];
    for (source, expected) in sources.into_iter().zip(expected) {
        assert_eq!(format!("{source:?}"), expected);
        let credential = Credential::new(source, PATIENCE);
        assert_eq!(format!("{credential:?}"), format!("Credential {{ source: {expected}, patience: 60s, .. }}"));
    }
}

#[tokio::test]
async fn a_value_is_given_at_once() {
    let credential = Credential::new(Source::Value(Secret::new(SECRET)), Duration::ZERO);
    assert_eq!(ask(&credential).await.as_deref(), Ok(SECRET));
}

#[tokio::test]
async fn a_file_is_read_each_time() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("token");
    let credential = Credential::new(Source::File(path.clone()), PATIENCE);
    let refused = |why: &str| Err(format!("no credential from file {}: {why}", path.display()));
    let missing = "it cannot be read: No such file or directory (os error 2); put it back, or name another in the configuration";
    let malformed = format!("what it gives is not {FORM}; see what it gives by hand");
    assert_eq!(ask(&credential).await, refused(missing));
    for (content, expected) in [
        ("ghp_one\n", Ok("ghp_one".to_owned())),
        ("ghp_two", Ok("ghp_two".to_owned())),
        ("ghp_two\nghp_three\n", refused(&malformed)),
        ("", refused(&malformed)),
        (&"ghp_".repeat(2500), refused(&malformed)),
    ] {
        fs::write(&path, content).unwrap();
        assert_eq!(ask(&credential).await, expected, "{content}");
    }
    let credential = Credential::new(Source::File(directory.path().to_owned()), PATIENCE);
    let expected = format!("no credential from file {}: it is no regular file; write the credential into one", directory.path().display());
    assert_eq!(ask(&credential).await, Err(expected));
}

#[tokio::test]
async fn what_a_source_last_gave_is_held_by_one_pointer_while_it_is_the_same() {
    let shown = |credential: &Credential| credential.held().map(|held| String::from_utf8(held.expose().to_vec()).unwrap());
    let value = Credential::new(Source::Value(Secret::new("a-value")), LONG);
    assert_eq!(shown(&value).as_deref(), Some("a-value"));
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("token");
    fs::write(&path, "one").unwrap();
    let file = Credential::new(Source::File(path.clone()), LONG);
    assert_eq!(shown(&file), None);
    let file = file.having_given(Some(Secret::new("one")));
    let first = file.held().unwrap();
    assert!(Arc::ptr_eq(&file.secret().await.unwrap(), &first));
    fs::write(&path, "two").unwrap();
    file.secret().await.unwrap();
    assert_eq!(shown(&file).as_deref(), Some("two"));
}

#[tokio::test]
async fn a_pipe_that_nobody_writes_into_is_not_waited_for() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().await.unwrap().success());
    let error = Credential::new(Source::File(path), PATIENCE).secret().await.unwrap_err();
    assert_eq!(error.problem, Problem::NoFile);
}

#[tokio::test]
async fn forty_askers_run_a_command_once() {
    let directory = TempDir::new().unwrap();
    // Nothing is kept, so only askers that wait for the same run share what it gives.
    let credential = script(&directory, &format!("printf '%s\\n' {SECRET}"), Duration::ZERO);
    assert_eq!(ask_forty(&credential).await, vec![Ok(SECRET.to_owned()); 40]);
    assert_eq!(runs(&directory).len(), 1);
    assert_eq!(ask(&credential).await.as_deref(), Ok(SECRET));
    assert_eq!(runs(&directory).len(), 2);
}

#[tokio::test]
async fn what_a_command_gave_is_kept_until_it_is_too_old() {
    let directory = TempDir::new().unwrap();
    let credential = script(&directory, &format!("printf {SECRET}"), LONG);
    for _ in 0..3 {
        assert_eq!(ask(&credential).await.as_deref(), Ok(SECRET));
    }
    assert_eq!(runs(&directory).len(), 1);
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_wait_and_soon_tried_again() {
    let directory = TempDir::new().unwrap();
    // The first run fails, though it prints a credential, and says one on stderr too.
    let credential = script(&directory, &format!("echo {SECRET}; echo {SECRET} >&2; [ $(wc -l < \"$0\") -gt 1 ]"), LONG);
    let refused = "no credential from command sh: it ended with exit status: 1; run it by hand to see why";
    assert_eq!(ask_forty(&credential).await, vec![Err(refused.to_owned()); 40]);
    assert_eq!(runs(&directory).len(), 1);
    let told = timeout(PATIENCE, async {
        loop {
            match ask(&credential).await {
                Err(error) => assert_eq!(error, refused),
                Ok(told) => return told,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!(told.await.as_deref(), Ok(SECRET));
    assert_eq!(runs(&directory).len(), 2);
}

#[tokio::test]
async fn threat_97_a_rotated_credential_takes_the_place_of_the_old_one() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("token");
    fs::write(&path, "old").unwrap();
    let credential = command(&["cat", path.to_str().unwrap()], Duration::from_millis(50));
    assert_eq!(ask(&credential).await.as_deref(), Ok("old"));
    fs::write(&path, "new").unwrap();
    let rotated = timeout(PATIENCE, async {
        while ask(&credential).await.unwrap() == "old" {
            tokio::task::yield_now().await;
        }
        ask(&credential).await
    });
    assert_eq!(rotated.await.unwrap().as_deref(), Ok("new"));
}

#[tokio::test]
async fn an_asker_that_goes_away_does_not_stop_the_run() {
    let directory = TempDir::new().unwrap();
    let credential = script(&directory, &format!("printf {SECRET}"), LONG);
    let mut asker = Box::pin(credential.secret());
    let waits = poll_fn(|context| Poll::Ready(asker.as_mut().poll(context).is_pending())).await;
    drop(asker);
    assert!(waits);
    assert_eq!(ask(&credential).await.as_deref(), Ok(SECRET));
    assert_eq!(runs(&directory).len(), 1);
}

#[tokio::test]
async fn a_command_that_hangs_ends_with_its_time() {
    let patience = Duration::from_millis(50);
    let argv = ["sleep", "3600"].map(str::to_owned).to_vec();
    let credential = Credential::new(Source::Command { argv, max_age: LONG }, patience);
    let error = timeout(PATIENCE, credential.secret()).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "no credential from command sleep: it took longer than 50ms; see why, or raise [timeouts] credential");
}

/// As Linux has it on most machines.
const O_NONBLOCK: i32 = 0o4000;

/// What a command started keeps its end of this pipe open for as long as it lives.
#[tokio::test]
async fn a_command_that_hangs_ends_with_all_that_it_started() {
    let directory = TempDir::new().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let line = format!("exec 3<>{0}; sleep 3600 & wait", pipe.display());
    let argv = ["sh", "-c", &line].map(str::to_owned).to_vec();
    let credential = Credential::new(Source::Command { argv, max_age: LONG }, Duration::from_millis(500));
    timeout(PATIENCE, credential.secret()).await.unwrap().unwrap_err();
    // Opened to be written without waiting, a pipe that nobody holds open has no reader.
    let open = || fs::OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&pipe);
    let gone = async {
        while open().is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn a_command_that_gives_too_much_is_killed_and_reaped() {
    let directory = TempDir::new().unwrap();
    let credential = script(&directory, "exec yes", LONG);
    let error = timeout(PATIENCE, credential.secret()).await.unwrap().unwrap_err();
    assert_eq!(error.problem, Problem::Malformed);
    let runs = runs(&directory);
    let [process] = runs.as_slice() else { panic!("{runs:?}") };
    assert!(!Path::new("/proc").join(process).exists());
}

#[tokio::test]
async fn what_a_command_gives_is_judged() {
    let malformed =
        |program: &str| Err(format!("no credential from command {program}: what it gives is not {FORM}; see what it gives by hand"));
    let many = "head -c 9000 /dev/zero | tr '\\0' x";
    let longest = "head -c 8192 /dev/zero | tr '\\0' x; printf '\\r\\n'";
    let unstarted = "no credential from command /missing/gh: it cannot be started: No such file or directory (os error 2); see that it is installed, and on PATH";
    for (argv, expected) in [
        (vec!["printf", SECRET], Ok(SECRET.to_owned())),
        (vec!["sh", "-c", longest], Ok("x".repeat(8192))),
        (vec!["sh", "-c", many], malformed("sh")),
        (vec!["printf", "ghp_one\\nghp_two\\n"], malformed("printf")),
        (vec!["printf", "ghp_one two"], malformed("printf")),
        (vec!["true"], malformed("true")),
        // It reads stdin to its end, which is there at once.
        (vec!["cat"], malformed("cat")),
        (vec!["/missing/gh", SECRET], Err(unstarted.to_owned())),
        // Nothing that a shell would do is done.
        (vec!["echo", "$HOME;id"], Ok("$HOME;id".to_owned())),
    ] {
        assert_eq!(ask(&command(&argv, LONG)).await, expected, "{argv:?}");
    }
}
