//! The answer's text on its way from the model into the question's log: marks that stand for nothing are left out, links
//! made harmless. It is held back until all that comes before it was sent.

use super::Work;
use super::inert::Inert;
use super::marks::MarkFilter;
use super::synthesise::{Draft, Source, said_by};

/// Passes an answer on as it comes.
pub(super) struct Relay<'a> {
    work: &'a mut Work,
    filter: MarkFilter,
    inert: Inert,
    /// What came while the text is held back; none once it is let through.
    held: Option<String>,
    text: String,
}

impl<'a> Relay<'a> {
    /// Holds the text back at first.
    pub(super) fn new(work: &'a mut Work, sources: &[Source]) -> Self {
        Self {
            work,
            filter: MarkFilter::new(sources.iter().map(|source| source.marker).collect()),
            inert: Inert::new(said_by(sources)),
            held: Some(String::new()),
            text: String::new(),
        }
    }

    /// Lets the text through: what was held back, and what comes from now on.
    pub(super) fn open(&mut self) {
        if let Some(held) = self.held.take() {
            self.push(&held);
        }
    }

    /// Takes the next piece of the reply.
    pub(super) fn push(&mut self, delta: &str) {
        match &mut self.held {
            Some(held) => held.push_str(delta),
            None => {
                let shown = self.inert.push(&self.filter.push(delta));
                show(self.work, &mut self.text, shown);
            }
        }
    }

    /// Ends the answer, once it was let through.
    pub(super) fn finish(self) -> Draft {
        let Self { work, filter, mut inert, mut text, .. } = self;
        let (rest, marks, removed_marks) = filter.finish();
        let rest = inert.push(&rest) + &inert.finish();
        show(work, &mut text, rest);
        Draft { text, marks, removed_marks }
    }
}

fn show(work: &mut Work, text: &mut String, shown: String) {
    if !shown.is_empty() {
        text.push_str(&shown);
        work.say(shown);
    }
}
