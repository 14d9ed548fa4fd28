//! How well a sentence answers by its form, whatever its words: whole, of a readable length, a statement, of the kind
//! that the question asks for, and not one of the transitional rules that laws end with.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::sentences::is_list;
use crate::search::analyzer::content_terms;

/// Sentences of this length, in characters, say something and are read.
const SHORT: usize = 15;
const LONG: usize = 200;

/// Words that a Japanese sentence does not begin with, unless its beginning is missing.
const TAILS: [&str; 12] = ["の", "を", "は", "が", "に", "と", "で", "へ", "も", "又は", "及び", "若しくは"];

/// What transitional rules say.
const TRANSITIONAL: [&str; 6] = ["従前の例による", "法律の施行", "法律施行", "施行の日", "施行期日", "経過措置"];

/// What a definition says.
const DEFINING: [&str; 6] = ["とは、", "とは", "をいう", "のことです", " is defined as", " refers to"];

/// What a reason says.
const REASONING: [&str; 14] = [
    "ため",
    "から、",
    "からです",
    "ので、",
    "により",
    "原因",
    "理由",
    "because",
    "Because",
    " since ",
    " due to ",
    " so that ",
    " reason",
    " cause",
];

/// How questions ask for a time, for a number, for a reason.
const ASK_TIME: [&str; 12] = [
    "いつ",
    "何年",
    "何月",
    "何日",
    "何時",
    "何世紀",
    "期限",
    "when ",
    "what year",
    "which year",
    "what date",
    "what time",
];
const ASK_NUMBER: [&str; 12] = [
    "いくら",
    "いくつ",
    "何人",
    "何個",
    "何回",
    "何パーセント",
    "何歳",
    "どれくらい",
    "どのくらい",
    "how many",
    "how much",
    "how long",
];
const ASK_REASON: [&str; 7] = ["なぜ", "何故", "どうして", "理由", "原因", "why ", "reason"];

/// How questions ask for several things.
const ASK_LIST: [&str; 19] = [
    "どんなもの",
    "どのようなもの",
    "何があ",
    "種類",
    "一覧",
    "規則",
    "条件",
    "要件",
    "手順",
    "項目",
    "what are ",
    "which ",
    "list",
    "rules",
    "steps",
    "kinds of",
    "types of",
    "requirements",
    "ways ",
];

/// What shows that a sentence names a time.
const TIMES: [&str; 8] = ["年", "月", "日", "時", "世紀", "時代", "期", "o'clock"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Words that point to the sentence before.
const POINTERS: [&str; 20] = [
    "これ",
    "それ",
    "この",
    "その",
    "ここで",
    "こうし",
    "そうし",
    "同年",
    "同社",
    "同氏",
    "It ",
    "This ",
    "These ",
    "They ",
    "Those ",
    "That ",
    "He ",
    "She ",
    "Its ",
    "Their ",
];

/// How a sentence begins or ends that says nothing but where something is said.
const ELSEWHERE_BEGINS: [&str; 6] =
    ["See ", "Refer to ", "For details", "For more details", "For more information", "For further information"];
const ELSEWHERE_ENDS: [&str; 8] = [
    "を参照",
    "を参照のこと",
    "を参照してください",
    "をご参照ください",
    "を参照されたい",
    "をご覧ください",
    "をご確認ください",
    "を見てください",
];

/// Words that only say what kind of thing is asked for; a sentence that answers need not hold them.
const ASKING: &str = "誰 どこ いくら いくつ どちら どなた 名前 名称 場所 理由 原因 方法 手順 仕方 意味 違い 種類 例 何年 何人 何時 何県 何色 何歳 \
    name reason way difference meaning steps kind type example explain describe list many much long use";

/// How much of a sentence may be signs of code or of addresses.
const MOST_SIGNS: f64 = 0.12;

/// The terms of [`ASKING`].
static ASKING_TERMS: LazyLock<BTreeSet<String>> =
    LazyLock::new(|| ASKING.split_whitespace().flat_map(content_terms).collect());

/// Whether a question's term only says what kind of thing is asked for.
pub(super) fn only_asks(term: &str) -> bool {
    ASKING_TERMS.contains(term)
}

/// Whether a sentence cannot be understood without the one before it.
pub(super) fn points_back(sentence: &str) -> bool {
    POINTERS.iter().any(|word| sentence.starts_with(word))
}

/// What a question asks for, by its form.
pub(super) struct Wanted {
    /// What is to be defined, where the question is for a definition; empty where it does not say.
    defined: Option<String>,
    transitional: bool,
    time: bool,
    number: bool,
    reason: bool,
    list: bool,
}

impl Wanted {
    pub(super) fn by(question: &str) -> Self {
        let lower = question.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let defined = question.split_once("とは").map(|(before, _)| before.trim_matches(['「', '」', ' ']).to_owned());
        let asks = has(&["定義", "意味", "what is ", "what are ", "define", "meaning of"]);
        Self {
            defined: defined.or(asks.then(String::new)),
            transitional: has(&["施行", "附則", "経過", "改正"]),
            time: has(&ASK_TIME),
            number: has(&ASK_NUMBER),
            reason: has(&ASK_REASON),
            list: has(&ASK_LIST),
        }
    }

    /// What a sentence's words are worth in this form: 1 for a good one, 0 for what is no sentence.
    pub(super) fn worth(&self, sentence: &str) -> f64 {
        let text = sentence.trim();
        let chars = text.chars().count();
        // Markup, and remarks that stand alone in brackets.
        if text.starts_with(['<', '→']) || text.starts_with("//") || text.contains("-->") || is_bracketed(text) {
            return 0.0;
        }
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if is_list(text) {
            let fits = if self.list { 1.25 } else { 0.85 };
            return if signs(text) > MOST_SIGNS { fits * 0.4 } else { fits };
        }
        let mut worth = match chars {
            n if n < SHORT => 0.7,
            n if n > LONG => 0.85,
            _ => 1.0,
        };
        let bare = text.trim_end_matches(['」', '』', '）', ')', '"', '”', '*', '_', '`']);
        if bare.ends_with(['?', '？']) {
            worth *= 0.6;
        } else if bare.ends_with([':', '：']) {
            // What it leads to is missing.
            worth *= 0.6;
        } else if !bare.ends_with(['。', '．', '.', '!', '！']) {
            worth *= 0.75;
        }
        if signs(text) > MOST_SIGNS {
            worth *= 0.4;
        }
        if TAILS.iter().any(|tail| text.starts_with(tail)) || text.starts_with(|char: char| char.is_ascii_lowercase()) {
            worth *= 0.6;
        }
        let stem = bare.trim_end_matches(['。', '．', '.']);
        if ELSEWHERE_BEGINS.iter().any(|begin| text.starts_with(begin))
            || ELSEWHERE_ENDS.iter().any(|end| stem.ends_with(end))
        {
            worth *= 0.4;
        }
        if !self.transitional && has(&TRANSITIONAL) {
            worth *= 0.4;
        }
        if self.defined.as_ref().is_some_and(|term| text.contains(term) && has(&DEFINING)) {
            worth *= 1.4;
        }
        let digits = text.contains(|char: char| char.is_numeric() || "一二三四五六七八九十百千万億".contains(char));
        if self.time {
            worth *= if digits && (has(&TIMES) || has(&MONTHS) || has_year(text)) { 1.3 } else { 0.9 };
        } else if self.number {
            worth *= if digits { 1.3 } else { 0.9 };
        }
        if self.reason && has(&REASONING) {
            worth *= 1.2;
        }
        worth
    }
}

/// The share of a text that is signs of code or of addresses.
fn signs(text: &str) -> f64 {
    let sign = |char: &char| {
        matches!(char, '{' | '}' | '(' | ')' | ';' | '=' | '<' | '>' | '/' | '\\' | '|' | '$' | '_' | '#')
    };
    let count = |chars: usize| u32::try_from(chars).map_or(f64::MAX, f64::from);
    count(text.chars().filter(sign).count()) / count(text.chars().count().max(1))
}

/// Whether four digits stand together.
fn has_year(text: &str) -> bool {
    text.split(|char: char| !char.is_ascii_digit()).any(|digits| digits.len() == 4)
}

/// Whether all of a text is in one pair of brackets.
fn is_bracketed(text: &str) -> bool {
    let inside = text.strip_prefix(['（', '(']).and_then(|text| text.trim_end_matches('。').strip_suffix(['）', ')']));
    inside.is_some_and(|inside| !inside.contains(['（', '(', '）', ')']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first of each pair is the better answer.
    #[test]
    fn better_forms_are_worth_more() {
        let cases = [
            (
                "納本の義務",
                "発行者は、出版物を国立国会図書館に納入しなければならない。",
                "この法律施行前に発行された出版物の納入については、なお従前の例による。",
            ),
            (
                "営業秘密とは何か",
                "この法律において「営業秘密」とは、秘密として管理されている情報をいう。",
                "窃取その他の不正の手段により営業秘密を取得する行為を行つてはならない。",
            ),
            ("営業秘密の保持", "営業秘密は、裁判所の命令により保持される。", "（秘密保持義務等）"),
            (
                "個人データ",
                "個人データを提供する場合には、本人の同意を得なければならない。",
                "に個人データを提供する場合には、本人の同意を得なければならない。",
            ),
            (
                "when to panic",
                "It is appropriate to panic in examples and tests.",
                "and when should one panic in examples and tests?",
            ),
            (
                "share a counter",
                "Share a counter between threads with a mutex.",
                "<Listing caption=\"Share a counter between threads with a mutex\">",
            ),
            ("開館はいつですか", "図書館は1950年に開館した。", "図書館は多くの人の希望により開館した。"),
            (
                "How many counters are there?",
                "The hall has 12 counters in all.",
                "The hall has counters for everybody.",
            ),
            ("なぜ休館したか", "設備が故障したため、図書館は休館した。", "図書館は四月の初めに休館しました。"),
            (
                "set a property",
                "Set the property before the first request.",
                "h('div', { '.name': 'set', '^width': '100' }) // a property.",
            ),
            (
                "What are the rules of the house?",
                "The house has rules:\n- be quiet\n- be kind",
                "The rules of the house are new.",
            ),
            ("is it quiet", "The house is quiet by day.", "The house has rules:\n- be quiet\n- be kind"),
            (
                "What must maintainer scripts do to be idempotent?",
                "Running a script twice must do the same as running it once.",
                "See Maintainer scripts idempotency, Section 6.2.",
            ),
            ("料金の支払方法", "料金は口座振替で支払う。", "料金の支払方法は、別紙を参照してください。"),
            ("list the options", "The options are read from the file.", "The options are the following:"),
        ];
        for (question, good, bad) in cases {
            let wanted = Wanted::by(question);
            assert!(wanted.worth(good) > wanted.worth(bad), "{question}: {} {}", wanted.worth(good), wanted.worth(bad));
        }
    }

    #[test]
    fn transitional_rules_are_worth_their_words_to_who_asks_for_them() {
        let rule = "この法律は、施行の日から適用する。";
        assert!(Wanted::by("施行はいつか").worth(rule) > Wanted::by("適用の範囲").worth(rule));
    }
}
