//! The clients that people really use, each by the variables and without any, to an allowed and a refused name, tunnelled and intercepted.
//!
//! `cargo test` measures those that need little. `make matrix` installs all the others, measures everybody, and where all came as the table of
//! clients expects, writes it into `docs/clients.md`. A single one: `cargo test --test matrix -- --include-ignored yarn_4`.
//!
//! - `client`: what a client is, and what is expected of it
//! - `clients`: the table of them
//! - `ground`: a network of the test's own, with the origins and the configurations
//! - `engine`: one client in every column
//! - `page`: rows as they stand in `docs/clients.md`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test fails by panicking, and its output is read")]

mod client;
mod clients;
mod engine;
mod ground;
#[allow(dead_code, unused_imports, reason = "other tests use the rest")]
mod harness;
mod page;

use crate::{
    client::Client,
    clients::{databases, java, node, packages, plain, python},
    engine::measure,
    ground::Ground,
    harness::callers::in_a_network,
};

/// Measures one client in the test of this name, and keeps what the page says of it.
#[track_caller]
fn alone(test: &str, client: &'static Client) {
    page::forget(test);
    in_a_network(test, || {
        let row = measure(&Ground::start(client), client);
        assert!(row.wrong.is_empty(), "{}", row.wrong.join("\n\n"));
        page::keep(test, &row);
    });
}

/// A test a client, and [`EVERYONE`] of them in this order.
macro_rules! clients {
    ($($(#[$attribute:meta])* $test:ident: $client:path,)*) => {
        $(#[test] $(#[$attribute])* fn $test() { static CLIENT: Client = $client; alone(stringify!($test), &CLIENT); })*
        const EVERYONE: &[&str] = &[$(stringify!($test)),*];
    };
}

clients! {
    curl: plain::CURL,
    wget: plain::WGET,
    git: plain::GIT,
    node_fetch: node::NODE,
    #[ignore = "make matrix"]
    node_20: node::NODE_20,
    #[ignore = "make matrix"]
    node_current: node::NODE_CURRENT,
    npm: node::NPM,
    #[ignore = "make matrix"]
    yarn_1: node::YARN_1,
    #[ignore = "make matrix"]
    yarn_4: node::YARN_4,
    #[ignore = "make matrix"]
    pnpm: node::PNPM,
    #[ignore = "make matrix"]
    bun_fetch: node::BUN_FETCH,
    #[ignore = "make matrix"]
    bun_install: node::BUN_INSTALL,
    #[ignore = "make matrix"]
    deno_fetch: node::DENO_FETCH,
    #[ignore = "make matrix"]
    deno_npm: node::DENO_NPM,
    #[ignore = "make matrix"]
    chromium: node::CHROMIUM,
    #[ignore = "make matrix"]
    chromium_outer: node::CHROMIUM_OUTER,
    urllib: python::URLLIB,
    #[ignore = "make matrix"]
    urllib3: python::URLLIB3,
    #[ignore = "make matrix"]
    requests: python::REQUESTS,
    #[ignore = "make matrix"]
    httpx: python::HTTPX,
    #[ignore = "make matrix"]
    aiohttp: python::AIOHTTP,
    #[ignore = "make matrix"]
    websockets: python::WEBSOCKETS,
    #[ignore = "make matrix"]
    grpcio: python::GRPC,
    pip: python::PIP,
    #[ignore = "make matrix"]
    uv: python::UV,
    #[ignore = "make matrix"]
    poetry: python::POETRY,
    #[ignore = "make matrix"]
    cargo: packages::CARGO,
    #[ignore = "make matrix"]
    go: packages::GO,
    #[ignore = "make matrix"]
    gem: packages::GEM,
    #[ignore = "make matrix"]
    bundler: packages::BUNDLER,
    #[ignore = "make matrix"]
    composer: packages::COMPOSER,
    java_url_connection: java::URL_CONNECTION,
    java_http_client: java::HTTP_CLIENT,
    #[ignore = "make matrix"]
    maven: packages::MAVEN,
    #[ignore = "make matrix"]
    apt: packages::APT,
    #[ignore = "make matrix"]
    apt_plain: packages::APT_PLAIN,
    #[ignore = "make matrix"]
    skopeo: packages::SKOPEO,
    #[ignore = "make matrix"]
    gh: packages::GH,
    psql: databases::PSQL,
    #[ignore = "make matrix"]
    redis_cli: databases::REDIS_CLI,
    #[ignore = "make matrix"]
    ssh: databases::SSH,
}

/// After all of the above, in a run of its own.
#[test]
#[ignore = "make matrix"]
fn the_page_is_written() {
    page::write(EVERYONE);
}
