//! Rows as they stand in `docs/clients.md`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::engine::{Cell, Row};

/// What was known of a client is so no more.
pub(crate) fn forget(test: &str) {
    let _ = fs::remove_file(kept(test));
}

/// Keeps a row until the page is written.
pub(crate) fn keep(test: &str, row: &Row) {
    let (name, cells): (_, Vec<_>) = (row.client.name, row.cells.iter().map(mark).collect());
    let first = format!("| {name} {} | {} | {} |", row.version, cells.join(" | "), row.client.told.unwrap_or_default());
    let [tunnel, with, direct, without] = [0, 1, 2, 3].map(|number| said(&row.cells[number]));
    let request = if with.is_empty() || with == without { without } else { format!("{with}; without them {without}") };
    fs::create_dir_all(kept(test).parent().unwrap()).unwrap();
    fs::write(kept(test), format!("{first}\n| {name} | {tunnel} | {direct} | {request} |")).unwrap();
}

fn kept(test: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("matrix").join(test)
}

/// Writes the rows of these tests between the two markers.
pub(crate) fn write(tests: &[&str]) {
    let read = |test: &&str| fs::read_to_string(kept(test)).unwrap_or_else(|_| panic!("{test} was not measured: make matrix"));
    let rows: Vec<String> = tests.iter().map(read).collect();
    let (first, second): (Vec<&str>, Vec<&str>) = rows.iter().map(|row| row.split_once('\n').unwrap()).unzip();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("a marker where the matrix begins");
    let (_, after) = rest.split_once(END).expect("a marker where it ends");
    fs::write(path, format!("{before}{BEGIN}\n{WORKS}{}\n{SAYS}{}\n\n{END}{after}", first.join("\n"), second.join("\n"))).unwrap();
}

fn mark(cell: &Cell) -> String {
    match cell {
        Cell::Works { .. } => "works".into(),
        Cell::Cannot { said, why } => format!("no: {why}. It says {}", code(said)),
        Cell::Nothing { why } => (*why).into(),
        Cell::Wrong => "NOT AS EXPECTED".into(),
    }
}

fn said(cell: &Cell) -> String {
    match cell {
        Cell::Works { refused } => code(refused),
        Cell::Cannot { .. } | Cell::Nothing { .. } | Cell::Wrong => String::new(),
    }
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "\\|"))
}

const BEGIN: &str = "<!-- matrix: written by make matrix -->";
const WORKS: &str = "
| client | with the variables, tunnelled | intercepted | inside without them, tunnelled | intercepted | is told besides |
|---|---|---|---|---|---|
";
const SAYS: &str = "
What they print where they are refused:

| client | a name, with the variables | a name, inside without them | a request |
|---|---|---|---|
";
const END: &str = "<!-- end of the matrix -->";
