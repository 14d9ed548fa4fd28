//! ZIP: what kind of file a package is, its parts, and archives of files, each entry a section under its path.

use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::read::ZipReadOptions;
use zip::result::ZipError;

use super::compose::Composer;
use super::sniff::Format;
use super::{ExtractError, Found, Input, Markup, demote, text};
use crate::error::Code;

/// How much an archive may unpack to, everything inside it included, in bytes.
const UNPACKED: u64 = 512 << 20;

/// How many archives and messages may lie in each other.
const DEPTH: u32 = 3;

/// How many entries an archive may have.
const ENTRIES: usize = 20_000;

/// How many warnings name their entries; the rest are counted.
const NAMED: usize = 20;

/// What is left of the limits on things inside things.
pub(super) struct Nest {
    depth: u32,
    unpacked: u64,
}

impl Default for Nest {
    fn default() -> Self {
        Self { depth: 0, unpacked: UNPACKED }
    }
}

impl Nest {
    /// Reads a file that lies in another.
    ///
    /// # Errors
    /// `unsafe_file` where too many lie in each other, else what is wrong with the file.
    pub(super) fn read_inner(
        &mut self,
        name: &str,
        bytes: Vec<u8>,
        declared: Option<&str>,
    ) -> Result<Found, ExtractError> {
        if self.depth >= DEPTH {
            return Err(unsafe_file(&format!("archives lie in each other more than {DEPTH} deep")));
        }
        self.depth += 1;
        let input =
            Input { bytes: bytes.into(), name: Some(name.to_owned()), declared_type: declared.map(str::to_owned) };
        let found = super::read(&input, self).map(|(found, _)| found);
        self.depth -= 1;
        found.and_then(|found| if found.text.trim().is_empty() { Err(ExtractError::empty()) } else { Ok(found) })
    }

    /// Unpacks to the end, whatever size is declared.
    fn unpack(&mut self, entry: impl Read) -> Result<Vec<u8>, ExtractError> {
        let mut bytes = Vec::new();
        let read = entry.take(self.unpacked.saturating_add(1)).read_to_end(&mut bytes);
        if bytes.len() as u64 > self.unpacked {
            return Err(too_large());
        }
        self.unpacked -= bytes.len() as u64;
        read.map(|_| bytes).map_err(|_| malformed())
    }
}

/// A ZIP file.
pub(super) struct Package<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
}

impl<'a> Package<'a> {
    /// # Errors
    /// `malformed` for what is no ZIP, `unsafe_file` where it declares to be larger than any document.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, ExtractError> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|_| malformed())?;
        if zip.len() > ENTRIES {
            return Err(unsafe_file(&format!("it has more than {ENTRIES} entries")));
        }
        if zip.decompressed_size().is_some_and(|size| size > u128::from(UNPACKED)) {
            return Err(too_large());
        }
        Ok(Self { zip })
    }

    fn has(&self, test: impl Fn(&str) -> bool) -> bool {
        self.zip.file_names().flatten().any(|name| test(&name))
    }

    /// The text of a part, if it is there.
    pub(super) fn read(&mut self, name: &str, nest: &mut Nest) -> Result<Option<String>, ExtractError> {
        let bytes = match self.zip.by_name(name) {
            Ok(part) => nest.unpack(part)?,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(failure(&error)),
        };
        Ok(Some(text::decode(&bytes, None)?.text))
    }
}

/// What a ZIP file is, found from its entries.
///
/// # Errors
/// As [`Package::open`]; `unsupported_type` for packages of formats that cannot be read.
pub(super) fn kind(bytes: &[u8]) -> Result<Format, ExtractError> {
    let mut package = Package::open(bytes)?;
    let mimetype = package.read("mimetype", &mut Nest::default()).ok().flatten().unwrap_or_default();
    Ok(match mimetype.trim() {
        "application/epub+zip" => Format::Epub,
        kind if kind.starts_with("application/vnd.oasis.opendocument.text") => Format::Odt,
        kind if kind.starts_with("application/vnd.oasis.opendocument.spreadsheet") => Format::Ods,
        kind if kind.starts_with("application/vnd.oasis.opendocument.presentation") => Format::Odp,
        _ if package.has(|name| name == "META-INF/container.xml") => Format::Epub,
        _ if package.has(|name| name.eq_ignore_ascii_case("[Content_Types].xml")) => {
            let has = |folder: &str, file: &str| {
                package.has(|name| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with(file)))
            };
            if has("word/", "document") {
                Format::Docx
            } else if has("xl/", "workbook.bin") {
                return Err(super::sniff::unsupported("a binary Excel workbook (XLSB)"));
            } else if has("xl/", "workbook") {
                Format::Xlsx
            } else if has("ppt/", "presentation") {
                Format::Pptx
            } else {
                Format::Zip
            }
        }
        _ => Format::Zip,
    })
}

/// Reads an archive: every file in it that can be read, in the order of the archive.
pub(super) fn extract(bytes: &[u8], nest: &mut Nest) -> Result<Found, ExtractError> {
    let mut package = Package::open(bytes)?;
    let mut composer = Composer::default();
    let mut failures: Vec<(String, ExtractError)> = Vec::new();
    let mut warnings = Vec::new();
    for index in 0..package.zip.len() {
        let Some((name, entry)) = open_entry(&mut package.zip, index) else { continue };
        let found = entry.and_then(|entry| nest.unpack(entry)).and_then(|bytes| nest.read_inner(&name, bytes, None));
        match found {
            Ok(found) => {
                composer.heading(1, &name);
                composer.block(&demote(&found));
                warnings.extend(found.warnings.into_iter().map(|warning| format!("{name}: {warning}")));
            }
            // A bomb is not read in part: what it is made of may be anywhere.
            Err(error) if error.code == Code::UnsafeFile => return Err(error),
            Err(error) => failures.push((name, error)),
        }
    }
    if composer.is_empty() {
        // Of several reasons, the one that its owner can do something about.
        let order = [Code::Encrypted, Code::ScannedWithoutText, Code::Malformed];
        let rank = |error: &ExtractError| order.iter().position(|code| *code == error.code).unwrap_or(order.len());
        let Some((name, error)) = failures.into_iter().min_by_key(|(_, error)| rank(error)) else {
            return Err(ExtractError::new(Code::EmptyFile, "the archive holds no files; upload one that does"));
        };
        return Err(ExtractError::new(
            error.code,
            format!("nothing in the archive can be read; {name}: {}", error.message),
        ));
    }
    let unnamed = failures.len().saturating_sub(NAMED);
    warnings.extend(failures.into_iter().take(NAMED).map(|(name, error)| format!("{name}: {}", error.message)));
    if unnamed > 0 {
        warnings.push(format!("{unnamed} more files could not be read"));
    }
    let (text, _) = composer.finish();
    Ok(Found { text, markup: Markup::Markdown, title: None, pages: Vec::new(), warnings })
}

type Opened<'a, 'b> = Result<zip::read::ZipFile<'b, Cursor<&'a [u8]>>, ExtractError>;

/// An entry that may be a document, with its name. Programs' own files, folders and links are not.
fn open_entry<'a, 'b>(zip: &'b mut ZipArchive<Cursor<&'a [u8]>>, index: usize) -> Option<(String, Opened<'a, 'b>)> {
    let about = match zip.by_index_raw(index) {
        Ok(entry) => {
            let name = safe_name(entry.name_raw());
            let skipped = entry.is_dir() || entry.is_symlink() || entry.size() == 0;
            Ok((name, skipped, entry.encrypted()))
        }
        Err(error) => Err(failure(&error)),
    };
    let (name, skipped, encrypted) = match about {
        Ok(about) => about,
        Err(error) => return Some((format!("entry {}", index + 1), Err(error))),
    };
    let file = name.rsplit('/').next().unwrap_or_default();
    if skipped
        || name.starts_with("__MACOSX/")
        || file.starts_with("._")
        || matches!(file, "" | ".DS_Store" | "Thumbs.db")
    {
        return None;
    }
    if encrypted {
        return Some((name, Err(encrypted_entry())));
    }
    let entry = zip.by_index_with_options(index, ZipReadOptions::new()).map_err(|error| failure(&error));
    Some((name, entry))
}

/// A path that stays below its archive: no drive, no root, no `..`. Names without a declared encoding are guessed,
/// which for Japanese Windows means `Shift_JIS`.
fn safe_name(raw: &[u8]) -> String {
    let name = match text::decode(raw, None) {
        Ok(decoded) => decoded.text,
        Err(_) => String::from_utf8_lossy(raw).into_owned(),
    };
    let name = text::normalise(&name);
    let parts = name.split(['/', '\\']).map(str::trim);
    let is_part = |part: &&str| !matches!(*part, "" | "." | "..") && !part.ends_with(':');
    parts.filter(is_part).collect::<Vec<_>>().join("/")
}

fn failure(error: &ZipError) -> ExtractError {
    match error {
        ZipError::InvalidPassword => encrypted_entry(),
        ZipError::UnsupportedArchive(reason) if reason.to_lowercase().contains("password") => encrypted_entry(),
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) => ExtractError::new(
            Code::UnsupportedType,
            "it is packed by a rare method; pack it anew as an ordinary ZIP file and upload that",
        ),
        ZipError::Io(_)
        | ZipError::InvalidArchive(_)
        | ZipError::FileNotFound
        | ZipError::DecompressedSizeLimitExceeded { .. }
        | ZipError::DecompressedSizeUnknown
        | _ => malformed(),
    }
}

fn encrypted_entry() -> ExtractError {
    ExtractError::new(Code::Encrypted, "it needs a password; pack it anew without one and upload that")
}

fn malformed() -> ExtractError {
    ExtractError::new(Code::Malformed, "the ZIP file is damaged; pack it anew and upload that")
}

fn too_large() -> ExtractError {
    unsafe_file(&format!("it unpacks to more than {} MB", UNPACKED >> 20))
}

fn unsafe_file(reason: &str) -> ExtractError {
    ExtractError::new(
        Code::UnsafeFile,
        format!("the file is not unpacked, since {reason}; upload its parts one by one"),
    )
}

#[cfg(test)]
mod tests {
    use encoding_rs::SHIFT_JIS;

    use super::*;

    #[test]
    fn names_stay_below_their_archive() {
        let check = |raw: &[u8], name: &str| assert_eq!(safe_name(raw), name);
        check(b"a/b.txt", "a/b.txt");
        check(b"../../etc/passwd", "etc/passwd");
        check(b"/etc//./passwd", "etc/passwd");
        check(b"C:\\Windows\\..\\x.txt", "Windows/x.txt");
        check("規約/料金.md".as_bytes(), "規約/料金.md");
        check(&SHIFT_JIS.encode("規約/料金のご案内.txt").0, "規約/料金のご案内.txt");
        check("ga\u{304b}\u{3099}".as_bytes(), "gaが");
        check(b"..", "");
    }
}
