//! `[policy]` and every other policy file: read once each, with the credentials and lists that they name.

use std::sync::Arc;

use toml::Spanned;

use super::{Chosen, sections::Reader};
use crate::{
    credentials::{Equipped, Surroundings},
    policy::{Access, Additions, Policy, Problems, Source, Table},
};

impl Reader<'_> {
    /// The `[policy]`; `None` where there is none and where it cannot be used.
    pub(super) fn default_policy(&mut self, whole: &mut Table<'_>) -> Option<Arc<Equipped>> {
        let mut table = whole.table("policy", &mut self.problems)?;
        self.require(&table, "file", "[policy] names no \"file\"", "write file = \"policy.toml\"");
        let file = table.string("file", &mut self.problems);
        table.finish(&[], &mut self.problems);
        self.policy(&file?)
    }

    /// A policy file, read once however many sessions share it.
    pub(super) fn policy(&mut self, file: &Spanned<String>) -> Option<Arc<Equipped>> {
        let path = self.directory.join(file.get_ref());
        if let Some(policy) = self.policies.get(&path) {
            return policy.clone();
        }
        let policy = self.read_policy(file);
        self.policies.insert(path, policy.clone());
        policy
    }

    fn read_policy(&mut self, file: &Spanned<String>) -> Option<Arc<Equipped>> {
        let name = file.get_ref();
        let Ok(text) = String::from_utf8(self.file(file)?) else {
            self.problems.error(file.span(), format!("{name} is not UTF-8"), None);
            return None;
        };
        match Policy::parse_with(name, &text, self.additions()) {
            Ok((policy, mut warnings)) => {
                self.problems_of_policies.append(&mut warnings);
                self.equip(policy, file, &text)
            }
            Err(mut errors) => {
                self.problems.error(file.span(), format!("{name} has errors"), None);
                self.problems_of_policies.append(&mut errors);
                None
            }
        }
    }

    /// A policy with the credentials that it names.
    fn equip(&mut self, policy: Policy, file: &Spanned<String>, text: &str) -> Option<Arc<Equipped>> {
        let (name, environment) = (file.get_ref(), self.environment);
        let path = self.directory.join(name);
        let surroundings = Surroundings {
            directory: path.parent().unwrap_or(&self.directory),
            variable: &|name| environment.variable(name),
            file: &|path| environment.file(path),
            patience: self.patience,
        };
        match Equipped::new(policy, &surroundings) {
            Ok(equipped) => Some(Arc::new(equipped)),
            Err(found) => {
                self.problems.error(file.span(), format!("{name} has errors"), None);
                let mut problems = Problems::new(Arc::new(Source::new(name, text)));
                for (place, message) in found {
                    problems.error(place, message, None);
                }
                self.problems_of_policies.append(&mut problems.into_vec());
                None
            }
        }
    }

    /// The chosen policy; else that of the configuration; else what a sandbox is allowed of which nobody said anything.
    pub(super) fn policy_of_single(&mut self, whole: &mut Table<'_>) -> Option<Arc<Equipped>> {
        let written = whole.has("policy");
        let configured = self.default_policy(whole);
        match self.single.as_ref().and_then(|single| single.policy.as_ref()) {
            Some(Chosen::File(file)) => {
                let name = file.to_string_lossy().into_owned();
                self.policy(&Spanned::new(0..0, name))
            }
            Some(Chosen::Level(access)) => self.level(*access),
            None if written => configured,
            None => self.level(Access::Trusted),
        }
    }

    fn level(&mut self, access: Access) -> Option<Arc<Equipped>> {
        match Policy::level_with(access, self.additions()) {
            Ok(policy) => Some(Arc::new(Equipped::bare(policy))),
            Err(mut problems) => {
                self.problems_of_policies.append(&mut problems);
                None
            }
        }
    }

    /// What the command line adds to every policy.
    fn additions(&self) -> &Additions {
        self.single.as_ref().map_or(&NOTHING, |single| &single.additions)
    }
}

static NOTHING: Additions = Additions { allow: Vec::new(), deny: Vec::new() };
