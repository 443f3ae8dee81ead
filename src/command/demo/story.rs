//! What is told, in the order in which it happens.

use std::fmt::Write as _;

use super::{client::Exchange, home::Ran};
use crate::{command::run::Failure, reason::Reason};

/// What is told, so far.
pub(super) struct Story(String);

impl Story {
    pub(super) fn new(beginning: &str) -> Self {
        Self(format!("{beginning}\n"))
    }

    pub(super) fn told(&self) -> &str {
        &self.0
    }

    pub(super) fn scene(&mut self, title: &str) {
        let _ = write!(self.0, "\n== {title}\n");
    }

    pub(super) fn note(&mut self, note: &str) {
        let _ = write!(self.0, "\n  ({note})\n");
    }

    /// A text, set in.
    pub(super) fn text(&mut self, text: &str) {
        self.0.push('\n');
        self.lines("  ", text);
    }

    /// What was run, and what it printed.
    pub(super) fn ran(&mut self, ran: &Ran) {
        self.text(&format!("$ {}\n{}", ran.command, ran.printed));
    }

    /// Tells an exchange, if it went as it should.
    pub(super) fn exchange(&mut self, exchange: &Exchange, status: u16, reason: Option<Reason>) -> Result<(), Failure> {
        let Exchange { request, reply } = exchange;
        let denied = reply.header("x-deny-reason");
        if reply.status() != Some(status) || denied != reason.map(Reason::as_str) {
            let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
            return Err(Failure(format!("{:?} was answered with {:?} ({denied:?})", first(request), first(&reply.head))));
        }
        self.0.push('\n');
        self.lines("  > ", request);
        self.lines("  < ", &reply.head);
        if !reply.body.is_empty() {
            self.lines("  <", "\n");
            let mut lines = reply.body.lines();
            lines.by_ref().take(MAX_BODY).for_each(|line| self.lines("  < ", line));
            match lines.count() {
                0 => {}
                more => self.note(&format!("and {more} more lines")),
            }
        }
        Ok(())
    }

    fn lines(&mut self, before: &str, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.0, "{}", format!("{before}{line}").trim_end());
        }
    }
}

/// How many lines of an answer are told: one whole entry of a list of refusals.
const MAX_BODY: usize = 12;
