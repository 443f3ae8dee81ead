//! What the operator has stand below a comment, so that whoever reads it knows who wrote it.

use serde_json::Value;

use super::{ApiPermit, Budget, made::MadeKind};

impl ApiPermit {
    /// The body as it leaves with this below what people are to read of a comment, a review, an issue or a pull request; the body itself for
    /// any other call, and where it stands there already.
    pub fn signed(&self, footer: &str) -> Option<Vec<u8>> {
        let is_read = self.budget() == Budget::Comment || self.is_write() && MadeKind::changed_by(&self.template).is_some();
        let mut body = self.call.body.clone()?;
        if let Some(Value::String(text)) = body.get_mut("body").filter(|_| is_read)
            && !text.ends_with(footer)
        {
            *text = format!("{}\n\n---\n{footer}", text.trim_end());
        }
        Some(body.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        github::{RepositoryName, api::Call},
        policy::RuleRef,
    };

    fn permit(method: &str, template: &str, body: &str) -> ApiPermit {
        let repository = RepositoryName::parse("o/r").unwrap();
        ApiPermit {
            call: Call::read(method, "/repos/o/r/x", body.as_bytes(), false).unwrap(),
            template: template.into(),
            rule: RuleRef { entry: "x".into(), source: "x".into(), line: 1 },
            repository: Some(repository.clone()),
            credential: Some(repository),
            changes: Vec::new(),
        }
    }

    #[test]
    fn what_people_read_is_signed_once() {
        let signed = |method, template, body| String::from_utf8(permit(method, template, body).signed("By s1.").unwrap()).unwrap();
        let comments = "/repos/{owner}/{repo}/issues/{issue_number}/comments";
        let comment = "/repos/{owner}/{repo}/issues/comments/{comment_id}";
        let below = r#"{"body":"x\n\n---\nBy s1."}"#;
        assert_eq!(signed("POST", comments, r#"{"body":"x\n"}"#), below);
        assert_eq!(signed("PATCH", comment, r#"{"body":"x"}"#), below);
        assert_eq!(signed("PATCH", comment, below), below);
        assert_eq!(signed("POST", "/repos/{owner}/{repo}/pulls", r#"{"title":"x"}"#), r#"{"title":"x"}"#);
        assert_eq!(signed("PUT", "/repos/{owner}/{repo}/contents/{path}", r#"{"body":"x"}"#), r#"{"body":"x"}"#);
        assert_eq!(permit("POST", comments, "").signed("x"), None);
    }
}
