//! What is wrong with a policy document is said in these very words: every `policy_documents/NAME.toml` has its
//! problems, in the order of the text, in `NAME.txt` beside it.

use std::{fs, path::Path};

use tidegate::policy::{Policy, Severity};

#[test]
fn every_document_has_exactly_its_problems() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy_documents");
    let mut documents = 0;
    for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = file.file_name().unwrap().to_str().unwrap();
        let expected = fs::read_to_string(file.with_extension("txt")).unwrap_or_default();
        assert_eq!(problems(name, &fs::read_to_string(&file).unwrap()), expected.trim_end(), "{name}");
        documents += 1;
    }
    assert_eq!(documents, DOCUMENTS);
}

/// The problems of a document, one after the other; errors exactly where it is refused.
fn problems(name: &str, text: &str) -> String {
    let problems = match Policy::parse(name, text) {
        Ok((_, warnings)) => {
            assert!(warnings.iter().all(|problem| problem.severity == Severity::Warning), "{name}");
            warnings
        }
        Err(problems) => {
            assert!(problems.iter().any(|problem| problem.severity == Severity::Error), "{name}");
            problems
        }
    };
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// So that a folder that is not found does not pass for one without faults.
const DOCUMENTS: usize = 22;
