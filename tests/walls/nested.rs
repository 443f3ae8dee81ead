//! Namespaces that a sandbox makes for itself: it is root there, and still finds no way below what lies over the host's files.

use std::{fs, path::Path};

use crate::harness::{root, user};

/// Every way to what lies below a mount, tried by root of a user namespace with a mount namespace of its own. `$0` is a
/// directory of the caller's to mount on, `$1` the marker below `/tmp`.
const LOOK_BELOW: &str = r#"
try() { name=$1; shift; "$@" 2>/dev/null && echo "$name done"; test -e "$marker" && echo "$name: seen"; }
on=$0 marker=$1
try unmount umount /tmp
try detach umount -l /tmp
try unmount-proc umount -l /proc
try unmount-file umount -l "$HOME/.netrc"
try unmount-root umount -l /
mkdir -p "$on/a" "$on/b" "$on/c"
try bind mount --bind / "$on/a"; test -e "$on/a$marker" && echo bound and seen
try move mount --move /tmp "$on/a"
try rw mount -o remount,bind,rw /run/tidegate
try rw-sys mount -o remount,bind,rw /sys
mount --rbind / "$on/b" 2>/dev/null; test -e "$on/b$marker" && echo recursively bound and seen
test -s "$on/b$HOME/.netrc" && echo credential seen
try unmount-copy umount "$on/b/tmp"; test -e "$on/b$marker" && echo copy seen
try overlay mount -t overlay -o lowerdir=/:/etc overlay "$on/c"; test -e "$on/c$marker" && echo overlaid and seen
/usr/bin/python3 - "$on" "$marker" <<'PYTHON'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.argtypes = [ctypes.c_long] * 6
path = ctypes.create_string_buffer(b'/')
tree = libc.syscall(428, -100, ctypes.addressof(path), 1 | os.O_CLOEXEC, 0, 0) # open_tree, not recursive
if tree >= 0:
    print('tree taken', os.path.exists(f'/proc/self/fd/{tree}{sys.argv[2]}'))
PYTHON
cat "$HOME/.netrc"
echo end
"#;

#[test]
fn a_nested_namespace_shows_nothing_of_what_is_hidden() {
    let caller = user();
    caller.write(".netrc", "credential");
    let below = caller.directory_in(Path::new("/tmp"));
    let marker = below.path().join("marker");
    fs::write(&marker, "host's").unwrap();
    let on = caller.directory_in(caller.home());
    let script = caller.write("look.sh", LOOK_BELOW);
    let nest = |namespaces: &str| {
        format!("unshare {namespaces} /bin/sh -c \"$(cat {})\" {} {}", script.display(), on.path().display(), marker.display())
    };
    // The last has a /proc of its own over ours.
    for (namespaces, own) in [("-Urm", ""), ("-Urm unshare -Urm", ""), ("-Urmpf --mount-proc", "unmount-proc done\n")] {
        assert_eq!(caller.inside(&nest(namespaces)).printed(), format!("{own}end\n"), "{namespaces}");
    }
}

/// What a sandbox can see of the host without walls, so that the test above can fail.
#[test]
fn the_marker_of_the_nested_test_is_seen_outside() {
    let caller = user();
    let below = caller.directory_in(Path::new("/tmp"));
    let marker = below.path().join("marker");
    fs::write(&marker, "host's").unwrap();
    let seen = format!("mount -t tmpfs none /tmp && umount /tmp && test -e {} && echo seen", marker.display());
    assert_eq!(caller.outside(caller.home(), &["unshare", "-Urm", "/bin/sh", "-c", &seen]).printed(), "seen\n");
}

/// It would be root of the machine there by its id, with every capability over it.
#[test]
fn root_makes_no_user_namespaces() {
    let Some(caller) = root() else { return };
    let inside = caller.inside("unshare -U true 2>/dev/null && echo made; unshare -m true 2>/dev/null && echo mounts; nsenter -t 1 -n true 2>/dev/null && echo entered; echo end");
    assert_eq!(inside.printed(), "end\n");
}

/// Sandboxes that agents and browsers make inside keep working.
#[test]
fn a_user_makes_sandboxes_of_its_own() {
    let nested = user().inside("unshare -Urmpfn --mount-proc sh -c 'ls -d /proc/[0-9]* | wc -l; mount -t tmpfs none /mnt && echo mounted'");
    let printed = nested.printed();
    let [count, mounted] = printed.lines().collect::<Vec<_>>()[..] else { panic!("{printed}") };
    assert!(count.parse::<u32>().unwrap() < 5 && mounted == "mounted", "{printed}");
}
