//! Reading Rust as far as the rules need it: code without comments, texts and tests; what it imports, names and declares.

/// The text with comments and what stands in literals blanked; lines stay lines.
pub(super) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, keep) = match skipped(rest) {
            Some(length) => (length, false),
            None => (first.len_utf8(), true),
        };
        let (token, after) = rest.split_at(length);
        if keep {
            code.push_str(token);
        } else {
            code.extend(token.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        // A name that ends in r or b before a quote is no prefix of a literal.
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        rest = after;
        if keep && is_word(first) {
            let word = after.find(|c| !is_word(c)).unwrap_or(after.len());
            let is_prefix = matches!((first, word), ('b' | 'r', 0)) && after.starts_with(['"', '#', '\'']);
            if !is_prefix {
                code.push_str(&after[..word]);
                rest = &after[word..];
            }
        }
    }
    code
}

/// The length of the comment or literal that `text` begins with, if it does.
fn skipped(text: &str) -> Option<usize> {
    let to = |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        let (mut depth, mut at) = (1, 2);
        while depth > 0 && at < text.len() {
            match &text.as_bytes()[at..] {
                [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
                [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
        }
        return Some(at);
    }
    let raw = text.strip_prefix("br").or_else(|| text.strip_prefix('r')).filter(|rest| rest.starts_with(['"', '#']));
    if let Some(rest) = raw {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        if rest[hashes..].starts_with('"') {
            let begin = text.len() - rest.len() + hashes + 1;
            return Some(to(&format!("\"{}", "#".repeat(hashes)), begin));
        }
    }
    match text.as_bytes() {
        [b'"', ..] => Some(quoted(text, '"')),
        [b'\'', b'\\', ..] => Some(quoted(text, '\'')),
        // A character, and not the beginning of a lifetime.
        [b'\'', ..] if text.chars().nth(2) == Some('\'') => Some(text.chars().take(3).map(char::len_utf8).sum()),
        _ => None,
    }
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The paths below the crate's root that a file names, in order.
pub(super) fn imports(path: &str, code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        tree(&code[at + "crate::".len()..], "", &mut paths);
    }
    // As many `super`s as the file is deep lead to the root; within its tests one of them leads to the file.
    let depth = path.trim_end_matches("/mod.rs").matches('/').count();
    let up = "super::".repeat(depth);
    let own = code.find("mod tests {").map_or(code, |at| &code[..at]);
    let mut before = 0;
    for (at, _) in own.match_indices(&up).filter(|_| depth > 0) {
        if at >= before && !own[..at].ends_with("super::") {
            tree(&own[at + up.len()..], "", &mut paths);
            before = at + up.len();
        }
    }
    paths
}

/// Follows a path or a group of paths, and gives what is left behind it.
fn tree<'c>(text: &'c str, before: &str, paths: &mut Vec<String>) -> &'c str {
    let mut rest = text.trim_start();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner.trim_start();
        while !rest.is_empty() && !rest.starts_with('}') {
            let after = tree(rest, before, paths).trim_start();
            rest = after.strip_prefix(',').unwrap_or(after).trim_start();
            if rest.len() == text.len() {
                break;
            }
        }
        return rest.strip_prefix('}').unwrap_or(rest);
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    let path = if before.is_empty() { name.to_owned() } else { format!("{before}::{name}") };
    if name.is_empty() {
        return after.get(1..).unwrap_or("");
    }
    match after.strip_prefix("::") {
        Some(deeper) if deeper.starts_with(|c: char| c.is_alphabetic() || "_{*".contains(c)) => {
            tree(deeper, &path, paths)
        }
        Some(_) | None => {
            paths.push(path);
            let renamed = after.trim_start().strip_prefix("as ").map(str::trim_start);
            renamed.map_or(after, |name| name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'))
        }
    }
}

/// True where the code has a path that begins with this crate.
pub(super) fn names(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let begins = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        begins && code[at + name.len()..].starts_with("::")
    })
}

/// The modules that are declared to stand in files of their own.
pub(super) fn declared(code: &str) -> Vec<String> {
    let places = code.match_indices("mod ").filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric()));
    let names = places.map(|(at, _)| &code[at + "mod ".len()..]).filter_map(|rest| rest.split_once(';'));
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    names.map(|(name, _)| name).filter(|name| is_name(name)).map(str::to_owned).collect()
}
