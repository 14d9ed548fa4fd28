//! Sensible answers to dokkai's own prompts, made of the prompt's own sentences: analyses that quote the document,
//! answers that cite the sources.

use std::collections::HashSet;

use serde_json::json;

use super::protocol::ChatRequest;

/// The text that a capable model might reply with.
pub fn text_for(request: &ChatRequest) -> String {
    let asked = request
        .messages
        .iter()
        .rev()
        .find(|(role, content)| role == "user" && (content.contains("<document") || content.contains("<sources>")))
        .or_else(|| request.messages.last())
        .map_or("", |(_, content)| content.as_str());
    let question = between(asked, "<question>", "</question>").unwrap_or_default().trim();
    if let Some(sources) = between(asked, "<sources>", "</sources>") {
        return synthesis(question, sources);
    }
    if let Some(document) = between(asked, "<document", "</document>") {
        let body = document.split_once(">\n").or_else(|| document.split_once('>')).map_or(document, |(_, body)| body);
        return analysis(question, body);
    }
    let said: String = asked.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(80).collect();
    if request.json {
        return json!({"summary": said, "key_points": [], "relevance": 0.0, "evidence": []}).to_string();
    }
    format!("This is a simulated reply to: {said}")
}

fn analysis(question: &str, document: &str) -> String {
    let asked = terms(question);
    let mut sentences: Vec<(usize, &str)> =
        sentences(document).map(|sentence| (terms(sentence).intersection(&asked).count(), sentence)).collect();
    let found = terms(document).intersection(&asked).count();
    #[expect(clippy::cast_precision_loss, reason = "a count of words")]
    let relevance = if asked.is_empty() { 1.0 } else { found as f64 / asked.len() as f64 };
    // Stable, so that equal sentences stay in the document's order.
    sentences.sort_by_key(|(overlap, _)| std::cmp::Reverse(*overlap));
    let best: Vec<&str> = sentences.iter().map(|(_, sentence)| *sentence).take(3).collect();
    let relevance = (relevance * 100.0).round() / 100.0;
    // Both names that prompts use.
    json!({
        "relevance": relevance,
        "relevance_score": relevance,
        "summary": best.first().copied().unwrap_or_default(),
        "key_points": best,
        "evidence": best,
    })
    .to_string()
}

fn synthesis(question: &str, sources: &str) -> String {
    let quotes: Vec<(u32, &str)> = sources.lines().filter_map(source).take(5).collect();
    let japanese = question.chars().any(|c| matches!(c, '\u{3040}'..='\u{30ff}'));
    let mut answer = String::from(if japanese {
        "文書によると、次のとおりです。\n\n"
    } else {
        "According to the documents:\n\n"
    });
    for (number, quote) in quotes {
        answer.push_str(&format!("- {quote} [{number}]\n"));
    }
    answer
}

/// One line `[n] "quote"`.
fn source(line: &str) -> Option<(u32, &str)> {
    let (number, rest) = line.trim().strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim();
    let quote = match (rest.find('"'), rest.rfind('"')) {
        (Some(first), Some(last)) if first < last => &rest[first + 1..last],
        _ => rest,
    };
    Some((number.parse().ok()?, quote.trim()))
}

/// Sentences long enough to quote, as they stand in the text.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['。', '！', '？', '\n'])
        .flat_map(|part| part.split_inclusive(". "))
        .map(str::trim)
        .filter(|sentence| sentence.chars().count() >= 8 && !sentence.starts_with('<'))
}

/// Words of Latin text and character pairs of Japanese, in lower case.
fn terms(text: &str) -> HashSet<String> {
    let mut terms = HashSet::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        if word.is_ascii() {
            if word.len() > 3 {
                terms.insert(word.to_lowercase());
            }
        } else {
            let chars: Vec<char> = word.chars().collect();
            terms.extend(
                chars.windows(2).filter(|pair| pair.iter().any(|c| !is_hiragana(*c))).map(|pair| pair.iter().collect()),
            );
        }
    }
    terms
}

fn is_hiragana(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{309f}')
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(open)?;
    Some(rest.rsplit_once(close).map_or(rest, |(inside, _)| inside))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn ask(prompt: &str) -> String {
        text_for(&ChatRequest { messages: vec![("user".to_owned(), prompt.to_owned())], ..ChatRequest::default() })
    }

    #[test]
    fn an_analysis_quotes_the_document() {
        let reply = ask(
            "<question>水道料金の支払期限は</question>\n<document title=\"水道\">\n東京の天気は晴れです。\n水道料金の支払期限は検針日から20日です。\n</document>",
        );
        let value: Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(value["evidence"][0], "水道料金の支払期限は検針日から20日です。");
        assert!(value["relevance"].as_f64().unwrap() > 0.8, "{value}");
        let other: Value = serde_json::from_str(&ask(
            "<question>水道料金の支払期限は</question>\n<document title=\"x\">\nThe wing stalls at high angles.\n</document>",
        ))
        .unwrap();
        assert_eq!(other["relevance"], 0.0);
    }

    #[test]
    fn an_answer_cites_its_sources() {
        let reply = ask(
            "<question>Due when?</question>\n<sources>\n[1] \"within 20 days\" (p. 3)\n[2] \"by \"mail\"\"\n</sources>",
        );
        assert_eq!(reply, "According to the documents:\n\n- within 20 days [1]\n- by \"mail\" [2]\n");
    }
}
