//! Builds `assets/ipadic.zst`, the dictionary that the analyser embeds, from the sources of IPADIC.
//! `assets/README.md` says when and how to run it.
//!
//! Of each entry it keeps what the analyser reads: surface, connection ids, cost, the first two parts of speech and
//! the base form. Readings and conjugation names are dropped, which makes the file smaller by a third.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use encoding_rs::EUC_JP;
use vibrato::SystemDictionaryBuilder;

/// zstd's level: slow to write, no slower to read.
const LEVEL: i32 = 19;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(source), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err("usage: build_ipadic IPADIC_SOURCE_DIR OUTPUT_FILE".into());
    };
    let dictionary = SystemDictionaryBuilder::from_readers(
        lexicon(&source)?.as_bytes(),
        read(&source.join("matrix.def"))?.as_bytes(),
        read(&source.join("char.def"))?.as_bytes(),
        unknown_words(&source)?.as_bytes(),
    )?;
    let mut writer = zstd::Encoder::new(fs::File::create(target)?, LEVEL)?;
    dictionary.write(&mut writer)?;
    writer.finish()?;
    Ok(())
}

/// The entries of all CSV files, in the order of the files' names so that two runs give the same bytes.
fn lexicon(source: &Path) -> Result<String, Box<dyn Error>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(source)?.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    files.sort();
    let mut entries = String::new();
    for file in files {
        for line in read(&file)?.lines() {
            let cells: Vec<&str> = line.split(',').collect();
            // The few surfaces that are quoted hold commas or quotes, which the analyser never asks about.
            if let [surface, left, right, cost, pos1, pos2, _, _, _, _, base, ..] = cells[..]
                && !surface.starts_with('"')
            {
                // A base form that equals the surface need not be kept twice.
                let base = if base == surface { "*" } else { base };
                entries.push_str(&[surface, left, right, cost, pos1, pos2, base].join(","));
                entries.push('\n');
            }
        }
    }
    Ok(entries)
}

fn unknown_words(source: &Path) -> Result<String, Box<dyn Error>> {
    let mut entries = String::new();
    for line in read(&source.join("unk.def"))?.lines() {
        if let [category, left, right, cost, pos1, pos2, ..] = line.split(',').collect::<Vec<_>>()[..] {
            entries.push_str(&[category, left, right, cost, pos1, pos2, "*"].join(","));
            entries.push('\n');
        }
    }
    Ok(entries)
}

fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let (text, _, malformed) = EUC_JP.decode(&bytes);
    if malformed {
        return Err(format!("{} is not EUC-JP", path.display()).into());
    }
    Ok(text.into_owned())
}
