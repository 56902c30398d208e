//! What many measurements come to.

use std::time::Duration;

/// The median of several rounds, and the least and the most of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (first, last) = (values[0], values[values.len() - 1]);
        let middle = values[(values.len() - 1) / 2].midpoint(values[values.len() / 2]);
        Self { median: middle, least: first, most: last }
    }
}

/// Several rounds of two things that are compared.
pub(crate) struct Rounds<T>(Vec<(T, T)>);

impl<T> Rounds<T> {
    /// Measures both in turn, `count` times; whoever comes first changes from round to round.
    pub(crate) fn run(count: usize, mut limit: impl FnMut() -> T, mut ours: impl FnMut() -> T) -> Self {
        let mut rounds = Vec::with_capacity(count);
        for round in 0..count.max(1) {
            if round.is_multiple_of(2) {
                let first = limit();
                rounds.push((first, ours()));
            } else {
                let first = ours();
                rounds.push((limit(), first));
            }
        }
        Self(rounds)
    }

    pub(crate) fn limit(&self, what: impl Fn(&T) -> f64) -> Spread {
        Spread::of(self.0.iter().map(|(limit, _)| what(limit)))
    }

    pub(crate) fn ours(&self, what: impl Fn(&T) -> f64) -> Spread {
        Spread::of(self.0.iter().map(|(_, ours)| what(ours)))
    }

    /// Ours by the limit, of each round by itself.
    pub(crate) fn ratio(&self, what: impl Fn(&T) -> f64) -> Spread {
        self.compare(|limit, ours| what(ours) / what(limit))
    }

    /// Another comparison of each round.
    pub(crate) fn compare(&self, what: impl Fn(&T, &T) -> f64) -> Spread {
        Spread::of(self.0.iter().map(|(limit, ours)| what(limit, ours)))
    }
}

/// The value that `part` of all are not above; zero where there are none.
pub(crate) fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let at = (float(times.len()) * part).ceil() as usize;
    times.get(at.clamp(1, times.len().max(1)) - 1).copied().unwrap_or_default()
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Microseconds.
pub(crate) fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A count, to calculate with.
pub(crate) fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
