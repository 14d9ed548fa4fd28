//! Replies that go in circles: a small model may say the same again and again until it may say no more.

/// The longest round that is looked for, in bytes.
const LONGEST_ROUND: usize = 600;

/// What must be said over and over at the end of a reply for it to go in circles: so many rounds, and so many bytes.
const ROUNDS: usize = 3;
const BYTES: usize = 90;

/// The same for a reply that is not worth waiting for: a wide table or a long rule is no circle.
const HOPELESS_ROUNDS: usize = 5;
const HOPELESS_BYTES: usize = 1_200;

/// Why a reply ended that went in circles, beside the upstream's own reasons.
pub(super) const REPETITION: &str = "repetition";

/// A reply up to the end of the first round where it ends in circles, else the whole.
pub(super) fn once(reply: &str) -> &str {
    let end = reply.len() - repeated(reply, ROUNDS, BYTES).unwrap_or_default();
    &reply[..reply.ceil_char_boundary(end)]
}

/// Whether a reply, as far as it has come, will say nothing new.
pub(super) fn is_hopeless(reply: &str) -> bool {
    repeated(reply, HOPELESS_ROUNDS, HOPELESS_BYTES).is_some()
}

/// How many bytes at the end of a reply are as those one round before them, where these are enough.
fn repeated(reply: &str, rounds: usize, least: usize) -> Option<usize> {
    let bytes = reply.as_bytes();
    (1..=LONGEST_ROUND.min(bytes.len() / rounds)).find_map(|round| {
        let pairs = bytes.iter().rev().zip(bytes.iter().rev().skip(round));
        let repeated = pairs.take_while(|(later, earlier)| later == earlier).count();
        (repeated >= least.max((rounds - 1) * round)).then_some(repeated)
    })
}

#[cfg(test)]
mod tests {
    use super::{is_hopeless, once};

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

    #[test]
    fn a_reply_is_given_up_only_where_it_will_say_nothing_new() {
        let row = "| 月曜日 | 9:00 | 17:00 |\n";
        let cases = [
            ("The branch opens at nine. ".repeat(60), true),
            ("支店は九時に開きます。".repeat(50), true),
            ("\n".repeat(1_500), true),
            ("The branch opens at nine. ".repeat(30), false),
            (format!("| day | opens | closes |\n|---|---|---|\n{}", row.repeat(7)), false),
            (format!("Title\n{}\n", "-".repeat(200)), false),
            ((1..200).map(|number| format!("{number}. The branch opens.\n")).collect(), false),
        ];
        for (reply, hopeless) in cases {
            assert_eq!(is_hopeless(&reply), hopeless, "{reply}");
        }
    }
}
