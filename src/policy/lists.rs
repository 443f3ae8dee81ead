//! The lists that come with the program: what `include` names.

use std::sync::Arc;

use toml::Spanned;

use super::{
    problem::{Problem, Problems, Source},
    table::Table,
};

/// A shipped list as written.
#[derive(Debug)]
pub(super) struct List {
    pub(super) source: Arc<Source>,
    pub(super) hosts: Vec<(Arc<str>, Spanned<String>)>,
}

/// The names of the shipped lists, as `include` takes them.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// Reads a shipped list: `title`, `source`, and groups with a `name` and `hosts`. `None` where there is none of the name.
pub(super) fn read(name: &str) -> Option<Result<List, Vec<Problem>>> {
    let (name, text) = SHIPPED.iter().find(|(shipped, _)| *shipped == name)?;
    let source = Arc::new(Source::new(&format!("lists/{name}"), text));
    let mut problems = Problems::new(source.clone());
    let hosts = read_groups(text, &mut problems);
    Some(if problems.has_errors() { Err(problems.into_vec()) } else { Ok(List { source, hosts }) })
}

fn read_groups(text: &str, problems: &mut Problems) -> Vec<(Arc<str>, Spanned<String>)> {
    let mut hosts = Vec::new();
    let Some(mut list) = Table::parse(text, problems) else { return hosts };
    list.string("title", problems);
    list.string("source", problems);
    for group in list.array("group", problems) {
        let Some(mut group) = Table::of(group, "an element of \"group\"", problems) else { continue };
        let name: Arc<str> = group.string("name", problems).map_or_else(|| Arc::from(""), |name| name.into_inner().into());
        hosts.extend(group.strings("hosts", problems).into_iter().map(|host| (name.clone(), host)));
        group.finish(&[], problems);
    }
    list.finish(&[], problems);
    hosts
}

const SHIPPED: &[(&str, &str)] = &[
    ("alpine", include_str!("../../policies/lists/alpine.toml")),
    ("bazel", include_str!("../../policies/lists/bazel.toml")),
    ("conda", include_str!("../../policies/lists/conda.toml")),
    ("containers", include_str!("../../policies/lists/containers.toml")),
    ("dart", include_str!("../../policies/lists/dart.toml")),
    ("debian", include_str!("../../policies/lists/debian.toml")),
    ("deno-bun", include_str!("../../policies/lists/deno-bun.toml")),
    ("dotnet", include_str!("../../policies/lists/dotnet.toml")),
    ("elixir", include_str!("../../policies/lists/elixir.toml")),
    ("github", include_str!("../../policies/lists/github.toml")),
    ("go", include_str!("../../policies/lists/go.toml")),
    ("haskell", include_str!("../../policies/lists/haskell.toml")),
    ("java", include_str!("../../policies/lists/java.toml")),
    ("julia", include_str!("../../policies/lists/julia.toml")),
    ("kubernetes", include_str!("../../policies/lists/kubernetes.toml")),
    ("nix", include_str!("../../policies/lists/nix.toml")),
    ("node", include_str!("../../policies/lists/node.toml")),
    ("ocaml", include_str!("../../policies/lists/ocaml.toml")),
    ("perl", include_str!("../../policies/lists/perl.toml")),
    ("php", include_str!("../../policies/lists/php.toml")),
    ("playwright", include_str!("../../policies/lists/playwright.toml")),
    ("python", include_str!("../../policies/lists/python.toml")),
    ("r", include_str!("../../policies/lists/r.toml")),
    ("ruby", include_str!("../../policies/lists/ruby.toml")),
    ("rust", include_str!("../../policies/lists/rust.toml")),
    ("swift", include_str!("../../policies/lists/swift.toml")),
    ("terraform", include_str!("../../policies/lists/terraform.toml")),
    ("trusted", include_str!("../../policies/lists/trusted.toml")),
    ("ubuntu", include_str!("../../policies/lists/ubuntu.toml")),
];
