//! GitHub's own description of its API, as far as verdicts depend on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::LazyLock,
};

use serde::Deserialize;
use serde_json::Value;

/// An operation, as one description or several have it.
#[derive(Debug, Default)]
pub(crate) struct Operation {
    /// `github.com`, `ghec` (its enterprise cloud) and `ghes` (a server, of any version).
    pub(crate) hosts: BTreeSet<&'static str>,
    /// What may stand in its path, its query and the object of its body, by name.
    pub(crate) path: BTreeMap<String, Kind>,
    pub(crate) query: BTreeSet<String>,
    pub(crate) body: BTreeSet<String>,
}

/// What GitHub says may stand in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Segment,
    Segments,
}

/// By path and method.
pub(crate) type Operations = BTreeMap<(String, String), Operation>;

/// Every operation of every description.
pub(crate) fn operations() -> &'static Operations {
    static READ: LazyLock<Operations> = LazyLock::new(read);
    &READ
}

fn read() -> Operations {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/components/openapi/generated");
    let mut operations = Operations::new();
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}; make setup installs it", folder.display()));
    for file in files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let host = match stem {
            "api.github.com" => "github.com",
            "ghec" => "ghec",
            server if server.starts_with("ghes-") => "ghes",
            other => panic!("a description of what? {other}"),
        };
        let description: Description = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for (path, methods) in &description.paths {
            for (method, written) in methods {
                let operation = operations.entry((path.clone(), method.to_uppercase())).or_default();
                operation.hosts.insert(host);
                description.note(written, operation);
            }
        }
    }
    operations
}

#[derive(Deserialize)]
struct Description {
    paths: BTreeMap<String, BTreeMap<String, Written>>,
    components: Components,
}

#[derive(Deserialize)]
struct Components {
    parameters: BTreeMap<String, Value>,
    schemas: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    parameters: Vec<Value>,
    #[serde(default, rename = "requestBody")]
    body: Value,
}

impl Description {
    fn note(&self, written: &Written, operation: &mut Operation) {
        for parameter in written.parameters.iter().map(|parameter| self.resolve(parameter)) {
            let name = parameter["name"].as_str().unwrap().to_owned();
            match parameter["in"].as_str() {
                Some("path") => {
                    operation.path.insert(name, self.kind(parameter));
                }
                Some("query") => {
                    operation.query.insert(name);
                }
                _ => {}
            }
        }
        self.fields(&written.body["content"]["application/json"]["schema"], &mut operation.body);
    }

    fn kind(&self, parameter: &Value) -> Kind {
        if parameter["x-multi-segment"] == true {
            return Kind::Segments;
        }
        if self.resolve(&parameter["schema"])["type"] == "integer" { Kind::Number } else { Kind::Segment }
    }

    /// The fields of an object, or of each that it may be.
    fn fields(&self, schema: &Value, fields: &mut BTreeSet<String>) {
        let schema = self.resolve(schema);
        fields.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
        for choice in ["allOf", "anyOf", "oneOf"] {
            for schema in schema[choice].as_array().into_iter().flatten() {
                self.fields(schema, fields);
            }
        }
    }

    fn resolve<'d>(&'d self, value: &'d Value) -> &'d Value {
        let Some(reference) = value["$ref"].as_str() else { return value };
        let (kind, name) = reference.strip_prefix("#/components/").unwrap().split_once('/').unwrap();
        match kind {
            "parameters" => &self.components.parameters[name],
            "schemas" => &self.components.schemas[name],
            other => panic!("a reference to {other}"),
        }
    }
}
