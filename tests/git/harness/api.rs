//! What a GitHub knows beside git: which number each repository has, and where those went that were renamed.

use std::collections::BTreeMap;

use http::{Method, request::Parts};

/// The repositories of a hub by their names now, and names of before.
#[derive(Debug, Default)]
pub(super) struct Api {
    ids: BTreeMap<String, u64>,
    moved: BTreeMap<String, String>,
    /// Whether it answers nothing but 500.
    is_down: bool,
}

/// Status, `Location`, body.
pub(super) type Said = (u16, Option<String>, String);

impl Api {
    pub(super) fn add(&mut self, name: &str, id: u64) {
        self.moved.remove(name);
        self.ids.insert(name.to_owned(), id);
    }

    /// From now on a repository is called otherwise, and whoever asks by its old name is sent on.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let id = self.ids.remove(from).expect("a repository of that name");
        self.ids.insert(to.to_owned(), id);
        self.moved.insert(from.to_owned(), to.to_owned());
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.ids.remove(name);
    }

    /// The number of each name.
    pub(super) fn ids(&self) -> &BTreeMap<String, u64> {
        &self.ids
    }

    /// The number of the repository that a request is for, by a name of now or of before.
    pub(super) fn number_of(&self, path: &str) -> Option<u64> {
        let path = path.strip_prefix(PREFIX).and_then(|path| path.strip_prefix("/repos")).unwrap_or(path);
        let mut segments = path.trim_start_matches('/').splitn(3, '/');
        let name = format!("{}/{}", segments.next()?, segments.next()?.trim_end_matches(".git"));
        self.ids.get(&name).or_else(|| self.ids.get(self.moved.get(&name)?)).copied()
    }

    /// Where an installation is looked up of a repository that was renamed.
    pub(super) fn moved_installation(&self, path: &str) -> Option<Said> {
        let name = path.strip_prefix(PREFIX)?.strip_prefix("/repos/")?.strip_suffix("/installation")?;
        let id = self.ids.get(self.moved.get(name)?)?;
        Some((301, Some(format!("{PREFIX}/repositories/{id}/installation")), String::new()))
    }

    pub(super) fn fail(&mut self) {
        self.is_down = true;
    }

    /// The answer to a request of the API's, or to one of git's for a repository that was renamed.
    pub(super) fn answer(&self, head: &Parts) -> Option<Said> {
        let path = head.uri.path();
        if let Some(asked) = path.strip_prefix(PREFIX) {
            return Some(if self.is_down { (500, None, String::new()) } else { self.tell(&head.method, asked) });
        }
        let mut segments = path.trim_start_matches('/').splitn(3, '/');
        let (owner, name, rest) = (segments.next()?, segments.next()?, segments.next()?);
        let new = self.moved.get(&format!("{owner}/{}", name.trim_end_matches(".git")))?;
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        Some((301, Some(format!("/{new}/{rest}{query}")), String::new()))
    }

    fn tell(&self, method: &Method, asked: &str) -> Said {
        let known = |found: Option<(&String, &u64)>| match found {
            Some((name, id)) => (200, None, format!("{{\"id\":{id},\"name\":\"x\",\"full_name\":\"{name}\",\"owner\":{{\"id\":1}}}}")),
            None => (404, None, "{\"message\":\"Not Found\"}".to_owned()),
        };
        if method != Method::GET {
            return (405, None, String::new());
        }
        if let Some(id) = asked.strip_prefix("/repositories/") {
            return known(self.ids.iter().find(|(_, known)| known.to_string() == id));
        }
        let name = asked.strip_prefix("/repos/").unwrap_or_default();
        match self.moved.get(name).and_then(|new| self.ids.get(new)) {
            Some(id) => (301, Some(format!("{PREFIX}/repositories/{id}")), String::new()),
            None => known(self.ids.get_key_value(name)),
        }
    }
}

/// Where the API is.
pub(crate) const PREFIX: &str = "/api/v3";
