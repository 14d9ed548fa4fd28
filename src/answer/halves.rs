//! Texts that are longer than a model can read, read in halves. How much it can read is known only to its server: many
//! local ones are started with a few thousand tokens, whatever the model could take.

use std::future::Future;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join};

use crate::llm::{CallFailed, LlmError};
use crate::tokens::estimate_tokens;

/// A text of so few tokens is not what makes a prompt too long.
const LEAST_TOKENS: u32 = 200;

/// What `read` makes of a text, one result; where the text is too long, of its halves in their order. The refused tries
/// are not counted: nothing was read.
pub(super) fn whole_or_halves<'a, T, F, R>(text: String, read: &'a F) -> BoxFuture<'a, Vec<Result<T, CallFailed>>>
where
    T: Send + 'a,
    F: Fn(String) -> R + Sync,
    R: Future<Output = Result<T, CallFailed>> + Send + 'a,
{
    async move {
        let outcome = read(text.clone()).await;
        let too_long = matches!(&outcome, Err(CallFailed { error: LlmError::TooLong, .. }));
        match halves(&text).filter(|_| too_long) {
            Some((first, second)) => {
                let both = join(whole_or_halves(first.to_owned(), read), whole_or_halves(second.to_owned(), read));
                let (mut outcomes, rest) = both.await;
                outcomes.extend(rest);
                outcomes
            }
            None => vec![outcome],
        }
    }
    .boxed()
}

/// A text cut near its middle: where a line ends, else a sentence or a word, else anywhere.
fn halves(text: &str) -> Option<(&str, &str)> {
    if estimate_tokens(text) < 2 * LEAST_TOKENS {
        return None;
    }
    let middle = text.floor_char_boundary(text.len() / 2);
    let head = &text[..middle];
    // Not so near the beginning that the second part is hardly shorter than the whole.
    let earliest = middle / 2;
    let after = |ends: &[char]| {
        let found = head.rfind(ends).map(|at| at + head[at..].chars().next().map_or(0, char::len_utf8));
        found.filter(|at| *at > earliest)
    };
    let cut = after(&['\n']).or_else(|| after(&['。', '．'])).or_else(|| after(&[' '])).unwrap_or(middle);
    Some(text.split_at(cut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Spent;

    fn failed(error: LlmError) -> CallFailed {
        CallFailed { error, spent: Spent::default(), replies: Vec::new() }
    }

    /// What a model that can read so many characters says of a text: what it read.
    async fn read(text: &str, window: usize) -> Vec<Result<String, CallFailed>> {
        let read = |text: String| async move {
            if text.chars().count() > window { Err(failed(LlmError::TooLong)) } else { Ok(text) }
        };
        whole_or_halves(text.to_owned(), &read).await
    }

    #[tokio::test]
    async fn a_text_is_read_in_as_many_parts_as_the_window_asks_for_and_none_of_it_is_lost() {
        let text = "This is a line of the document.\n".repeat(400);
        for (window, parts) in [(20_000, 1), (7_000, 2), (3_300, 4)] {
            let read: Vec<String> = read(&text, window).await.into_iter().map(Result::unwrap).collect();
            assert_eq!((read.len(), read.concat() == text), (parts, true), "{window}");
            assert!(read.iter().all(|part| part.ends_with(".\n")), "cut within a line");
        }
        let japanese = "文書の一文である。".repeat(300);
        let read = read(&japanese, 1_400).await;
        assert!(read.len() == 2 && read[0].as_ref().unwrap().ends_with('。'));
    }

    #[tokio::test]
    async fn what_no_window_takes_and_what_fails_otherwise_is_not_cut_on() {
        let outcomes = read(&"word ".repeat(2_000), 0).await;
        assert!(outcomes.len() <= 16 && outcomes.iter().all(Result::is_err), "{}", outcomes.len());
        let refuse = |_: String| async { Err::<(), _>(failed(LlmError::Refused)) };
        assert_eq!(whole_or_halves("word ".repeat(2_000), &refuse).await.len(), 1);
    }
}
