//! Text → blocks → sentences, by the offsets of their characters. Made for documents and answers alike: Markdown, and
//! Japanese or spaced scripts.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

/// The furthest that a bracket may close behind its sentence's apparent end, in characters.
const MAX_BRACKET_CHARS: usize = 300;

/// The sentences of one paragraph, list item or table row, as ranges of its characters; together they are all of it.
/// A full stop within brackets ends none: `（翌月を除く。）` is part of what stands around it.
pub(super) fn sentences(block: &str) -> Vec<Range<usize>> {
    // A line break within a paragraph ends no sentence; a space in its place keeps the offsets.
    let joined = block.replace('\n', " ");
    let mut sentences: Vec<Range<usize>> = Vec::new();
    let mut depth = 0;
    let mut code = false;
    let mut begin = 0;
    let mut at = 0;
    let mut rest = joined.chars();
    for piece in joined.split_sentence_bounds() {
        // Unicode counts an opening bracket behind a full stop to the sentence that ends there.
        let openers =
            piece.chars().rev().take_while(|char| matches!(char, '[' | '［' | '【' | '（' | '(' | '「')).count();
        let length = piece.chars().count();
        for (place, char) in piece.chars().enumerate() {
            rest.next();
            if place + openers == length && at + place > begin && depth == 0 {
                sentences.push(begin..at + place);
                begin = at + place;
            }
            depth = deeper(depth, char);
            code ^= char == '`';
        }
        at += length;
        // `panic!` ends nothing; a backtick that nothing closes must not swallow the block.
        if code && at - begin < MAX_BRACKET_CHARS && rest.clone().take(MAX_BRACKET_CHARS).any(|char| char == '`') {
            continue;
        }
        // A bracket that nothing closes must not swallow the block.
        if depth > 0 && at - begin < MAX_BRACKET_CHARS && closes(depth, rest.clone()) {
            continue;
        }
        // What was in brackets is part of the sentence that goes on behind them: `「はい。」と言った`.
        if piece.ends_with(['）', ')', '」', '』']) && rest.clone().next().is_some_and(is_hiragana) {
            continue;
        }
        if openers > 0 {
            continue;
        }
        sentences.push(begin..at);
        (begin, depth, code) = (at, 0, false);
    }
    if at > begin {
        sentences.push(begin..at);
    }
    sentences
}

fn is_hiragana(char: char) -> bool {
    ('\u{3041}'..='\u{309f}').contains(&char)
}

fn deeper(depth: usize, char: char) -> usize {
    match char {
        '（' | '(' | '「' | '『' => depth + 1,
        '）' | ')' | '」' | '』' => depth.saturating_sub(1),
        _ => depth,
    }
}

fn closes(mut depth: usize, rest: impl Iterator<Item = char>) -> bool {
    for char in rest.take(MAX_BRACKET_CHARS) {
        depth = deeper(depth, char);
        if depth == 0 {
            return true;
        }
    }
    false
}

/// Whether a text begins as an item of a list does: with a bullet or a number, as Markdown, offices and laws write them.
pub(super) fn is_item(text: &str) -> bool {
    let text = text.trim_start();
    let after = |is_mark: fn(char) -> bool| {
        let rest = text.trim_start_matches(is_mark);
        (rest.len() < text.len() && text.len() - rest.len() <= 3 * 3).then_some(rest)
    };
    let is_digit = |char| matches!(char, '0'..='9' | '０'..='９');
    let numbered = || after(is_digit);
    let counted = || after(|char| "一二三四五六七八九十".contains(char)).or_else(|| text.strip_prefix(iroha));
    let in_brackets = || text.strip_prefix(['(', '（'])?.trim_start_matches(is_count).strip_prefix([')', '）']);
    let spaced = |rest: &str| rest.starts_with(char::is_whitespace);
    text.starts_with(['・', '•', '●', '‣'])
        || text.starts_with(|char| ('①'..='⑳').contains(&char))
        || text.strip_prefix(['-', '*', '+']).is_some_and(spaced)
        || numbered().and_then(|rest| rest.strip_prefix(['.', ')'])).is_some_and(spaced)
        || numbered().and_then(|rest| rest.strip_prefix(['．', '）'])).is_some_and(|rest| !rest.starts_with(is_digit))
        || counted().is_some_and(spaced)
        || in_brackets().is_some_and(|rest| !rest.is_empty())
}

/// Whether a text is a list: at least two items, whatever leads to them.
pub(super) fn is_list(text: &str) -> bool {
    text.contains('\n') && text.lines().filter(|line| is_item(line)).nth(1).is_some()
}

/// An item without its bullet; numbers are part of what it says.
pub(super) fn without_bullet(item: &str) -> &str {
    let text = item.trim();
    let rest = text.trim_start_matches(['-', '*', '+', '・', '•', '●', '‣']);
    if is_item(text) { rest.trim_start() } else { text }
}

fn iroha(char: char) -> bool {
    "イロハニホヘトチリヌルヲ".contains(char)
}

fn is_count(char: char) -> bool {
    char.is_numeric() || iroha(char) || "一二三四五六七八九十".contains(char)
}

/// Cuts a text into paragraphs, list items, headings and table rows, losing no character.
pub(super) fn blocks(text: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let mut begin = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_start();
        let begins = content.is_empty()
            || is_item(content)
            || content.starts_with(['#', '-', '*', '+', '|', '>', '・', '　'])
            || content.starts_with("```")
            || content.chars().next().is_some_and(|char| char.is_ascii_digit());
        if begins && at > begin {
            blocks.push(&text[begin..at]);
            begin = at;
        }
        at += line.len();
        if content.starts_with('#') && at > begin {
            blocks.push(&text[begin..at]);
            begin = at;
        }
    }
    if begin < text.len() {
        blocks.push(&text[begin..]);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(block: &str, expected: &[&str]) {
        let chars: Vec<char> = block.chars().collect();
        let found: Vec<String> = sentences(block).into_iter().map(|range| chars[range].iter().collect()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn full_stops_within_brackets_end_no_sentence() {
        check("一つ。二つ。", &["一つ。", "二つ。"]);
        check("料金（税を除く。以下同じ。）は月末払い。次。", &["料金（税を除く。以下同じ。）は月末払い。", "次。"]);
        check("期限です。[1] 次。", &["期限です。", "[1] 次。"]);
        check("期限です。（税込）次。", &["期限です。", "（税込）次。"]);
        check("彼は「はい。」と言った。", &["彼は「はい。」と言った。"]);
        check("Open (and never closed. Next one.", &["Open (and never closed. ", "Next one."]);
        check("When to call `panic!` and when not? Now.", &["When to call `panic!` and when not? ", "Now."]);
        check("A stray ` here! And then.", &["A stray ` here! ", "And then."]);
        check("One (as in A. It is). Two.", &["One (as in A. It is). ", "Two."]);
        check("", &[]);
    }

    #[test]
    fn items_of_lists_are_told_from_sentences() {
        for item in [
            "- a",
            " * b",
            "+ c",
            "・一つ",
            "1. one",
            "12) twelve",
            "１．一",
            "一　住所を有すること",
            "ロ 次のもの",
            "（１）対象",
            "(2) two",
            "①まず",
        ] {
            assert!(is_item(item), "{item}");
        }
        for other in [
            "-5 degrees",
            "*emphasis* here",
            "1.5 times",
            "2026 was long",
            "１．５倍",
            "一つは",
            "十分な時間",
            "ロは次のもの",
            "(see below)",
            "（略）",
            "",
        ] {
            assert!(!is_item(other), "{other}");
        }
        assert!(is_list("these:\n- a\n- b") && !is_list("these:\n- a\nb"));
        assert_eq!((without_bullet("- *a* "), without_bullet("2. b"), without_bullet("-5")), ("*a*", "2. b", "-5"));
    }

    #[test]
    fn blocks_lose_no_character() {
        let text = "# 見出し\n段落の\n続き\n\n- 一つ\n- 二つ\n| a |\n末尾";
        assert_eq!(blocks(text).concat(), text);
        assert_eq!(blocks(text)[1], "段落の\n続き\n");
    }
}
