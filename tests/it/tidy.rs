//! The rules of the project's structure that a program can check: who may import whom, where crates may be named, how
//! long files are, that every file is used, and that the documents name only what is there.
//!
//! It reads text, not types: comments and literals are blanked first, then paths are followed.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    path::{Path, PathBuf},
};

use bondhu::http::routes::ROUTES;

mod source;

use source::{code, declared, imports, names};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The modules and their levels: imports point down.
const LEVELS: [(&str, u8); 28] = [
    ("cli", 5),
    ("commands", 5),
    ("fuzz", 5),
    ("http", 4),
    ("app", 3),
    ("control", 3),
    ("monitor", 3),
    ("auth", 2),
    ("backup", 2),
    ("chat", 2),
    ("import", 2),
    ("jobs", 2),
    ("admission", 1),
    ("alerts", 1),
    ("client", 1),
    ("reply", 1),
    ("store", 1),
    ("checker", 0),
    ("clock", 0),
    ("completions", 0),
    ("config", 0),
    ("id", 0),
    ("logging", 0),
    ("metrics", 0),
    ("pool", 0),
    ("sse", 0),
    ("text", 0),
    ("web", 0),
];

/// Who may know a module of the same level.
const BESIDE: [(&str, &str); 7] = [
    ("commands", "cli"),
    ("chat", "auth"),
    ("jobs", "backup"),
    ("reply", "client"),
    ("logging", "config"),
    ("app", "monitor"),
    ("metrics", "clock"),
];

/// Single names that may be known besides: plain values, which keep neither module from being read alone.
const NAMES_BESIDE: [(&str, &str); 3] = [
    ("admission", "store::Tier"), // Which limits hold for an account; the store has accounts.
    ("reply", "store::Speaker"),  // Who said a line; the store has lines.
    ("logging", "clock::Clock"),  // When a line was written: only the clock reads the time.
];

/// Crates, and the only places that may name them.
const CRATES: [(&[&str], &[&str]); 5] = [
    (
        &["hyper", "hyper_util", "http_body_util"],
        &["src/http/", "src/client.rs", "src/client/", "benches/", "tests/it/support/browser/"],
    ),
    (&["hyper_rustls", "rustls_native_certs", "tower_service"], &["src/client/"]),
    (&["rustls"], &["src/client/", "src/http/tls.rs", "tests/it/tls.rs"]),
    (&["tokio_rustls"], &["src/http/tls.rs", "src/http/server.rs", "src/http/wire.rs"]),
    (&["sled", "bincode"], &["src/store/", "benches/"]),
];

const LINES_MAX: usize = 500;

/// What finished code does not say; in two halves, so that they do not stand here.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("dbg", "!("),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
];

/// Directories of somebody's machine.
const MACHINES: [&str; 5] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/"), concat!("/t", "mp/")];

const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"];

#[test]
fn imports_point_down_the_levels() {
    let levels = BTreeMap::from(LEVELS);
    let mut wrong = Vec::new();
    let mut used: HashSet<(&str, &str)> = HashSet::new();
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("src/")) {
        let Some(module) = module_of(path) else { continue };
        let Some(level) = levels.get(module) else {
            wrong.push(format!("{path}: module {module} has no level"));
            continue;
        };
        for import in imports(path, &code(text)) {
            let target = import.split("::").next().unwrap();
            let Some(below) = levels.get(target).filter(|_| target != module) else { continue };
            let named = NAMES_BESIDE.iter().find(|(from, name)| *from == module && *name == import);
            used.extend(named);
            if below >= level && !BESIDE.contains(&(module, target)) && named.is_none() {
                wrong.push(format!("{path} (L{level}) imports {import} (L{below})"));
            }
        }
    }
    wrong.extend(NAMES_BESIDE.iter().filter(|name| !used.contains(name)).map(|name| format!("{name:?} is not needed")));
    nothing(&wrong);
}

#[test]
fn every_module_has_a_level_and_is_on_the_map() {
    let map = read("src/lib.rs");
    let modules: BTreeSet<&str> = LEVELS.iter().map(|(module, _)| *module).collect();
    let declared: BTreeSet<String> = declared(&code(&map)).into_iter().collect();
    assert_eq!(declared, modules.iter().map(|&module| module.to_owned()).collect());
    let unexplained: Vec<_> = modules.iter().filter(|module| !map.contains(&format!("//! - [`{module}`]: "))).collect();
    nothing(&unexplained);
}

#[test]
fn crates_are_named_only_where_they_belong() {
    let mut wrong = Vec::new();
    for (path, text) in &sources() {
        let code = code(text);
        for (crates, places) in CRATES {
            let here = places.iter().any(|place| path.starts_with(place));
            wrong.extend(
                crates.iter().filter(|name| !here && names(&code, name)).map(|name| format!("{path} names {name}")),
            );
        }
    }
    nothing(&wrong);
}

#[test]
fn the_store_touches_files_through_its_disk_only() {
    let mut wrong = Vec::new();
    for (path, text) in &sources() {
        let is_its_own = path.starts_with("src/store/") && path != "src/store/disk.rs" && !path.contains("tests");
        let code = code(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
        if is_its_own {
            let direct =
                ["fs::File,", "fs::read(", "fs::read_dir", "fs::remove", "fs::metadata", "File::open", "OpenOptions"];
            wrong.extend(direct.iter().filter(|call| code.contains(*call)).map(|call| format!("{path} has {call}")));
        }
    }
    nothing(&wrong);
}

#[test]
fn no_file_is_too_long() {
    let mut wrong = Vec::new();
    for (path, text) in &sources() {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{path} has {lines} lines; at most {LINES_MAX} are allowed"));
        }
    }
    nothing(&wrong);
}

#[test]
fn every_source_is_part_of_a_program() {
    let sources: BTreeMap<_, _> = sources().into_iter().collect();
    let roots = sources.keys().filter(|path| {
        matches!(
            path.as_str(),
            "src/lib.rs" | "src/main.rs" | "src/web/build.rs" | "tests/it/main.rs" | "tests/fuzz/main.rs"
        ) || path.starts_with("benches/")
    });
    let mut waiting: Vec<String> = roots.cloned().collect();
    let mut reached = BTreeSet::new();
    while let Some(path) = waiting.pop() {
        let text = code(&sources[&path]);
        let (dir, name) = path.rsplit_once('/').unwrap();
        let stem = name.trim_end_matches(".rs");
        let dir = if matches!(stem, "lib" | "main" | "mod") { dir.to_owned() } else { format!("{dir}/{stem}") };
        for module in declared(&text) {
            let places = [format!("{dir}/{module}.rs"), format!("{dir}/{module}/mod.rs")];
            waiting.extend(places.into_iter().filter(|place| sources.contains_key(place) && !reached.contains(place)));
        }
        reached.insert(path);
    }
    let orphans: Vec<_> = sources.keys().filter(|path| !reached.contains(*path)).collect();
    nothing(&orphans);
}

#[test]
fn nothing_is_left_unfinished_and_nothing_names_a_machine() {
    let mut wrong = Vec::new();
    let written = files().into_iter().filter(|path| !path.starts_with("tests/fuzz/corpus/"));
    for path in written {
        let Ok(text) = fs::read_to_string(Path::new(ROOT).join(&path)) else { continue };
        for (n, line) in text.lines().enumerate() {
            let unfinished = UNFINISHED.iter().filter(|word| line.contains(*word));
            let machines = MACHINES.iter().filter(|dir| names_dir(line, dir));
            wrong.extend(unfinished.chain(machines).map(|what| format!("{path}:{}: {what}", n + 1)));
            if line.contains(ROOT) {
                wrong.push(format!("{path}:{}: the directory of this build", n + 1));
            }
        }
    }
    nothing(&wrong);
}

#[test]
fn the_documents_name_only_files_that_are_there() {
    let files = files();
    let is_there = |name: &str| {
        let ending = format!("/{name}");
        let within = format!("/{name}/");
        files.iter().any(|file| {
            let file = format!("/{file}");
            file.ends_with(&ending) || file.contains(&within)
        })
    };
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        for span in prose(&read(document)).iter().flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let looks_like_one = [".rs", ".md", ".toml", ".txt", "/"].iter().any(|end| span.ends_with(end));
            let repository = !span.starts_with('/') && !span.contains([' ', '*', '{']);
            if looks_like_one && repository && !is_there(span.trim_end_matches('/')) {
                wrong.push(format!("{document}: {span}"));
            }
        }
    }
    nothing(&wrong);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        for line in prose(&read(document)) {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if target.starts_with("http://") || target.starts_with("https://") {
                    continue;
                }
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                let file = if file.is_empty() { document } else { file };
                let path = Path::new(ROOT).join(file);
                let leads = path.exists() && (anchor.is_empty() || anchors(&read(file)).contains(anchor));
                if !leads {
                    wrong.push(format!("{document}: {target}"));
                }
            }
        }
    }
    nothing(&wrong);
}

#[test]
fn the_readme_has_every_call_of_the_api() {
    let readme = read("README.md");
    let missing = ROUTES.iter().filter(|route| {
        let path = route.path.strip_suffix("/{user_id}").unwrap_or(route.path);
        let call = format!("`{} {path}", route.method);
        !["`", "[/{user_id}]`"].iter().any(|end| readme.contains(&format!("{call}{end}")))
    });
    nothing(&missing.map(|route| format!("{} {}", route.method, route.path)).collect::<Vec<_>>());
}

#[test]
fn every_dependency_has_its_reason() {
    let manifests = [read("Cargo.toml"), read("tests/fuzz/Cargo.toml")].concat();
    let mut table = "";
    let mut dependencies = BTreeSet::new();
    for line in manifests.lines() {
        if line.starts_with('[') {
            table = line;
        } else if table.ends_with("dependencies]")
            && let Some((name, _)) = line.split_once(" = ")
            && name != "bondhu"
        {
            dependencies.insert(name.to_owned());
        }
    }
    let architecture = read("ARCHITECTURE.md");
    let section = architecture.split("\n## Crates\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split(" | ").next().unwrap());
    let listed: BTreeSet<String> = cells.flat_map(|cell| cell.split('`').step_by(2)).map(str::to_owned).collect();
    let listed = listed.into_iter().filter(|name| name.starts_with(char::is_alphabetic)).collect();
    assert_eq!(dependencies, listed);
}

#[test]
fn the_reader_of_sources_sees_code_and_no_comments() {
    let text = "use crate::{a::{B, c}, d}; // crate::x\n/* crate::y /* z */ crate::y */ let s = \"crate::z \\\" {\"; \
                let r = r#\"\" crate::r\"#; let c: &'a str = '\\''; crate::e::f();";
    assert_eq!(imports("src/m.rs", &code(text)), ["a::B", "a::c", "d", "e::f"]);
    assert_eq!(imports("src/m/n.rs", "use super::super::store::X; use super::y;"), ["store::X"]);
    assert_eq!(imports("src/m.rs", "use super::text; mod tests { use super::Inner; }"), ["text"]);
    assert!(names("let x = hyper::Body;", "hyper") && !names("my_hyper::x; hyper_util::y; hyper.z", "hyper"));
    assert_eq!(declared("pub(crate) mod a; mod b { mod c; } modern; mod d ;"), ["a", "c"]);
    assert!(names_dir(&format!("x {}y", MACHINES[0]), MACHINES[0]));
    assert!(!names_dir(&format!("src{}y", MACHINES[0]), MACHINES[0]));
    assert!(anchors("## The old client's calls\n").contains("the-old-clients-calls"));
}

/// Fails with the list, unless it is empty.
#[track_caller]
fn nothing(wrong: &[impl std::fmt::Display]) {
    let lines: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of the project, by its path from the root; not what is built or served.
fn files() -> Vec<String> {
    let mut files = Vec::new();
    let mut waiting = vec![PathBuf::from(ROOT)];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                waiting.extend(
                    (!matches!(
                        name.as_str(),
                        "target"
                            | "data"
                            | ".git"
                            | "tests/fuzz/target"
                            | "tests/fuzz/artifacts"
                            | "tests/it/page/node_modules"
                            | "tests/it/sdk/node_modules"
                            | "tests/it/sdk/venv"
                    ))
                    .then_some(path),
                );
            } else if name != ".git" {
                files.push(name);
            }
        }
    }
    files.sort();
    files
}

/// Every Rust source: path and text.
fn sources() -> Vec<(String, String)> {
    let is_source = |path: &String| {
        let is_rust = Path::new(path).extension().is_some_and(|extension| extension == "rs");
        is_rust && ["src/", "tests/", "benches/"].iter().any(|folder| path.starts_with(folder))
    };
    files().into_iter().filter(is_source).map(|path| (path.clone(), read(&path))).collect()
}

/// The top-level module that a file of `src` belongs to; nothing for the two roots.
fn module_of(path: &str) -> Option<&str> {
    let first = path.strip_prefix("src/")?.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(module, "lib" | "main")).then_some(module)
}

/// True where the line has this absolute directory, and not a part of a longer path.
fn names_dir(line: &str, dir: &str) -> bool {
    line.match_indices(dir).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}$".contains(c)))
}

/// The lines of a document that are not in a fenced block.
fn prose(document: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in document.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push(line);
        }
    }
    lines
}

/// The anchors of a document's headings, as they are made for Markdown pages.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = prose(document).into_iter().filter_map(|line| line.strip_prefix('#'));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let anchor = |heading: &str| heading.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect();
    headings.map(anchor).map(|anchor: String| anchor.replace(' ', "-")).collect()
}
