//! Makes the table of the pages' files for `src/web/mod.rs`, before the program is compiled: each file as it stands in
//! `src/web/page/` (the chat page, and what all pages share) or `src/web/dashboard/`, and compressed, with the hash of its
//! bytes as its entity tag.
//!
//! All files together have one version, which is part of the addresses of all but the pages themselves: a page never mixes
//! files of two versions, and browsers may keep each address for ever.

use std::{collections::BTreeSet, env, error::Error, fmt::Write as _, fs, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

/// The folders; each has one page, which the table has by this name, and the script that it begins with.
const FOLDERS: [(&str, &str, &str); 3] = [
    ("page", "index.html", "main.js"),
    ("dashboard", "dashboard.html", "dashboard.js"),
    ("docs", "docs.html", "docs.js"),
];
/// The description of the HTTP API: `document.json`, and a folder for each part of it, whose files are joined.
const DESCRIPTION: &str = "src/http/openapi";
/// By this name the table has it.
const DESCRIBED: &str = "openapi.json";
/// The file of a folder in which the placeholders are replaced.
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
    println!("cargo::rerun-if-changed=src/web/build.rs");
    let out = env::var("OUT_DIR")?;
    let mut files = Vec::new();
    for (folder, page, _) in FOLDERS {
        let from = Path::new("src/web").join(folder);
        println!("cargo::rerun-if-changed={}", from.display());
        files.extend(read(&from, page)?);
    }
    println!("cargo::rerun-if-changed={DESCRIPTION}");
    files.push(File { name: DESCRIBED.to_owned(), bytes: description(Path::new(DESCRIPTION))?.into_bytes() });
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(two) = files.windows(2).find(|two| two[0].name == two[1].name) {
        return Err(format!("two files are called {}", two[0].name).into());
    }
    let version = hash(files.iter().flat_map(|file| [file.name.as_bytes(), &file.bytes]));
    for (_, page, script) in FOLDERS {
        finish_page(&mut files, page, script, &version)?;
    }
    fs::write(Path::new(&out).join("files.rs"), table(&files, &version, Path::new(&out))?)?;
    Ok(())
}

/// The files of a folder, its `index.html` by the name `page`.
fn read(from: &Path, page: &str) -> Result<Vec<File>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a file's name is not UTF-8")?;
        let name = if name == INDEX { page } else { name };
        files.push(File { name: name.to_owned(), bytes: fs::read(&path)? });
    }
    Ok(files)
}

/// The description as one document: what a test reads as JSON is joined here as text.
fn description(from: &Path) -> Result<String, Box<dyn Error>> {
    let head = fs::read_to_string(from.join("document.json"))?.replace(VERSION, &env::var("CARGO_PKG_VERSION")?);
    let mut folders = fs::read_dir(from)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    folders.retain(|path| path.is_dir());
    folders.sort();
    let (mut paths, mut components) = (String::new(), Vec::new());
    for folder in folders {
        let name = folder.file_name().and_then(|name| name.to_str()).ok_or("a folder's name is not UTF-8")?;
        let joined = joined(&folder)?;
        if name == "paths" {
            paths = joined;
        } else {
            components.push(format!("\"{name}\":{{{joined}}}"));
        }
    }
    let (head, components) = (members(&head)?, components.join(","));
    Ok(compact(&format!("{{{head},\"paths\":{{{paths}}},\"components\":{{{components}}}}}")))
}

/// The members of the objects in all files of a folder.
fn joined(folder: &Path) -> Result<String, Box<dyn Error>> {
    let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    files.sort();
    let texts = files.iter().map(fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.iter().map(|text| members(text)).collect::<Result<Vec<_>, _>>()?.join(","))
}

/// What stands between the braces of an object.
fn members(object: &str) -> Result<&str, String> {
    let inner = object.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    inner.map(str::trim).ok_or_else(|| "a part of the description is no JSON object".to_owned())
}

/// JSON without the white space between its tokens.
fn compact(json: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let keep = |c: &char| {
        (quoted, escaped) = match c {
            '"' if !escaped => (!quoted, false),
            '\\' => (quoted, !escaped),
            _ => (quoted, false),
        };
        quoted || !c.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
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

/// Puts the version, and the scripts that come with `script`, into `page`.
fn finish_page(files: &mut [File], page: &str, script: &str, version: &str) -> Result<(), Box<dyn Error>> {
    let mut modules = String::new();
    for name in imported(files, script)? {
        writeln!(modules, "<link rel=\"modulepreload\" href=\"/assets/{version}/{name}\">")?;
    }
    let index = files.iter_mut().find(|file| file.name == page).ok_or_else(|| format!("there is no {page}"))?;
    let text = std::str::from_utf8(&index.bytes)?;
    if !text.contains(MODULES) || !text.contains(VERSION) {
        return Err(format!("{page} has lost a placeholder").into());
    }
    index.bytes = text.replace(MODULES, &modules).replace(VERSION, version).into_bytes();
    Ok(())
}

/// A script, what it imports, what that imports, and so on.
fn imported(files: &[File], script: &str) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let (mut known, mut next) = (BTreeSet::new(), vec![script.to_owned()]);
    while let Some(name) = next.pop() {
        let file = files.iter().find(|file| file.name == name).ok_or_else(|| format!("there is no {name}"))?;
        let text = std::str::from_utf8(&file.bytes)?;
        let imports = text.split(" from './").skip(1).filter_map(|rest| rest.split_once('\'').map(|(name, _)| name));
        if known.insert(name) {
            next.extend(imports.map(str::to_owned));
        }
    }
    Ok(known)
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
