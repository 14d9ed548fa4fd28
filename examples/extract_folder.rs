//! Reads every file below a folder as an upload would be, and prints one line each: outcome, sizes, time, title.
//! With a second folder, writes the extracted texts there.
//!
//! `cargo run --release --example extract_folder -- FOLDER [OUT]`; needs the `dokkai` binary beside it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use dokkai::ingest::extract::{Extractor, Input};
use dokkai::ingest::passages;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = arguments.next().ok_or("name a folder")?;
    let out = arguments.next();
    let program = std::env::current_exe()?.parent().and_then(Path::parent).ok_or("no folder above")?.join("dokkai");
    let extractor = Extractor::new(program);
    println!("file\toutcome\tcharacters\tpassages\tmilliseconds\tlanguage\ttitle\twarnings");
    for path in files(&folder)? {
        let name = path.strip_prefix(&folder)?.to_string_lossy().into_owned();
        let bytes = std::fs::read(&path)?.into();
        let start = Instant::now();
        let result = extractor.extract(Input { bytes, name: Some(name.clone()), declared_type: None }).await;
        let ms = start.elapsed().as_millis();
        match result {
            Ok(found) => {
                let (characters, drafts) = (found.text.chars().count(), passages::cut(&found).len());
                let (language, title) = (found.language.unwrap_or_default(), found.title.unwrap_or_default());
                let warnings = found.warnings.join("; ");
                println!("{name}\t{}\t{characters}\t{drafts}\t{ms}\t{language}\t{title}\t{warnings}", found.media_type);
                if let Some(out) = &out {
                    std::fs::create_dir_all(out)?;
                    std::fs::write(out.join(format!("{}.txt", name.replace('/', "__"))), found.text)?;
                }
            }
            Err(error) => println!("{name}\t{}\t0\t0\t{ms}\t\t\t{error}", error.code.as_str()),
        }
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
