//! JSON out of what models write: [`parse`] finds the value in a reply and reads it leniently; [`score`] and
//! [`strings`] read values that should have been a number or a list.

mod lenient;

use serde_json::Value;

/// Reads the JSON value of a reply: as it is, else inside a code fence, else the first object or array that prose
/// surrounds. Malformed JSON is read as what was meant: single or typographic quotes, trailing or missing commas,
/// full-width punctuation, comments, Python's words, line breaks in strings, an end that was cut off.
///
/// # Errors
/// Why there is no value, as a fragment that tells a model what to do better.
pub fn parse(reply: &str) -> Result<Value, String> {
    let reply = super::think::strip(reply);
    let reply = reply.trim_start_matches('\u{feff}').trim();
    if let Ok(value) = serde_json::from_str::<Value>(reply) {
        return match value.as_str() {
            // The whole object as one string: JSON that was serialised twice.
            Some(inner) if inner.trim_start().starts_with(['{', '[']) => parse(inner),
            Some(_) | None => Ok(value),
        };
    }
    let mut best: Option<Value> = None;
    for candidate in candidates(reply) {
        let Some(value) = lenient::read(candidate) else { continue };
        // Prose has brackets too, such as [1]; an object with fields is what was asked for.
        if weight(&value) > best.as_ref().map_or(0, weight) {
            best = Some(value);
        }
        if best.as_ref().is_some_and(|value| weight(value) > 2) {
            break;
        }
    }
    best.ok_or_else(|| "there is no JSON object in it".to_owned())
}

/// A score from 0 to 1 out of what models give for one: `0.8`, `"0.8"`, `"8/10"`, `"80%"`, `8` (of 10), `80` (of
/// 100), `"high"`. None for what says nothing.
pub fn score(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64().and_then(scaled),
        Value::String(text) => score_of_text(text),
        Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
        Value::Object(fields) => ["score", "value", "relevance"].iter().find_map(|key| score(fields.get(*key)?)),
        Value::Array(items) => items.first().filter(|_| items.len() == 1).and_then(score),
        Value::Null => None,
    }
}

/// A list of texts out of what models give for one: a list of strings, numbers or objects with one text each, or one
/// string whose lines or bullets are the items. Empty items are dropped.
pub fn strings(value: &Value) -> Vec<String> {
    let items: Vec<String> = match value {
        Value::Array(items) => items.iter().flat_map(one_text).collect(),
        Value::String(text) => text.lines().map(str::to_owned).collect(),
        Value::Object(_) => one_text(value).into_iter().collect(),
        Value::Number(number) => vec![number.to_string()],
        Value::Null | Value::Bool(_) => Vec::new(),
    };
    items.iter().map(|item| without_bullet(item)).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// What the model is told where its reply cannot be used.
pub(super) fn repair_prompt(problem: &str) -> String {
    format!("Your reply cannot be used: {problem}. Reply with the corrected JSON object alone, without any other text.")
}

/// Where a value may begin, best guesses first.
fn candidates(reply: &str) -> Vec<&str> {
    let mut candidates = Vec::new();
    for (at, _) in reply.match_indices("```") {
        let inside = &reply[at + 3..];
        let inside = inside.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).trim_start();
        if inside.starts_with(OPENING) {
            candidates.push(inside);
        }
    }
    if reply.starts_with(OPENING) {
        candidates.push(reply);
    }
    // Bounded, since each start is read to the end of the reply.
    let starts = |open: [char; 2]| reply.match_indices(open).take(16).map(|(at, _)| &reply[at..]);
    candidates.extend(starts(['{', '｛']));
    candidates.extend(starts(['[', '［']));
    candidates
}

const OPENING: [char; 4] = ['{', '[', '｛', '［'];

/// How much a value looks like an answer.
fn weight(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields.values().map(|field| 2 + weight(field)).sum(),
        Value::Array(items) => usize::from(!items.is_empty()) + items.iter().map(weight).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// A bare number: 0 to 1 as it is, above that out of 10, above that out of 100.
fn scaled(number: f64) -> Option<f64> {
    let of = match number {
        n if (0.0..=1.0).contains(&n) => 1.0,
        n if n > 1.0 && n <= 10.0 => 10.0,
        n if n > 10.0 && n <= 100.0 => 100.0,
        _ => return None,
    };
    Some(number / of)
}

fn score_of_text(text: &str) -> Option<f64> {
    let text = narrow(text).trim().to_lowercase();
    if let Some((part, whole)) = text.split_once(['/', '／']).or_else(|| text.split_once(" out of ")) {
        let (part, whole) = (number_in(part)?, number_in(whole)?);
        return (whole > 0.0).then(|| (part / whole).clamp(0.0, 1.0));
    }
    if let Some(percent) = text.strip_suffix(['%', '％']) {
        return Some((number_in(percent)? / 100.0).clamp(0.0, 1.0));
    }
    if let Some(points) = text.strip_suffix('点') {
        return number_in(points).and_then(|n| (0.0..=100.0).contains(&n).then_some(n / 100.0));
    }
    let word = |words: &[&str]| words.contains(&text.as_str());
    if word(&["none", "irrelevant", "not relevant", "no", "なし", "無関係"]) {
        return Some(0.0);
    }
    if word(&["low", "低", "低い", "weak"]) {
        return Some(0.25);
    }
    if word(&["medium", "moderate", "partial", "中", "中程度"]) {
        return Some(0.5);
    }
    if word(&["high", "relevant", "高", "高い", "strong"]) {
        return Some(0.9);
    }
    if word(&["very high", "highly relevant", "full", "yes", "非常に高い"]) {
        return Some(1.0);
    }
    number_in(&text).and_then(scaled)
}

/// The number that a text is, whatever word stands before it.
fn number_in(text: &str) -> Option<f64> {
    let text = text.trim();
    let from = text
        .rfind(|c: char| !c.is_ascii_digit() && c != '.')
        .map_or(0, |at| at + text[at..].chars().next().map_or(0, char::len_utf8));
    let negative = text[..from].trim_end().ends_with('-');
    text[from..].parse::<f64>().ok().filter(|n| n.is_finite() && !negative)
}

/// Full-width digits, points and signs as narrow ones.
fn narrow(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
            '\u{3000}' => ' ',
            other => other,
        })
        .collect()
}

fn one_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(fields) => ["text", "quote", "point", "key_point", "content", "value"]
            .iter()
            .find_map(|key| fields.get(*key)?.as_str())
            .or_else(|| fields.values().find_map(Value::as_str))
            .map(str::to_owned),
        Value::Array(items) => {
            let parts: Vec<String> = items.iter().filter_map(one_text).collect();
            (!parts.is_empty()).then(|| parts.join(" "))
        }
        Value::Null | Value::Bool(_) => None,
    }
}

/// The text without `- `, `・`, `1. ` or the like before it.
fn without_bullet(text: &str) -> &str {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix(['・', '•', '‣', '●']) {
        return rest.trim();
    }
    if let Some(rest) = text.strip_prefix("- ").or_else(|| text.strip_prefix("* ")) {
        return rest.trim();
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    match text.get(digits..) {
        Some(rest) if (1..=2).contains(&digits) => {
            rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") ")).map_or(text, str::trim)
        }
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_found_in_replies() {
        let expected = json!({"relevance": 0.8, "summary": "払込票で払う", "key_points": ["a", "b"]});
        let check = |reply: &str| assert_eq!(parse(reply).as_ref(), Ok(&expected), "{reply}");
        let plain = r#"{"relevance": 0.8, "summary": "払込票で払う", "key_points": ["a", "b"]}"#;
        check(plain);
        check(&format!("\u{feff}  {plain}\n"));
        check(&format!("```json\n{plain}\n```"));
        check(&format!("```\n{plain}```"));
        check(&format!("```JSON\n{plain}"));
        check(&format!("Here is the analysis [1] of {{the}} document:\n\n{plain}\n\nI hope this helps! {{}}"));
        check(&format!("分析結果は以下の通りです。\n```json\n{plain}\n```\n以上です。"));
        check(&format!("<think>maybe {{\"relevance\": 0.1}}</think>{plain}"));
        check(&format!("maybe {{\"relevance\": 0.1, \"x\": 1}}</think>\n{plain}"));
        check(&serde_json::to_string(plain).unwrap());
        check(r#"{'relevance': 0.8, 'summary': '払込票で払う', 'key_points': ['a', 'b']}"#);
        check(r#"{"relevance": 0.8, "summary": "払込票で払う", "key_points": ["a", "b",],}"#);
        check(r#"{"relevance": 0.8 "summary": "払込票で払う" "key_points": ["a" "b"]}"#);
        check(r#"{relevance: 0.8, summary: "払込票で払う", key_points: ["a", "b"]}"#);
        check(r#"｛“relevance”：0.8，“summary”：“払込票で払う”，“key_points”：［“a”、“b”］｝"#);
        check(r#"{"relevance"：0.8，"summary"："払込票で払う"、"key_points"：["a"，"b"]}"#);
        check(
            "{\"relevance\": 0.8, // how much\n \"summary\": \"払込票で払う\", /* so */ \"key_points\": [\"a\", \"b\"]}",
        );
        check(r#"{"relevance": 0.8, "summary": "払込票で払う", "key_points": ["a", "b"#);
        check(r#"{"relevance": 0.8, "summary": "払込票で払う", "key_points": ["a", "b", "#);
        check(r#"{"relevance": 0.8, "summary": "払込票で払う", "key_points": ["a", "b"], "evid"#);
        check(r#"{"relevance": 0.8, "summary": "払込票で払う", "key_points": ["a", "b"], "evidence":"#);
        check(r#"{"relevance": .8, "summary": "払込票で払う", "key_points": ["a", "b"]}}"#);
        check(r#"{"relevance": +0.80, "summary": "払込票で払う", "key_points": ["a", "b"]];"#);
    }

    #[test]
    fn strings_keep_what_is_in_them() {
        let check = |reply: &str, expected: Value| assert_eq!(parse(reply), Ok(expected), "{reply}");
        check(r#"x {"a": "b } ] { c", "d": "e\"f\\"}"#, json!({"a": "b } ] { c", "d": "e\"f\\"}));
        check("{\"a\": \"two\nlines\tand a tab\",}", json!({"a": "two\nlines\tand a tab"}));
        check(r#"{"a": "he said "no" to it", "b": 1,}"#, json!({"a": "he said \"no\" to it", "b": 1}));
        check(r#"{'a': 'it's fine', 'b': 2}"#, json!({"a": "it's fine", "b": 2}));
        check(r#"{"a": "C:\path", "b": "\u6c34\ud83d\ude00",}"#, json!({"a": "C:\\path", "b": "水😀"}));
        check(r#"{"a": "「水道」、（料金）：100円", "b": “x”}"#, json!({"a": "「水道」、（料金）：100円", "b": "x"}));
        check(r#"{"a": "half \ud83d end",}"#, json!({"a": "half \u{fffd} end"}));
        check(
            r#"{"a": None, "b": True, "c": False, "d": NaN, "e": undefined}"#,
            json!({"a": null, "b": true, "c": false, "d": null, "e": null}),
        );
        check(r#"{"a": 8/10, "b": 80%, "c": high}"#, json!({"a": "8/10", "b": "80%", "c": "high"}));
        check(r#"{"a": -1.5e3, "b": 007, "c": 1_000,}"#, json!({"a": -1500.0, "b": 7, "c": "1_000"}));
        check(r#"[{"a": 1}, {"a": 2},]"#, json!([{"a": 1}, {"a": 2}]));
        check(r#"{"a": {"b": [1, 2, {"c": "d"#, json!({"a": {"b": [1, 2, {"c": "d"}]}}));
        check("{}", json!({}));
    }

    #[test]
    fn where_there_is_no_json_it_says_so() {
        for reply in
            ["", "   ", "I cannot help with that.", "関連する情報はありません。", "```\n```", "}{", "<think>{\"a\":1}"]
        {
            assert!(parse(reply).is_err(), "{reply}");
        }
    }

    #[test]
    fn hostile_replies_end() {
        for reply in ["[".repeat(200_000), "{\"a\":".repeat(100_000), "{\"".repeat(50_000), "'".repeat(100_000)] {
            let _ = parse(&reply);
        }
    }

    #[test]
    fn scores_are_read_in_every_form() {
        let check = |value: Value, expected: Option<f64>| {
            let found = score(&value);
            let same = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
                (found, expected) => found == expected,
            };
            assert!(same, "{value}: {found:?}");
        };
        check(json!(0.8), Some(0.8));
        check(json!(1), Some(1.0));
        check(json!(8), Some(0.8));
        check(json!(85), Some(0.85));
        check(json!("0.8"), Some(0.8));
        check(json!("8/10"), Some(0.8));
        check(json!("８／１０"), Some(0.8));
        check(json!("80%"), Some(0.8));
        check(json!("80 %"), Some(0.8));
        check(json!("8 out of 10"), Some(0.8));
        check(json!("score: 4/5"), Some(0.8));
        check(json!("80点"), Some(0.8));
        check(json!("High"), Some(0.9));
        check(json!("高い"), Some(0.9));
        check(json!("irrelevant"), Some(0.0));
        check(json!({"score": 0.3}), Some(0.3));
        check(json!(["0.3"]), Some(0.3));
        check(json!("11/10"), Some(1.0));
        check(json!(true), Some(1.0));
        check(json!(-1), None);
        check(json!("-0.5"), None);
        check(json!(400), None);
        check(json!("5/0"), None);
        check(json!("who knows"), None);
        check(json!(null), None);
        check(json!(""), None);
    }

    #[test]
    fn lists_are_read_in_every_form() {
        let check = |value: Value, expected: &[&str]| assert_eq!(strings(&value), expected, "{value}");
        check(json!(["a", " b ", ""]), &["a", "b"]);
        check(json!("one point"), &["one point"]);
        check(json!("- a\n- b\n\n* c"), &["a", "b", "c"]);
        check(json!("・水道\n・料金"), &["水道", "料金"]);
        check(json!("1. a\n2) b\n2026 was a year"), &["a", "b", "2026 was a year"]);
        check(json!([{"quote": "q", "page": 2}, {"x": "y"}]), &["q", "y"]);
        check(json!({"text": "t"}), &["t"]);
        check(json!([1, null, ["a", "b"]]), &["1", "a b"]);
        check(json!(null), &[]);
        check(json!("-5 degrees"), &["-5 degrees"]);
    }
}
