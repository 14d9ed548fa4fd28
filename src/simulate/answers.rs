//! Sensible answers to dokkai's own prompts, made of the prompt's own sentences: analyses that quote the document,
//! answers that cite the sources.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::protocol::ChatRequest;
use crate::text::one_line;

/// Quotes in an answer: of one document, and altogether.
const QUOTES_PER_DOCUMENT: usize = 2;
const QUOTES_PER_ANSWER: usize = 5;

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
    if let Some(conversation) = between(asked, "<conversation>", "</conversation>") {
        return json!({"question": standalone(question, conversation)}).to_string();
    }
    let said: String = one_line(asked).chars().take(80).collect();
    if request.json {
        return json!({"summary": said, "key_points": [], "relevance": 0.0, "evidence": []}).to_string();
    }
    format!("This is a simulated reply to: {said}")
}

/// A follow-up with what it follows: a question that points back, or is too short to stand alone, is asked about the
/// question before it.
fn standalone(question: &str, conversation: &str) -> String {
    const POINTERS: [&str; 14] =
        ["それ", "これ", "その", "この", "あれ", "そこ", "では", " it", "it ", "that", "this", "they", "them", "and "];
    let earlier = conversation.lines().rev().find_map(|line| line.trim().strip_prefix("Asked: "));
    let lower = question.to_lowercase();
    let points_back = POINTERS.iter().any(|word| lower.contains(word)) || terms(question).len() < 3;
    match earlier.filter(|_| points_back) {
        Some(earlier) => format!("{question} ({earlier})"),
        None => question.to_owned(),
    }
}

fn analysis(question: &str, document: &str) -> String {
    let asked = terms(question);
    let sentences: Vec<(String, HashSet<String>)> = sentences(document)
        .into_iter()
        .map(|sentence| {
            let held = terms(&sentence).intersection(&asked).cloned().collect();
            (sentence, held)
        })
        .collect();
    // What stands in few sentences says more than what stands in all.
    let mut counts: HashMap<&str, f64> = HashMap::new();
    for term in sentences.iter().flat_map(|(_, held)| held) {
        *counts.entry(term).or_default() += 1.0;
    }
    let worth = |held: &HashSet<String>| -> f64 {
        held.iter().filter_map(|term| counts.get(term.as_str())).map(|count| 1.0 / count.sqrt()).sum()
    };
    let mut ranked: Vec<(f64, &(String, HashSet<String>))> =
        sentences.iter().map(|sentence| (worth(&sentence.1), sentence)).collect();
    // Stable, so that equal sentences stay in the document's order.
    ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    ranked.truncate(3);
    let found: HashSet<&String> = ranked.iter().flat_map(|(_, (_, held))| held).collect();
    #[expect(clippy::cast_precision_loss, reason = "a count of words")]
    let relevance = if asked.is_empty() { 1.0 } else { found.len() as f64 / asked.len() as f64 };
    let best: Vec<&str> = ranked.iter().map(|(_, (sentence, _))| sentence.as_str()).collect();
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
    let japanese = question.chars().any(|c| matches!(c, '\u{3040}'..='\u{30ff}'));
    let mut answer = String::from(if japanese {
        "文書によると、次のとおりです。\n\n"
    } else {
        "According to the documents:\n\n"
    });
    for (number, quote) in quotes(sources) {
        answer.push_str(&format!("- {quote} [{number}]\n"));
    }
    answer
}

/// The first quotes of each document, in one line each. A quote stands as `[n] "quote"`, over several lines where the
/// document breaks it.
fn quotes(sources: &str) -> Vec<(u32, String)> {
    let mut quotes: Vec<(u32, String)> = Vec::new();
    let mut of_document = 0;
    let mut open = false;
    for line in sources.lines() {
        let line = line.trim();
        if line.starts_with("Document: ") {
            (of_document, open) = (0, false);
        } else if let Some((number, rest)) = numbered(line) {
            of_document += 1;
            open = of_document <= QUOTES_PER_DOCUMENT && quotes.len() < QUOTES_PER_ANSWER;
            if open {
                quotes.push((number, rest.to_owned()));
            }
        } else if let Some((_, quote)) = quotes.last_mut().filter(|_| open) {
            join(quote, line);
        }
    }
    for (_, quote) in &mut quotes {
        if let (Some(first), Some(last)) = (quote.find('"'), quote.rfind('"'))
            && first < last
        {
            *quote = quote[first + 1..last].trim().to_owned();
        }
    }
    quotes
}

/// The number and the rest of a line `[n] …`.
fn numbered(line: &str) -> Option<(u32, &str)> {
    let (number, rest) = line.strip_prefix('[')?.split_once(']')?;
    Some((number.parse().ok()?, rest.trim()))
}

/// Sentences long enough to quote, each in one line.
fn sentences(text: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    let mut code = false;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', '-', '*', '|', '<', '>', '・']) {
            paragraphs.push(String::new());
        }
        let fence = line.starts_with("```");
        code ^= fence;
        let prose = !(code || fence || line.starts_with(['#', '|', '<']));
        if let Some(paragraph) = paragraphs.last_mut().filter(|_| prose) {
            join(paragraph, line.trim_start_matches(['-', '*', '>', '・', ' ']));
        }
    }
    paragraphs.iter().flat_map(|paragraph| cut(paragraph)).filter(|sentence| sentence.chars().count() >= 8).collect()
}

/// Cuts a paragraph after its full stops, those within brackets left out.
fn cut(paragraph: &str) -> Vec<String> {
    let mut sentences = vec![String::new()];
    let mut depth = 0_usize;
    let mut chars = paragraph.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '（' | '(' | '「' => depth += 1,
            '）' | ')' | '」' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let Some(sentence) = sentences.last_mut() {
            sentence.push(char);
        }
        let latin = matches!(char, '.' | '?' | '!') && chars.peek().is_none_or(|next| *next == ' ');
        if depth == 0 && (latin || matches!(char, '。' | '！' | '？')) {
            sentences.push(String::new());
        }
    }
    sentences.into_iter().map(|sentence| sentence.trim().to_owned()).collect()
}

/// Adds a line to a text; between Japanese characters a line break is nothing.
fn join(text: &mut String, line: &str) {
    let tight = text.chars().next_back().is_none_or(|char| !char.is_ascii())
        && line.chars().next().is_none_or(|char| !char.is_ascii());
    if !tight && !text.is_empty() && !line.is_empty() {
        text.push(' ');
    }
    text.push_str(line);
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
    fn sentences_go_on_over_lines_and_brackets() {
        let text = "# Heading of it\n\nOne sentence that\n`goes` on. Version 1.5 is out! \n- first item, long\n料金（税を除く。）は\n月末払い。\n| a | table |\n```\nlet code = 1;\n```";
        assert_eq!(
            sentences(text),
            ["One sentence that `goes` on.", "Version 1.5 is out!", "first item, long 料金（税を除く。）は月末払い。"]
        );
    }

    #[test]
    fn a_follow_up_is_asked_with_what_it_follows() {
        let rewritten = |question: &str| {
            let reply = ask(&format!(
                "<conversation>\nAsked: 水道料金の支払期限は\nAnswered: 20日です。\n</conversation>\n\n<question>\n{question}\n</question>"
            ));
            let value: Value = serde_json::from_str(&reply).unwrap();
            value["question"].as_str().unwrap().to_owned()
        };
        assert_eq!(rewritten("それは延長できますか"), "それは延長できますか (水道料金の支払期限は)");
        let alone = "図書館の開館時間と休館日を知りたい";
        assert_eq!(rewritten(alone), alone);
    }

    #[test]
    fn an_answer_cites_its_sources() {
        let reply = ask(
            "<question>Due when?</question>\n<sources>\n[1] \"within 20 days\" (p. 3)\n[2] \"by \"mail\"\"\n[3] \"too many\"\nDocument: Other\n[4] \"over two\nlines\"\n</sources>",
        );
        assert_eq!(
            reply,
            "According to the documents:\n\n- within 20 days [1]\n- by \"mail\" [2]\n- over two lines [4]\n"
        );
    }
}
