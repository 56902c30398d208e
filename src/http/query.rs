//! Query parameters: looked up by name, decoded, and bounded. Those that nobody asks for are ignored.

use std::{borrow::Cow, ops::RangeInclusive};

use super::problem::Problem;
use crate::id::Seq;

/// How many items one answer may have.
const LIMIT: RangeInclusive<u64> = 1..=200;

/// A request's query string.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'r>(&'r str);

impl<'r> Query<'r> {
    /// Takes what stands after the `?`.
    ///
    /// # Errors
    /// 400 where it is not UTF-8 once it is decoded.
    pub(super) fn new(raw: &'r str) -> Result<Self, Problem> {
        // What stands between parameters is ASCII: where the whole is UTF-8, so is each of them.
        match decode(raw) {
            Some(_) => Ok(Self(raw)),
            None => Err(Problem::bad_request("The query is not UTF-8; please percent-encode it as UTF-8.")),
        }
    }

    /// The value of `name`.
    ///
    /// # Errors
    /// 422 where it comes twice.
    pub(super) fn text(self, name: &str) -> Result<Option<Cow<'r, str>>, Problem> {
        let mut values = self.0.split('&').filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key)? == name).then(|| decode(value)).flatten()
        });
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(Problem::field(name, "is given twice; please give it once")),
        }
    }

    /// The parameters `name[key]`, each with its value.
    pub(super) fn members(self, name: &str) -> Vec<(String, Cow<'r, str>)> {
        let member = |pair: &'r str| {
            let (key, value) = pair.split_once('=')?;
            let key = decode(key)?;
            let key = key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?.to_owned();
            Some((key, decode(value)?))
        };
        self.0.split('&').filter_map(member).collect()
    }

    /// `limit`, or `default` where it is not given.
    ///
    /// # Errors
    /// 422 where it is not a number from 1 to 200.
    pub(super) fn limit(self, default: usize) -> Result<usize, Problem> {
        let Some(limit) = self.number("limit")? else { return Ok(default) };
        items(Some(limit))
    }

    /// A sequence number.
    ///
    /// # Errors
    /// 422 where it is not a whole number.
    pub(super) fn seq(self, name: &str) -> Result<Option<Seq>, Problem> {
        Ok(self.number(name)?.map(Seq))
    }

    /// A whole number in decimal ASCII digits.
    ///
    /// # Errors
    /// 422 where it is anything else.
    pub(super) fn number(self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Some(number)),
            Ok(_) | Err(_) => Err(Problem::field(name, "must be a whole number in the digits 0 to 9")),
        }
    }
}

/// How many items a client wants; nothing where what it says is no whole number.
///
/// # Errors
/// 422 where it is not a number from 1 to 200.
pub(super) fn items(limit: Option<u64>) -> Result<usize, Problem> {
    let items = limit.filter(|limit| LIMIT.contains(limit)).and_then(|limit| usize::try_from(limit).ok());
    items.ok_or_else(|| Problem::field("limit", "must be from 1 to 200"))
}

/// Decodes percent signs, and `+` as space; a percent sign without two hex digits stands for itself. `None`: not UTF-8.
fn decode(raw: &str) -> Option<Cow<'_, str>> {
    decoded(raw, Plus::IsSpace)
}

/// Decodes the percent signs of a path's segment, as [`decode`] does, but for `+`.
pub(super) fn decode_segment(raw: &str) -> Option<Cow<'_, str>> {
    decoded(raw, Plus::IsItself)
}

/// What a `+` stands for.
#[derive(Clone, Copy, PartialEq)]
enum Plus {
    IsSpace,
    IsItself,
}

fn decoded(raw: &str, plus: Plus) -> Option<Cow<'_, str>> {
    let stands_for_other = |byte: u8| byte == b'%' || (byte == b'+' && plus == Plus::IsSpace);
    if !raw.bytes().any(stands_for_other) {
        return Some(Cow::Borrowed(raw));
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, next) = match (first, after) {
            (b'+', _) if plus == Plus::IsSpace => (b' ', after),
            (b'%', [high, low, next @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, next),
                (None, _) | (_, None) => (b'%', after),
            },
            (byte, _) => (*byte, after),
        };
        decoded.push(byte);
        rest = next;
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(raw: &str) -> Query<'_> {
        Query::new(raw).unwrap()
    }

    #[test]
    fn text_is_decoded_and_unknown_parameters_are_ignored() {
        let raw = "_t=17&q=%E0%A6%86%E0%A6%AE%E0%A6%BF+100%25%zz%&%71x=1&flag";
        assert_eq!(query(raw).text("q").unwrap().unwrap(), "আমি 100%%zz%");
        assert_eq!(query(raw).text("qx").unwrap().unwrap(), "1");
        assert_eq!(query(raw).text("flag").unwrap().unwrap(), "");
        assert_eq!(query(raw).text("limit").unwrap(), None);
        assert_eq!(query("").text("q").unwrap(), None);
    }

    #[test]
    fn a_plus_in_a_path_is_no_space() {
        assert_eq!(decode_segment("meta%2FLlama+3%").unwrap(), "meta/Llama+3%");
        assert!(decode_segment("%ff").is_none());
    }

    #[test]
    fn a_limit_is_a_number_from_1_to_200() {
        assert_eq!(query("").limit(50).unwrap(), 50);
        for (raw, limit) in [("limit=1", 1), ("limit=200", 200), ("%6Cimit=%31", 1)] {
            assert_eq!(query(raw).limit(50).unwrap(), limit, "{raw}");
        }
        for bad in ["0", "201", "-1", "+5", "%2B5", "1e9", "NaN", "%E0%A5%AF", "", "9", "5.0", "99999999999999999999"] {
            let raw = if bad == "9" { "limit=9&limit=9".to_owned() } else { format!("limit={bad}") };
            let problem = query(&raw).limit(50).unwrap_err();
            assert_eq!(problem.status(), 422, "{raw}");
            assert!(problem.detail().starts_with("limit: "), "{}", problem.detail());
        }
    }

    #[test]
    fn a_query_that_is_not_utf_8_is_refused_wherever_the_fault_is() {
        for raw in ["q=%FF", "_t=%C3&q=%A9", "%ff=1"] {
            assert_eq!(Query::new(raw).unwrap_err().status(), 400, "{raw}");
        }
    }
}
