//! What `policies/` ships, held against what it says of itself.

use std::{collections::BTreeSet, fs, path::Path};

use toml::{Table, Value};

/// The groups of the level `trusted`, each with the number of entries that its source documents.
const TRUSTED: &[(&str, usize)] = &[
    ("Anthropic services", 6),
    ("Version control", 18),
    ("Container registries", 13),
    ("Cloud platforms", 27),
    ("JavaScript and Node package managers", 7),
    ("Python package managers", 8),
    ("Ruby package managers", 12),
    ("Rust package managers", 7),
    ("Go package managers", 7),
    ("JVM package managers", 14),
    ("Other package managers", 23),
    ("Linux distributions", 9),
    ("Development tools and platforms", 29),
    ("Cloud services and monitoring", 11),
    ("Content delivery and mirrors", 6),
    ("Schema and configuration", 4),
    ("Model Context Protocol", 1),
];

#[test]
fn the_trusted_list_is_the_documented_one() {
    let groups = groups("trusted.toml");
    let counts: Vec<_> = groups.iter().map(|group| (group.name.as_str(), group.hosts.len())).collect();
    assert_eq!(counts, TRUSTED);
    let hosts: Vec<_> = groups.iter().flat_map(|group| &group.hosts).collect();
    assert_eq!((hosts.len(), hosts.iter().filter(|host| host.starts_with("*.")).count()), (202, 14));
}

#[test]
fn no_list_names_a_host_twice_in_a_group() {
    for list in lists() {
        for group in groups(&list) {
            let distinct: BTreeSet<_> = group.hosts.iter().collect();
            assert_eq!(distinct.len(), group.hosts.len(), "{list}, group {}", group.name);
        }
    }
}

/// A list's entries are known by their lines.
#[test]
fn every_host_of_a_list_has_a_line_of_its_own() {
    for list in lists() {
        let text = read(&format!("policies/lists/{list}"));
        for host in groups(&list).iter().flat_map(|group| &group.hosts) {
            let line = format!("    \"{host}\",");
            assert!(text.lines().any(|other| other.split(" #").next() == Some(&line)), "{list}: {host}");
        }
    }
}

#[test]
fn the_readme_names_every_whole_policy() {
    let readme = read("policies/README.md");
    for policy in toml_files("policies") {
        assert!(readme.contains(&format!("| `{policy}` |")), "{policy}");
    }
}

#[test]
fn policies_include_lists_that_exist() {
    let lists: BTreeSet<_> = lists().into_iter().collect();
    for policy in toml_files("policies") {
        let included = table(&format!("policies/{policy}")).get("include").and_then(Value::as_array).cloned().unwrap_or_default();
        for name in included.iter().filter_map(Value::as_str) {
            assert!(lists.contains(&format!("{name}.toml")), "{policy}: {name}");
        }
    }
}

struct Group {
    name: String,
    hosts: Vec<String>,
}

/// The groups of a shipped list, which has a title, a source, groups, and nothing else.
fn groups(list: &str) -> Vec<Group> {
    let table = table(&format!("policies/lists/{list}"));
    assert_eq!(table.keys().collect::<Vec<_>>(), ["group", "source", "title"], "{list}");
    let groups = table["group"].as_array().unwrap_or_else(|| panic!("{list}: group is no array"));
    groups.iter().map(|group| parse_group(list, group)).collect()
}

fn parse_group(list: &str, group: &Value) -> Group {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{list}: {value:?} is no string")).to_owned();
    let keys: Vec<_> = group.as_table().into_iter().flat_map(Table::keys).collect();
    assert_eq!(keys, ["hosts", "name"], "{list}");
    let hosts = group["hosts"].as_array().unwrap_or_else(|| panic!("{list}: hosts is no array"));
    Group { name: text(&group["name"]), hosts: hosts.iter().map(text).collect() }
}

fn lists() -> Vec<String> {
    toml_files("policies/lists")
}

fn toml_files(folder: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("cannot list {folder}: {error}"));
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "toml")).collect();
    names.sort();
    assert!(!names.is_empty(), "no files in {folder}");
    names
}

fn table(path: &str) -> Table {
    read(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn read(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(file).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}
