//! Words that nearly every question holds and that tell no document from another.

/// English, in lower case and unstemmed; sorted.
const ENGLISH: &[&str] = &[
    "a", "about", "above", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "because", "been", "before", "being", "between", "both", "but", "by", "can", "could", "did", "do", "does", "doing",
    "done", "during", "each", "for", "from", "further", "had", "has", "have", "having", "he", "her", "here", "hers",
    "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "itself", "just", "may", "me", "might", "must",
    "my", "no", "nor", "not", "of", "on", "once", "only", "or", "other", "our", "ours", "out", "over", "own", "please",
    "same", "shall", "she", "should", "so", "some", "such", "tell", "than", "that", "the", "their", "theirs", "them",
    "then", "there", "these", "they", "this", "those", "through", "to", "too", "under", "until", "up", "very", "was",
    "we", "were", "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will", "with", "would",
    "you", "your", "yours",
];

/// Japanese, in dictionary form: words that the dictionary's parts of speech leave among the content words.
const JAPANESE: &[&str] = &[
    "する",
    "ある",
    "いる",
    "なる",
    "できる",
    "いう",
    "言う",
    "とる",
    "おる",
    "ござる",
    "くださる",
    "下さる",
    "いただく",
    "頂く",
    "教える",
    "つく",
    "ない",
    "無い",
    "なぜ",
    "何故",
    "どう",
    "こう",
    "そう",
    "ああ",
    "いかが",
    "また",
    "まず",
    "どんな",
    "そんな",
    "こんな",
    "どの",
    "何",
    "いつ",
    "どれ",
    "どれくらい",
    "くらい",
    "御",
    "お",
    "ご",
];

/// Whether a lower-case English word carries no meaning of its own.
pub(super) fn is_english(word: &str) -> bool {
    ENGLISH.binary_search(&word).is_ok()
}

/// Whether a Japanese word in dictionary form carries no meaning of its own.
pub(super) fn is_japanese(form: &str) -> bool {
    JAPANESE.contains(&form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_english_list_is_sorted() {
        assert!(ENGLISH.is_sorted());
        assert!(is_english("the") && !is_english("wing"));
    }
}
