//! What fonts and printer drivers do to the characters of a PDF, undone.

/// One line of text with its characters as a reader sees them.
pub(super) fn repaired(line: &str) -> String {
    let unified: String = line.chars().map(unified).collect();
    unified.split_inclusive(char::is_whitespace).map(printed_once).collect()
}

/// A word without the copies that imitate bold type: some drivers print each character two to four times, slightly
/// moved, and `申申請請` is what a reader then finds. Only words beyond ASCII, since `00001111` may be meant.
fn printed_once(word: &str) -> String {
    if word.is_ascii() {
        return word.to_owned();
    }
    let mut runs: Vec<(char, usize)> = Vec::new();
    for c in word.trim_end().chars() {
        match runs.last_mut() {
            Some((last, length)) if *last == c => *length += 1,
            _ => runs.push((c, 1)),
        }
    }
    let copies = runs.iter().fold(0, |gcd, (_, length)| greatest_common_divisor(gcd, *length));
    let enough = if copies == 2 { 4 } else { 2 };
    if copies < 2 || runs.len() < enough || !runs.iter().any(|(c, _)| c.is_alphanumeric()) {
        return word.to_owned();
    }
    let once = runs.iter().flat_map(|(c, length)| std::iter::repeat_n(*c, length / copies));
    once.chain(word.chars().next_back().filter(|c| c.is_whitespace())).collect()
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// The ordinary ideograph where a font's table names a radical that looks the same, such as ⽔ for 水; search would not
/// find the word otherwise. Unicode: `EquivalentUnifiedIdeograph.txt`.
fn unified(c: char) -> char {
    match c {
        '\u{2f00}'..='\u{2fd5}' => {
            let mut buffer = [0; 4];
            let text: &str = c.encode_utf8(&mut buffer);
            let whole = icu_normalizer::ComposingNormalizerBorrowed::new_nfkc().normalize(text);
            whole.chars().next().unwrap_or(c)
        }
        '\u{2e80}'..='\u{2ef3}' => {
            let at = RADICALS.iter().position(|(radical, _)| *radical == c);
            at.and_then(|at| RADICALS.get(at)).map_or(c, |(_, ideograph)| *ideograph)
        }
        _ => c,
    }
}

/// Those of the CJK Radicals Supplement that stand for whole words; they have no compatibility mapping.
const RADICALS: &[(char, char)] = &[
    ('\u{2e81}', '厂'),
    ('\u{2e82}', '乛'),
    ('\u{2e85}', '亻'),
    ('\u{2e8b}', '㔾'),
    ('\u{2e8f}', '尣'),
    ('\u{2e90}', '尢'),
    ('\u{2e92}', '巳'),
    ('\u{2e93}', '幺'),
    ('\u{2e96}', '忄'),
    ('\u{2e98}', '扌'),
    ('\u{2e9f}', '母'),
    ('\u{2ea0}', '民'),
    ('\u{2ea1}', '氵'),
    ('\u{2ea6}', '丬'),
    ('\u{2ea8}', '犭'),
    ('\u{2eac}', '示'),
    ('\u{2ead}', '礻'),
    ('\u{2eb6}', '羊'),
    ('\u{2ebc}', '月'),
    ('\u{2ebe}', '艹'),
    ('\u{2ec1}', '虎'),
    ('\u{2ec2}', '衤'),
    ('\u{2ec4}', '西'),
    ('\u{2ec5}', '见'),
    ('\u{2ec6}', '角'),
    ('\u{2ec9}', '贝'),
    ('\u{2ecb}', '车'),
    ('\u{2ecc}', '辶'),
    ('\u{2ed1}', '長'),
    ('\u{2ed3}', '长'),
    ('\u{2ed4}', '门'),
    ('\u{2ed8}', '青'),
    ('\u{2eda}', '页'),
    ('\u{2edb}', '风'),
    ('\u{2edd}', '食'),
    ('\u{2ee2}', '马'),
    ('\u{2ee3}', '骨'),
    ('\u{2ee4}', '鬼'),
    ('\u{2ee5}', '鱼'),
    ('\u{2ee6}', '鸟'),
    ('\u{2ee8}', '麦'),
    ('\u{2ee9}', '黄'),
    ('\u{2eeb}', '斉'),
    ('\u{2eed}', '歯'),
    ('\u{2eef}', '竜'),
    ('\u{2ef2}', '亀'),
    ('\u{2ef3}', '龟'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn radicals_become_ordinary_ideographs() {
        let check = |from: &str, to: &str| assert_eq!(repaired(from), to);
        check("⽔道⾦額", "水道金額");
        check("⻑い⻄の⺠、⻘い⾓", "長い西の民、青い角");
        check("水道 ABC ＡＢＣ ①", "水道 ABC ＡＢＣ ①");
    }

    #[test]
    fn imitated_bold_is_read_once() {
        let check = |from: &str, to: &str| assert_eq!(repaired(from), to);
        check("### aaaadddd::::申申申申請請請請 （（（（AAAA票票票票）））） end", "### ad:申請 （A票） end");
        check("MMMMPPPP00001111人人人人", "MP01人");
        check("料料金金のの案案内内", "料金の案内");
        check("00001111 ====---- xxxx", "00001111 ====---- xxxx");
        check("……‥‥ いよいよ 早早 ああ々々", "……‥‥ いよいよ 早早 ああ々々");
    }
}
