//! What a program may do that holds an API key.
//!
//! A key may do what one of its scopes names and nothing else: a call that names none is for people only.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// One thing that an API key may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To list the models.
    Models,
    /// To have something answered of which nothing is kept.
    Completions,
    /// To read, write and delete conversations, and whatever is kept of answers.
    Conversations,
    /// To read conversations.
    Read,
}

impl Scope {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::Models, Self::Completions, Self::Conversations, Self::Read];

    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Completions => "completions",
            Self::Conversations => "conversations",
            Self::Read => "read",
        }
    }

    /// Its place in what is stored: given once and for ever.
    fn bit(self) -> u32 {
        match self {
            Self::Models => 1,
            Self::Completions => 1 << 1,
            Self::Conversations => 1 << 2,
            Self::Read => 1 << 3,
        }
    }
}

/// What an API key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u32);

impl Scopes {
    /// These.
    #[must_use]
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |bits, scope| bits | scope.bit()))
    }

    /// As they are stored. What a later version has written there that this one does not know allows nothing.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// As they are stored.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// True where this is allowed: who may write conversations may read them.
    #[must_use]
    pub fn allow(self, scope: Scope) -> bool {
        let enough = match scope {
            Scope::Read => Scope::Read.bit() | Scope::Conversations.bit(),
            Scope::Models | Scope::Completions | Scope::Conversations => scope.bit(),
        };
        self.0 & enough != 0
    }

    /// Those that it was made with, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }
}

/// The names, parted by commas.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().map(Scope::name).collect::<Vec<_>>().join(","))
    }
}

/// A list of names.
impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_keeps_its_number_for_ever() {
        let numbers = Scope::ALL.map(|scope| (scope.name(), Scopes::of(&[scope]).bits()));
        assert_eq!(numbers, [("models", 1), ("completions", 2), ("conversations", 4), ("read", 8)]);
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.name());
        }
    }

    #[test]
    fn a_key_allows_what_it_names_and_who_may_write_may_read() {
        for given in Scope::ALL {
            for asked in Scope::ALL {
                let wanted = given == asked || (given, asked) == (Scope::Conversations, Scope::Read);
                assert_eq!(Scopes::of(&[given]).allow(asked), wanted, "{given:?} for {asked:?}");
            }
        }
        let both = Scopes::of(&[Scope::Read, Scope::Models, Scope::Read]);
        assert!(both.allow(Scope::Models) && both.allow(Scope::Read) && !both.allow(Scope::Conversations));
        assert_eq!(serde_json::to_string(&both).unwrap(), r#"["models","read"]"#);
    }

    #[test]
    fn what_no_version_here_knows_allows_nothing() {
        for bits in [0, !0xF] {
            assert!(Scope::ALL.into_iter().all(|scope| !Scopes::from_bits(bits).allow(scope)), "{bits:x}");
        }
    }
}
