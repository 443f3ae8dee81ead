//! What leads around the walls if nobody thought of it.

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    net::{TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, net::UnixDatagram},
    },
    process::{Command, Stdio},
};

use crate::harness::{Ended, callers, end, user, wait_for};

/// A socket of the host's network would stay there: COMMAND could connect it anew, to anywhere.
#[test]
fn threat_36_descriptors_that_lead_further_are_not_handed_on() {
    for caller in callers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (datagram, _peer) = UnixDatagram::pair().unwrap();
        let directory = fs::File::open(caller.home()).unwrap();
        let leading: [(OwnedFd, &str); 3] = [
            (stream.into(), "a socket that can be connected elsewhere"),
            (datagram.into(), "a socket that can be connected elsewhere"),
            (directory.into(), "a directory"),
        ];
        for (descriptor, what) in leading {
            let mut command = caller.tidegate(&["--", "echo", "started"]);
            command.stdin(Stdio::from(descriptor)).stdout(Stdio::piped()).stderr(Stdio::piped());
            let Ended { status, out, err } = wait_for(command.spawn().unwrap());
            let expected = format!("tidegate: stdin is {what}, by which COMMAND would get around the walls: put a pipe between them\n");
            assert_eq!((status, out.as_str(), err), (125, "", expected));
        }
    }
}

#[test]
fn a_directory_may_have_any_name() {
    for caller in callers() {
        let name = OsStr::from_bytes(b"\xff \xfe");
        let directory = caller.home().join(name);
        assert!(caller.command("mkdir").arg(&directory).status().unwrap().success());
        let output = caller.tidegate(&["--", "pwd"]).current_dir(&directory).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.stdout, [directory.as_os_str().as_bytes(), b"\n"].concat(), "{output:?}");
    }
}

#[test]
fn devices_are_the_hosts_to_change_and_no_other_ones_open() {
    for caller in callers() {
        let node = caller.home().join("zero");
        if caller.uid() == 0 {
            let made = Command::new("mknod").arg(&node).args(["c", "1", "5"]).status().unwrap();
            assert!(made.success(), "it takes the capability to make devices");
        }
        let script = "echo written > /dev/null; : >> /dev/null; head -c 2 /dev/zero | wc -c
            chmod 644 /dev/null 2>&1 | grep -c null; head -c 2 zero 2>&1 | grep -c zero";
        assert_eq!(caller.shell(script).printed(), "2\n1\n1\n");
    }
}

/// What somebody else puts where a socket of his was is nothing to hide: it may be anybody's.
#[test]
fn a_socket_that_gave_way_hides_nothing() {
    let caller = user();
    let path = caller.home().join("socket");
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_eq!(caller.shell("test -S socket; echo $?").printed(), "1\n");
    fs::rename(&path, caller.home().join("renamed")).unwrap();
    assert_eq!(caller.shell("test -S renamed; echo $?").printed(), "1\n");
    std::os::unix::fs::symlink("/usr", &path).unwrap();
    assert_eq!(caller.shell("test -x socket/bin/env; echo $?").printed(), "0\n");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("socket", &path).unwrap();
    assert_eq!(caller.shell("echo started").printed(), "started\n");
    drop(socket);
}

/// Outside, git reads such a repository and runs its hooks.
#[test]
fn a_repository_on_disk_is_neither_reached_nor_replaced() {
    for caller in callers() {
        let made = "git init -q -b main work && cd work && git -c user.name=a -c user.email=a@b.test commit -q --allow-empty -m first &&
            mkdir ../on && git clone -q --bare . ../on/spoon.git && echo 'echo credential' > ../token && chmod +x ../token";
        assert_eq!(end(caller.command("sh").args(["-c", made]), b"").status, 0, "git is needed: apt-get install git");
        caller.write("tidegate.toml", ON_DISK);
        let script = "git clone -q git@github.com:octo/spoon && ls on/spoon.git && cat token
            echo no > on/spoon.git/hooks || mv on off || mv on/spoon.git away || echo no > token || mv token away || mv \"$PWD\" \"$PWD.away\" || echo held";
        let Ended { status, out, err } = caller.run(&["--config", "tidegate.toml", "--", "sh", "-c", script]);
        assert_eq!((status, out.as_str()), (0, "echo credential\nheld\n"), "{err}");
    }
}

const ON_DISK: &str = "
[state]
dir = \"state\"
[[github]]
host = \"github.com\"
credential = { command = [\"./token\"] }
[[session]]
id = \"s1\"
[[session.repository]]
name = \"octo/spoon\"
upstream_path = \"on/spoon.git\"
";

#[test]
fn threat_36_sockets_are_hidden_that_no_list_has_by_their_path() {
    for caller in callers() {
        let directory = caller.home().to_owned();
        // By a relative path, as programs bind one whose whole path is too long; and in another network.
        let script =
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print(flush=True); sys.stdin.read()";
        let absolute = directory.join("absolute");
        let mut relative = caller.command("python3");
        relative.args(["-c", script, "relative"]);
        let mut elsewhere = caller.command("unshare");
        elsewhere.args(["-Urn", "python3", "-c", script, absolute.to_str().unwrap()]);
        let mut holders: Vec<_> = [relative, elsewhere]
            .iter_mut()
            .map(|command| {
                let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
                let mut line = [0];
                holder.stdout.take().unwrap().read_exact(&mut line).unwrap();
                holder
            })
            .collect();
        let seen = caller.shell("test -e relative && test -e absolute && test ! -S relative && test ! -S absolute && echo hidden");
        for holder in &mut holders {
            drop(holder.stdin.take());
            holder.wait().unwrap();
        }
        assert_eq!(seen.printed(), "hidden\n");
    }
}
