//! A few counters of one kind, told apart by a word out of a list that is known from the start.

use super::Counter;

/// One counter for each word. A list that is fixed keeps the number of series fixed, whatever comes from outside.
#[derive(Debug)]
pub struct Labelled {
    words: &'static [&'static str],
    counters: Box<[Counter]>,
}

impl Labelled {
    /// Nothing counted yet, of any of `words`.
    #[must_use]
    pub fn new(words: &'static [&'static str]) -> Self {
        Self { words, counters: words.iter().map(|_| Counter::default()).collect() }
    }

    /// One more of `word`; a word that is not in the list counts as its last.
    pub fn count(&self, word: &str) {
        let at = self.words.iter().position(|known| *known == word);
        if let Some(counter) = at.map_or(self.counters.last(), |at| self.counters.get(at)) {
            counter.count();
        }
    }

    /// How many of `word` there were; 0 for one that is not in the list.
    #[must_use]
    pub fn get(&self, word: &str) -> u64 {
        self.all().find(|(known, _)| *known == word).map_or(0, |(_, count)| count)
    }

    /// How many there were of any.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.counters.iter().map(Counter::get).sum()
    }

    /// Every word with its count, in the order of the list.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.words.iter().copied().zip(self.counters.iter().map(Counter::get))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_nobody_knows_makes_no_series_of_its_own() {
        let kinds = Labelled::new(&["one", "two", "other"]);
        for word in ["one", "two", "two", "three", ""] {
            kinds.count(word);
        }
        assert_eq!(kinds.all().collect::<Vec<_>>(), [("one", 1), ("two", 2), ("other", 2)]);
        assert_eq!((kinds.get("two"), kinds.get("three"), kinds.sum()), (2, 0, 5));
        Labelled::new(&[]).count("one");
    }
}
