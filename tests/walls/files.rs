//! What of the host's files is there, hidden, and replaced.

use std::{
    fs,
    io::ErrorKind,
    os::unix::{fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
};

use crate::harness::{Caller, callers, root};

/// Asks each path for a connection, and says how it went.
const CONNECT: &str = "
import socket, sys
for path in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print('connected')
    except OSError as error:
        print(type(error).__name__)
";

fn listen(caller: &Caller, path: PathBuf) -> (PathBuf, UnixListener) {
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    caller.give(&path);
    (path, listener)
}

fn connect(caller: &Caller, directory: &Path, paths: &[&Path], run: impl Fn(&Caller, &Path, &str) -> String) -> Vec<String> {
    let script = caller.write("connect.py", CONNECT);
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    run(caller, directory, &format!("/usr/bin/python3 {} {}", script.display(), paths.join(" "))).lines().map(str::to_owned).collect()
}

#[test]
fn threat_36_path_sockets_of_the_host_are_out_of_reach() {
    for caller in callers() {
        let work = caller.directory_in(Path::new("/tmp"));
        fs::create_dir(caller.home().join("runtime")).unwrap();
        caller.give(&caller.home().join("runtime"));
        let mut places = vec![caller.home().join("docker.sock"), caller.home().join("runtime/bus"), work.path().join("fsmonitor.ipc")];
        let run = if caller.is_root() { tempfile::tempdir_in("/run").ok() } else { None };
        places.extend(run.iter().map(|run| run.path().join("docker.sock")));
        let listeners: Vec<_> = places.into_iter().map(|path| listen(&caller, path)).collect();
        let paths: Vec<_> = listeners.iter().map(|(path, _)| path.as_path()).collect();

        let outside = connect(&caller, work.path(), &paths, |caller, directory, script| {
            caller.outside(directory, &["/bin/sh", "-c", script]).printed()
        });
        assert!(outside.iter().all(|said| said == "connected"), "{outside:?}");
        for (_, listener) in &listeners {
            listener.accept().unwrap();
        }
        let inside = connect(&caller, work.path(), &paths, |caller, directory, script| caller.inside_at(directory, script).printed());
        assert_eq!(inside.len(), paths.len());
        assert!(inside.iter().all(|said| said == "ConnectionRefusedError" || said == "FileNotFoundError"), "{inside:?}");
        for (path, listener) in &listeners {
            assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{}", path.display());
        }
    }
}

#[test]
fn a_socket_whose_name_has_a_space_is_out_of_reach() {
    for caller in callers() {
        let (path, listener) = listen(&caller, caller.home().join("of the host.sock"));
        let inside = caller.inside(&format!("test -S '{0}' && echo there; test -e '{0}' && echo hidden", path.display()));
        assert_eq!(inside.printed(), "hidden\n");
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn credentials_of_the_caller_are_hidden_and_settings_are_not() {
    const SECRETS: &[&str] =
        &[".config/gh/hosts.yml", ".netrc", ".git-credentials", ".ssh/id_ed25519", ".docker/config.json", ".aws/credentials", ".pypirc"];
    for caller in callers() {
        let paths: Vec<_> = SECRETS.iter().map(|name| caller.write(name, "credential").display().to_string()).collect();
        caller.write(".claude/settings.json", "settings");
        caller.write(".gitconfig", "settings");
        let found = caller.inside(&format!("cat {} 2>/dev/null; cat ~/.claude/settings.json ~/.gitconfig", paths.join(" ")));
        assert_eq!(found.printed(), "settingssettings");
        let changed =
            caller.inside("echo x >~/.netrc; echo x >~/.ssh/x; rm ~/.netrc; rmdir ~/.ssh; mv ~/.config/gh ~/g; ls -A ~/.ssh ~/.config/gh");
        assert!(!changed.out.contains("id_") && !changed.out.contains("hosts"), "{changed:?}");
        for name in SECRETS {
            assert_eq!(fs::read_to_string(caller.home().join(name)).unwrap(), "credential", "{name}");
        }
    }
}

#[test]
fn credentials_behind_a_link_are_hidden_where_they_lie() {
    for caller in callers() {
        let secret = caller.write("dotfiles/ssh/id", "credential");
        symlink("dotfiles/ssh", caller.home().join(".ssh")).unwrap();
        let found = caller.inside(&format!("cat {} ~/.ssh/id; ls ~/dotfiles", secret.display()));
        assert_eq!(found.out, "ssh\n", "{found:?}");
    }
}

#[test]
fn directories_for_sockets_and_temporary_files_are_private() {
    for caller in callers() {
        let host = caller.directory_in(Path::new("/tmp"));
        fs::write(host.path().join("marker"), "host's").unwrap();
        fs::create_dir(caller.home().join("runtime")).unwrap();
        fs::write(caller.home().join("runtime/marker"), "host's").unwrap();
        caller.give(&caller.home().join("runtime"));
        // Nobody else's on this machine.
        let mine = format!("mine-{}", std::process::id());
        let inside = caller.inside(&format!(
            "ls -A /tmp $XDG_RUNTIME_DIR /dev/shm; ls -A /run; for d in /tmp $XDG_RUNTIME_DIR /dev/shm; do echo x >$d/{mine} && cat $d/{mine}; done; \
             stat -c %a /tmp /dev/shm $XDG_RUNTIME_DIR"
        ));
        let runtime = caller.home().join("runtime");
        assert_eq!(inside.printed(), format!("/dev/shm:\n\n/tmp:\n\n{}:\ntidegate\nx\nx\nx\n1777\n1777\n700\n", runtime.display()));
        assert!(!Path::new("/tmp").join(&mine).exists() && !runtime.join(&mine).exists());
    }
}

#[test]
fn the_working_directory_stays_wherever_it_lies() {
    for caller in callers() {
        caller.write("runtime/there/x", "");
        caller.write(".ssh/there/x", "");
        caller.write(".ssh/id", "credential");
        let in_tmp = caller.directory_in(Path::new("/tmp"));
        let in_memory = caller.directory_in(Path::new("/dev/shm"));
        fs::create_dir(in_tmp.path().join("below")).unwrap();
        caller.give(&in_tmp.path().join("below"));
        let places = [
            in_tmp.path().join("below"),
            in_memory.path().to_owned(),
            caller.home().join("runtime/there"),
            caller.home().join(".ssh/there"),
            caller.home().join(".ssh"),
            caller.home().to_owned(),
        ];
        for place in places {
            let inside = caller
                .inside_at(&place, "pwd && echo written >made && cat made && cd .. && cd - >/dev/null && rm made && echo left >behind");
            assert_eq!(inside.printed(), format!("{}\nwritten\n", place.display()));
            assert_eq!(fs::read_to_string(place.join("behind")).unwrap(), "left\n");
            fs::remove_file(place.join("behind")).unwrap();
        }
        // What lies beside it stays hidden, by every way there.
        fs::write(in_tmp.path().join("beside"), "host's").unwrap();
        let beside = caller.inside_at(&in_tmp.path().join("below"), "ls -A .. ; ls -A /proc/self/cwd/..");
        assert_eq!(beside.printed(), "below\nbelow\n");
        let beside = caller.inside_at(&caller.home().join(".ssh/there"), "ls -A ..");
        assert_eq!(beside.printed(), "there\n");
    }
}

#[test]
fn a_directory_for_sockets_within_the_working_directory_is_private() {
    for caller in callers() {
        let work = caller.directory_in(Path::new("/tmp"));
        let runtime = work.path().join("runtime");
        fs::create_dir(&runtime).unwrap();
        fs::write(runtime.join("marker"), "host's").unwrap();
        let script = "XDG_RUNTIME_DIR=$PWD/runtime $TIDEGATE run --access none -- sh -c 'ls -A runtime; ls -A'";
        assert_eq!(caller.outside(work.path(), &["/bin/sh", "-c", script]).printed(), "runtime\n");
    }
}

#[test]
fn what_a_working_directory_holds_of_credentials_is_hidden() {
    for caller in callers() {
        caller.write(".netrc", "credential");
        caller.write(".ssh/id", "credential");
        assert_eq!(caller.inside("cat .netrc .ssh/* 2>/dev/null; echo done").printed(), "done\n");
    }
}

#[test]
fn the_resolver_and_the_names_of_hosts_are_ours() {
    for caller in callers() {
        let inside = caller.inside("cat /etc/resolv.conf; grep -c '^127.0.0.1 localhost' /etc/hosts; echo x >>/etc/hosts || echo kept");
        assert_eq!(inside.printed(), "nameserver 127.0.0.1\noptions edns0\n1\nkept\n");
    }
}

/// As where systemd-resolved writes the file: the link's target lies in a directory that is empty inside.
#[test]
fn the_resolver_is_ours_where_the_file_is_a_link_into_run() {
    let Some(caller) = root() else { return };
    for target in ["/run/systemd/resolve/stub-resolv.conf", "../run/other/resolv.conf", "resolv.real"] {
        let script = format!(
            "cp -a /etc \"$HOME/etc\" && mount --bind \"$HOME/etc\" /etc && mount -t tmpfs none /run
             cd /etc && rm resolv.conf && mkdir -p /run/systemd/resolve /run/other && echo nameserver 192.0.2.1 >{target}
             ln -s {target} resolv.conf && cd && $TIDEGATE run --access none -- cat /etc/resolv.conf"
        );
        let inside = caller.outside(caller.home(), &["unshare", "--mount", "sh", "-ec", &script]);
        assert_eq!(inside.printed(), "nameserver 127.0.0.1\noptions edns0\n", "{target}");
        fs::remove_dir_all(caller.home().join("etc")).unwrap();
    }
}

#[test]
fn the_bundle_lies_over_the_systems() {
    for caller in callers() {
        let inside = caller.inside(
            "for f in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
                 test ! -e $f || cmp $f /run/tidegate/ca-bundle.pem || echo $f differs; done; test -s /run/tidegate/ca-bundle.pem",
        );
        assert_eq!(inside.printed(), "");
    }
}

#[test]
fn no_mount_is_left_behind() {
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    for caller in callers() {
        caller.inside("true").printed();
    }
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
}
