//! How well a sentence answers by its form, whatever its words: whole, of a readable length, a statement, and not one
//! of the transitional rules that laws end with.

/// Sentences of this length, in characters, say something and are read.
const SHORT: usize = 15;
const LONG: usize = 200;

/// Words that a Japanese sentence does not begin with, unless its beginning is missing.
const TAILS: [&str; 12] = ["の", "を", "は", "が", "に", "と", "で", "へ", "も", "又は", "及び", "若しくは"];

/// What transitional rules say.
const TRANSITIONAL: [&str; 6] = ["従前の例による", "法律の施行", "法律施行", "施行の日", "施行期日", "経過措置"];

/// What a definition says.
const DEFINING: [&str; 6] = ["とは、", "とは", "をいう", "のことです", " is defined as", " refers to"];

/// What a question asks for, by its form.
pub(super) struct Wanted {
    /// What is to be defined, where the question is for a definition; empty where it does not say.
    defined: Option<String>,
    transitional: bool,
}

impl Wanted {
    pub(super) fn by(question: &str) -> Self {
        let lower = question.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let defined = question.split_once("とは").map(|(before, _)| before.trim_matches(['「', '」', ' ']).to_owned());
        let asks = has(&["定義", "意味", "what is ", "what are ", "define", "meaning of"]);
        Self {
            defined: defined.or(asks.then(String::new)), transitional: has(&["施行", "附則", "経過", "改正"])
        }
    }

    /// What a sentence's words are worth in this form: 1 for a good one, 0 for what is no sentence.
    pub(super) fn worth(&self, sentence: &str) -> f64 {
        let text = sentence.trim();
        let chars = text.chars().count();
        // Markup, and remarks that stand alone in brackets.
        if text.starts_with('<') || text.contains("-->") || is_bracketed(text) {
            return 0.0;
        }
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let mut worth = match chars {
            n if n < SHORT => 0.7,
            n if n > LONG => 0.85,
            _ => 1.0,
        };
        let bare = text.trim_end_matches(['」', '』', '）', ')', '"', '”', '*', '_', '`']);
        if bare.ends_with(['?', '？']) {
            worth *= 0.6;
        } else if !bare.ends_with(['。', '．', '.', '!', '！']) {
            worth *= 0.75;
        }
        if TAILS.iter().any(|tail| text.starts_with(tail)) || text.starts_with(|char: char| char.is_ascii_lowercase()) {
            worth *= 0.6;
        }
        if !self.transitional && has(&TRANSITIONAL) {
            worth *= 0.4;
        }
        if self.defined.as_ref().is_some_and(|term| text.contains(term) && has(&DEFINING)) {
            worth *= 1.4;
        }
        worth
    }
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
