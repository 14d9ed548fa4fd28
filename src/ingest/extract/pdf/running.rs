//! Running headers and footers: lines at the edges of many pages that differ in the page number at most. They would cut
//! sentences in two and pass for headings.

use std::collections::{BTreeSet, HashMap};

/// How many lines at the top and at the bottom of a page are looked at.
const EDGE: usize = 2;

/// The least pages that a line must run over; more in a long document, see [`SHARE`].
const LEAST: usize = 4;

/// A line must run over one page of so many.
const SHARE: usize = 20;

/// The longest line that can be a running one, in characters.
const LONGEST: usize = 120;

/// How many pages apart a running line can be: left and right pages may have different ones.
const APART: usize = 2;

/// The pages without running lines. The first occurrence of each stays, so that nothing is lost.
pub(super) fn without(pages: Vec<String>) -> Vec<String> {
    let mut found: HashMap<String, BTreeSet<usize>> = HashMap::new();
    for (at, page) in pages.iter().enumerate() {
        for (_, key) in edges(page) {
            found.entry(key).or_default().insert(at);
        }
    }
    let needed = LEAST.max(pages.len() / SHARE);
    found.retain(|_, places| {
        // Headings such as "Chapter 3" and "Note" come to stand at edges too, but not on page after page.
        let all = places.clone();
        let near = |at: usize| all.range(at.saturating_sub(APART)..=at + APART).count() > 1;
        places.retain(|at| near(*at));
        places.len() >= needed
    });
    let is_running =
        |at: usize, key: &str| found.get(key).is_some_and(|places| places.contains(&at) && places.first() != Some(&at));
    let clean = |(at, page): (usize, String)| {
        let gone = edges(&page).into_iter().filter(|(_, key)| is_running(at, key)).map(|(number, _)| number);
        let gone: Vec<usize> = gone.collect();
        let kept = page.lines().enumerate().filter(|(number, _)| !gone.contains(number)).map(|(_, line)| line);
        kept.collect::<Vec<_>>().join("\n")
    };
    pages.into_iter().enumerate().map(clean).collect()
}

/// The numbers and keys of a page's outermost lines that could be running ones.
fn edges(page: &str) -> Vec<(usize, String)> {
    let lines: Vec<(usize, &str)> = page.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect();
    let bottom = lines.len().saturating_sub(EDGE).max(EDGE);
    let top = lines.iter().take(EDGE);
    top.chain(lines.iter().skip(bottom)).filter_map(|(number, line)| Some((*number, key(line)?))).collect()
}

/// What a line has in common with the same line on another page. Table rows and code have none.
fn key(line: &str) -> Option<String> {
    let is_structure = line.starts_with(['|', '`']) || line.starts_with("  ");
    if is_structure || line.chars().nth(LONGEST).is_some() {
        return None;
    }
    let words = line.split(|c: char| c.is_whitespace() || matches!(c, '#' | '*' | '|' | '/' | '-'));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    // The page number is at one end; other numbers tell one heading from the next.
    let is_number = |word: &&&str| word.chars().all(|c| c.is_ascii_digit());
    let before = words.iter().take_while(is_number).count();
    let after = words.iter().skip(before).rev().take_while(is_number).count();
    let key = words.get(before..words.len() - after)?.concat();
    key.chars().any(char::is_alphabetic).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::without;

    fn pages(make: impl Fn(usize) -> String) -> Vec<String> {
        without((1..=6).map(make).collect())
    }

    #[test]
    fn lines_at_the_edges_of_many_pages_go() {
        let header = pages(|n| {
            let filler = "x".repeat(n);
            format!("### Manual, Release 4.1\n\nbody {filler}\n\nmore {filler}\n\nlast {filler}")
        });
        assert!(header[0].starts_with("### Manual, Release 4.1\n"));
        assert_eq!(header[1], "\nbody xx\n\nmore xx\n\nlast xx");
        let footer = pages(|n| format!("本文{}\n\n料金の案内 {n} / 6", "あ".repeat(n)));
        assert_eq!(footer[5], "本文ああああああ\n");
    }

    #[test]
    fn headings_at_the_edges_of_far_pages_stay() {
        let make = |n: usize| {
            let filler = "x".repeat(n);
            if n.is_multiple_of(3) { format!("# Chapter {n}\n\n{filler}") } else { filler }
        };
        let pages: Vec<String> = (1..=30).map(make).collect();
        assert_eq!(without(pages.clone()), pages);
    }

    #[test]
    fn other_lines_stay() {
        let check = |make: fn(usize) -> String| {
            assert_eq!(pages(make), (1..=6).map(make).collect::<Vec<_>>());
        };
        check(|n| format!("| a | b |\n| {n} | 2 |"));
        check(|n| format!("{n}\n\nbody {}", "x".repeat(n)));
        check(|n| format!("top {0}\n\nsecond {0}\n\nsame\n\nthird {0}\n\nlast {0}", "x".repeat(n)));
        check(|n| format!("## 4.6.{n} Version 4.{n}.0\n\nbody {}", "x".repeat(n)));
        check(|n| if n < 4 { "same".to_owned() } else { "x".repeat(n) });
    }
}
