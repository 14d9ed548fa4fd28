//! The pieces of a document that can be quoted: sentences that can stand alone, and short lists with what leads to them.

use super::choose::{Asked, Sentence};
use super::form::points_back;
use super::sentences::{self, is_item};
use crate::model::Evidence;
use crate::readings::Stretch;

/// Bounds of a sentence that can stand alone, in characters.
const MIN_SENTENCE_CHARS: usize = 8;
const MAX_SENTENCE_CHARS: usize = 300;

/// So many dots in a row, spaces between them not counted, lead to a page number.
const LEADER_DOTS: usize = 5;

/// A longer list is quoted by its items alone, in characters.
const MAX_LIST_CHARS: usize = 800;

/// The pieces of a stretch, in its order, a list behind its items; headings, code, table rules, entries of a table of
/// contents and fragments are none.
pub(super) fn pieces(stretch: &Stretch, asked: &Asked) -> Vec<Sentence> {
    let mut found = Vec::new();
    let mut offset = stretch.start();
    let mut code = false;
    let mut place = Place::default();
    for block in sentences::blocks(&stretch.text) {
        let block_start = offset;
        let chars: Vec<char> = block.chars().collect();
        offset += chars.len();
        let fences = block.lines().filter(|line| line.trim_start().starts_with("```")).count();
        let was_code = code;
        code ^= fences % 2 == 1;
        if block.trim().is_empty() {
            continue;
        }
        let is_prose = !(was_code || fences > 0 || block.trim_start().starts_with('#') || block.contains("---"));
        let is_item = is_prose && is_item(block);
        if !is_item {
            found.extend(place.list.take().and_then(|list| list.whole(stretch, asked, place.heading)));
        }
        if !is_prose {
            place = Place { heading: Some(block).filter(|_| !was_code && fences == 0), ..Place::default() };
            continue;
        }
        let mut before = None;
        for range in sentences::sentences(block) {
            let start = block_start + range.start;
            let piece: String = chars.get(range).unwrap_or_default().iter().collect();
            let (from, to) = inner(&piece);
            let quote: String = piece.chars().skip(from).take(to.saturating_sub(from)).collect();
            let (start, end) = (start + from, start + to);
            let fits = |from: &usize| end - from <= MAX_SENTENCE_CHARS;
            let lead = before.replace(start).filter(fits).filter(|_| points_back(&quote));
            if !is_item {
                place.led_from = Some(lead.unwrap_or(start)).filter(fits);
            }
            let worth = asked.worth(&quote);
            let fits = (MIN_SENTENCE_CHARS..=MAX_SENTENCE_CHARS).contains(&(to - from));
            if !fits || worth <= 0.0 || leads_to_a_page(&quote) {
                continue;
            }
            found.extend(evidence(stretch, quote, start).map(|evidence| Sentence::new(asked, evidence, worth, lead)));
        }
        if is_item {
            let blank = |char: &&char| char.is_whitespace();
            let start = block_start + chars.iter().take_while(blank).count();
            let end = offset - chars.iter().rev().take_while(blank).count();
            let led_from = place.led_from.take();
            let list = place.list.get_or_insert(List { start: led_from.unwrap_or(start), end, items: 0 });
            (list.end, list.items) = (end, list.items + 1);
        }
    }
    found.extend(place.list.and_then(|list| list.whole(stretch, asked, place.heading)));
    found
}

/// Where the reading of a stretch stands.
#[derive(Default)]
struct Place<'a> {
    /// The heading above.
    heading: Option<&'a str>,
    /// Where the sentence begins that leads to a list, should one follow.
    led_from: Option<usize>,
    list: Option<List>,
}

/// A list that is being read; its offsets include what leads to it.
struct List {
    start: usize,
    end: usize,
    items: usize,
}

impl List {
    /// The list as one piece, which is about what its heading says; none where it is too short or too long for one.
    fn whole(self, stretch: &Stretch, asked: &Asked, heading: Option<&str>) -> Option<Sentence> {
        if self.items < 2 || self.end - self.start > MAX_LIST_CHARS {
            return None;
        }
        let quote = stretch.slice(self.start, self.end);
        let worth = asked.worth(&quote);
        let mut whole = Sentence::new(asked, evidence(stretch, quote, self.start)?, worth, None);
        whole.is_about(&asked.held(heading.unwrap_or_default()));
        Some(whole).filter(|whole| whole.worth > 0.0)
    }
}

fn evidence(stretch: &Stretch, quote: String, start: usize) -> Option<Evidence> {
    let passage = stretch.passage_at(start)?;
    let end = start + quote.chars().count();
    Some(Evidence { passage_id: passage.id, quote, start, end, page: passage.page })
}

/// Whether dots lead from a text to a page number, as in a table of contents.
fn leads_to_a_page(text: &str) -> bool {
    let mut dots = 0;
    text.chars().filter(|char| !char.is_whitespace()).any(|char| {
        dots = match char {
            '.' | '．' | '・' | '･' => dots + 1,
            '‥' => dots + 2,
            '…' => dots + 3,
            _ => 0,
        };
        dots >= LEADER_DOTS
    })
}

/// Where a sentence's own characters begin and end within it: without list marks and spaces around.
fn inner(piece: &str) -> (usize, usize) {
    let is_edge = |char: &char| char.is_whitespace() || matches!(char, '-' | '*' | '>' | '|' | '・' | '+');
    let from = piece.chars().take_while(is_edge).count();
    let length = piece.chars().count();
    let to = length - piece.chars().rev().take_while(|char| char.is_whitespace() || *char == '|').count();
    (from.min(to), to)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{DocumentId, Passage, PassageId};

    pub(in crate::answer) fn stretch(text: &str) -> Stretch {
        let id = PassageId { document_id: DocumentId::new(), ordinal: 0 };
        let end = text.chars().count();
        let passage = Passage { id, text: text.to_owned(), start: 0, end, page: None, heading: None };
        Stretch { text: text.to_owned(), passages: vec![passage] }
    }

    fn quotes(text: &str) -> Vec<String> {
        let found = pieces(&stretch(text), &Asked::by("set the port"));
        for one in &found {
            let Evidence { quote, start, end, .. } = &one.evidence;
            assert_eq!(stretch(text).slice(*start, *end), *quote, "a quote stands where it is said to");
        }
        found.into_iter().map(|one| one.evidence.quote).collect()
    }

    #[test]
    fn only_prose_is_quoted() {
        let text = "# Set the port\n\nThe port is set in the file.\n\n```toml\nport = 1\n\n# set the port here.\nThe port set in code.\n```\n\n// set the port in a comment.\n\nIt is read once.\n";
        assert_eq!(quotes(text), ["The port is set in the file.", "It is read once."]);
    }

    #[test]
    fn entries_of_a_table_of_contents_are_no_pieces() {
        let text = "6.2 How to set the port . . . . . . . . . . . 41\n\nTo set the port ............ 7\n\nset the port……3\n\nOne may set the port... or not.\n";
        assert_eq!(quotes(text), ["One may set the port... or not."]);
    }

    #[test]
    fn a_list_is_one_piece_with_what_leads_to_it() {
        let text = "Two files count. They are read in order:\n\n- the first file\n- the second file\n\nOther words follow.\n\n* alone it is none\n\nThe end comes here.";
        let found = quotes(text);
        let list = "Two files count. They are read in order:\n\n- the first file\n- the second file";
        assert_eq!(found.iter().filter(|quote| quote.contains('\n')).collect::<Vec<_>>(), [list]);
        assert!(found.contains(&"the first file".to_owned()), "{found:?}");
        let law = "第五条　次の条件を備えること。\n\n一　五年以上住所を有すること。\n\n二　二十歳以上であること。\n\n第六条　別の話である。";
        let whole = "第五条　次の条件を備えること。\n\n一　五年以上住所を有すること。\n\n二　二十歳以上であること。";
        assert!(quotes(law).contains(&whole.to_owned()), "{:?}", quotes(law));
        let long = format!("The rules are these:\n{}", "- one more rule of many\n".repeat(40));
        assert!(quotes(&long).iter().all(|quote| !quote.contains('\n')));
    }

    #[test]
    fn a_list_is_about_what_its_heading_says() {
        let text = "# Ports to set\n\n- the first of them\n- the second of them\n\n# Colours\n\n- the red one\n- the blue one\n";
        let found = pieces(&stretch(text), &Asked::by("which ports"));
        let lists = found.iter().filter(|one| one.evidence.quote.contains('\n'));
        assert_eq!(lists.map(|one| one.held.clone()).collect::<Vec<_>>(), [[true], [false]]);
    }

    #[test]
    fn a_sentence_that_points_back_leads_with_the_one_before() {
        let found = pieces(
            &stretch("館は駅前にある。これは1950年に建てられた。広い庭も裏にある。"),
            &Asked::by("館はいつ建てられたか"),
        );
        assert_eq!(found.iter().map(|one| one.lead).collect::<Vec<_>>(), [None, Some(0), None]);
    }
}
