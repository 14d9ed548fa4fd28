//! Which language a text is in.

use whatlang::{Detector, Lang};

/// How much of a text is looked at, in characters.
const SAMPLE: usize = 20_000;

/// Kana that show whole sentences of Japanese around code, in characters.
const SENTENCES: usize = 20;

/// Languages that may be found besides Japanese. A short allow-list: with all of its languages, whatlang takes short
/// English for Catalan.
const ALLOWED: [(Lang, &str); 14] = [
    (Lang::Eng, "en"),
    (Lang::Cmn, "zh"),
    (Lang::Kor, "ko"),
    (Lang::Deu, "de"),
    (Lang::Fra, "fr"),
    (Lang::Spa, "es"),
    (Lang::Ita, "it"),
    (Lang::Por, "pt"),
    (Lang::Nld, "nl"),
    (Lang::Rus, "ru"),
    (Lang::Ukr, "uk"),
    (Lang::Vie, "vi"),
    (Lang::Ara, "ar"),
    (Lang::Tha, "th"),
];

/// The ISO 639-1 code of the text's language, or nothing where the text is too short or too mixed to tell.
pub(super) fn detect(text: &str) -> Option<&'static str> {
    let sample: String = text.chars().filter(|c| !c.is_ascii_digit()).take(SAMPLE).collect();
    let (mut letters, mut kana, mut han) = (0_usize, 0_usize, 0_usize);
    for c in sample.chars().filter(|c| c.is_alphabetic()) {
        letters += 1;
        match c {
            '\u{3041}'..='\u{30ff}' | '\u{ff66}'..='\u{ff9f}' => kana += 1,
            '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' => han += 1,
            _ => {}
        }
    }
    // Kana alone decide: one character of Japanese says as much as two or three letters, and Japanese manuals are full
    // of English names and code.
    if kana * 10 >= letters && kana > 0
        || kana * 4 >= han && kana > 0 && han * 10 >= letters
        || kana >= SENTENCES && kana * 30 >= letters
    {
        return Some("ja");
    }
    // Ideographs without kana: a short text may be a Japanese heading, a long one is Chinese.
    if han * 2 > letters && letters < 50 {
        return None;
    }
    let info = Detector::with_allowlist(ALLOWED.iter().map(|(lang, _)| *lang).collect()).detect(&sample)?;
    // On a few words only the script is sure; Latin letters alone are most likely English or a name.
    if letters < 20 && !info.is_reliable() {
        return None;
    }
    ALLOWED.iter().find(|(lang, _)| *lang == info.lang()).map(|(_, code)| *code)
}

#[cfg(test)]
mod tests {
    use super::detect;

    #[test]
    fn languages_are_told_apart() {
        let check = |text: &str, language: Option<&str>| assert_eq!(detect(text), language, "{text}");
        check("What is the payment deadline of the water bill in this town?", Some("en"));
        check("水道料金の支払期限を教えてください。", Some("ja"));
        check("apt-get install を実行すると package manager の cache が更新されます", Some("ja"));
        check("ﾃﾞｰﾀﾍﾞｰｽ ｻｰﾊﾞｰ ﾉ ｾｯﾃｲ", Some("ja"));
        check("水道料金", None);
        check(
            "这份文件说明了如何在服务器上安装软件包。用户必须先更新系统,然后下载最新的版本,最后重新启动服务。\
             如果安装失败,请检查网络连接并再次尝试。管理员应当定期备份所有重要的数据以防止损失。",
            Some("zh"),
        );
        check("이 문서는 서버에 패키지를 설치하는 방법을 설명합니다.", Some("ko"));
        check("Die Rechnung ist innerhalb von dreißig Tagen nach Erhalt zu bezahlen.", Some("de"));
        check("12345 67890", None);
        check("", None);
    }
}
