//! Loan words and foreign names written in katakana → the Latin words that they may stand for: セールスフォース finds
//! Salesforce. Spelling tells little of English sounds, so each kana allows for several letters, and any vowels; the
//! index's own words decide which of all these spellings there is.

use tantivy_fst::Automaton;

/// The fewest kana that tell a word; fewer stand for too many.
const FEWEST_KANA: usize = 4;

/// The most kana whose patterns fit into a state.
const MOST_KANA: usize = 12;

const VOWELS: &str = "aeiouyhw";

/// What a long vowel may add: ー is often an r that is not heard.
const LONG_VOWELS: &str = "aeiouyhwrg";

/// A pattern of spellings: at each position some letters, and the positions that may follow it, as bits.
pub(super) struct Spellings {
    letters: Vec<&'static str>,
    follow: Vec<u64>,
    first: u64,
    last: u64,
}

impl Spellings {
    /// The spellings of a word of nothing but katakana, where it is long enough to tell.
    pub(super) fn of(word: &str) -> Option<Self> {
        let length = word.chars().count();
        if !(FEWEST_KANA..=MOST_KANA).contains(&length) || !word.chars().all(|c| matches!(c, 'ァ'..='ヺ' | 'ー')) {
            return None;
        }
        let mut pattern = Self { letters: Vec::new(), follow: Vec::new(), first: 0, last: 0 };
        // Whether the spelling may still begin with what comes next.
        let mut begins = true;
        for kana in word.chars() {
            let (first, second, may_be_silent) = consonant(kana);
            if !first.is_empty() {
                pattern.append(first, may_be_silent, &mut begins);
                pattern.append(second, true, &mut begins);
            }
            let vowels = if kana == 'ー' { LONG_VOWELS } else { VOWELS };
            if kana != 'ッ' {
                // A word that begins with a vowel is not written without one.
                pattern.append(vowels, !begins, &mut begins);
                pattern.append(vowels, true, &mut begins);
            }
        }
        pattern.append("rs", true, &mut begins);
        Some(pattern)
    }

    /// Adds one of some letters after all that may come before it. `last` is what may come before the next.
    fn append(&mut self, letters: &'static str, may_lack: bool, begins: &mut bool) {
        let position = 1 << self.letters.len();
        for (at, follow) in self.follow.iter_mut().enumerate() {
            if self.last >> at & 1 == 1 {
                *follow |= position;
            }
        }
        if *begins {
            self.first |= position;
        }
        self.letters.push(letters);
        self.follow.push(0);
        self.last = if may_lack { self.last | position } else { position };
        *begins = *begins && may_lack;
    }
}

/// A state is what may come next, and whether the word may end here.
impl Automaton for &Spellings {
    type State = (u64, bool);

    fn start(&self) -> Self::State {
        (self.first, false)
    }

    fn is_match(&self, state: &Self::State) -> bool {
        state.1
    }

    fn can_match(&self, state: &Self::State) -> bool {
        state.0 != 0 || state.1
    }

    fn accept(&self, state: &Self::State, letter: u8) -> Self::State {
        let (mut next, mut ends) = (0, false);
        let mut left = state.0;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            left &= left - 1;
            if self.letters.get(at).is_some_and(|letters| letters.as_bytes().contains(&letter)) {
                next |= self.follow.get(at).copied().unwrap_or_default();
                ends |= self.last >> at & 1 == 1;
            }
        }
        (next, ends)
    }
}

/// The letters that a kana's consonant begins with in Latin, those that may follow, and whether it may be silent.
fn consonant(kana: char) -> (&'static str, &'static str, bool) {
    match kana {
        'カ' | 'キ' | 'ク' | 'ケ' | 'コ' => ("kcq", "kch", false),
        'ガ' | 'ギ' | 'グ' | 'ゲ' | 'ゴ' => ("g", "gh", false),
        'サ' | 'シ' | 'ス' | 'セ' | 'ソ' => ("sct", "sch", false),
        'ザ' | 'ズ' | 'ゼ' | 'ゾ' => ("zstd", "zh", false),
        'ジ' | 'ヂ' => ("jgzds", "g", false),
        'タ' | 'テ' | 'ト' => ("t", "th", false),
        'チ' => ("ct", "hc", false),
        'ツ' => ("tz", "sz", false),
        'ダ' | 'デ' | 'ド' | 'ヅ' => ("d", "d", false),
        'ナ' | 'ニ' | 'ヌ' | 'ネ' | 'ノ' => ("nk", "n", false),
        'ハ' | 'ヒ' | 'ヘ' | 'ホ' => ("hw", "h", true),
        'フ' => ("fhpg", "fh", false),
        'バ' | 'ビ' | 'ブ' | 'ベ' | 'ボ' => ("bv", "b", false),
        'パ' | 'ピ' | 'プ' | 'ペ' | 'ポ' => ("p", "p", false),
        'マ' | 'ミ' | 'ム' | 'メ' | 'モ' => ("m", "m", false),
        'ラ' | 'リ' | 'ル' | 'レ' | 'ロ' => ("lr", "lr", false),
        'ワ' | 'ヲ' => ("w", "h", true),
        'ン' => ("nm", "ng", false),
        'ヴ' => ("v", "v", false),
        _ => ("", "", true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_by_their_sound() {
        #[track_caller]
        fn check(kana: &str, word: &str, expected: bool) {
            let pattern = &Spellings::of(kana).unwrap();
            let state = word.bytes().fold(pattern.start(), |state, letter| pattern.accept(&state, letter));
            assert_eq!(pattern.is_match(&state), expected, "{kana} {word}");
        }
        // As the stemmer leaves them.
        check("セールスフォース", "salesforc", true);
        check("ペプシコ", "pepsico", true);
        check("マクドナルド", "mcdonald", true);
        check("ストリーム", "stream", true);
        check("ネットワーク", "network", true);
        check("プロシージャル", "procedur", true);
        check("アクティブ", "activ", true);
        check("アクティブ", "ctiv", false);
        check("ペプシコ", "pepsi", false);
        check("ネットワーク", "notebook", false);
    }

    #[test]
    fn short_and_other_words_stand_for_nothing() {
        for word in ["データ", "会社", "コンピューターの", "stream", "", "スーパーカリフラジリスティック"]
        {
            assert!(Spellings::of(word).is_none(), "{word}");
        }
    }
}
