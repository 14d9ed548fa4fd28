//! The scores of neighbouring entries while they are added up, list by list: so few entries at once that all of it stays
//! in the processor's nearest memory.

use tantivy::DocId;

use super::postings::Said;

/// Entries that are scored together.
const WINDOW: usize = 4_096;

/// The scores of the entries from some one on.
pub(super) struct Window {
    start: DocId,
    sums: [f32; WINDOW],
    /// Which entries have a score, as bits.
    seen: [u64; WINDOW / 64],
    /// What an entry is worth for something that several lists say: for the best of those so far.
    shared: Vec<Layer>,
    /// What it is worth for a list of several terms, while they are added up.
    list: Layer,
}

impl Default for Window {
    fn default() -> Self {
        let (sums, seen) = ([0.0; WINDOW], [0; WINDOW / 64]);
        Self { start: 0, sums, seen, shared: Vec::new(), list: Layer::default() }
    }
}

impl Window {
    /// Moves an empty window to the entries from `start` on. So many things are said by several lists each.
    pub(super) fn open(&mut self, start: DocId, shared: usize) {
        self.start = start;
        if self.shared.len() < shared {
            self.shared.resize_with(shared, Layer::default);
        }
    }

    /// Adds what a list is worth in each entry. `shared` is the number of what it says, where others say it too.
    pub(super) fn add(&mut self, list: &mut Said<'_>, shared: Option<usize>) {
        let Self { start, sums, seen, shared: layers, list: of_list } = self;
        let (start, end) = (*start, start.saturating_add(WINDOW as DocId));
        let mut layer = shared.and_then(|shared| layers.get_mut(shared));
        let mut add = |at: usize, score: f32| {
            let gain = layer.as_mut().map_or(score, |layer| layer.raise(at, score));
            if let (Some(sum), Some(seen)) = (sums.get_mut(at), seen.get_mut(at / 64)) {
                *sum += gain;
                *seen |= 1 << (at % 64);
            }
        };
        match list.terms() {
            [only] => only.between(start, end, |entry, score| add((entry - start) as usize, score)),
            several => {
                for term in several {
                    term.between(start, end, |entry, score| of_list.add((entry - start) as usize, score));
                }
                of_list.drain(add);
            }
        }
    }

    /// Hands over each entry that has a score, in their order, and forgets them.
    pub(super) fn drain(&mut self, mut each: impl FnMut(Scored<'_>)) {
        for (block, seen) in self.seen.iter_mut().enumerate() {
            while *seen != 0 {
                let at = block * 64 + seen.trailing_zeros() as usize;
                *seen &= *seen - 1;
                if let Some(score) = self.sums.get_mut(at) {
                    let score = std::mem::take(score);
                    each(Scored { entry: self.start + at as DocId, score, at, shared: &mut self.shared });
                }
            }
        }
        for layer in &mut self.shared {
            layer.drain(|_, _| {});
        }
    }
}

/// An entry of a window.
pub(super) struct Scored<'w> {
    pub(super) entry: DocId,
    pub(super) score: f32,
    at: usize,
    shared: &'w mut [Layer],
}

impl Scored<'_> {
    /// Adds what a further list, of which the number is given as in [`Window::add`], is worth in this entry.
    pub(super) fn add(&mut self, list: &mut Said<'_>, shared: Option<usize>) {
        let layer = shared.and_then(|shared| self.shared.get_mut(shared));
        self.score += match layer {
            None => list.score(self.entry),
            Some(layer) if layer.worth(self.at) >= list.weight() => 0.0,
            Some(layer) => layer.raise(self.at, list.score(self.entry)),
        };
    }
}

/// What the entries of a window are worth in one respect.
struct Layer {
    worth: Box<[f32; WINDOW]>,
    /// Those that are worth anything.
    places: Vec<usize>,
}

impl Default for Layer {
    fn default() -> Self {
        Self { worth: Box::new([0.0; WINDOW]), places: Vec::new() }
    }
}

impl Layer {
    fn worth(&self, at: usize) -> f32 {
        self.worth.get(at).copied().unwrap_or_default()
    }

    fn add(&mut self, at: usize, score: f32) {
        if let Some(worth) = self.worth.get_mut(at) {
            if *worth == 0.0 {
                self.places.push(at);
            }
            *worth += score;
        }
    }

    /// Raises what an entry is worth to a score, unless it is worth more; by how much.
    fn raise(&mut self, at: usize, score: f32) -> f32 {
        let gain = (score - self.worth(at)).max(0.0);
        if gain > 0.0 {
            self.add(at, gain);
        }
        gain
    }

    /// Hands over what each entry is worth, in no order, and forgets it.
    fn drain(&mut self, mut each: impl FnMut(usize, f32)) {
        for at in self.places.drain(..) {
            if let Some(worth) = self.worth.get_mut(at) {
                each(at, std::mem::take(worth));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_hands_its_scores_over_in_order_and_once() {
        let mut window = Window::default();
        window.open(10, 1);
        for (at, score) in [(4_095, 1.0), (3, 2.0), (64, 0.5), (3, 0.25)] {
            window.sums[at] += score;
            window.seen[at / 64] |= 1 << (at % 64);
        }
        let mut drained = Vec::new();
        window.drain(|scored| drained.push((scored.entry, scored.score)));
        assert_eq!(drained, [(13, 2.25), (74, 0.5), (4_105, 1.0)]);
        window.drain(|_| panic!("nothing is left"));
    }

    #[test]
    fn a_layer_keeps_the_best_and_says_what_that_gains() {
        let mut layer = Layer::default();
        let gains: Vec<f32> = [(3, 1.0), (3, 0.5), (3, 1.5), (4, 2.0)].map(|(at, score)| layer.raise(at, score)).into();
        assert_eq!(gains, [1.0, 0.0, 0.5, 2.0]);
        let mut drained = Vec::new();
        layer.drain(|at, worth| drained.push((at, worth)));
        assert_eq!((drained, layer.worth(3)), (vec![(3, 1.5), (4, 2.0)], 0.0));
    }
}
