//! The house rules, held: who may import whom, which outside crate belongs to which room, how long a file and a function
//! may be, what the pure floors abstain from, and that there is one crypto provider.
//!
//! The tables come first: whoever adds a dependency or a room edits them and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path as FilePath,
    process::Command,
};

use reader::{Module, Path, Sources};

#[path = "architecture/reader.rs"]
mod reader;

/// The floors as `lib.rs` marks them (`// ── 0 · words`), from the cellar to the roof.
const FLOORS: &[(&str, Floor)] = &[
    ("// ── 0 ", Floor::Words),
    ("// ── 1 ", Floor::Reading),
    ("// ── 2 ", Floor::Judgment),
    ("// ── 3 ", Floor::Means),
    ("// ── 4 ", Floor::Path),
    ("// ── roof", Floor::Roof),
];

/// Where each dependency may be named. One that is missing here may be named nowhere.
const CRATES: &[(&str, Home)] = &[
    ("idna", Home::From(Floor::Words)),
    ("ipnet", Home::From(Floor::Words)),
    ("zeroize", Home::From(Floor::Words)),
    ("aho_corasick", Home::Rooms(&["wire"])),
    ("base64", Home::From(Floor::Reading)),
    ("flate2", Home::Rooms(&["pack", "wire"])),
    ("gix_packetline", Home::Rooms(&["github"])),
    ("gix_validate", Home::Rooms(&["github"])),
    ("hickory_proto", Home::Rooms(&["wire"])),
    ("http", Home::From(Floor::Reading)),
    ("serde", Home::From(Floor::Reading)),
    ("globset", Home::From(Floor::Judgment)),
    ("psl", Home::From(Floor::Judgment)),
    ("toml", Home::From(Floor::Judgment)),
    ("arc_swap", Home::From(Floor::Means)),
    ("bytes", Home::From(Floor::Means)),
    ("http_body", Home::From(Floor::Means)),
    ("http_body_util", Home::From(Floor::Means)),
    ("hyper", Home::From(Floor::Means)),
    ("hyper_util", Home::From(Floor::Means)),
    ("rustls", Home::From(Floor::Means)),
    ("tokio", Home::From(Floor::Means)),
    ("tokio_rustls", Home::From(Floor::Means)),
    ("tracing", Home::From(Floor::Means)),
    ("annotate_snippets", Home::Rooms(&["command"])),
    ("aws_lc_rs", Home::Rooms(&["authority", "backend", "command", "gateway", "pack", "sessions", "upstream"])),
    ("clap", Home::Rooms(&["command", "main"])),
    ("governor", Home::Rooms(&["limits"])),
    ("hickory_resolver", Home::Rooms(&["upstream"])),
    ("if_addrs", Home::Rooms(&["upstream"])),
    ("jiff", Home::Rooms(&["admin", "audit", "authority", "config", "github", "policy", "recorded", "sessions"])),
    ("libc", Home::Rooms(&["confine"])),
    ("nix", Home::Rooms(&["command"])),
    ("octocrab", Home::Rooms(&["credentials"])),
    ("pasetors", Home::Rooms(&["sessions", "token"])),
    ("prometheus", Home::Rooms(&["metrics"])),
    ("rcgen", Home::Rooms(&["authority"])),
    ("rustix", Home::Rooms(&["backend", "command", "confine", "credentials", "downstream", "processes", "server"])),
    ("rustls_native_certs", Home::Rooms(&["authority", "upstream"])),
    ("seccompiler", Home::Rooms(&["confine"])),
    ("sd_notify", Home::Rooms(&["command"])),
    (
        "serde_json",
        Home::Rooms(&[
            "admin", "audit", "command", "github", "metrics", "pages", "policy", "recorded", "respond", "sessions", "shown", "token",
        ]),
    ),
    ("tracing_subscriber", Home::Rooms(&["command", "main"])),
];

/// The rooms that may read a secret: one hands a new token to the owner, one shows the owner's token to the admin listener,
/// one checks the tokens an operator wrote, one puts a real credential into a request, one compares what a sandbox shows.
const EXPOSING_ROOMS: &[&str] = &["admin", "command", "config", "credentials", "sessions"];

/// What floors 0 to 2 may not name: everything that makes a judgment depend on more than its arguments.
const IMPURE_WORDS: &[&str] = &["async", "await"];
const IMPURE_STD: &[&str] = &["std::env", "std::fs", "std::os", "std::process", "std::thread"];
const IMPURE_ENDS: &[&str] =
    &["Instant::now", "SystemTime::now", "net::TcpListener", "net::TcpStream", "net::ToSocketAddrs", "net::UdpSocket"];

const NAMES_THAT_SAY_NOTHING: &[&str] =
    &["common", "core", "handler", "handlers", "helper", "helpers", "manager", "misc", "types", "util", "utils"];

const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 60;
const MAX_MAIN_LINES: usize = 60;
const MAX_FOLDERS: usize = 2;

const FORBIDDEN_PACKAGES: &[&str] = &["native-tls", "openssl", "openssl-sys", "ring"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Floor {
    Words,
    Reading,
    Judgment,
    Means,
    Path,
    Roof,
}

#[derive(Debug, Clone, Copy)]
enum Home {
    /// This floor and every later one.
    From(Floor),
    /// These modules and their children.
    Rooms(&'static [&'static str]),
}

#[test]
fn modules_import_only_what_stands_earlier() {
    assert_none(&later_imports(&House::ours()));
}

#[test]
fn dependencies_stay_in_their_rooms() {
    assert_none(&stray_crates(&House::ours()));
}

#[test]
fn the_table_of_rooms_names_every_dependency_and_no_other() {
    let named: BTreeSet<String> = CRATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(House::ours().dependencies, named);
}

#[test]
fn words_reading_and_judgment_depend_on_their_arguments_only() {
    assert_none(&impurities(&House::ours()));
}

#[test]
fn files_and_functions_stay_within_their_budgets() {
    assert_none(&budgets_exceeded(&House::ours()));
}

#[test]
fn files_are_named_and_placed_by_the_rules() {
    assert_none(&misplaced_files(&House::ours()));
}

#[test]
fn secrets_are_read_in_few_rooms() {
    assert_none(&exposures(&House::ours()));
}

/// Asks cargo for what is built here, not `Cargo.lock`: the lock names optional packages too that nothing turns on.
#[test]
fn one_crypto_provider_is_built() -> std::io::Result<()> {
    let cargo = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let tree = String::from_utf8_lossy(&cargo.stdout);
    let packages: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(packages.contains("aws-lc-rs"), "cargo tree does not show the provider we use:\n{tree}");
    let forbidden: Vec<_> = FORBIDDEN_PACKAGES.iter().filter(|name| packages.contains(**name)).collect();
    assert_eq!(forbidden, Vec::<&&str>::new());
    Ok(())
}

/// What the rules look at.
struct House {
    sources: Sources,
    modules: Vec<Module>,
    floors: BTreeMap<String, Floor>,
    /// The dependencies' names as code writes them.
    dependencies: BTreeSet<String>,
}

impl House {
    fn ours() -> Self {
        let root = FilePath::new(env!("CARGO_MANIFEST_DIR"));
        let mut sources = Sources::new();
        read_folder(&root.join("src"), "", &mut sources);
        Self::new(sources, &read(&root.join("Cargo.toml")))
    }

    fn new(sources: Sources, manifest: &str) -> Self {
        let modules = reader::modules(&sources);
        let floors = sources.get("lib.rs").map(|lib| floors(lib)).unwrap_or_default();
        Self { sources, modules, floors, dependencies: dependencies(manifest) }
    }

    /// The floor of a module; the root and the binary see all, like the roof.
    fn floor(&self, module: &Module) -> Floor {
        match module.path.first() {
            Some(top) if top != "main" => *self.floors.get(top).unwrap_or_else(|| panic!("module {top} stands under no floor in lib.rs")),
            _ => Floor::Roof,
        }
    }

    fn find(&self, path: &[String]) -> Option<&Module> {
        self.modules.iter().find(|module| module.path == path)
    }

    /// The module that a path written in `from` leads into, and what the path names there. `None` for a path that leads out
    /// of the crate or to a name of the module itself.
    fn resolve<'h, 'p>(&'h self, from: &Module, path: &'p [String]) -> Option<(&'h Module, &'p [String])> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" | "tidegate" => Vec::new(),
            "self" => from.path.clone(),
            "super" => from.path.split_last()?.1.to_vec(),
            child if from.children.iter().any(|name| name == child) => [&from.path[..], &[child.to_owned()]].concat(),
            _ => return None,
        };
        while let Some((next, after)) = rest.split_first() {
            let child = [&at[..], std::slice::from_ref(next)].concat();
            if next == "super" {
                at.pop();
            } else if self.find(&child).is_some() {
                at = child;
            } else {
                break;
            }
            rest = after;
        }
        Some((self.find(&at)?, rest))
    }

    /// Where a name of a module really comes from: a child, where the module only passes it on.
    fn origin<'m>(&'m self, module: &'m Module, name: Option<&String>) -> &'m Module {
        let passed_on = reader::paths(&module.code).into_iter().filter(|path| path.last() == name && path.len() > 1);
        let mut targets = passed_on.filter_map(|path| self.resolve(module, &path).map(|(target, _)| target));
        targets.find(|target| target.path.len() > module.path.len()).unwrap_or(module)
    }

    /// A module's place: the position of each of its names among its siblings, from the root down.
    fn place(&self, path: &[String]) -> Vec<usize> {
        (0..path.len())
            .map(|depth| {
                let parent = self.find(&path[..depth]);
                parent.and_then(|parent| parent.children.iter().position(|name| *name == path[depth])).unwrap_or(usize::MAX)
            })
            .collect()
    }
}

/// Imports of a module that stands later, of the root, and of everything a module has.
fn later_imports(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    for module in house.modules.iter().filter(|module| !module.path.is_empty()) {
        for path in reader::paths(&module.code) {
            let Some((target, rest)) = house.resolve(module, &path) else { continue };
            let shown = format!("{}: {}", module.file, path.join("::"));
            if rest.first().is_some_and(|name| name == "*") {
                found.push(format!("{shown} hides which names it brings"));
            } else if target.path.is_empty() {
                found.push(format!("{shown} takes a name from the root, which has none"));
            } else if stands_later(house, &house.origin(target, rest.first()).path, &module.path) {
                found.push(format!("{shown} stands later"));
            }
        }
    }
    found
}

/// Whether `target` stands later than `module`. A parent may use its children, and a child what its parents have themselves.
fn stands_later(house: &House, target: &[String], module: &[String]) -> bool {
    let related = target.starts_with(module) || module.starts_with(target);
    !related && house.place(target) > house.place(module)
}

fn stray_crates(house: &House) -> Vec<String> {
    let mut found = BTreeSet::new();
    for module in &house.modules {
        for path in reader::paths(&module.code) {
            let is_crate = |name: &&String| house.dependencies.contains(*name) && !module.children.contains(name);
            let Some(name) = path.first().filter(is_crate) else { continue };
            let home = CRATES.iter().find(|(known, _)| known == name).map(|(_, home)| *home);
            let at_home = match home {
                Some(Home::From(floor)) => house.floor(module) >= floor,
                Some(Home::Rooms(rooms)) => in_rooms(module, rooms),
                None => false,
            };
            if !at_home {
                found.insert(format!("{}: {name} does not belong here, see CRATES", module.file));
            }
        }
    }
    found.into_iter().collect()
}

fn in_rooms(module: &Module, rooms: &[&str]) -> bool {
    module.path.first().is_some_and(|top| rooms.contains(&top.as_str()))
}

fn impurities(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    let pure = house.modules.iter().filter(|module| !module.path.is_empty() && house.floor(module) <= Floor::Judgment);
    for module in pure {
        let words = IMPURE_WORDS.iter().filter(|word| reader::has_word(&module.code, word));
        found.extend(words.map(|word| format!("{}: {word}", module.file)));
        let paths = reader::paths(&module.code).into_iter().filter(is_impure);
        found.extend(paths.map(|path| format!("{}: {}", module.file, path.join("::"))));
    }
    found
}

fn is_impure(path: &Path) -> bool {
    let path = path.join("::");
    let in_std = |module: &&str| path.strip_prefix(*module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    IMPURE_STD.iter().any(in_std) || IMPURE_ENDS.iter().any(|end| path.ends_with(end) || path.contains(&format!("{end}::")))
}

fn budgets_exceeded(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    for module in &house.modules {
        let lines = module.code.lines().count();
        let most = if module.file == "main.rs" { MAX_MAIN_LINES } else { MAX_FILE_LINES };
        if lines > most {
            found.push(format!("{}: {lines} lines without tests, {most} at most", module.file));
        }
        let long = reader::functions(&module.code).into_iter().filter(|(_, lines)| *lines > MAX_FUNCTION_LINES);
        found.extend(long.map(|(name, lines)| format!("{}: fn {name} has {lines} lines, {MAX_FUNCTION_LINES} at most", module.file)));
    }
    found
}

fn misplaced_files(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in &house.sources {
        let stem = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".rs");
        if stem == "mod" {
            found.push(format!("{file}: write x.rs beside x/"));
        }
        if NAMES_THAT_SAY_NOTHING.contains(&stem) {
            found.push(format!("{file}: a name that says nothing"));
        }
        if file.matches('/').count() > MAX_FOLDERS {
            found.push(format!("{file}: {MAX_FOLDERS} folders deep at most"));
        }
        let code = reader::blank(text);
        if reader::has_word(&code, "unsafe") {
            found.push(format!("{file}: unsafe"));
        }
        if code.contains("#[path") || code.contains("include!(") {
            found.push(format!("{file}: code from a place that these rules do not read"));
        }
    }
    found
}

fn exposures(house: &House) -> Vec<String> {
    let exposing = house.modules.iter().filter(|module| module.code.contains(".expose()") || module.code.contains("::expose"));
    exposing.filter(|module| !in_rooms(module, EXPOSING_ROOMS)).map(|module| format!("{}: expose()", module.file)).collect()
}

/// The floor of each top module, by the headings in `lib.rs`.
fn floors(lib: &str) -> BTreeMap<String, Floor> {
    let mut floor = None;
    let mut found = BTreeMap::new();
    for line in lib.lines() {
        if let Some((_, next)) = FLOORS.iter().find(|(heading, _)| line.starts_with(heading)) {
            assert!(floor < Some(*next), "lib.rs: the floors are out of order at {line:?}");
            floor = Some(*next);
        }
        let name = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod ")).map(|(_, name)| name.to_owned());
        if let (Some(name), Some(floor)) = (name, floor) {
            found.insert(name, floor);
        }
    }
    found
}

/// The names in `[dependencies]`, as code writes them.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    let names = lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
    names.map(|(name, _)| name.trim().replace('-', "_")).collect()
}

fn read_folder(folder: &FilePath, prefix: &str, sources: &mut Sources) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if path.is_dir() {
            read_folder(&path, &format!("{prefix}{name}/"), sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.insert(format!("{prefix}{name}"), read(&path));
        }
    }
}

fn read(path: &FilePath) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// Each rule catches what it is there to catch.
mod tests {
    use super::{House, Sources, budgets_exceeded, exposures, impurities, later_imports, misplaced_files, stray_crates};

    const LIB: &str =
        "// ── 0 · words\npub mod a;\n// ── 2 · judgment\npub mod b;\n// ── 3 · means\nmod limits;\n// ── roof\nmod server;\n";
    const MANIFEST: &str = "[dependencies]\ntokio = \"1\"\ngovernor = \"1\"\nunknown-one = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n";

    fn house(files: &[(&str, &str)]) -> House {
        let mut sources: Sources = ["a.rs", "b.rs", "limits.rs", "server.rs"].map(|file| (file.to_owned(), String::new())).into();
        sources.insert("lib.rs".into(), LIB.into());
        sources.insert("main.rs".into(), "fn main() {}\n".into());
        sources.extend(files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())));
        House::new(sources, MANIFEST)
    }

    #[test]
    fn an_earlier_module_may_be_imported_a_later_one_not() {
        assert_eq!(later_imports(&house(&[("b.rs", "use crate::a::A;")])), [""; 0]);
        assert_eq!(later_imports(&house(&[("a.rs", "use crate::{b::B};")])), ["a.rs: crate::b::B stands later"]);
        assert_eq!(later_imports(&house(&[("a.rs", "fn f() { crate::b::f() }")])), ["a.rs: crate::b::f stands later"]);
        assert_eq!(later_imports(&house(&[("main.rs", "use tidegate::server::run;")])), [""; 0]);
    }

    #[test]
    fn a_test_may_import_what_it_likes() {
        assert_eq!(later_imports(&house(&[("a.rs", "#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}\n")])), [""; 0]);
    }

    #[test]
    fn siblings_stand_in_the_order_of_their_parent() {
        let parent = "mod x;\nmod y;\npub use y::Y;\npub struct Z;";
        let earlier = [("b.rs", parent), ("b/x.rs", ""), ("b/y.rs", "use super::x::X;")];
        assert_eq!(later_imports(&house(&earlier)), [""; 0]);
        let later = [("b.rs", parent), ("b/x.rs", "use super::{y::V, Z};\nuse crate::b::y::W;"), ("b/y.rs", "")];
        assert_eq!(later_imports(&house(&later)), ["b/x.rs: super::y::V stands later", "b/x.rs: crate::b::y::W stands later"]);
        let through_the_parent = [("b.rs", parent), ("b/x.rs", "use super::Y;"), ("b/y.rs", "")];
        assert_eq!(later_imports(&house(&through_the_parent)), ["b/x.rs: super::Y stands later"]);
    }

    #[test]
    fn globs_and_names_of_the_root_are_caught() {
        assert_eq!(later_imports(&house(&[("b.rs", "use crate::a::*;")])), ["b.rs: crate::a::* hides which names it brings"]);
        assert_eq!(later_imports(&house(&[("b.rs", "use crate::A;")])), ["b.rs: crate::A takes a name from the root, which has none"]);
    }

    #[test]
    fn crates_outside_of_their_rooms_are_caught() {
        let message = |file: &str, name: &str| vec![format!("{file}: {name} does not belong here, see CRATES")];
        assert_eq!(stray_crates(&house(&[("limits.rs", "use tokio::time;\nuse governor::Quota;")])), Vec::<String>::new());
        assert_eq!(stray_crates(&house(&[("b.rs", "fn f() { tokio::spawn(g) }")])), message("b.rs", "tokio"));
        assert_eq!(stray_crates(&house(&[("server.rs", "use governor::Quota;")])), message("server.rs", "governor"));
        assert_eq!(stray_crates(&house(&[("server.rs", "use unknown_one::X;")])), message("server.rs", "unknown_one"));
    }

    #[test]
    fn impurity_below_the_means_is_caught() {
        assert_eq!(impurities(&house(&[("limits.rs", "use std::fs;\nasync fn f() {}")])), [""; 0]);
        let text = "use std::{fs, env::var, net::{IpAddr, TcpStream}};\nuse std::time::Instant;\nasync fn f() { Instant::now(); }\nstruct SystemTime;";
        let expected = ["b.rs: async", "b.rs: std::fs", "b.rs: std::env::var", "b.rs: std::net::TcpStream", "b.rs: Instant::now"];
        assert_eq!(impurities(&house(&[("b.rs", text)])), expected);
    }

    #[test]
    fn exceeded_budgets_are_caught() {
        let long = "\n".repeat(401);
        assert_eq!(budgets_exceeded(&house(&[("a.rs", &long)])), ["a.rs: 401 lines without tests, 400 at most"]);
        let tested = format!("\n#[cfg(test)]\nmod tests {{{long}}}\n");
        assert_eq!(budgets_exceeded(&house(&[("a.rs", &tested)])), [""; 0]);
        let function = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(61));
        let expected = ["main.rs: 63 lines without tests, 60 at most", "main.rs: fn f has 61 lines, 60 at most"];
        assert_eq!(budgets_exceeded(&house(&[("main.rs", &function)])), expected);
    }

    #[test]
    fn names_places_and_unsafe_are_caught() {
        let files = [("a/b/c/d.rs", ""), ("a/mod.rs", ""), ("a/utils.rs", ""), ("b.rs", "// unsafe\nunsafe { x }\n")];
        let expected = [
            "a/b/c/d.rs: 2 folders deep at most",
            "a/mod.rs: write x.rs beside x/",
            "a/utils.rs: a name that says nothing",
            "b.rs: unsafe",
        ];
        assert_eq!(misplaced_files(&house(&files)), expected);
    }

    #[test]
    fn secrets_read_elsewhere_are_caught() {
        assert_eq!(exposures(&house(&[("limits.rs", "f(secret.expose())")])), ["limits.rs: expose()"]);
    }

    #[test]
    #[should_panic(expected = "stands under no floor")]
    fn a_module_without_a_floor_is_caught() {
        impurities(&house(&[("lib.rs", "mod a;\n")]));
    }
}
