use super::*;

fn terms(text: &str, kinds: &[TokenKind]) -> Vec<String> {
    analyze(text).into_iter().filter(|token| kinds.contains(&token.kind)).map(|token| token.term).collect()
}

#[test]
fn words_and_codes_become_terms() {
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(terms(text, &[TokenKind::Word, TokenKind::Compound]), expected, "{text:?}");
    }
    check("Heated wings in a slipstream.", &["heat", "wing", "slipstream"]);
    check("ISO-9001", &["iso9001", "iso", "9001"]);
    check("ISO 9001", &["iso", "9001"]);
    check("ＩＳＯ９００１", &["iso9001", "iso", "9001"]);
    check("E0308", &["e0308", "0308"]);
    check("令和6年", &["令和", "6", "6年", "年"]);
    check("令和６年１月", &["令和", "6", "6年", "年", "1", "1月", "月"]);
    check("令和六年", &["令和", "六", "年", "6年"]);
    check("p53 and IL-6", &["p53", "53", "il6", "il", "6"]);
    check("v1.2.3", &["v1.2.3", "v1", "2", "3"]);
    check("C++, C# and C.", &["c++", "c#", "c"]);
    check("John’s don't", &["john", "dont"]);
    check("1,000 men; 1,2", &["1000", "men", "1,2", "1", "2"]);
    check("cross-sectional areas", &["crosssection", "cross", "section", "area"]);
    check("std::env::var_os", &["std", "env", "varos", "var", "os"]);
    check("RustでAPIを呼び出す", &["rust", "api", "呼出"]);
    check("- ... '' --", &[]);
    check("rock'", &["rock"]);
    check("서울 กรุง", &[]);
    check("", &[]);
}

#[test]
fn unspaced_runs_become_bigrams_and_a_last_character() {
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(terms(text, &[TokenKind::Gram]), expected, "{text:?}");
    }
    check("東京都", &["東京", "京都", "都"]);
    check("水", &["水"]);
    check("コーヒー、茶", &["コー", "ーヒ", "ヒー", "ー", "茶"]);
    check("서울", &["서울", "울"]);
    check("abc", &[]);
}

#[test]
fn content_terms_leave_out_what_says_nothing() {
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(content_terms(text), expected, "{text:?}");
    }
    check("What is the lift of a wing?", &["lift", "wing"]);
    check("水道料金の支払期限はいつですか", &["水道", "料金", "支払", "期限"]);
    check("the", &["the"]);
    check("何", &["何"]);
    check("の", &["の"]);
    check("？！", &[]);
}

#[test]
fn tokens_lie_within_the_text_and_are_never_empty() {
    proptest::proptest!(|(text in "(\\PC|[a-c0-3_.,'’+#-]|[あいー々水道ｶﾞ㍻]){0,40}")| {
        let length = text.chars().count();
        for token in analyze(&text) {
            proptest::prop_assert!(token.start < token.end && token.end <= length, "{token:?}");
            proptest::prop_assert!(!token.term.is_empty());
        }
        let terms = content_terms(&text);
        let anywhere: Vec<&str> = terms.iter().map(String::as_str).collect();
        for (start, end) in marks(&text, |term| terms.iter().any(|known| known == term), &anywhere) {
            proptest::prop_assert!(start < end && end <= length);
        }
    });
}
