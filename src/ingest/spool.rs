//! The bytes of an upload on their way to the store: hashed while they come in, small ones in memory, others in an
//! unnamed file of the data folder, which vanishes with its handle also where the process dies.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::error::{Code, Problem};

/// Up to here an upload stays in memory, in bytes; what waits to be written to a file takes as much.
const IN_MEMORY: usize = 256 * 1024;

/// An upload that is coming in.
pub struct Spool {
    folder: PathBuf,
    hash: Sha256,
    size: u64,
    /// What is not in the file.
    pending: Vec<u8>,
    file: Option<File>,
}

/// An upload that is there as a whole.
#[derive(Debug)]
pub struct Spooled {
    /// In bytes.
    pub size: u64,
    /// SHA-256, in hexadecimal.
    pub hash: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Bytes),
    File(File),
}

impl Spool {
    /// Files go into `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), hash: Sha256::new(), size: 0, pending: Vec::new(), file: None }
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), Problem> {
        self.size += piece.len() as u64;
        self.pending.extend_from_slice(piece);
        if self.pending.len() > IN_MEMORY { self.flush().await } else { Ok(()) }
    }

    /// The upload as a whole.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub async fn finish(mut self) -> Result<Spooled, Problem> {
        if self.file.is_none() {
            return Ok(Spooled::from(Bytes::from(self.pending)));
        }
        self.flush().await?;
        let file = self.file.take().ok_or_else(|| lost(std::io::ErrorKind::NotFound.into()))?;
        Ok(Spooled { size: self.size, hash: hexadecimal(self.hash), place: Place::File(file) })
    }

    async fn flush(&mut self) -> Result<(), Problem> {
        let (pending, file, folder) = (std::mem::take(&mut self.pending), self.file.take(), self.folder.clone());
        let mut hash = std::mem::take(&mut self.hash);
        let (hash, file) = blocking(move || {
            hash.update(&pending);
            let mut file = match file {
                Some(file) => file,
                None => tempfile::tempfile_in(folder)?,
            };
            file.write_all(&pending)?;
            Ok((hash, file))
        })
        .await?;
        self.hash = hash;
        self.file = Some(file);
        Ok(())
    }
}

impl From<Bytes> for Spooled {
    fn from(bytes: Bytes) -> Self {
        let mut hash = Sha256::new();
        hash.update(&bytes);
        Self { size: bytes.len() as u64, hash: hexadecimal(hash), place: Place::Memory(bytes) }
    }
}

impl Spooled {
    /// Up to `most` bytes from `start` on.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn read(&mut self, start: u64, most: usize) -> Result<Bytes, Problem> {
        match &mut self.place {
            Place::Memory(bytes) => {
                let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(start..start.saturating_add(most).min(bytes.len())))
            }
            Place::File(file) => {
                let mut file = file.try_clone().map_err(lost)?;
                blocking(move || {
                    file.seek(SeekFrom::Start(start))?;
                    let mut read = Vec::with_capacity(most);
                    file.take(most as u64).read_to_end(&mut read)?;
                    Ok(Bytes::from(read))
                })
                .await
            }
        }
    }
}

fn hexadecimal(hash: Sha256) -> String {
    hex::encode(hash.finalize())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other).and_then(|outcome| outcome).map_err(lost)
}

fn lost(error: std::io::Error) -> Problem {
    tracing::error!(%error, "an upload could not be kept on disk");
    if matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
        let message = "the server's disk is full; free some space, then send this again";
        return Problem::new(Code::StorageFull, message);
    }
    Problem::new(Code::StoreUnavailable, "the upload could not be kept on disk; see the server's log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_in_pieces_comes_out_whole_with_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        for pieces in [1, 9] {
            let mut spool = Spool::new(folder.path());
            let piece: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
            for _ in 0..pieces {
                spool.write(&piece).await.unwrap();
            }
            let whole = piece.repeat(pieces);
            let mut spooled = spool.finish().await.unwrap();
            assert_eq!(
                (spooled.size, &spooled.hash),
                (whole.len() as u64, &Spooled::from(Bytes::from(whole.clone())).hash)
            );
            assert_eq!(matches!(spooled.place, Place::File(_)), pieces == 9);
            assert_eq!(spooled.read(90_000, 20_000).await.unwrap(), whole[90_000..whole.len().min(110_000)]);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        let hash = Spooled::from(Bytes::from_static(b"abc")).hash;
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
