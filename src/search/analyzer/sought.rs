//! The terms of one text, looked for in many others: these are cut into words only where one of the terms may stand.

use std::collections::HashMap;

use super::normal::Normal;
use super::{Cut, TokenKind, content_terms, cut, graded_terms, is_hiragana, is_japanese, numeral};
use crate::search::bilingual::Phrase;

/// Terms to look for, each known by its place among them.
#[derive(Debug, Default)]
pub struct Sought {
    places: HashMap<String, usize>,
    /// How many terms there are; after them come those of other ways to say them.
    count: usize,
    ways: Vec<Way>,
    /// Whether they carry meaning; if not, they are compared with what a text has instead of such terms.
    carry_meaning: bool,
    /// What a run of Japanese has to hold to hold one of the terms.
    beginnings: Vec<Vec<char>>,
    /// What a word of letters alone has to begin with to be one of the terms.
    initials: Vec<char>,
    /// Whether one of them is a number, which Japanese may write in kanji.
    numbers: bool,
}

/// Another way to say some of the terms.
#[derive(Debug)]
struct Way {
    /// The places of the terms that it says.
    said: Vec<usize>,
    /// The places of its own, all of which a text must hold.
    by: Vec<usize>,
}

/// Translations of a phrase that are looked for: the less likely ones mean something else too often.
const MOST_TRANSLATIONS: usize = 3;

impl Sought {
    /// The content terms of a text that are wanted; where none is, all of them. In alphabetical order.
    pub fn of(text: &str, wanted: impl Fn(&str) -> bool) -> Self {
        let (mut terms, carry_meaning) = graded_terms(text);
        if terms.iter().any(|term| wanted(term)) {
            terms.retain(|term| wanted(term));
        }
        terms.sort_unstable();
        let places: HashMap<String, usize> = terms.into_iter().zip(0..).collect();
        Self { count: places.len(), places, carry_meaning, ..Self::default() }.prepared()
    }

    /// The same, and texts in the other language that say them.
    pub fn or_translated(mut self, phrases: &[Phrase]) -> Self {
        for phrase in phrases.iter().filter(|_| self.carry_meaning) {
            let said: Vec<usize> = phrase.terms.iter().filter_map(|term| self.places.get(term).copied()).collect();
            // A lone kanji is a part of too many words.
            let tells = |terms: &&Vec<&str>| terms.iter().any(|term| term.chars().nth(1).is_some());
            for terms in phrase.translations.iter().filter(tells).take(MOST_TRANSLATIONS).filter(|_| !said.is_empty()) {
                let mut place = |term: &&str| {
                    let next = self.places.len();
                    *self.places.entry((*term).to_owned()).or_insert(next)
                };
                let by = terms.iter().map(&mut place).collect();
                self.ways.push(Way { said: said.clone(), by });
            }
        }
        self.prepared()
    }

    /// Knows what all of its terms look like.
    fn prepared(self) -> Self {
        let (japanese, other): (Vec<Vec<char>>, Vec<Vec<char>>) = self
            .places
            .keys()
            .map(|term| term.chars().collect())
            .partition(|term: &Vec<char>| term.first().is_some_and(|&first| is_japanese(first)));
        Self {
            beginnings: japanese.iter().map(|term| beginning(term).to_vec()).collect(),
            numbers: other.iter().any(|term| term.first().is_some_and(char::is_ascii_digit)),
            initials: other.iter().filter_map(|term| term.first().copied()).collect(),
            ..self
        }
    }

    /// How many terms are looked for.
    pub fn count(&self) -> usize {
        self.count
    }

    /// For each of the terms, whether it is among the content terms of a text.
    pub fn held(&self, text: &str) -> Vec<bool> {
        let mut held = vec![false; self.places.len()];
        let mut mark = |term: &str| {
            if let Some(held) = self.places.get(term).and_then(|place| held.get_mut(*place)) {
                *held = true;
            }
        };
        if self.carry_meaning {
            let taken = |run: &[char]| if self.may_stand_in(run) { Cut::Words } else { Cut::Nothing };
            cut(&Normal::new(text).chars, taken, &mut |term, _, _, kind| {
                if matches!(kind, TokenKind::Word | TokenKind::Compound) {
                    mark(&term);
                }
            });
        } else {
            content_terms(text).iter().for_each(|term| mark(term));
        }
        let is_held = |held: &[bool], place: &usize| held.get(*place).is_some_and(|held| *held);
        for way in &self.ways {
            if way.by.iter().all(|place| is_held(&held, place)) {
                for place in &way.said {
                    held.get_mut(*place).into_iter().for_each(|held| *held = true);
                }
            }
        }
        held.truncate(self.count);
        held
    }

    fn may_stand_in(&self, run: &[char]) -> bool {
        match run.first() {
            Some(&first) if is_japanese(first) => {
                self.beginnings.iter().any(|beginning| holds(run, beginning))
                    || (self.numbers && !numeral::counted(run).is_empty())
            }
            Some(first) => self.initials.contains(first) || !run.iter().all(char::is_ascii_alphabetic),
            None => false,
        }
    }
}

/// The part of a dictionary form that all forms of the word have in common. Kanji and katakana do not inflect; of a
/// word in hiragana alone, the last two characters may (くる, たべる).
fn beginning(term: &[char]) -> &[char] {
    let end = term.iter().rposition(|&c| !is_hiragana(c)).map_or(term.len().saturating_sub(2), |last| last + 1);
    term.get(..end).unwrap_or_default()
}

/// Whether some characters stand in a run one after the other, where kana may stand between them: a term is without
/// those that only help to read its kanji.
fn holds(run: &[char], beginning: &[char]) -> bool {
    let Some((first, others)) = beginning.split_first() else { return true };
    run.iter().enumerate().filter(|(_, character)| *character == first).any(|(at, _)| {
        let mut rest = run.iter().skip(at + 1);
        others.iter().all(|other| rest.find(|&c| c == other || !is_hiragana(*c)) == Some(other))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::search::bilingual::translated;

    #[test]
    fn what_is_held_is_what_the_text_is_cut_into() {
        let questions = [
            "可変な参照を同時に二つ作れないのはなぜ",
            "雨が降る前に申し込みを取り消して来る人をたずねる",
            "E-mails from ISO-9001 authors about dying, lying and skies in 6年",
            "サーバーのＨＴＭＬとくるまの色",
            "それは何ですか",
            "한국어 질문",
            "🎉 is this",
        ];
        let texts = [
            "参照は二つまで作られる。可変の参照",
            "雨が降っていたので取り消され、申し込んだ人が来た。たずねた人もきた。",
            "取消しと申込、申込みの雨、降る",
            "平成六年のこと",
            "He died; the email of iso9001's author lies. The sky, 平成6年。",
            "サーバとhtmlで、車とくるまの色を変える。",
            "何ですか",
            "한국어",
            "this is 🎉",
            "",
        ];
        for question in questions {
            let sought = Sought::of(question, |_| true);
            for text in texts {
                let theirs: HashSet<String> = content_terms(text).into_iter().collect();
                let mut terms = content_terms(question);
                terms.sort_unstable();
                let expected: Vec<bool> = terms.iter().map(|term| theirs.contains(term)).collect();
                assert_eq!(sought.held(text), expected, "{terms:?} in {text}");
            }
        }
    }

    #[test]
    fn what_the_other_language_says_is_held() {
        #[track_caller]
        fn check(question: &str, text: &str, expected: &[&str]) {
            let sought = Sought::of(question, |_| true).or_translated(&translated(question).phrases);
            let mut terms = content_terms(question);
            terms.sort_unstable();
            let held: Vec<&str> =
                terms.iter().zip(sought.held(text)).filter(|(_, held)| *held).map(|(term, _)| term.as_str()).collect();
            assert_eq!(held, expected, "{question} in {text}");
        }
        check("finder of lost property", "遺失物の拾得者は警察に届ける。", &["finder", "lost", "properti"]);
        check("finder of lost property", "物を拾う", &[]);
        check("人員削減の計画", "a plan for reductions in personnel", &["人員", "削減", "計画"]);
        check("人員削減の計画", "人員の配置と reduction", &["人員"]);
        check("削減の計画", "人員の配置と reduction", &["削減"]);
        check("what is it", "それ", &[]);
    }

    #[test]
    fn unwanted_terms_are_left_out_unless_nothing_is_left() {
        assert_eq!(Sought::of("the reason of the wing", |term| term != "reason").held("a wing, no reason"), [true]);
        assert_eq!(Sought::of("the reason", |term| term != "reason").held("no reason"), [true]);
    }
}
