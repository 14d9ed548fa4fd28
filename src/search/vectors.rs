//! Vectors in memory, searched by looking at every one.
//!
//! Each number is kept as one byte: that is a quarter of the memory, and a quarter of what a search has to read. The
//! scores are near enough to find candidates, whose exact vectors the store has. Looking at all of them costs no
//! building, forgets nothing and never misses a neighbour, and at the sizes that one machine serves it is quick.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::model::{DocumentId, PassageId};

/// Vectors of one allocation: growing must not copy what is there.
const BLOCK: usize = 4_096;

/// The vectors of one space, in memory.
#[derive(Default)]
pub struct Vectors(RwLock<State>);

#[derive(Default)]
struct State {
    space: Option<i64>,
    dimension: usize,
    blocks: Vec<Block>,
    places: HashMap<DocumentId, Vec<usize>>,
    free: Vec<usize>,
}

/// What is near to a query.
#[derive(Debug, Default, PartialEq)]
pub struct Near {
    /// Nearest first.
    pub passages: Vec<PassageId>,
    /// About how alike all passages are to the query in the mean, those of other documents too: a few alone would not
    /// tell what is usual.
    pub mean: f32,
    /// About how much that differs from passage to passage: the standard deviation.
    pub deviation: f32,
}

/// Quantised vectors, one after the other.
#[derive(Default)]
struct Block {
    codes: Vec<i8>,
    /// What a code of 1 stands for.
    scales: Vec<f32>,
    /// None where the place is free.
    ids: Vec<Option<PassageId>>,
}

impl Vectors {
    /// Begins with no vectors, of another space.
    pub fn clear(&self, space: i64, dimension: usize) {
        *self.write() = State { space: Some(space), dimension, ..State::default() };
    }

    /// The space whose vectors these are.
    pub fn space(&self) -> Option<i64> {
        self.read().space
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read().places.values().map(Vec::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.read().places.is_empty()
    }

    /// Puts vectors of passages in place of all that these documents had. Vectors of another space or length are left
    /// out.
    pub fn replace(&self, space: i64, documents: &[DocumentId], vectors: &[(PassageId, Vec<f32>)]) {
        let mut state = self.write();
        if state.space != Some(space) {
            return;
        }
        for document in documents {
            state.remove(*document);
        }
        state.add(vectors);
    }

    /// Adds vectors of passages that had none.
    pub fn add(&self, space: i64, vectors: &[(PassageId, Vec<f32>)]) {
        let mut state = self.write();
        if state.space == Some(space) {
            state.add(vectors);
        }
    }

    /// The passages whose vectors are about nearest to a query, of some documents or all, nearest first. Takes time in
    /// proportion to all vectors; run it off the executor.
    pub fn nearest(&self, query: &[f32], count: usize, among: Option<&HashSet<DocumentId>>) -> Near {
        let state = self.read();
        if count == 0 || query.len() != state.dimension {
            return Near::default();
        }
        let (codes, query_scale) = quantised(query);
        let (mut sum, mut squares, mut looked_at) = (0.0_f64, 0.0_f64, 0_u32);
        let codes: Vec<i16> = codes.into_iter().map(i16::from).collect();
        let mut best: BinaryHeap<Reverse<Scored>> = BinaryHeap::with_capacity(count + 1);
        for block in &state.blocks {
            let vectors = block.codes.chunks_exact(state.dimension);
            for ((vector, scale), id) in vectors.zip(&block.scales).zip(&block.ids) {
                let Some(id) = id else { continue };
                #[expect(clippy::cast_precision_loss, reason = "a candidate's score need not be exact")]
                let score = dot(vector, &codes) as f32 * scale * query_scale;
                sum += f64::from(score);
                squares += f64::from(score).powi(2);
                looked_at += 1;
                if among.is_some_and(|among| !among.contains(&id.document_id)) {
                    continue;
                }
                if best.len() < count || best.peek().is_some_and(|Reverse(worst)| score > worst.score) {
                    best.push(Reverse(Scored { score, id: *id }));
                    if best.len() > count {
                        best.pop();
                    }
                }
            }
        }
        let mean = sum / f64::from(looked_at.max(1));
        let variance = squares / f64::from(looked_at.max(1)) - mean.powi(2);
        #[expect(clippy::cast_possible_truncation, reason = "likenesses are at most 1")]
        let (mean, deviation) = (mean as f32, variance.max(0.0).sqrt() as f32);
        let passages = best.into_sorted_vec().into_iter().map(|Reverse(scored)| scored.id).collect();
        Near { passages, mean, deviation }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, document: DocumentId) {
        for place in self.places.remove(&document).unwrap_or_default() {
            if let Some(id) = self.blocks.get_mut(place / BLOCK).and_then(|block| block.ids.get_mut(place % BLOCK)) {
                *id = None;
                self.free.push(place);
            }
        }
    }

    fn add(&mut self, vectors: &[(PassageId, Vec<f32>)]) {
        let dimension = self.dimension;
        for (id, vector) in vectors.iter().filter(|(_, vector)| vector.len() == dimension) {
            let (codes, scale) = quantised(vector);
            let place = match self.free.pop() {
                Some(place) => place,
                None => self.grow(),
            };
            let Some(block) = self.blocks.get_mut(place / BLOCK) else { continue };
            let at = place % BLOCK;
            let from = at * self.dimension;
            if let (Some(slot), Some(old), Some(old_id)) =
                (block.codes.get_mut(from..from + self.dimension), block.scales.get_mut(at), block.ids.get_mut(at))
            {
                slot.copy_from_slice(&codes);
                *old = scale;
                *old_id = Some(*id);
                self.places.entry(id.document_id).or_default().push(place);
            }
        }
    }

    /// A new place.
    fn grow(&mut self) -> usize {
        if self.blocks.last().is_none_or(|block| block.ids.len() == BLOCK) {
            self.blocks.push(Block {
                codes: Vec::with_capacity(BLOCK * self.dimension),
                scales: Vec::with_capacity(BLOCK),
                ids: Vec::with_capacity(BLOCK),
            });
        }
        let full = (self.blocks.len() - 1) * BLOCK;
        let dimension = self.dimension;
        self.blocks.last_mut().map_or(full, |block| {
            block.codes.resize(block.codes.len() + dimension, 0);
            block.scales.push(0.0);
            block.ids.push(None);
            full + block.ids.len() - 1
        })
    }
}

/// Ordered by score, then by passage, so that equal scores give equal answers.
#[derive(PartialEq)]
struct Scored {
    score: f32,
    id: PassageId,
}

impl Eq for Scored {}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.id.cmp(&self.id))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The vector in steps of its largest number / 127, and the size of a step.
fn quantised(vector: &[f32]) -> (Vec<i8>, f32) {
    let largest = vector.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    let scale = (largest / 127.0).max(f32::MIN_POSITIVE);
    #[expect(clippy::cast_possible_truncation, reason = "within 127 steps by the choice of the step")]
    let codes = vector.iter().map(|number| (number / scale).round() as i8).collect();
    (codes, scale)
}

/// Pairs of products in 32 bits: what compilers turn into one instruction for eight numbers, on any 64-bit machine.
fn dot(vector: &[i8], query: &[i16]) -> i32 {
    vector.iter().zip(query).map(|(a, b)| i32::from(i16::from(*a)) * i32::from(*b)).sum()
}

/// The exact likeness of two vectors of length 1; 0 where their lengths differ.
pub fn likeness(a: &[f32], b: &[f32]) -> f32 {
    if a.len() == b.len() { a.iter().zip(b).map(|(a, b)| a * b).sum() } else { 0.0 }
}

/// The vector with length 1; as it is where it has none.
pub fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 && length.is_finite() {
        #[expect(clippy::cast_possible_truncation, reason = "at most 1")]
        vector.iter_mut().for_each(|number| *number = (f64::from(*number) / length) as f32);
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMENSION: usize = 48;

    fn vector(seed: u64) -> Vec<f32> {
        let mut dice = fastrand::Rng::with_seed(seed);
        normalised((0..DIMENSION).map(|_| dice.f32() - 0.5).collect())
    }

    fn passages(document: DocumentId, seeds: &[u64]) -> Vec<(PassageId, Vec<f32>)> {
        let one = |(ordinal, seed): (u32, &u64)| (PassageId { document_id: document, ordinal }, vector(*seed));
        (0..).zip(seeds).map(one).collect()
    }

    #[test]
    fn the_nearest_are_those_that_an_exact_look_finds() {
        let vectors = Vectors::default();
        vectors.clear(1, DIMENSION);
        let document = DocumentId::new();
        let seeds: Vec<u64> = (0..6_000).collect();
        let all = passages(document, &seeds);
        vectors.add(1, &all);
        assert_eq!(vectors.len(), 6_000, "more than a block");
        for query in (10_000..10_010).map(vector) {
            let mut exact: Vec<(f32, PassageId)> = all.iter().map(|(id, v)| (likeness(v, &query), *id)).collect();
            exact.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mean = exact.iter().map(|(likeness, _)| likeness).sum::<f32>() / 6_000.0;
            let square = exact.iter().map(|(likeness, _)| (likeness - mean).powi(2)).sum::<f32>() / 6_000.0;
            let near = vectors.nearest(&query, 20, None);
            assert!((near.mean - mean).abs() < 1e-3 && (near.deviation - square.sqrt()).abs() < 1e-3, "{near:?}");
            let near: HashSet<PassageId> = vectors.nearest(&query, 20, None).passages.into_iter().collect();
            assert!(exact[..10].iter().all(|(_, id)| near.contains(id)));
        }
        assert_eq!(vectors.nearest(&vector(5_999), 1, None).passages, [all[5_999].0]);
        assert_eq!(vectors.nearest(&[1.0], 1, None), Near::default(), "a query of another length finds nothing");
    }

    #[test]
    fn documents_are_replaced_removed_and_left_out() {
        let vectors = Vectors::default();
        vectors.clear(7, DIMENSION);
        let (first, second) = (DocumentId::new(), DocumentId::new());
        vectors.add(7, &passages(first, &[1, 2, 3]));
        vectors.add(7, &passages(second, &[4]));
        vectors.add(8, &passages(second, &[5]));
        assert_eq!(vectors.len(), 4, "vectors of another space are left out");
        vectors.replace(7, &[first], &passages(first, &[9]));
        assert_eq!(vectors.len(), 2);
        assert_eq!(vectors.nearest(&vector(9), 1, None).passages[0].document_id, first);
        let (narrow, whole) =
            (vectors.nearest(&vector(9), 9, Some(&[second].into())), vectors.nearest(&vector(9), 9, None));
        assert_eq!(narrow.passages.len(), 1);
        assert_eq!((narrow.mean, narrow.deviation), (whole.mean, whole.deviation));
        vectors.replace(7, &[first, second], &[]);
        assert!(vectors.is_empty() && vectors.nearest(&vector(1), 9, None) == Near::default());
        vectors.add(7, &passages(second, &[4, 5]));
        assert_eq!(vectors.len(), 2, "freed places are used again");
    }
}
