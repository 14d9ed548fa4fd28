//! Words of Japanese text, by dictionary.

use std::cell::RefCell;
use std::sync::LazyLock;

use vibrato::tokenizer::worker::Worker;
use vibrato::{Dictionary, Tokenizer};

use super::{TokenKind, is_han, is_hiragana};

/// IPADIC, made by `examples/build_ipadic.rs`.
static DICTIONARY: &[u8] = include_bytes!("../../../assets/ipadic.zst");

/// Loaded at first use, once; takes some tens of milliseconds. None only if the embedded file is damaged, which
/// leaves the bigrams to search by.
static TOKENIZER: LazyLock<Option<Tokenizer>> = LazyLock::new(|| {
    let loaded = zstd::Decoder::new(DICTIONARY)
        .map_err(|error| error.to_string())
        .and_then(|reader| Dictionary::read(reader).map_err(|error| error.to_string()));
    match loaded {
        // The limit is MeCab's; without one a long run of one unknown script is a single word.
        Ok(dictionary) => Some(Tokenizer::new(dictionary).max_grouping_len(24)),
        Err(error) => {
            tracing::error!(error, "the embedded dictionary cannot be read; Japanese is searched by bigrams alone");
            None
        }
    }
});

thread_local! {
    /// Holds the memory of its lattice from one run to the next, which are many and short.
    static WORKER: RefCell<Option<Worker<'static>>> = RefCell::new(TOKENIZER.as_ref().map(Tokenizer::new_worker));
}

/// Longest stretch given to the dictionary at once; bounds the memory of its lattice.
const LONGEST_STRETCH: usize = 1_000;

/// A trailing `ー` is spelling, not meaning, in words of at least this many characters (サーバ, サーバー).
const LONG_LOAN_WORD: usize = 4;

/// Most kana between two kanji that only help to read the first.
const MOST_OKURIGANA: usize = 2;

/// One word: its dictionary form, and its place counted in characters from the start of the run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) term: String,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: TokenKind,
}

/// The words of a run of kana and kanji in reading order, without particles and auxiliaries.
pub(super) fn words(run: &[char]) -> Vec<Word> {
    WORKER.with_borrow_mut(|worker| worker.as_mut().map(|worker| words_by(worker, run)).unwrap_or_default())
}

fn words_by(worker: &mut Worker<'_>, run: &[char]) -> Vec<Word> {
    let mut words = Vec::new();
    for (index, stretch) in run.chunks(LONGEST_STRETCH).enumerate() {
        worker.reset_sentence(stretch.iter().collect::<String>());
        worker.tokenize();
        for token in worker.token_iter() {
            let mut feature = token.feature().split(',');
            let (pos1, pos2) = (feature.next().unwrap_or_default(), feature.next().unwrap_or_default());
            let form = feature.next().filter(|&form| form != "*").unwrap_or(token.surface());
            if let Some(kind) = kind(pos1, pos2, form) {
                let place = token.range_char();
                let offset = index * LONGEST_STRETCH;
                let (start, end) = (offset + place.start, offset + place.end);
                words.push(Word { term: settled(pos1, form), start, end, kind });
                if (pos1, kind) == ("動詞", TokenKind::Word) {
                    let firsts = first_verbs(form).into_iter().flatten();
                    words.extend(firsts.map(|term| Word { term, start, end, kind: TokenKind::Part }));
                }
            }
        }
    }
    words
}

/// What a word of this part of speech is worth to a search; none for what only holds the sentence together.
fn kind(pos1: &str, pos2: &str, form: &str) -> Option<TokenKind> {
    match (pos1, pos2) {
        ("助詞" | "助動詞" | "記号" | "フィラー", _) => None,
        ("接続詞" | "連体詞", _)
        | ("名詞", "非自立" | "代名詞" | "特殊")
        | ("動詞", "非自立" | "接尾")
        | ("形容詞", "非自立" | "接尾") => Some(TokenKind::Stop),
        _ if super::stop::is_japanese(form) => Some(TokenKind::Stop),
        _ => Some(TokenKind::Word),
    }
}

/// A dictionary form in the one of its spellings that is looked up.
fn settled(pos1: &str, form: &str) -> String {
    if matches!(pos1, "名詞" | "動詞") && leaves_okurigana_out(form) {
        form.chars().filter(|&c| is_han(c)).collect()
    } else {
        without_trailing_mark(form).to_owned()
    }
}

/// What the first verb of a compound one may be in its dictionary form: 降る or 降りる for 降り続く. The kana before the
/// second verb tells it, all but whether a verb in い, き, … becomes one in う, く, … or takes a る.
fn first_verbs(form: &str) -> [Option<String>; 2] {
    const I: &str = "いきぎしちにびみり";
    const U: &str = "うくぐすつぬぶむる";
    const E: &str = "えけげせぜてでねべめれ";
    let first_verb = || {
        let kana = form.find(is_hiragana)?;
        let second = kana + form.get(kana..)?.find(is_han)?;
        form.get(..second).filter(|first| first.starts_with(is_han))
    };
    let Some((first, last)) = first_verb().and_then(|first| Some((first, first.chars().next_back()?))) else {
        return [None, None];
    };
    let turned = I.chars().zip(U.chars()).find(|(i, _)| *i == last).map(|(_, u)| {
        let stem = first.strip_suffix(last).unwrap_or(first);
        format!("{stem}{u}")
    });
    let longer = (I.contains(last) || E.contains(last)).then(|| format!("{first}る"));
    [turned, longer]
}

/// Whether a word of several kanji may be written without the kana that help to read them: 申し込み is 申込み and 申込,
/// and what one has 申し込む for. The kana of 男の子 or 我が国 are words of their own.
fn leaves_okurigana_out(form: &str) -> bool {
    let parts: Vec<&str> = form.split(is_han).collect();
    let kanji = parts.len() - 1;
    let between = parts.get(1..kanji).unwrap_or_default();
    kanji > 1
        && parts.first().is_some_and(|before| before.is_empty())
        && parts.iter().all(|kana| kana.chars().all(is_hiragana))
        && between.iter().all(|kana| kana.chars().count() <= MOST_OKURIGANA && !kana.ends_with(['の', 'が']))
}

fn without_trailing_mark(form: &str) -> &str {
    let is_loan_word = form.chars().count() >= LONG_LOAN_WORD && form.chars().all(|c| matches!(c, 'ァ'..='ヺ' | 'ー'));
    form.strip_suffix('ー').filter(|_| is_loan_word).unwrap_or(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_in_their_dictionary_form() {
        #[track_caller]
        fn check(run: &str, expected: &[&str]) {
            let run: Vec<char> = run.chars().collect();
            let found = words(&run);
            let terms: Vec<&str> =
                found.iter().filter(|w| w.kind == TokenKind::Word).map(|w| w.term.as_str()).collect();
            assert_eq!(terms, expected, "{run:?}");
        }
        check("東京都の水道料金の支払期限を教えてください", &["東京", "都", "水道", "料金", "支払", "期限"]);
        check("雨が降っていた", &["雨", "降る"]);
        check("サーバーとサーバ", &["サーバ", "サーバ"]);
        check("コピー", &["コピー"]);
        check("佐々木", &["佐々木"]);
        check("それは何ですか", &[]);
        check("申し込みは申込みで、申込も申し込んだ", &["申込", "申込", "申込", "申込"]);
        check("手続きと手続", &["手続", "手続"]);
        check("男の子が立ち止まる", &["男の子", "立止"]);
        check("食べた", &["食べる"]);
    }

    #[test]
    fn compound_verbs_are_found_by_their_first() {
        #[track_caller]
        fn check(run: &str, expected: &[&str]) {
            let run: Vec<char> = run.chars().collect();
            let found = words(&run);
            let parts: Vec<&str> =
                found.iter().filter(|w| w.kind == TokenKind::Part).map(|w| w.term.as_str()).collect();
            assert_eq!(parts, expected, "{run:?}");
        }
        check("雪が降り続いた", &["降る", "降りる"]);
        check("受け入れた", &["受ける"]);
        check("読み込んで", &["読む", "読みる"]);
        check("見直す", &[]);
        check("降る", &[]);
    }

    #[test]
    fn long_runs_are_cut_and_keep_their_places() {
        let run: Vec<char> = "雨".repeat(2_500).chars().collect();
        let found = words(&run);
        assert_eq!(found.first().map(|w| w.start), Some(0));
        assert_eq!(found.last().map(|w| w.end), Some(2_500));
    }
}
