//! The answer's text on its way from the model into the question's log: marks that stand for nothing are left out, links
//! made harmless. It is held back until all that comes before it was sent.

use super::Work;
use super::inert::Inert;
use super::marks::MarkFilter;
use super::synthesise::{Draft, Source, said_by};
use crate::model::Event;

/// Passes an answer on as it comes.
pub(super) struct Relay<'a> {
    work: &'a mut Work,
    filter: MarkFilter,
    inert: Inert,
    /// What the model said, word for word.
    reply: String,
    /// How much of the reply was passed on, in bytes.
    passed_on: usize,
    open: bool,
    text: String,
}

impl<'a> Relay<'a> {
    /// Holds the text back at first.
    pub(super) fn new(work: &'a mut Work, sources: &[Source]) -> Self {
        Self {
            work,
            filter: MarkFilter::new(sources.iter().map(|source| source.marker).collect()),
            inert: Inert::new(said_by(sources)),
            reply: String::new(),
            passed_on: 0,
            open: false,
            text: String::new(),
        }
    }

    /// Lets the text through: what was held back, and what comes from now on.
    pub(super) fn open(&mut self) {
        self.open = true;
        self.pass_on();
    }

    /// Takes the next piece of the reply.
    pub(super) fn push(&mut self, delta: &str) {
        self.reply.push_str(delta);
        if self.open {
            self.pass_on();
        }
    }

    /// The whole answer, and the reply that it was made from.
    pub(super) fn finish(self) -> (Draft, String) {
        let Self { work, filter, mut inert, reply, mut text, .. } = self;
        let (rest, marks, removed_marks) = filter.finish();
        let rest = inert.push(&rest) + &inert.finish();
        show(work, &mut text, rest);
        (Draft { text, marks, removed_marks }, reply)
    }

    fn pass_on(&mut self) {
        let fresh = self.reply.get(self.passed_on..).unwrap_or_default();
        let shown = self.inert.push(&self.filter.push(fresh));
        self.passed_on = self.reply.len();
        show(self.work, &mut self.text, shown);
    }
}

fn show(work: &mut Work, text: &mut String, shown: String) {
    if !shown.is_empty() {
        work.first_text();
        text.push_str(&shown);
        work.log.push(Event::Delta(shown));
    }
}
