//! Makes the table of the page's files for `src/web/mod.rs`, before the program is compiled: each file as it stands in
//! `src/web/page/` and compressed, with the hash of its bytes as its entity tag.
//!
//! All files together have one version, which is part of the addresses of all but `index.html`: a page never mixes files of
//! two versions, and browsers may keep each address for ever.

use std::{env, error::Error, fmt::Write as _, fs, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

/// The file in which the placeholders are replaced.
const INDEX: &str = "index.html";
/// Stands in it for the version.
const VERSION: &str = "{version}";
/// Stands in it for one line a script: a browser then asks for all of them at once, and not in as many rounds as one script
/// imports another.
const MODULES: &str = "<!-- {modules} -->\n";

struct File {
    name: String,
    bytes: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let from = Path::new("src/web/page");
    println!("cargo::rerun-if-changed={}", from.display());
    println!("cargo::rerun-if-changed=src/web/build.rs");
    let out = env::var("OUT_DIR")?;
    let mut files = read(from)?;
    let version = hash(files.iter().flat_map(|file| [file.name.as_bytes(), &file.bytes]));
    finish_index(&mut files, &version)?;
    fs::write(Path::new(&out).join("files.rs"), table(&files, &version, Path::new(&out))?)?;
    Ok(())
}

/// The page's files in the order of their names.
fn read(from: &Path) -> Result<Vec<File>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a file's name is not UTF-8")?;
        files.push(File { name: name.to_owned(), bytes: fs::read(&path)? });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// 16 hex digits of the SHA-256 of `parts`.
fn hash<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    digest.finalize()[..8].iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn finish_index(files: &mut [File], version: &str) -> Result<(), Box<dyn Error>> {
    let mut modules = String::new();
    for File { name, .. } in files.iter() {
        if Path::new(name).extension().is_some_and(|extension| extension == "js") {
            writeln!(modules, "<link rel=\"modulepreload\" href=\"/assets/{version}/{name}\">")?;
        }
    }
    let index = files.iter_mut().find(|file| file.name == INDEX).ok_or("there is no index.html")?;
    let text = std::str::from_utf8(&index.bytes)?;
    if !text.contains(MODULES) || !text.contains(VERSION) {
        return Err("index.html has lost a placeholder".into());
    }
    index.bytes = text.replace(MODULES, &modules).replace(VERSION, version).into_bytes();
    Ok(())
}

/// The Rust source of the table; the bytes go beside it.
fn table(files: &[File], version: &str, out: &Path) -> Result<String, Box<dyn Error>> {
    let mut source = format!("const VERSION: &str = {version:?};\nstatic FILES: &[File] = &[\n");
    for File { name, bytes } in files {
        let compressed = format!("{name}.gz");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes)?;
        fs::write(out.join(name), bytes)?;
        fs::write(out.join(&compressed), encoder.finish()?)?;
        let (tag, kind) = (hash(std::iter::once(bytes.as_slice())), content_type(name)?);
        writeln!(
            source,
            "    File {{ name: {name:?}, content_type: {kind:?}, plain: Form {{ etag: \"\\\"{tag}\\\"\", \
             bytes: include_bytes!({name:?}) }}, gzip: Form {{ etag: \"\\\"{tag}-gz\\\"\", \
             bytes: include_bytes!({compressed:?}) }} }},",
        )?;
    }
    source.push_str("];\n");
    Ok(source)
}

fn content_type(name: &str) -> Result<&'static str, String> {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => Ok("text/html; charset=utf-8"),
        Some("js") => Ok("text/javascript; charset=utf-8"),
        Some("css") => Ok("text/css; charset=utf-8"),
        Some("json") => Ok("application/json"),
        Some("svg") => Ok("image/svg+xml"),
        Some("webmanifest") => Ok("application/manifest+json"),
        Some(_) | None => Err(format!("{name} has no content type")),
    }
}
