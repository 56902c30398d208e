//! The ids of what clients are given.

use uuid::Uuid;

/// What something is that has an id of its own but is not stored: no id of what is stored looks like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    /// A completion.
    Completion,
}

impl Passing {
    /// A new id.
    pub(super) fn id(self) -> String {
        let prefix = match self {
            Self::Completion => "chatcmpl-",
        };
        format!("{prefix}{}", Uuid::new_v4().simple())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_stored_has_an_id_without_a_place() {
        let id = Passing::Completion.id();
        let digits = id.strip_prefix("chatcmpl-").unwrap();
        assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(Passing::Completion.id(), id);
    }
}
