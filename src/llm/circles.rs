//! Replies that go in circles: a small model may say the same again and again until it may say no more.

/// The longest round that is looked for, in bytes.
const LONGEST_ROUND: usize = 600;

/// What must be said over and over at the end of a reply: so many rounds, and so many bytes.
const FEWEST_ROUNDS: usize = 3;
const FEWEST_BYTES: usize = 90;

/// A reply up to the end of the first round where it ends in circles, else the whole.
pub(super) fn once(reply: &str) -> &str {
    let bytes = reply.as_bytes();
    // From the end, how many bytes are as those one round before them.
    let repeated = |round: usize| {
        let pairs = bytes.iter().rev().zip(bytes.iter().rev().skip(round));
        pairs.take_while(|(later, earlier)| later == earlier).count()
    };
    let circles = (1..=LONGEST_ROUND.min(bytes.len() / FEWEST_ROUNDS)).find_map(|round| {
        let repeated = repeated(round);
        (repeated >= FEWEST_BYTES.max((FEWEST_ROUNDS - 1) * round)).then_some(repeated)
    });
    let end = circles.map_or(bytes.len(), |repeated| bytes.len() - repeated);
    &reply[..reply.ceil_char_boundary(end)]
}

#[cfg(test)]
mod tests {
    use super::once;

    #[test]
    fn what_is_said_over_and_over_is_kept_once() {
        let check = |begin: &str, round: &str, rounds: usize, rest: &str, kept: &str| {
            assert_eq!(once(&format!("{begin}{}{rest}", round.repeat(rounds))), kept);
        };
        check("{\"summary\": \"", "It opens at nine. ", 40, "It ope", "{\"summary\": \"It opens at nine. ");
        check("要約：", "九時に開館する。", 20, "九時", "要約：九時に開館する。");
        check("{\"key_points\": [", "\n", 500, "", "{\"key_points\": [\n");
        let long = "One sentence after the other, none of them like the one before, in a round that is long. ";
        check("", long, 4, "One", long);
    }

    #[test]
    fn what_is_said_twice_or_shortly_is_no_circle() {
        for reply in ["", "aaaa", "ha ha ha ha ha", "The same sentence. The same sentence. Another one."] {
            assert_eq!(once(reply), reply);
        }
        let list = (1..60).map(|number| format!("- item {number}\n")).collect::<String>();
        assert_eq!(once(&list), list);
    }
}
