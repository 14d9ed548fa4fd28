//! How good a ranking is, as `trec_eval` measures it, and how sure a difference of two runs is.

use std::collections::HashMap;

/// Judgements of one query: how relevant each judged document is. Only grades above 0 are relevant.
pub(super) type Judgements = HashMap<String, i64>;

/// One query's measures, or their mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Measures {
    /// `ndcg_cut_10` of `trec_eval`: linear gain, discount log2(rank + 1), the ideal from all judged documents.
    #[serde(rename = "ndcg@10")]
    pub(super) ndcg_10: f64,
    /// Relevant documents among the first 10, of all relevant ones.
    #[serde(rename = "recall@10")]
    pub(super) recall_10: f64,
    /// The same among the first 100.
    #[serde(rename = "recall@100")]
    pub(super) recall_100: f64,
    /// One over the rank of the first relevant document, 0 where it is not among the first 10.
    #[serde(rename = "mrr@10")]
    pub(super) mrr_10: f64,
}

/// The measures, by their names.
pub(super) type Measure = (&'static str, fn(&Measures) -> f64);

/// Every measure, in the order that tables show them.
pub(super) const MEASURES: [Measure; 4] = [
    ("nDCG@10", |measures| measures.ndcg_10),
    ("Recall@10", |measures| measures.recall_10),
    ("Recall@100", |measures| measures.recall_100),
    ("MRR@10", |measures| measures.mrr_10),
];

/// How often a difference is drawn again.
const RESAMPLES: usize = 10_000;

impl Measures {
    /// Measures a ranking, best first. A document that stands in it twice counts where it stands first. Without a
    /// relevant document there is nothing to measure, and every measure is 0.
    pub(super) fn of(ranking: &[String], judgements: &Judgements) -> Self {
        let mut seen = std::collections::HashSet::new();
        let grades: Vec<i64> = ranking
            .iter()
            .filter(|id| seen.insert(id.as_str()))
            .map(|id| judgements.get(id).copied().unwrap_or_default().max(0))
            .take(100)
            .collect();
        let mut ideal: Vec<i64> = judgements.values().copied().filter(|grade| *grade > 0).collect();
        if ideal.is_empty() {
            return Self::default();
        }
        let relevant = ideal.len() as f64;
        ideal.sort_unstable_by(|a, b| b.cmp(a));
        let found = |depth: usize| grades.iter().take(depth).filter(|grade| **grade > 0).count() as f64;
        let first = grades.iter().take(10).position(|grade| *grade > 0);
        Self {
            ndcg_10: gain(&grades) / gain(&ideal),
            recall_10: found(10) / relevant,
            recall_100: found(100) / relevant,
            mrr_10: first.map_or(0.0, |place| 1.0 / (place + 1) as f64),
        }
    }

    /// The mean over queries; 0 over none.
    pub(super) fn mean<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let (mut sum, mut count) = (Self::default(), 0.0_f64);
        for one in all {
            sum.ndcg_10 += one.ndcg_10;
            sum.recall_10 += one.recall_10;
            sum.recall_100 += one.recall_100;
            sum.mrr_10 += one.mrr_10;
            count += 1.0;
        }
        let count = count.max(1.0);
        Self {
            ndcg_10: sum.ndcg_10 / count,
            recall_10: sum.recall_10 / count,
            recall_100: sum.recall_100 / count,
            mrr_10: sum.mrr_10 / count,
        }
    }
}

/// Discounted gain of the first ten.
fn gain(grades: &[i64]) -> f64 {
    (2_u32..).zip(grades.iter().take(10)).map(|(rank, grade)| *grade as f64 / f64::from(rank).log2()).sum()
}

/// How much better one run is than another, query by query.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(super) struct Difference {
    /// Mean of the differences.
    pub(super) mean: f64,
    /// 2.5 % of redrawn means are below.
    pub(super) low: f64,
    /// 2.5 % of them are above.
    pub(super) high: f64,
}

impl Difference {
    /// The paired bootstrap (Efron and Tibshirani 1993, percentile interval): queries are drawn with replacement, as
    /// many as there are, 10,000 times. The same differences always give the same interval.
    pub(super) fn of(differences: &[f64]) -> Option<Self> {
        let count = differences.len();
        if count == 0 {
            return None;
        }
        let mean = |sum: f64| sum / count as f64;
        let mut dice = fastrand::Rng::with_seed(1);
        let mut draw = || (0..count).map(|_| differences.get(dice.usize(..count)).copied().unwrap_or_default()).sum();
        let mut means: Vec<f64> = (0..RESAMPLES).map(|_| mean(draw())).collect();
        means.sort_unstable_by(f64::total_cmp);
        Some(Self {
            mean: mean(differences.iter().sum()),
            low: percentile(&means, 0.025),
            high: percentile(&means, 0.975),
        })
    }
}

/// The value below which a share of the sorted values lies; 0 of none.
pub(super) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
    let place = (share.clamp(0.0, 1.0) * last as f64).round() as usize;
    sorted.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(grades: &[(&str, i64)]) -> Judgements {
        grades.iter().map(|(id, grade)| ((*id).to_owned(), *grade)).collect()
    }

    #[test]
    fn rankings_are_measured_as_trec_eval_does() {
        #[track_caller]
        fn check(ranking: &[&str], grades: &[(&str, i64)], expected: [f64; 4]) {
            let ranking: Vec<String> = ranking.iter().map(|id| (*id).to_owned()).collect();
            let measures = Measures::of(&ranking, &judged(grades));
            for ((name, of), expected) in MEASURES.iter().zip(expected) {
                assert!((of(&measures) - expected).abs() < 1e-4, "{ranking:?} {name}: {}", of(&measures));
            }
        }
        check(&["a"], &[("a", 1)], [1.0, 1.0, 1.0, 1.0]);
        check(&["x", "a"], &[("a", 1)], [0.6309, 1.0, 1.0, 0.5]);
        check(&["a"], &[("a", 1), ("b", 1)], [0.6131, 0.5, 0.5, 1.0]);
        check(&["b", "a"], &[("a", 2), ("b", 1)], [0.8597, 1.0, 1.0, 1.0]);
        check(&["a", "a", "b"], &[("a", 1), ("b", 1)], [1.0, 1.0, 1.0, 1.0]);
        check(&["z", "a"], &[("a", 1), ("z", 0), ("y", -1)], [0.6309, 1.0, 1.0, 0.5]);
        check(&[], &[("a", 1)], [0.0, 0.0, 0.0, 0.0]);
        check(&["a"], &[], [0.0, 0.0, 0.0, 0.0]);
        let late: Vec<String> = (0..10).map(|n| format!("x{n}")).chain(["a".to_owned()]).collect();
        let late: Vec<&str> = late.iter().map(String::as_str).collect();
        check(&late, &[("a", 1)], [0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_difference_has_its_interval() {
        assert_eq!(Difference::of(&[]), None);
        assert_eq!(Difference::of(&[0.25; 8]), Some(Difference { mean: 0.25, low: 0.25, high: 0.25 }));
        // Of 100 queries, half better by 0.2: the mean is 0.1, its standard error 0.01.
        let half: Vec<f64> = (0..100).map(|n| if n % 2 == 0 { 0.2 } else { 0.0 }).collect();
        let difference = Difference::of(&half).unwrap();
        assert!((difference.mean - 0.1).abs() < 1e-9);
        assert!((difference.low - 0.08).abs() < 0.006 && (difference.high - 0.12).abs() < 0.006, "{difference:?}");
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| percentile(&values, share)), [1.0, 3.0, 5.0, 5.0]);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }
}
