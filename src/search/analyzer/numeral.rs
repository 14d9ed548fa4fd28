//! Numbers in kanji, so that 令和六年 is found by 令和6年 and the other way round.

/// What is counted often enough for a number in kanji before it to be a number, and no part of a name.
const COUNTED: &str = "年月日時分秒条章節項号編款目回人名件個円歳才階番巻版位度週級倍万億";

/// Longest number, in characters.
const LONGEST: usize = 12;

/// A number in kanji with what it counts: the same in digits, and the places it stands at in the run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) term: String,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The counted numbers in kanji of a run, in order.
pub(super) fn counted(run: &[char]) -> Vec<Counted> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < run.len() {
        let start = at;
        while run.get(at).is_some_and(|&c| is_numeral(c)) {
            at += 1;
        }
        let counter = run.get(at).filter(|&&c| at > start && at - start <= LONGEST && COUNTED.contains(c));
        if let (Some(counter), Some(value)) = (counter, run.get(start..at).and_then(value)) {
            found.push(Counted { term: format!("{value}{counter}"), start, end: at + 1 });
        }
        at = at.max(start + 1);
    }
    found
}

fn is_numeral(character: char) -> bool {
    digit(character).is_some() || unit(character).is_some()
}

fn digit(character: char) -> Option<u64> {
    "〇一二三四五六七八九".chars().position(|c| c == character).and_then(|place| u64::try_from(place).ok())
}

fn unit(character: char) -> Option<u64> {
    match character {
        '十' => Some(10),
        '百' => Some(100),
        '千' => Some(1_000),
        _ => None,
    }
}

/// 二十 and 二〇, and 元 is no number here. None for what nobody would read as one number: 十百, 二三十.
fn value(numerals: &[char]) -> Option<u64> {
    if numerals.iter().all(|&c| digit(c).is_some()) {
        return numerals.iter().try_fold(0_u64, |value, &c| value.checked_mul(10)?.checked_add(digit(c)?));
    }
    let (mut value, mut digits, mut smallest) = (0_u64, None, u64::MAX);
    for &character in numerals {
        match (digit(character), unit(character)) {
            (Some(digit), _) if digits.is_none() => digits = Some(digit),
            (None, Some(unit)) if unit < smallest => {
                value += digits.take().unwrap_or(1) * unit;
                smallest = unit;
            }
            _ => return None,
        }
    }
    Some(value + digits.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_numbers_are_read() {
        #[track_caller]
        fn check(run: &str, expected: &[&str]) {
            let run: Vec<char> = run.chars().collect();
            let terms: Vec<String> = counted(&run).into_iter().map(|number| number.term).collect();
            assert_eq!(terms, expected, "{run:?}");
        }
        check("令和六年四月一日から", &["6年", "4月", "1日"]);
        check("第二十三条の二第一項", &["23条", "1項"]);
        check("二〇二四年", &["2024年"]);
        check("昭和三十五年法律第百五号", &["35年", "105号"]);
        check("千九百八十四年", &["1984年"]);
        check("一般に三菱と四国", &[]);
        check("二三十人と十百人", &[]);
        check("六", &[]);
    }
}
