//! Whether an expected fact stands in an answer: letter by letter, but for width, case, spaces and punctuation.

use icu_normalizer::ComposingNormalizerBorrowed;

/// A text as facts are compared: each character that counts, and whether something was left out before it.
pub(super) struct Letters(Vec<(char, bool)>);

impl Letters {
    /// Prepares an answer or a fact. The marks `[n]` of an answer are no part of what it says.
    pub(super) fn of(text: &str) -> Self {
        let text = ComposingNormalizerBorrowed::new_nfkc().normalize(text).to_lowercase();
        let chars: Vec<char> = without_marks(&text).chars().collect();
        let is_digit = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_digit);
        let mut letters = Vec::with_capacity(chars.len());
        let mut apart = true;
        for (at, char) in chars.iter().copied().enumerate() {
            let between_digits = is_digit(at.checked_sub(1)) && is_digit(Some(at + 1));
            let begins_number =
                is_digit(Some(at + 1)) && !at.checked_sub(1).is_some_and(|before| chars[before].is_alphanumeric());
            match char {
                // `1,500` is `1500`.
                ',' if between_digits => {}
                '.' if between_digits => letters.push((char, std::mem::take(&mut apart))),
                '-' | '−' if begins_number => letters.push(('-', std::mem::take(&mut apart))),
                char if is_left_out(char) => apart = true,
                char => letters.push((char, std::mem::take(&mut apart))),
            }
        }
        Self(letters)
    }

    /// Whether nothing is left to compare.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a fact stands in it, as whole words and numbers: `5円` is not in `15円`.
    pub(super) fn hold(&self, fact: &Self) -> bool {
        let length = fact.0.len();
        let same = |window: &[(char, bool)]| window.iter().zip(&fact.0).all(|(a, b)| a.0 == b.0);
        length > 0
            && self
                .0
                .windows(length)
                .enumerate()
                .any(|(at, window)| self.is_border(at) && self.is_border(at + length) && same(window))
    }

    fn is_border(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|before| self.0.get(before));
        let (Some((before, _)), Some((after, apart))) = (before, self.0.get(at)) else { return true };
        *apart || !(in_word(*before) && in_word(*after))
    }
}

/// Whether a character is part of a word whose end a space or a mark would show.
fn in_word(char: char) -> bool {
    // Left in only within numbers.
    char == '.' || (char.is_alphanumeric() && !super::super::is_japanese(char))
}

/// Spaces and punctuation; signs that say something (`%`, `+`, `$`) are none.
fn is_left_out(char: char) -> bool {
    char.is_whitespace()
        || char.is_control()
        || (char.is_ascii_punctuation() && !matches!(char, '%' | '$' | '+' | '=' | '&' | '@' | '<'))
        || matches!(char, '\u{b7}' | '\u{ad}' | '\u{ab}' | '\u{bb}' | '\u{200b}'..='\u{2027}' | '\u{202a}'..='\u{202e}')
        || matches!(char, '\u{2032}'..='\u{205e}' | '−' | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{301f}' | '・')
}

fn without_marks(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once('[') {
        kept.push_str(before);
        match after.split_once(']') {
            Some((mark, after)) if !mark.is_empty() && mark.bytes().all(|byte| byte.is_ascii_digit()) => rest = after,
            _ => {
                kept.push(' ');
                rest = after;
            }
        }
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, fact: &str, expected: bool) {
        assert_eq!(Letters::of(answer).hold(&Letters::of(fact)), expected, "{fact:?} in {answer:?}");
    }

    #[test]
    fn width_case_spaces_and_punctuation_do_not_matter() {
        check("支払期限は検針日の翌月２０日です[1]。", "翌月20日", true);
        check("The fee is *1,500 yen*, VAT included.", "1500 Yen", true);
        check("At nine o’clock [2].", "nine o'clock", true);
        check("検針日の\n翌月 20 日[1]です", "翌月20日です", true);
        check("ｶﾞｽ料金", "ガス料金", true);
        check("It is −5 °C at night.", "-5°C", true);
    }

    #[test]
    fn anything_else_does() {
        check("料金は15円です。", "5円", false);
        check("Version 1.5 is out.", "1", false);
        check("Version 1.5 is out.", "15", false);
        check("The start of it", "art", false);
        check("5 people", "5%", false);
        check("20 days", "20 day", false);
        check("It was 5 degrees.", "-5 degrees", false);
        check("see [3]", "3", false);
        check("anything", "。", false);
        check("", "a", false);
    }
}
