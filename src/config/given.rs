//! A value as an operator gave it, before anyone knows whether it is one that the key takes.

use std::fmt;

use toml::de::DeValue;

/// A value from a file, the environment or a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// A whole number.
    Number(i128),
    /// A string.
    Text(String),
    /// A list of strings.
    List(Vec<String>),
    /// Something that no key takes: its kind, with an article.
    Other(&'static str),
}

impl Given {
    /// A value of a file.
    pub(super) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.clone().into_owned()),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or(Self::Other("a number beyond all bounds"), Self::Number),
            DeValue::Float(_) => Self::Other("a number with a fraction"),
            DeValue::Boolean(_) => Self::Other("a boolean"),
            DeValue::Datetime(_) => Self::Other("a date or time"),
            DeValue::Table(_) => Self::Other("a table"),
            DeValue::Array(items) => {
                let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
                texts.collect::<Option<_>>().map_or(Self::Other("a list with more than strings in it"), Self::List)
            }
        }
    }

    /// A value of the environment or of a flag: a number where it reads as one.
    pub(super) fn from_text(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Text(text.to_owned()), Self::Number)
    }

    /// A list of the environment or of a flag: parted by commas; the empty text is the empty list.
    pub(super) fn list_from_text(text: &str) -> Self {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Self::List(items.map(str::to_owned).collect())
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(items) => write!(f, "{items:?}"),
            Self::Other(kind) => f.write_str(kind),
        }
    }
}

/// A size in bytes: digits alone, or with one of the units `B`, `KiB`, `MiB`, `GiB`, `TiB`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// `bytes` in the largest unit that shows it exactly.
pub(super) fn show_size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_binary_unit() {
        for (text, bytes) in [("0", 0), ("17B", 17), ("64KiB", 65_536), ("3 MiB", 3 << 20), ("1TiB", 1 << 40)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for bad in
            ["", "MiB", "64MB", "64mib", "-1", "1.5GiB", " 1", "1MiB ", "٣MiB", "18446744073709551616", "99999999TiB"]
        {
            assert_eq!(parse_size(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_shown_size_reads_back_the_same() {
        for bytes in [0, 1, 1023, 1024, 1025, 128 << 10, 64 << 20, 3 << 29, 1 << 40, u64::MAX] {
            assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }
        assert_eq!(show_size(64 << 20), "64MiB");
        assert_eq!(show_size(0), "0B");
    }
}
