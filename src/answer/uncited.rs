//! The statements of an answer that no mark supports.

use super::sentences::{blocks, sentences};
use crate::text::one_line;

/// So many letters and digits make a statement; less is `Yes.` or a label.
const MIN_LETTERS: usize = 6;

/// Bounds of what is reported.
const MAX_SENTENCES: usize = 50;
const MAX_CHARS: usize = 300;

/// The sentences without a mark, in order. Marks after a sentence's full stop are its own. Headings, code, a table's
/// head, and lines that only lead to what follows (`…:`) state nothing.
pub(super) fn uncited(answer: &str) -> Vec<String> {
    let prose = without_code(answer);
    let all = blocks(&prose);
    let mut found = Vec::new();
    for (place, block) in all.iter().enumerate() {
        let is_head = all.get(place + 1).is_some_and(|next| is_rule(next));
        if block.trim_start().starts_with('#') || is_rule(block) || (block.trim_start().starts_with('|') && is_head) {
            continue;
        }
        found.extend(of_block(block));
    }
    found.truncate(MAX_SENTENCES);
    found
}

fn of_block(block: &str) -> Vec<String> {
    // A row of a table is one statement.
    if block.trim_start().starts_with('|') {
        let row = block.trim();
        return if has_mark(row) || !states(row) { Vec::new() } else { vec![row.chars().take(MAX_CHARS).collect()] };
    }
    let chars: Vec<char> = block.chars().collect();
    let mut open: Option<String> = None;
    let mut found = Vec::new();
    for range in sentences(block) {
        let piece: String = chars.get(range).unwrap_or_default().iter().collect();
        let rest = after_marks(&piece);
        if rest.len() < piece.trim_start().len() {
            open = None;
        }
        if rest.trim().is_empty() {
            continue;
        }
        found.extend(open.take());
        let leads = rest.trim_end().ends_with([':', '：']);
        if !has_mark(rest) && states(rest) && !leads {
            let line = one_line(rest);
            open = Some(line.trim_start_matches(['-', '*', '+', '>', '・', ' ']).chars().take(MAX_CHARS).collect());
        }
    }
    found.extend(open);
    found
}

/// What follows the marks that a text begins with.
fn after_marks(text: &str) -> &str {
    let mut rest = text.trim_start();
    while let Some((inside, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        if inside.is_empty() || !inside.bytes().all(|byte| byte.is_ascii_digit()) {
            break;
        }
        rest = after.trim_start();
    }
    rest
}

fn has_mark(text: &str) -> bool {
    text.match_indices('[').any(|(at, _)| after_marks(&text[at..]).len() < text.len() - at)
}

fn states(text: &str) -> bool {
    text.chars().filter(|char| char.is_alphanumeric()).count() >= MIN_LETTERS
}

/// The line of dashes under a table's head, or between parts.
fn is_rule(block: &str) -> bool {
    let block = block.trim();
    block.contains("--") && block.chars().all(|char| matches!(char, '|' | '-' | ':' | ' '))
}

fn without_code(answer: &str) -> String {
    let mut prose = String::with_capacity(answer.len());
    let mut code = false;
    for line in answer.split_inclusive('\n') {
        let fence = line.trim_start().starts_with("```");
        if !(code || fence) {
            prose.push_str(line);
        }
        code ^= fence;
    }
    prose
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_without_a_mark_are_found_and_nothing_else() {
        let cases: &[(&str, &[&str])] = &[
            ("It opens at nine [1]. It closes at five.", &["It closes at five."]),
            ("It opens at nine. [1] It closes at five. [2]", &[]),
            ("20日が期限です[1]。延長もできます。", &["延長もできます。"]),
            ("期限は二十日です。[1]\n\n延長は窓口でできます。", &["延長は窓口でできます。"]),
            (
                "# A long heading here\n\nYes.\n\nThe rules are as follows:\n\n- nine o'clock sharp [1]\n- closed on *Sundays* always",
                &["closed on *Sundays* always"],
            ),
            ("```\nlet number = compute();\n```\n", &[]),
            (
                "| branch | opening time |\n|---|---|\n| north | nine o'clock [1] |\n| south | ten o'clock |",
                &["| south | ten o'clock |"],
            ),
            ("see [note] for more details", &["see [note] for more details"]),
            ("", &[]),
        ];
        for (answer, expected) in cases {
            assert_eq!(uncited(answer), *expected, "{answer:?}");
        }
    }
}
