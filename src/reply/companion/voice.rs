//! How replies are worded: variants with slots, and which of them is taken.
//!
//! The choice is a function of the conversation alone: never a variant that was used lately while there is another,
//! then the one that takes up most of what the user said, then by a hash of place and text.

use std::collections::HashSet;

/// What a template can take up from the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// `{name}`: how the user is called.
    Name,
    /// `{swapped}`: the user's clause, turned round ("you feel that your boss ignores you").
    Swapped,
    /// `{quoted}`: the user's clause, word for word.
    Quoted,
    /// `{it}`: something that the user spoke of.
    It,
    /// `{list}`: several such things.
    List,
}

const SLOTS: [(&str, Slot); 5] = [
    ("{name}", Slot::Name),
    ("{swapped}", Slot::Swapped),
    ("{quoted}", Slot::Quoted),
    ("{it}", Slot::It),
    ("{list}", Slot::List),
];

/// A template is told from others by its longest own text, which must not be shorter than this (characters).
const MARK_CHARS_MIN: usize = 6;

/// One wording.
pub(super) struct Template {
    text: String,
    slots: Vec<Slot>,
    /// The longest text between slots, by which an earlier use is recognised.
    mark: String,
}

/// Which slots a list of variants may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Always filled.
    pub(super) given: &'static [Slot],
    /// Filled where the conversation has it.
    pub(super) maybe: &'static [Slot],
    /// How many variants must do with the `given` slots.
    pub(super) least: usize,
}

/// Wordings of the same thing.
pub(super) struct Variants(Vec<Template>);

/// What fills the slots.
#[derive(Debug, Clone, Default)]
pub(super) struct Filling {
    pub(super) name: Option<String>,
    pub(super) swapped: Option<String>,
    pub(super) quoted: Option<String>,
    pub(super) it: Option<String>,
    pub(super) list: Option<String>,
}

/// The side of the conversation that chooses words.
pub(super) struct Voice<'a> {
    /// The assistant's own lines, newest first, each cut to a bounded length.
    said: Vec<&'a str>,
    seed: u64,
}

impl Variants {
    /// Reads the variants of the list called `list`.
    ///
    /// # Errors
    /// A sentence that names the list and what is wrong in it.
    pub(super) fn new(texts: &[String], list: &str, rules: Rules) -> Result<Self, String> {
        let mut seen = HashSet::new();
        let mut templates = Vec::with_capacity(texts.len());
        for text in texts {
            let template = Template::new(text).map_err(|fault| format!("{list}: \"{text}\": {fault}"))?;
            if let Some(slot) =
                template.slots.iter().find(|slot| !rules.given.contains(slot) && !rules.maybe.contains(slot))
            {
                return Err(format!("{list}: \"{text}\": nothing fills {} here", slot.written()));
            }
            if !seen.insert(text) {
                return Err(format!("{list}: \"{text}\" stands there twice"));
            }
            templates.push(template);
        }
        let plain = templates.iter().filter(|t| t.slots.iter().all(|slot| rules.given.contains(slot))).count();
        if plain < rules.least {
            return Err(format!(
                "{list}: needs at least {} variants that do without optional slots, has {plain}",
                rules.least
            ));
        }
        Ok(Self(templates))
    }
}

impl Template {
    fn new(text: &str) -> Result<Self, String> {
        let (mut slots, mut mark, mut own, mut rest) = (Vec::new(), "", "", text);
        while let Some(at) = rest.find(['{', '}']) {
            let (slot, written) = SLOTS
                .iter()
                .find(|(written, _)| rest[at..].starts_with(written))
                .map(|(written, slot)| (*slot, *written))
                .ok_or("there is no such slot; see the head of the file")?;
            slots.push(slot);
            own = &rest[..at];
            mark = longer(mark, own);
            rest = &rest[at + written.len()..];
        }
        mark = longer(mark, rest);
        if mark.chars().count() < MARK_CHARS_MIN {
            return Err(format!("needs at least {MARK_CHARS_MIN} characters of its own beside \"{own}\""));
        }
        Ok(Self { text: text.to_owned(), slots, mark: mark.to_owned() })
    }

    fn fill(&self, filling: &Filling) -> String {
        let mut text = self.text.clone();
        for (written, slot) in SLOTS.iter().filter(|(_, slot)| self.slots.contains(slot)) {
            text = text.replace(written, filling.get(*slot).expect("only templates that can be filled are chosen"));
        }
        capitalised(&text)
    }
}

impl Slot {
    fn written(self) -> &'static str {
        SLOTS.iter().find(|(_, slot)| *slot == self).map(|(written, _)| *written).expect("every slot is in the table")
    }
}

impl Filling {
    fn get(&self, slot: Slot) -> Option<&str> {
        match slot {
            Slot::Name => self.name.as_deref(),
            Slot::Swapped => self.swapped.as_deref(),
            Slot::Quoted => self.quoted.as_deref(),
            Slot::It => self.it.as_deref(),
            Slot::List => self.list.as_deref(),
        }
    }
}

impl<'a> Voice<'a> {
    /// A voice that has said `said` (newest first) and speaks at a place in a conversation that hashes to `seed`.
    pub(super) fn new(said: Vec<&'a str>, seed: u64) -> Self {
        Self { said, seed }
    }

    /// The wording of `variants` to use now; none where no variant can be filled.
    pub(super) fn choose(&self, variants: &Variants, filling: &Filling) -> Option<String> {
        let fillable = variants.0.iter().filter(|t| t.slots.iter().all(|slot| filling.get(*slot).is_some()));
        let ranked: Vec<_> = fillable.map(|t| ((self.age(t), t.slots.len()), t)).collect();
        let best = ranked.iter().map(|(rank, _)| *rank).max()?;
        let best: Vec<_> = ranked.into_iter().filter(|(rank, _)| *rank == best).map(|(_, template)| template).collect();
        let salt = hash(self.seed, best[0].mark.as_bytes());
        let index = usize::try_from(salt % best.len() as u64).expect("less than a length");
        Some(best[index].fill(filling))
    }

    /// A number that belongs to this place and text.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// True where one of `variants` was used in the last `lines` lines.
    pub(super) fn used(&self, variants: &Variants, lines: usize) -> bool {
        variants.0.iter().any(|template| self.age(template) < lines)
    }

    /// How many lines ago the template was used; `usize::MAX` for never.
    fn age(&self, template: &Template) -> usize {
        self.said.iter().position(|line| line.contains(&template.mark)).unwrap_or(usize::MAX)
    }
}

/// FNV-1a over `bytes`, going on from `seed`: the same on every machine and with every compiler.
pub(super) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let start = seed ^ 0xcbf2_9ce4_8422_2325;
    let spread = bytes.iter().fold(start, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    spread ^ (spread >> 32)
}

/// `text` with its first letter in upper case.
fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn longer<'t>(a: &'t str, b: &'t str) -> &'t str {
    let (a, b) = (a.trim(), b.trim());
    if b.len() > a.len() { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { given: &[], maybe: &[Slot::Name], least: 1 };

    fn variants(texts: &[&str]) -> Result<Variants, String> {
        Variants::new(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), "list", RULES)
    }

    fn fault(texts: &[&str]) -> String {
        variants(texts).err().unwrap()
    }

    #[test]
    fn faults_name_list_and_text() {
        assert!(fault(&["Tell me about {it}."]).contains("list: \"Tell me about {it}.\": nothing fills {it} here"));
        assert!(fault(&["Tell me {this}."]).contains("no such slot"));
        assert!(fault(&["Tell me more.", "Tell me more."]).contains("stands there twice"));
        assert!(fault(&["Hello there, {name}."]).contains("at least 1 variants"));
        assert!(fault(&["{name}?"]).contains("of its own"));
    }

    #[test]
    fn what_was_used_lately_waits_and_the_oldest_comes_first() {
        let variants = variants(&["Tell me more.", "What happened then?", "How was that?"]).unwrap();
        let next = |said: Vec<&str>| Voice::new(said, 7).choose(&variants, &Filling::default()).unwrap();
        assert_eq!(next(vec!["Tell me more.", "I see. How was that?"]), "What happened then?");
        assert_eq!(next(vec!["What happened then?", "Tell me more.", "How was that?"]), "How was that?");
    }

    #[test]
    fn a_filled_slot_is_preferred_and_an_unfilled_one_never_taken() {
        let variants = variants(&["Hello, you.", "Hello there, {name}."]).unwrap();
        let voice = Voice::new(Vec::new(), 1);
        let name = Filling { name: Some("Asha".to_owned()), ..Filling::default() };
        assert_eq!(voice.choose(&variants, &name).unwrap(), "Hello there, Asha.");
        assert_eq!(voice.choose(&variants, &Filling::default()).unwrap(), "Hello, you.");
    }
}
