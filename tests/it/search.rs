//! The contract of `Search`, run on every index that keeps it.

use std::path::Path;
use std::sync::Arc;

use dokkai::model::{DocumentId, Passage, PassageId};
use dokkai::search::tantivy::TantivySearch;
use dokkai::search::{Change, DocumentHit, DocumentState, IndexedDocument, Search, SearchQuery};

/// One index under test, with the log's next number.
struct Subject {
    search: Arc<dyn Search>,
    next: u64,
}

impl Subject {
    async fn put(&mut self, id: DocumentId, title: &str, passages: &[&str]) {
        self.put_in("default", id, title, passages).await;
    }

    async fn put_in(&mut self, collection: &str, id: DocumentId, title: &str, passages: &[&str]) {
        self.put_whole(id, document(collection, id, title, passages)).await;
    }

    async fn put_whole(&mut self, id: DocumentId, document: IndexedDocument) {
        let change = self.change(id, DocumentState::Present(Arc::new(document)));
        self.search.apply(vec![change]).await.unwrap();
    }

    async fn remove(&mut self, id: DocumentId) {
        let change = self.change(id, DocumentState::Absent);
        self.search.apply(vec![change]).await.unwrap();
    }

    fn change(&mut self, document_id: DocumentId, state: DocumentState) -> Change {
        self.next += 1;
        Change { seq: self.next, document_id, state }
    }

    async fn ask(&self, question: &str) -> Vec<DocumentHit> {
        self.search.search(query(question)).await.unwrap()
    }

    async fn find(&self, question: &str) -> Vec<DocumentId> {
        self.ask(question).await.into_iter().map(|hit| hit.document_id).collect()
    }
}

fn query(text: &str) -> SearchQuery {
    SearchQuery { text: text.to_owned(), collection: None, filter: None, limit: 10, passages_per_document: 3 }
}

fn document(collection: &str, document_id: DocumentId, title: &str, passages: &[&str]) -> IndexedDocument {
    let passages = (0..).zip(passages).map(|(ordinal, text)| Passage {
        id: PassageId { document_id, ordinal },
        text: (*text).to_owned(),
        start: 0,
        end: text.chars().count(),
        page: None,
        heading: None,
    });
    let (title, collection) = (title.to_owned(), collection.to_owned());
    IndexedDocument {
        title,
        collection,
        facets: Vec::new(),
        file_name: None,
        language: None,
        passages: passages.collect(),
    }
}

fn written_in(language: &str, document_id: DocumentId, text: &str) -> IndexedDocument {
    IndexedDocument { language: Some(language.to_owned()), ..document("default", document_id, "", &[text]) }
}

fn ids<const N: usize>() -> [DocumentId; N] {
    std::array::from_fn(|_| DocumentId::new())
}

/// Everything that holds for an index, however it is made. Each part begins with an empty one.
async fn keeps_its_contract<F: AsyncFn() -> Arc<dyn Search>>(empty: F) {
    let fresh = async || Subject { search: empty().await, next: 0 };
    finds_in_both_languages(fresh().await).await;
    finds_codes_characters_and_mixtures(fresh().await).await;
    finds_what_is_written_otherwise(fresh().await).await;
    holds_a_document_as_it_was_put_last(fresh().await).await;
    keeps_collections_apart(fresh().await).await;
    gives_what_was_asked_for(fresh().await).await;
    finds_translations_by_their_name(fresh().await).await;
    finds_what_the_other_language_says(fresh().await).await;
    finds_nothing_for_nothing(fresh().await).await;
    may_be_told_twice(fresh().await).await;
    begins_again_when_cleared(fresh().await).await;
}

async fn finds_in_both_languages(mut subject: Subject) {
    let [water, wing, tea] = ids();
    subject.put(water, "水道のご案内", &["水道料金の支払期限は、検針日の翌月20日です。"]).await;
    subject.put(wing, "Wings", &["The lift of a heated wing in a slipstream was measured."]).await;
    subject.put(tea, "お茶", &["お茶は熱湯で入れると渋くなります。"]).await;
    assert_eq!(subject.find("水道料金の支払期限はいつですか？教えてください。").await, [water]);
    assert_eq!(subject.find("渋い茶").await, [tea]);
    assert_eq!(subject.find("料金を支払う期限").await, [water]);
    assert_eq!(subject.find("What is the lift of heating wings?").await, [wing]);
    assert_eq!(subject.find("ご案内").await, [water]);
    assert_eq!(subject.find("WINGS").await, [wing]);
}

async fn finds_codes_characters_and_mixtures(mut subject: Subject) {
    let [iso, error, era, rust, server, airport] = ids();
    subject.put(iso, "規格", &["当社はISO-9001の認証を受けています。"]).await;
    subject.put(error, "Errors", &["error[E0308]: mismatched types"]).await;
    subject.put(era, "条例", &["この条例は、令和6年4月1日から施行する。"]).await;
    subject.put(rust, "入門", &["RustのスレッドからAPIを呼び出す。"]).await;
    subject.put(server, "佐々木の日記", &["ｻｰﾊﾞｰを海水で冷やした。"]).await;
    subject.put(airport, "交通", &["関西国際空港へは電車が便利です。"]).await;
    for (question, expected) in [
        ("ISO-9001", iso),
        ("iso9001", iso),
        ("ISO 9001", iso),
        ("９００１", iso),
        ("E0308", error),
        ("e0308って何？", error),
        ("令和６年", era),
        ("令和", era),
        ("rustのスレッド", rust),
        ("API", rust),
        ("サーバ", server),
        ("サーバー", server),
        ("佐々木", server),
        ("水", server),
        ("冷", server),
        ("関西", airport),
        ("国際的な関西の空", airport),
    ] {
        assert_eq!(subject.find(question).await.first(), Some(&expected), "{question}");
    }
}

/// Each question finds the text beside it first among all of these.
async fn finds_what_is_written_otherwise(mut subject: Subject) {
    let table: &[(&str, &[&str])] = &[
        ("東京都水道局が検針を行う。", &["水道局", "東京都の水道", "検針", "局"]),
        ("雪が降り続いたので道路を閉鎖した。", &["降った雪", "雪が降らない", "降った", "閉鎖する", "雪"]),
        ("転入の手続きは窓口に申し込む。", &["手続", "手続き", "申込", "申込み", "お申し込み"]),
        ("社内のコンピューターを更新する。", &["コンピュータ", "コンピューター", "ｺﾝﾋﾟｭｰﾀ", "コンピューターの更新"]),
        ("ヴァイオリンの弓を張り替える。", &["バイオリン", "ヴァイオリン", "ｳﾞｧｲｵﾘﾝ", "弓"]),
        ("國立圖書館は學術資料を收藏する。", &["国立図書館", "學術資料", "学術", "収蔵"]),
        ("髙橋さんと渡邊さんの名簿です。", &["高橋", "髙橋", "渡辺", "渡邊", "名簿"]),
        ("型番ＡＢＣ－１２３４の取扱説明書", &["ABC-1234", "abc1234", "ABC 1234", "1234", "取扱説明書"]),
        ("安全規格 IEC 61508-3 を適用する。", &["IEC61508", "61508-3", "61508", "安全規格"]),
        ("予算は 1,250,000 円とする。", &["1250000", "1,250,000", "１２５００００円", "予算"]),
        ("この規程は令和六年四月一日から施行する。", &["令和6年", "令和６年の規程", "令和六年", "4月1日"]),
        ("二〇二四年度の第二十三条を改める。", &["2024年度", "第23条", "二十三条"]),
        ("誕生日おめでとう🎉またね", &["🎉", "誕生日", "おめでとう"]),
        (
            "A warranty covers the refrigerator compressor.",
            &["refridgerator", "refrigerater", "warrenty", "compresser"],
        ),
        ("The committee approved Café funding.", &["cafe", "CAFÉ", "comittee", "funded", "approving"]),
        ("Salesforce announced a restructuring.", &["セールスフォース", "セールスフォースの計画"]),
        ("Vitamin K and 鉄分 in spinach", &["K", "ビタミン K", "spinach 鉄分", "鉄"]),
    ];
    let ids: Vec<DocumentId> = table.iter().map(|_| DocumentId::new()).collect();
    for (id, (text, _)) in ids.iter().zip(table) {
        subject.put(*id, "", &[text]).await;
    }
    let mut lost = Vec::new();
    for (id, (text, questions)) in ids.iter().zip(table) {
        for question in *questions {
            if subject.find(question).await.first() != Some(id) {
                lost.push(format!("{question} for {text}"));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

async fn holds_a_document_as_it_was_put_last(mut subject: Subject) {
    let [changing, staying] = ids();
    subject.put(changing, "first", &["apples", "oranges", "東京の地図"]).await;
    subject.put(staying, "other", &["pears"]).await;
    subject.put(changing, "second", &["bananas"]).await;
    assert_eq!(subject.find("bananas").await, [changing]);
    for gone in ["apples", "oranges", "first", "東京", "地図"] {
        assert_eq!(subject.find(gone).await, [], "{gone}");
    }
    subject.remove(changing).await;
    assert_eq!(subject.find("bananas").await, []);
    assert_eq!(subject.find("second").await, []);
    assert_eq!(subject.find("pears").await, [staying]);
    subject.put(changing, "third", &[]).await;
    assert_eq!(subject.find("third").await, [], "a document without passages has nothing to show");
    assert_eq!(subject.search.applied().await.unwrap(), 5);
}

async fn keeps_collections_apart(mut subject: Subject) {
    let [here, there] = ids();
    subject.put_in("here", here, "規則", &["水道の規則 water"]).await;
    subject.put_in("there", there, "規則", &["水道の規則 water"]).await;
    let asked = async |collection: &str, text: &str| -> Vec<DocumentId> {
        let query = SearchQuery { collection: Some(collection.to_owned()), ..query(text) };
        subject.search.search(query).await.unwrap().into_iter().map(|hit| hit.document_id).collect()
    };
    assert_eq!(asked("here", "水道").await, [here]);
    assert_eq!(asked("there", "water").await, [there]);
    assert_eq!(asked("here", "水").await, [here]);
    assert_eq!(asked("nowhere", "水道").await, []);
    assert_eq!(subject.find("水道").await.len(), 2);
    let moved = subject.change(here, DocumentState::Present(Arc::new(document("there", here, "規則", &["水道"]))));
    subject.search.apply(vec![moved]).await.unwrap();
    let query = SearchQuery { collection: Some("here".to_owned()), ..query("水道") };
    assert!(subject.search.search(query).await.unwrap().is_empty());
}

async fn gives_what_was_asked_for(mut subject: Subject) {
    let many: [DocumentId; 15] = ids();
    for (n, id) in many.iter().enumerate() {
        // All equally good, but for the one that says it more often.
        let text = if n == 7 { "turbine turbine turbine" } else { "turbine blades here" };
        subject.put(*id, "machines", &[text, "nothing of it", text]).await;
    }
    let hits =
        subject.search.search(SearchQuery { limit: 4, passages_per_document: 1, ..query("turbine") }).await.unwrap();
    let mut expected = vec![many[7]];
    expected.extend(&many[..3]);
    assert_eq!(hits.iter().map(|hit| hit.document_id).collect::<Vec<_>>(), expected, "ties are in the order of ids");
    assert!(hits.iter().all(|hit| hit.passages.len() == 1));
    assert!(hits.is_sorted_by(|a, b| a.score >= b.score));
    let hits = subject.ask("turbine").await;
    assert_eq!(hits.len(), 10);
    for hit in &hits {
        let ordinals: Vec<u32> = hit.passages.iter().map(|passage| passage.passage_id.ordinal).collect();
        assert_eq!(ordinals, [0, 2]);
        assert!(hit.passages.iter().all(|passage| passage.passage_id.document_id == hit.document_id));
    }
    let none = subject.search.search(SearchQuery { limit: 0, ..query("turbine") }).await.unwrap();
    assert!(none.is_empty());
    let all = subject.search.search(SearchQuery { limit: usize::MAX, ..query("turbine") }).await.unwrap();
    assert_eq!(all.len(), many.len());
}

async fn finds_translations_by_their_name(mut subject: Subject) {
    let [japanese, english, other, index_ja, index_en, index_too, note_ja, note_en] = ids();
    let mut put = async |id: DocumentId, name: &str, language: &str, text: &str| {
        let file_name = Some(name.to_owned());
        subject.put_whole(id, IndexedDocument { file_name, ..written_in(language, id, text) }).await;
    };
    put(japanese, "fees.ja.html", "ja", "水道料金の支払期限 PayPay VISA 20日 0570-091-100").await;
    put(english, "fees.en.pdf", "en", "when bills are due: 20th, by PayPay, VISA, call 0570-091-100").await;
    put(other, "dues.pdf", "en", "something else").await;
    put(index_ja, "index.html", "ja", "目次 概要").await;
    put(index_en, "index.html", "en", "welcome").await;
    put(index_too, "index.html", "en", "overview").await;
    put(note_ja, "notes.md", "ja", "会議 Zoom 2024 Slack GitHub").await;
    put(note_en, "notes.md", "en", "shopping list: 12 eggs, milk and GitHub stickers").await;
    let hits = subject.ask("水道料金").await;
    assert_eq!(hits.iter().map(|hit| hit.document_id).collect::<Vec<_>>(), [japanese, english]);
    assert!(hits[0].score > hits[1].score && hits[1].passages[0].passage_id.document_id == english);
    assert_eq!(subject.find("bills").await, [english, japanese]);
    assert_eq!(subject.find("something").await, [other]);
    assert_eq!(subject.find("目次").await, [index_ja], "which of two is the translation is not plain");
    assert_eq!(subject.find("会議").await, [note_ja], "the same name alone makes no translation");
    let elsewhere = SearchQuery { collection: Some("elsewhere".to_owned()), ..query("水道料金") };
    assert!(subject.search.search(elsewhere).await.unwrap().is_empty());
    subject.remove(english).await;
    assert_eq!(subject.find("水道料金").await, [japanese], "a removed translation is gone");
}

async fn finds_what_the_other_language_says(mut subject: Subject) {
    let [lost, postal, plan, both, menu] = ids();
    let mut put = async |id: DocumentId, language: &str, text: &str| {
        subject.put_whole(id, written_in(language, id, text)).await;
    };
    put(lost, "ja", "遺失物を拾得した者は、速やかに警察署長に提出しなければならない。").await;
    put(postal, "ja", "郵便番号は七桁の数字で記録する。").await;
    put(menu, "ja", "本日の定食は焼き魚です。").await;
    assert_eq!(subject.find("人員の削減").await, [], "nothing is in English yet");
    assert_eq!(subject.find("finder of lost property").await, [lost]);
    assert_eq!(subject.find("How are postal codes written?").await, [postal]);
    subject.put_whole(plan, written_in("en", plan, "The plan brings a reduction in personnel by ten percent.")).await;
    assert_eq!(subject.find("人員の削減").await, [plan]);
    // What says it in the question's own words comes first, and what says it twice counts once.
    subject.put_whole(both, written_in("en", both, "Lost property, in the property office.")).await;
    assert_eq!(subject.find("lost property").await, [both, lost]);
    assert_eq!(subject.find("遺失物").await, [lost, both]);
    subject.remove(both).await;
    assert_eq!(subject.find("遺失物").await, [lost]);
}

async fn finds_nothing_for_nothing(mut subject: Subject) {
    assert_eq!(subject.find("water").await, [], "in an empty index");
    let [id] = ids();
    subject.put(id, "水", &["the water 水道"]).await;
    for question in ["", "   \n", "？！…", "\u{200b}", "unrelated", "無関係"] {
        assert_eq!(subject.find(question).await, [], "{question:?}");
    }
    assert_eq!(subject.find("the").await, [id], "a question of stop words alone is meant");
}

async fn may_be_told_twice(mut subject: Subject) {
    let [twice, gone] = ids();
    let changes = vec![
        subject.change(twice, DocumentState::Present(Arc::new(document("default", twice, "t", &["apples"])))),
        subject.change(gone, DocumentState::Present(Arc::new(document("default", gone, "t", &["apples"])))),
        subject.change(gone, DocumentState::Absent),
    ];
    for _ in 0..2 {
        subject.search.apply(changes.clone()).await.unwrap();
        let hits = subject.ask("apples").await;
        assert_eq!(hits.iter().map(|hit| (hit.document_id, hit.passages.len())).collect::<Vec<_>>(), [(twice, 1)]);
        assert_eq!(subject.search.applied().await.unwrap(), 3);
    }
    subject.search.apply(changes[..2].to_vec()).await.unwrap();
    assert_eq!(subject.find("apples").await, [twice], "an old change brings nothing back");
    assert_eq!(subject.search.applied().await.unwrap(), 3);
    subject.search.apply(Vec::new()).await.unwrap();
    assert_eq!(subject.search.applied().await.unwrap(), 3);
}

async fn begins_again_when_cleared(mut subject: Subject) {
    let [before, after] = ids();
    subject.put(before, "before", &["apples"]).await;
    subject.search.clear().await.unwrap();
    assert_eq!(subject.search.applied().await.unwrap(), 0);
    assert_eq!(subject.find("apples").await, []);
    subject.next = 0;
    subject.put(after, "after", &["apples"]).await;
    assert_eq!(subject.find("apples").await, [after]);
    assert_eq!(subject.search.applied().await.unwrap(), 1);
}

#[tokio::test]
async fn tantivy_keeps_the_contract() {
    let folders = std::sync::Mutex::new(Vec::new());
    keeps_its_contract(async || {
        let folder = tempfile::tempdir().unwrap();
        let search: Arc<dyn Search> = Arc::new(TantivySearch::open(folder.path(), "log").unwrap());
        folders.lock().unwrap().push(folder);
        search
    })
    .await;
}

/// A folder with an index of one document, applied up to 1.
async fn made() -> (tempfile::TempDir, DocumentId) {
    let folder = tempfile::tempdir().unwrap();
    let mut subject = Subject { search: Arc::new(TantivySearch::open(folder.path(), "log").unwrap()), next: 0 };
    let id = DocumentId::new();
    subject.put(id, "title", &["apples"]).await;
    (folder, id)
}

#[tokio::test]
async fn what_was_applied_survives_reopening() {
    let (folder, id) = made().await;
    let search = TantivySearch::open(folder.path(), "log").unwrap();
    assert_eq!(search.applied().await.unwrap(), 1);
    assert_eq!(search.search(query("apples")).await.unwrap()[0].document_id, id);
}

#[tokio::test]
async fn an_index_of_another_log_is_emptied() {
    let (folder, id) = made().await;
    let search = TantivySearch::open(folder.path(), "another log").unwrap();
    assert_eq!(search.applied().await.unwrap(), 0);
    assert!(search.search(query("apples")).await.unwrap().is_empty(), "{id} is unknown there");
}

#[tokio::test]
async fn an_index_that_another_holds_is_left_alone() {
    let (folder, id) = made().await;
    let holder = TantivySearch::open(folder.path(), "log").unwrap();
    assert!(TantivySearch::open(folder.path(), "log").is_err());
    assert_eq!(holder.search(query("apples")).await.unwrap()[0].document_id, id);
}

#[tokio::test]
async fn a_damaged_index_reopens_empty_and_usable() {
    fn segment_file(folder: &Path, extension: &str) -> std::path::PathBuf {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.into_iter().find(|path| path.extension().is_some_and(|found| found == extension)).unwrap()
    }
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("no meta", |folder| std::fs::remove_file(folder.join("meta.json")).unwrap()),
        ("meta is no JSON", |folder| std::fs::write(folder.join("meta.json"), "{").unwrap()),
        ("another version", |folder| {
            let meta = std::fs::read_to_string(folder.join("meta.json")).unwrap();
            assert!(meta.contains("\\\"analyzer\\\":"), "{meta}");
            std::fs::write(folder.join("meta.json"), meta.replace("\\\"analyzer\\\":", "\\\"analyzer\\\":9")).unwrap();
        }),
        ("a segment is cut short", |folder| {
            let file = std::fs::OpenOptions::new().write(true).open(segment_file(folder, "idx")).unwrap();
            file.set_len(10).unwrap();
        }),
        ("a segment is missing", |folder| std::fs::remove_file(segment_file(folder, "term")).unwrap()),
        ("a byte has flipped", |folder| {
            let path = segment_file(folder, "term");
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[3] ^= 0xff;
            std::fs::write(path, bytes).unwrap();
        }),
    ];
    for (name, damage) in damages {
        let (folder, id) = made().await;
        damage(folder.path());
        let search = Arc::new(TantivySearch::open(folder.path(), "log").unwrap());
        assert_eq!(search.applied().await.unwrap(), 0, "{name}");
        let mut subject = Subject { search, next: 0 };
        assert_eq!(subject.find("apples").await, [], "{name}");
        subject.put(id, "title", &["apples"]).await;
        assert_eq!(subject.find("apples").await, [id], "{name}");
    }
}
