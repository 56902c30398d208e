//! Conversations that are trees: what led to the last message, and how much was left.

use std::collections::{HashMap, HashSet};

/// The keys from the root to `last`, following the parents; keys that are not there end the way. A circle ends it too.
pub(super) fn path<'a>(last: &'a str, parents: &'a HashMap<String, Option<String>>) -> Vec<&'a str> {
    let (mut way, mut seen) = (Vec::new(), HashSet::new());
    let mut at = Some(last);
    while let Some((key, parent)) = at.and_then(|key| parents.get_key_value(key))
        && seen.insert(key)
    {
        way.push(key.as_str());
        at = parent.as_deref();
    }
    way.reverse();
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(pairs: &[(&str, Option<&str>)]) -> HashMap<String, Option<String>> {
        pairs.iter().map(|(key, parent)| ((*key).to_owned(), parent.map(str::to_owned))).collect()
    }

    #[test]
    fn the_way_leads_from_the_root_to_the_last_one() {
        let parents = tree(&[("a", None), ("b", Some("a")), ("c", Some("b")), ("d", Some("b"))]);
        assert_eq!(path("d", &parents), ["a", "b", "d"]);
        assert_eq!(path("x", &parents), [""; 0]);
    }

    #[test]
    fn a_missing_parent_and_a_circle_end_the_way() {
        let parents = tree(&[("b", Some("gone")), ("c", Some("b")), ("x", Some("y")), ("y", Some("x"))]);
        assert_eq!(path("c", &parents), ["b", "c"]);
        assert_eq!(path("x", &parents), ["y", "x"]);
    }
}
