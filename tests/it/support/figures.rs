//! `/metrics` as a strict reader sees it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Client, Server};

/// What one answer of `/metrics` says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures {
    /// Each family's type.
    pub(crate) families: BTreeMap<String, String>,
    /// Each series, as it is written, with its value.
    pub(crate) series: BTreeMap<String, f64>,
}

impl Server {
    /// What `/metrics` says to this machine.
    #[track_caller]
    pub(crate) fn figures(&self) -> Figures {
        Figures::of(&mut self.client())
    }
}

impl Figures {
    /// What `/metrics` says to `client`.
    #[track_caller]
    pub(crate) fn of(client: &mut Client) -> Self {
        let answer = client.get("/metrics").expect(200);
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        Self::read(&answer.text())
    }

    /// Reads the text, and wants it to be as format 0.0.4 and the conventions of Prometheus have it.
    #[track_caller]
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has its end");
        let (mut families, mut series) = (BTreeMap::new(), BTreeMap::new());
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).expect(line);
            assert!(help.len() > 5 && help.ends_with('.'), "{line}");
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).expect(line).to_owned();
            named_well(name, &kind);
            let mut of_it = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                let (id, value) = line.rsplit_once(' ').expect(line);
                let value: f64 = value.parse().expect(line);
                assert!(value >= 0.0, "{line}");
                belongs(id, name, &kind);
                of_it.push((id.to_owned(), value));
            }
            if kind == "histogram" {
                counts_upwards(name, &of_it);
            }
            for (id, value) in of_it {
                assert!(series.insert(id.clone(), value).is_none(), "{id} comes twice");
            }
            assert!(families.insert(name.to_owned(), kind).is_none(), "family {name} comes twice");
        }
        Self { families, series }
    }

    /// The value of a series, as `name` or `name{label="value"}`; one that is not there counts 0.
    pub(crate) fn get(&self, series: &str) -> f64 {
        self.series.get(series).copied().unwrap_or(0.0)
    }

    /// The whole number that a series has.
    #[track_caller]
    pub(crate) fn count(&self, series: &str) -> u64 {
        let value = self.get(series);
        value.to_string().parse().unwrap_or_else(|_| panic!("{series} is {value}"))
    }

    /// Nothing that only grows has become less since `before`, and nothing of it has gone.
    #[track_caller]
    pub(crate) fn only_grew_since(&self, before: &Self) {
        for (series, value) in &before.series {
            let family = family_of(series, &before.families);
            if before.families[family] != "gauge" {
                assert!(self.series.get(series).is_some_and(|now| now >= value), "{series} was {value}");
            }
        }
    }
}

/// The family that a series is of.
fn family_of<'f>(series: &str, families: &'f BTreeMap<String, String>) -> &'f str {
    let name = series.split('{').next().unwrap();
    let parts = ["", "_bucket", "_sum", "_count"];
    let known = parts.iter().filter_map(|part| families.get_key_value(name.strip_suffix(part)?));
    known.map(|(family, _)| family.as_str()).next().expect(series)
}

#[track_caller]
fn named_well(name: &str, kind: &str) {
    assert!(name.starts_with("bondhu_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
    assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    assert!(["counter", "gauge", "histogram"].contains(&kind), "{name} is a {kind}");
    assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
    for unit in ["_ms", "_millis", "_kb", "_kib", "_mib", "_percent", "_micros"] {
        assert!(!name.contains(unit), "{name} has no base unit");
    }
}

#[track_caller]
fn belongs(id: &str, family: &str, kind: &str) {
    let (name, labels) = id.split_once('{').map_or((id, None), |(name, rest)| (name, rest.strip_suffix('}')));
    assert_eq!(id.contains('{'), labels.is_some(), "{id}");
    let part = name.strip_prefix(family).expect(id);
    let parts: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
    assert!(parts.contains(&part), "{id} is not of {family}");
    let mut names = BTreeSet::new();
    // Commas within values are none of ours: no route and no word has one.
    for label in labels.into_iter().flat_map(|labels| labels.split(',')) {
        let (name, value) = label.split_once('=').expect(id);
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{id}");
        assert!(value.len() >= 2 && value.starts_with('"') && value.ends_with('"'), "{id}");
        assert!(names.insert(name), "{id} has {name} twice");
    }
    assert_eq!(names.contains("le"), part == "_bucket", "{id}");
}

/// Buckets count upwards, in the order of their ends, to the count.
#[track_caller]
fn counts_upwards(name: &str, series: &[(String, f64)]) {
    let (mut before, mut end) = (0.0, 0.0);
    for (id, value) in series {
        if let Some((_, le)) = id.split_once("le=\"") {
            let le: f64 = le.trim_end_matches("\"}").parse().expect(id);
            assert!(le > end && *value >= before, "{id}");
            (before, end) = (*value, if le.is_infinite() { 0.0 } else { le });
        } else if id.starts_with(&format!("{name}_count")) {
            assert_eq!(value.to_string(), before.to_string(), "{id}");
            before = 0.0;
        }
    }
}
