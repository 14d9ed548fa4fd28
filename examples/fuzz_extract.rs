//! Damages real files at random and reads them, each in a worker, and cuts what is read into passages. Prints how many
//! ended how; a file on which a reader crashed is kept below OUT.
//!
//! `cargo run --release --example fuzz_extract -- FOLDER MINUTES OUT`; needs the `dokkai` binary beside it.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dokkai::error::Code;
use dokkai::ingest::extract::{Extractor, Input};
use dokkai::ingest::passages;

/// Larger files would spend the time on few trials.
const LARGEST: usize = 400 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("name a folder")?);
    let minutes: f64 = arguments.next().ok_or("say how many minutes")?.parse()?;
    let out = PathBuf::from(arguments.next().ok_or("name a folder for findings")?);
    std::fs::create_dir_all(&out)?;
    let program = std::env::current_exe()?.parent().and_then(Path::parent).ok_or("no folder above")?.join("dokkai");
    let extractor = Extractor::new(program);
    let mut kinds: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(&folder).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let kind = entry.path().extension().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(entry.path())?;
        if bytes.len() <= LARGEST {
            kinds.entry(kind).or_default().push(bytes);
        }
    }
    let kinds: Vec<(String, Vec<Vec<u8>>)> = kinds.into_iter().collect();
    let mut random = fastrand::Rng::with_seed(7);
    let mut outcomes: BTreeMap<(String, &'static str), u64> = BTreeMap::new();
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    while Instant::now() < end {
        let (kind, files) = random.choice(&kinds).ok_or("the folder holds no small files")?;
        let bytes = damaged(random.choice(files).cloned().unwrap_or_default(), &mut random);
        let input = Input { bytes: bytes.clone().into(), name: Some(format!("a.{kind}")), declared_type: None };
        let outcome = match extractor.extract(input).await {
            Ok(found) => {
                passages::cut(&found);
                "read"
            }
            Err(error) => {
                if matches!(error.code, Code::ExtractionCrashed | Code::ExtractionLimit) {
                    let name = format!("{}-{}.{kind}", error.code.as_str(), random.u64(..));
                    std::fs::write(out.join(name), &bytes)?;
                }
                error.code.as_str()
            }
        };
        *outcomes.entry((kind.clone(), outcome)).or_default() += 1;
    }
    for ((kind, outcome), count) in outcomes {
        println!("{kind}\t{outcome}\t{count}");
    }
    Ok(())
}

/// Bits flipped, stretches cut out, doubled or moved.
fn damaged(mut bytes: Vec<u8>, random: &mut fastrand::Rng) -> Vec<u8> {
    for _ in 0..random.usize(1..=8) {
        if bytes.len() < 4 {
            break;
        }
        let at = random.usize(..bytes.len());
        let to = (at + random.usize(1..=64)).min(bytes.len());
        match random.u8(..5) {
            0 => bytes[at] ^= 1 << random.u8(..8),
            1 => bytes[at] = random.u8(..),
            2 => drop(bytes.drain(at..to)),
            3 => {
                let copy = bytes[at..to].to_vec();
                let place = random.usize(..bytes.len());
                bytes.splice(place..place, copy);
            }
            _ => bytes.truncate(bytes.len() - random.usize(..bytes.len() / 4 + 1)),
        }
    }
    bytes
}
