//! JSON and JSON lines: every record a paragraph of `name: value` lines, nested names joined by full stops.

use serde_json::{Deserializer, Value};

use super::{ExtractError, Found, Markup, text};
use crate::error::Code;

/// Names that hold a record's title.
const TITLES: &[&str] = &["title", "name", "subject", "題名", "タイトル", "件名"];

/// Reads one value, or one a line.
pub(super) fn extract(bytes: &[u8], declared: Option<&str>) -> Result<Found, ExtractError> {
    let decoded = text::decode(bytes, declared.and_then(text::charset_of))?;
    let mut records = Vec::new();
    let mut warnings = decoded.warnings;
    let mut title = None;
    for value in Deserializer::from_str(&decoded.text).into_iter::<Value>() {
        match value {
            Ok(value) => {
                if records.is_empty() {
                    title = TITLES.iter().find_map(|name| value.get(name)?.as_str()).map(str::to_owned);
                }
                write(value, &mut records);
            }
            Err(_) if records.is_empty() => {
                return Err(ExtractError::new(
                    Code::Malformed,
                    "the JSON cannot be parsed; mend it and upload it again",
                ));
            }
            Err(error) => {
                warnings.push(format!("reading ended at line {}, which is no JSON", error.line()));
                break;
            }
        }
    }
    let many = records.len() > 1;
    let text = text::normalise(&records.join("\n\n")).trim().to_owned();
    Ok(Found { text, markup: Markup::Plain, title: title.filter(|_| !many), pages: Vec::new(), warnings })
}

/// The elements of an array of objects are records; anything else is one record.
fn write(value: Value, records: &mut Vec<String>) {
    match value {
        Value::Array(elements) if elements.iter().any(|element| element.is_object() || element.is_array()) => {
            elements.into_iter().for_each(|element| write(element, records));
        }
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_)) => {
            let mut lines = Vec::new();
            flatten("", &other, &mut lines);
            if !lines.is_empty() {
                records.push(lines.join("\n"));
            }
        }
    }
}

/// Recurses as deep as the value is nested, which the parser bounds at 128.
fn flatten(path: &str, value: &Value, lines: &mut Vec<String>) {
    let mut line = |text: &str| {
        if !text.trim().is_empty() {
            lines.push(if path.is_empty() { text.to_owned() } else { format!("{path}: {text}") });
        }
    };
    match value {
        Value::Null => {}
        Value::Bool(value) => line(if *value { "true" } else { "false" }),
        Value::Number(number) => line(&number.to_string()),
        Value::String(text) => line(text),
        Value::Array(elements) => {
            let simple: Option<Vec<String>> = elements.iter().map(simple).collect();
            match simple {
                Some(simple) => line(&simple.join(", ")),
                None => {
                    for (element, number) in elements.iter().zip(1..) {
                        flatten(&format!("{path}[{number}]"), element, lines);
                    }
                }
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, lines);
            }
        }
    }
}

/// A value that fits into a list on one line.
fn simple(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => (!text.contains('\n') && text.len() < 200).then(|| text.clone()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_records() {
        let check = |json: &str, text: &str| {
            let found = extract(json.as_bytes(), None).unwrap();
            assert_eq!(found.text, text, "{json}");
            assert_eq!(found.warnings, Vec::<String>::new());
        };
        check(
            r#"{"名前": "水道局", "電話": {"昼": "03", "夜": null}, "日": [1, true, "x"]}"#,
            "名前: 水道局\n電話.昼: 03\n日: 1, true, x",
        );
        check(r#"[{"a": 1}, {"a": 2, "b": [{"c": 3}, {"c": 4}]}]"#, "a: 1\n\na: 2\nb[1].c: 3\nb[2].c: 4");
        check("{\"a\": 1}\n{\"a\": 2}\n", "a: 1\n\na: 2");
        check("[1, 2]", "1, 2");
        check(r#"{"t": "two\nlines \u3042"}"#, "t: two\nlines あ");
        check("\"words\"", "words");
    }

    #[test]
    fn titles_and_ends_are_noticed() {
        let found = extract("{\"title\": \"T\", \"text\": \"x\"}".as_bytes(), None).unwrap();
        assert_eq!(found.title.as_deref(), Some("T"));
        let found = extract(b"{\"title\": 1}\n{\"a\": ", None).unwrap();
        assert_eq!((found.text.as_str(), found.title), ("title: 1", None));
        assert_eq!(found.warnings, ["reading ended at line 2, which is no JSON"]);
        let nested = "[".repeat(100_000);
        assert_eq!(
            extract(nested.as_bytes(), None).map(|found| found.text).map_err(|error| error.code),
            Err(Code::Malformed)
        );
    }
}
