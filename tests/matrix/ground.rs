//! A network of the test's own: origins with a private authority at the ports where people have them, and Tidegate's configurations.

use std::{
    fmt::Write as _,
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    client::{Client, Column, Protocol, Server},
    harness::{
        callers::{Answer, Dns},
        nginx::Nginx,
        pki::Pki,
        program::{program, run_for},
        wait::poll,
    },
};

/// The name that is allowed, the one that is refused, and the one to which nothing may be asked where TLS ends at the gate.
pub(crate) const NAME: &str = "pkg.test";
pub(crate) const REFUSED: &str = "evil.test";
pub(crate) const SHUT: &str = "shut.test";

pub(crate) struct Ground {
    _dns: Dns,
    _servers: Vec<Running>,
    _nginx: Nginx,
    _pki: Pki,
    directory: TempDir,
}

impl Ground {
    /// Everything that a client fetches from.
    #[track_caller]
    pub(crate) fn start(client: &Client) -> Self {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        // For servers that are nobody's.
        let open = |path: &Path| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        open(directory.path());
        let (pki, dns) = (Pki::for_names(&[NAME, REFUSED, SHUT]), Dns::start());
        for name in [NAME, REFUSED, SHUT] {
            dns.say(name, Answer::of(&["127.0.0.1"]));
        }
        let nginx = Nginx::at(&pki, 80, 443);
        nginx.put("hello", "from nginx\n");
        configure(directory.path(), &dns, client);
        let system = fs::read("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
        fs::write(directory.path().join("roots.pem"), [fs::read(pki.root()).unwrap(), system].concat()).unwrap();
        let given = |command: &mut Command| {
            given(command, directory.path());
            command.env("CERTIFICATE", pki.certificate()).env("KEY", pki.key()).env("ROOT", nginx.root());
        };
        let start = |server: &Server| {
            let place = directory.path().join(server.port.to_string());
            fs::create_dir(&place).unwrap();
            open(&place);
            Running::start(server, &place, given)
        };
        let running = client.servers.iter().map(start).collect();
        if !client.serve.is_empty() {
            let place = tempfile::tempdir_in(directory.path()).unwrap();
            let mut serve = program("bash");
            given(&mut serve);
            serve.args(["-euo", "pipefail", "-c", client.serve]).current_dir(place.path()).env("HOME", place.path());
            let ran = run_for(&mut serve, "bash", PATIENCE);
            assert!(ran.success, "what {} fetches cannot be made; make matrix installs what that needs: {}", client.name, ran.said);
        }
        Self { _dns: dns, _servers: running, _nginx: nginx, _pki: pki, directory }
    }

    /// Where Tidegate takes its configuration from in a column.
    pub(crate) fn config(&self, column: Column) -> PathBuf {
        self.directory.path().join(if column.intercepted { "intercepted.toml" } else { "tunnelled.toml" })
    }

    /// The roots that this machine is to have.
    pub(crate) fn roots(&self) -> PathBuf {
        self.directory.path().join("roots.pem")
    }

    /// A home in which nothing lies, and a place for records outside of it.
    pub(crate) fn home(&self) -> (TempDir, TempDir) {
        [(); 2].map(|()| tempfile::tempdir_in(self.directory.path()).unwrap()).into()
    }

    /// A program of a client's, which knows where all is that this repository installs.
    pub(crate) fn program(&self, name: impl AsRef<Path>) -> Command {
        let mut command = program(&name.as_ref().to_string_lossy());
        given(&mut command, self.directory.path());
        command
    }
}

/// What every script knows.
fn given(command: &mut Command, directory: &Path) {
    let components = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/components");
    let [node, python, more_python] = ["matrix-node/node_modules", "python", "matrix-python"].map(|part| components.join(part));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin".into(), "/sbin".into(), more_python.join("bin"), node.join(".bin")];
    let path = std::env::split_paths(&path).chain(more);
    command
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("PYTHONPATH", std::env::join_paths([&python, &more_python]).unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NODE_MODULES", &node)
        .env("SHARED", directory)
        .env("CARGO", env!("CARGO"))
        .env("NAME", NAME)
        .env_remove("JAVA_TOOL_OPTIONS")
        .env_remove("NODE_OPTIONS")
        .env_remove("XDG_CACHE_HOME");
}

/// One file for each of the two ways to treat TLS.
fn configure(directory: &Path, dns: &Dns, client: &Client) {
    for (name, intercept) in [("tunnelled", ""), ("intercepted", ", intercept = true")] {
        let mut allow = format!("{{ host = \"{NAME}\"{intercept} }}");
        let mut shut = format!("\"{SHUT}\"");
        for server in client.servers {
            let port = server.port;
            let _ = match server.protocol {
                Protocol::Any => write!(allow, ", \"{NAME}:{port}\""),
                Protocol::Tls => write!(allow, ", {{ host = \"{NAME}:{port}\", tls = true{intercept} }}"),
            };
            if server.protocol == Protocol::Tls {
                let _ = write!(allow, ", {{ host = \"{SHUT}:{port}\", tls = true }}");
                let _ = write!(shut, ", \"{SHUT}:{port}\"");
            }
        }
        let rule = format!("[[rule]]\nname = \"nothing\"\nhosts = [{shut}]\nmethods = [\"GET\"]\npaths = [\"/nothing\"]\n");
        let policy = format!("allow = [{allow}, \"{SHUT}\"]\n[addresses]\nallow = [\"127.0.0.0/8\"]\n{}\n{rule}", client.policy);
        fs::write(directory.join(format!("{name}-policy.toml")), policy).unwrap();
        let config = format!("[policy]\nfile = \"{name}-policy.toml\"\n[dns]\nresolver = \"{}\"\n", dns.address());
        fs::write(directory.join(format!("{name}.toml")), config).unwrap();
    }
}

/// A server; ended when dropped.
struct Running(Child);

impl Running {
    #[track_caller]
    fn start(server: &Server, place: &Path, given: impl Fn(&mut Command)) -> Self {
        let mut command = program("bash");
        given(&mut command);
        command.args(["-euo", "pipefail", "-c", server.script]).current_dir(place).env("HOME", place);
        let said = || fs::File::create(place.join("said")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(said()).stderr(said()).spawn().unwrap();
        let mut running = Self(child);
        let at = |port: u16| TcpStream::connect(("127.0.0.1", port)).is_ok();
        let text = || fs::read_to_string(place.join("said")).unwrap_or_default();
        let mut ended = None;
        let mut listens = || {
            ended = running.0.try_wait().unwrap();
            (ended.is_some() || at(server.port)).then_some(())
        };
        // A database has to be made first.
        let settled = (0..6).find_map(|_| poll(&mut listens));
        assert!(
            settled.is_some() && ended.is_none(),
            "no server for port {}; make setup or make matrix installs it: {}",
            server.port,
            text()
        );
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        if poll(|| self.0.try_wait().ok().flatten()).is_none() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// For what installs or compiles.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
