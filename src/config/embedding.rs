//! How an embedding model is told whether a text is a query or a passage.

/// How queries and passages are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmbeddingInput {
    /// Not at all.
    Plain,
    /// By a field of the request.
    InputType,
    /// By what the text begins with.
    Prefixes {
        /// Of queries.
        query: String,
        /// Of passages.
        passage: String,
    },
}

impl EmbeddingInput {
    /// Reads the setting; `auto` follows what each family of models was trained with, by its model card.
    pub(super) fn parse(text: &str, model: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::of_model(model)),
            "plain" => Some(Self::Plain),
            "input_type" => Some(Self::InputType),
            // A blank between prefix and text is part of most prefixes, and settings are trimmed.
            other => other.split_once('/').map(|(query, passage)| Self::prefixes(query, passage)),
        }
    }

    fn of_model(model: &str) -> Self {
        let name = model.to_lowercase();
        let parts: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
        if parts.contains(&"e5") && !parts.contains(&"instruct") {
            Self::prefixes("query:", "passage:")
        } else if parts.contains(&"nomic") {
            Self::prefixes("search_query:", "search_document:")
        } else if parts.contains(&"ruri") {
            Self::prefixes("検索クエリ:", "検索文書:")
        } else {
            Self::Plain
        }
    }

    fn prefixes(query: &str, passage: &str) -> Self {
        let spaced = |prefix: &str| match prefix.trim() {
            "" => String::new(),
            prefix => format!("{prefix} "),
        };
        Self::Prefixes { query: spaced(query), passage: spaced(passage) }
    }

    /// A text as the model wants it, and the request's `input_type`.
    pub fn apply(&self, text: &str, is_query: bool) -> (String, Option<&'static str>) {
        match self {
            Self::Plain => (text.to_owned(), None),
            Self::InputType => (text.to_owned(), Some(if is_query { "query" } else { "passage" })),
            Self::Prefixes { query, passage } => (format!("{}{text}", if is_query { query } else { passage }), None),
        }
    }

    /// Names it, to tell vectors apart that were made in different ways.
    pub fn name(&self) -> String {
        match self {
            Self::Plain => "plain".to_owned(),
            Self::InputType => "input_type".to_owned(),
            Self::Prefixes { query, passage } => format!("{query}/{passage}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_asked_as_they_were_trained() {
        let check = |setting: &str, model: &str, query: &str, passage: &str| {
            let input = EmbeddingInput::parse(setting, model).unwrap();
            assert_eq!((input.apply("x", true).0.as_str(), input.apply("x", false).0.as_str()), (query, passage));
        };
        check("auto", "intfloat/multilingual-e5-small", "query: x", "passage: x");
        check("auto", "multilingual-e5-large-instruct", "x", "x");
        check("auto", "nomic-embed-text-v1.5", "search_query: x", "search_document: x");
        check("auto", "text-embedding-3-small", "x", "x");
        check("auto", "cl-nagoya/ruri-v3-310m", "検索クエリ: x", "検索文書: x");
        check("plain", "multilingual-e5-small", "x", "x");
        check("ask:/", "mine", "ask: x", "x");
        assert_eq!(EmbeddingInput::parse("input_type", "").unwrap().apply("x", true).1, Some("query"));
        assert_eq!(EmbeddingInput::parse("both", ""), None);
    }
}
