//! Clients of git other than the git of the other tests: Debian's, cargo's own, which is libgit2, and those of Python, JavaScript and Java.

use crate::harness::{Done, World, world::refs_of};

const COMPONENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/components");

/// Runs a script of the shell, with the libraries of `make setup` for Python and Node.
#[track_caller]
fn run(world: &World, script: &str, arguments: &[&str]) -> Done {
    let set = format!(
        "export PYTHONPATH={COMPONENTS}/python NODE_PATH={COMPONENTS}/node/node_modules CARGO_HOME=\"$HOME/cargo\"\n\
         export CARGO_NET_GIT_FETCH_WITH_CLI=false CARGO_HTTP_CAINFO=\"$HOME/root.pem\"\n{script}"
    );
    world.sandbox.run_program("sh", &[&["-euc", &set, "sh"], arguments].concat())
}

/// `$CARGO` is the one that built this test: a rustup in its place would look into another home for a toolchain.
const CARGO: &str = concat!(
    "mkdir -p \"$1/src\" && cd \"$1\" && echo 'fn main() {}' > src/main.rs
    printf '[package]\\nname = \"use\"\\nversion = \"0.1.0\"\\nedition = \"2021\"\\n[dependencies]\\nparts = { git = \"%s\", branch = \"agent/fix-1\" }\\n' \
     \"$2\" > Cargo.toml\n",
    env!("CARGO"),
    " fetch && grep '^source = ' Cargo.lock"
);

/// libgit2 inside cargo, by the git door and as an unmodified remote.
#[test]
fn g_78_cargo_s_own_git_fetches_a_dependency() {
    let world = World::new();
    let door = world.url("octo/spoon");
    let world = world.cloned(&["agent/fix-1"]);
    world.sandbox.git_ok("clone", &["checkout", "--quiet", "agent/fix-1"]);
    std::fs::create_dir_all(world.sandbox.path("clone/src")).unwrap();
    std::fs::write(world.sandbox.path("clone/src/lib.rs"), "").unwrap();
    std::fs::write(world.sandbox.path("clone/Cargo.toml"), "[package]\nname = \"parts\"\nversion = \"1.0.0\"\nedition = \"2021\"\n")
        .unwrap();
    world.sandbox.commit("clone", "parts");
    world.push(&["--quiet", "origin", "agent/fix-1"]).assert(0, &[]);
    let commit = world.sandbox.id("agent/fix-1");
    std::fs::write(world.sandbox.path("root.pem"), "").unwrap();
    let asked = world.hub.seen().len();
    let done = run(&world, CARGO, &["by-door", &door]);
    assert!(done.code == Some(0) && done.out.contains(&commit), "{}{}", done.out, done.err);
    let world = world.behind_the_proxy();
    let done = run(&world, CARGO, &["by-proxy", "https://github.test/octo/spoon"]);
    assert!(done.code == Some(0) && done.out.contains(&commit), "{}{}", done.out, done.err);
    let seen = world.hub.seen().split_off(asked);
    let agents: Vec<_> = seen.iter().filter_map(|seen| seen.header("user-agent")).collect();
    assert!(!agents.is_empty() && agents.iter().all(|agent| agent == "git/1.0"), "not the git of this machine: {agents:?}");
    for refused in [world.url("octo/secret"), "https://github.test/octo/secret".into()] {
        let done = run(&world, CARGO, &["refused", &refused]);
        assert!(done.code == Some(101) && done.err.contains("403") && done.err.contains("octo/secret"), "{}{}", done.out, done.err);
    }
    for door in ["git", "proxy"] {
        world.gate().wait_for_record(|record| record["kind"] == "fetch" && record["verdict"] == "deny" && record["door"] == door);
    }
    world.finish();
}

/// Clones, commits, pushes to a branch that is granted and to one that is not.
const DULWICH: &str = "python3 -u - \"$@\" <<'END'
import sys
from dulwich import porcelain

_, url, branch, name = sys.argv
repository = porcelain.clone(url, name, errstream=sys.stderr.buffer)
with open(f'{name}/by-dulwich.txt', 'w') as file:
    file.write('hello')
porcelain.add(repository, [f'{name}/by-dulwich.txt'])
commit = porcelain.commit(repository, message=b'by dulwich', author=b'Sand <sand@example.com>', committer=b'Sand <sand@example.com>')
print('commit', commit.decode())
for target in (branch, 'main'):
    try:
        result = porcelain.push(repository, url, f'refs/heads/main:refs/heads/{target}', errstream=sys.stderr.buffer)
        for ref, error in (result.ref_status or {}).items():
            print('pushed' if error is None else 'refused', ref.decode(), error)
    except Exception as error:
        print('failed', target, type(error).__name__, error)
porcelain.fetch(repository, url, errstream=sys.stderr.buffer)
print('fetched')
END";

#[test]
fn g_78_dulwich_clones_pushes_and_is_refused() {
    let world = World::new();
    let door = world.url("octo/spoon");
    let by_door = run(&world, DULWICH, &[&door, "agent/fix-1", "by-door"]);
    assert_pushed(&world, &by_door);
    world.hub.git("octo/spoon", &["update-ref", "-d", "refs/heads/agent/fix-1"]);
    let world = world.behind_the_proxy();
    let by_proxy = run(&world, DULWICH, &["https://github.test/octo/spoon", "agent/fix-1", "by-proxy"]);
    assert_pushed(&world, &by_proxy);
    let done = run(&world, DULWICH, &["https://github.test/octo/secret", "x", "refused"]);
    assert!(done.code == Some(1) && done.err.contains("403"), "{}{}", done.out, done.err);
    world.finish();
}

/// What the client printed: the commit that it pushed, the words of the refusal of `main`, and that it could go on.
#[track_caller]
fn assert_pushed(world: &World, done: &Done) {
    let said = format!("{}{}", done.out, done.err);
    assert_eq!(done.code, Some(0), "{said}");
    let commit = done.out.lines().find_map(|line| line.strip_prefix("commit ")).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], commit, "{said}");
    assert_ne!(world.hub.refs("octo/spoon")["refs/heads/main"], commit, "{said}");
    assert!(done.out.contains("pushed refs/heads/agent/fix-1"), "{said}");
    assert!(done.out.contains("refused refs/heads/main") && done.out.contains("policy: "), "{said}");
    assert!(done.out.contains("fetched"), "{said}");
    let denied = world.push_record("deny");
    assert_eq!((&denied["reason"], refs_of(&denied)), (&"ref_not_granted".into(), vec!["refs/heads/main"]), "{denied:#}");
}

/// It knows of no proxy, so that the git door is its way in. Its pushes are of one ref each.
const ISOMORPHIC: &str = "node - \"$@\" <<'END'
const fs = require('fs'), git = require('isomorphic-git'), http = require('isomorphic-git/http/node');
const [url, branch, dir] = process.argv.slice(2);
const author = { name: 'Sand', email: 'sand@example.com' };
(async () => {
  await git.clone({ fs, http, dir, url });
  fs.writeFileSync(`${dir}/by-isomorphic.txt`, 'hello');
  await git.add({ fs, dir, filepath: 'by-isomorphic.txt' });
  console.log('commit', await git.commit({ fs, dir, author, message: 'by isomorphic-git' }));
  for (const remoteRef of [branch, 'main']) {
    try {
      const result = await git.push({ fs, http, dir, url, ref: 'main', remoteRef: `refs/heads/${remoteRef}`, onMessage: console.log });
      for (const [ref, status] of Object.entries(result.refs)) console.log(status.ok ? 'pushed' : 'refused', ref, status.error);
    } catch (error) {
      for (const [ref, status] of Object.entries(error.data?.result?.refs ?? {})) console.log('refused', ref, status.error);
      console.log('failed', error.code, error.message);
    }
  }
  await git.fetch({ fs, http, dir, url });
  console.log('fetched');
})().catch((error) => { console.error(error.code, error.message, JSON.stringify(error.data)); process.exit(1); });
END";

#[test]
fn g_78_isomorphic_git_clones_pushes_and_is_refused() {
    let world = World::new();
    let done = run(&world, ISOMORPHIC, &[&world.url("octo/spoon"), "agent/fix-1", "clone"]);
    assert_pushed(&world, &done);
    let done = run(&world, ISOMORPHIC, &[&world.url("octo/secret"), "x", "refused"]);
    assert!(done.code == Some(1) && done.err.contains("HttpError") && done.err.contains("octo/secret"), "{}{}", done.out, done.err);
    world.finish();
}

/// Debian's, of 2018: no second version of the protocol. The JVM takes the path of the class from the jar's own list.
const JGIT: &str = "cat > Work.java <<'END'
import java.io.File;
import java.nio.file.Files;
import org.eclipse.jgit.api.Git;
import org.eclipse.jgit.transport.*;

class Work {
  public static void main(String[] args) throws Exception {
    var who = new UsernamePasswordCredentialsProvider(\"x\", args[1]);
    try (Git git = Git.cloneRepository().setURI(args[0]).setDirectory(new File(args[2])).setCredentialsProvider(who).call()) {
      Files.writeString(new File(args[2], \"by-jgit.txt\").toPath(), args.length > 3 ? args[3] : \"hello\");
      git.add().addFilepattern(\"by-jgit.txt\").call();
      var sand = new org.eclipse.jgit.lib.PersonIdent(\"Sand\", \"sand@example.com\");
      System.out.println(\"commit \" + git.commit().setMessage(\"by JGit\").setAuthor(sand).setCommitter(sand).call().name());
      try {
        for (var pushed : git.push().setCredentialsProvider(who).setRefSpecs(new RefSpec(\"HEAD:refs/heads/agent/fix-1\")).call())
          for (var update : pushed.getRemoteUpdates()) System.out.println(\"pushed \" + update.getStatus() + \" \" + update.getMessage());
      } catch (org.eclipse.jgit.api.errors.TransportException error) {
        System.out.println(\"refused \" + error.getMessage());
      }
      git.fetch().setCredentialsProvider(who).call();
      System.out.println(\"fetched\");
    }
  }
}
END
[ -e /usr/share/java/org.eclipse.jgit.jar ] || { echo 'JGit is needed: apt-get install libjgit-java' >&2; exit 9; }
java -Xshare:auto -XX:TieredStopAtLevel=1 -cp /usr/share/java/org.eclipse.jgit.jar Work.java \"$@\"";

/// It compresses what it pushes, and cannot be told not to.
#[test]
fn g_78_g_10_jgit_clones_pushes_compressed_and_is_refused() {
    let world = World::new();
    let done = run(&world, JGIT, &[&world.bare_url("octo/spoon"), &world.token, "clone"]);
    let said = format!("{}{}", done.out, done.err);
    assert!(done.code == Some(0) && done.out.contains("pushed OK") && done.out.contains("fetched"), "{said}");
    let commit = done.out.lines().find_map(|line| line.strip_prefix("commit ")).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], commit, "{said}");
    // What was judged goes up, and not what it came in.
    assert!(world.pushes().iter().all(|push| push.header("content-encoding").is_none()));
    let done = run(&world, JGIT, &[&world.bare_url("octo/secret"), &world.token, "refused"]);
    assert!(done.code == Some(1) && done.err.contains("octo/secret"), "{}{}", done.out, done.err);
    world.finish();
}

/// What a push may hold is looked at in what it compressed, and it prints why not.
#[test]
fn g_10_jgit_is_held_to_what_a_push_may_contain() {
    const RULES: &str = "[[session.repository]]\nname = \"octo/spoon\"\naccess = \"write\"\npush = [\"refs/heads/agent/**\"]\n\
        content = { deny_paths = [\".github/**\"] }\n";
    let world = World::granting(RULES);
    let jgit = |directory: &str, text: &str| run(&world, JGIT, &[&world.bare_url("octo/spoon"), &world.token, directory, text]);
    let before = world.hub.refs("octo/spoon");
    let done = jgit("refused", "ghp_0123456789abcdefghijklmnopqrstuvwxyz");
    let says = "pushed REJECTED_OTHER_REASON policy: by-jgit.txt holds a GitHub token (content refuse_secrets)";
    assert!(done.code == Some(0) && done.out.contains(says), "{}{}", done.out, done.err);
    world.assert_push_denied("push_content_not_allowed", &["refs/heads/agent/fix-1"]);
    assert_eq!((world.hub.refs("octo/spoon"), world.pushes().len()), (before, 0));
    let done = jgit("clone", "no token");
    assert!(done.code == Some(0) && done.out.contains("pushed OK"), "{}{}", done.out, done.err);
    assert_eq!(world.hub.refs("octo/spoon")["refs/heads/agent/fix-1"], world.sandbox.id("HEAD"));
    world.finish();
}

/// The one in `/usr/bin`, where another comes before it in `PATH`.
const DEBIAN: &str = "PATH=/usr/bin:/bin; git clone --quiet \"$1\" clone 2>&1; cd clone; echo hello > by-debian.txt; git add .
git commit --quiet -m 'by another git'; echo commit $(git rev-parse HEAD)
for branch in \"$2\" main; do
  if said=$(git push origin HEAD:$branch 2>&1); then echo pushed refs/heads/$branch; else echo refused refs/heads/$branch \"$said\"; fi
done
git fetch --quiet origin && echo fetched";

#[test]
fn g_78_the_git_of_the_distribution_clones_pushes_and_is_refused() {
    let world = World::new();
    let door = world.url("octo/spoon");
    assert_pushed(&world, &run(&world, DEBIAN, &[&door, "agent/fix-1"]));
    std::fs::remove_dir_all(world.sandbox.path("clone")).unwrap();
    world.hub.git("octo/spoon", &["update-ref", "-d", "refs/heads/agent/fix-1"]);
    let world = world.behind_the_proxy();
    assert_pushed(&world, &run(&world, DEBIAN, &["https://github.test/octo/spoon.git", "agent/fix-1"]));
    world.finish();
}
