//! Secrets that the server gives out: login tokens and invitation codes.
//!
//! A secret is 256 random bits behind a prefix that says what it is, so that a scanner for leaked secrets can find it.
//! Only its SHA-256 is kept: it is as good for looking it up, and useless to who reads the data directory. With 256
//! random bits neither a salt nor a slow hash would add anything.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::{
    clock::Timestamp,
    store::{Token, TokenDigest},
};

/// How exactly the store knows when a login was last used; it is told no more often.
const LAST_USED_EXACT_TO: Duration = Duration::from_hours(1);

/// Random bytes of a secret.
const BYTES: usize = 32;

/// Characters of [`BYTES`] in base64 without padding.
const CHARS: usize = (BYTES * 8).div_ceil(6);

/// The alphabet of base64url (RFC 4648, section 5).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Proves a login.
    Login,
    /// Allows one registration.
    Invitation,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Login => "bondhu_",
            Self::Invitation => "bondhu_invite_",
        }
    }
}

/// A new secret of this kind, and what is kept of it.
pub(super) fn mint(kind: Kind) -> (String, TokenDigest) {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).expect("the system has random bytes from its boot on");
    let text = format!("{}{}", kind.prefix(), base64url(&bytes));
    let digest = digest(&text);
    (text, digest)
}

/// What is kept of `text`, where it has the form of a secret of this kind; everything else was never given out.
pub(super) fn parse(kind: Kind, text: &str) -> Option<TokenDigest> {
    let random = text.strip_prefix(kind.prefix())?;
    let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let well_formed = random.len() == CHARS && random.bytes().all(in_alphabet);
    well_formed.then(|| digest(text))
}

/// True until a login's end, or until nobody used it for `idle`.
pub(super) fn is_live(token: &Token, idle: Duration, now: Timestamp) -> bool {
    // It may have been used later than the store knows.
    let idle_end = token.last_used_at.after(idle.saturating_add(LAST_USED_EXACT_TO));
    now < token.expires_at && now < idle_end
}

/// True where the store should hear that a login is used now.
pub(super) fn is_use_news(token: &Token, now: Timestamp) -> bool {
    now.since(token.last_used_at) > LAST_USED_EXACT_TO
}

fn digest(text: &str) -> TokenDigest {
    TokenDigest(Sha256::digest(text.as_bytes()).into())
}

/// base64url without padding.
fn base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() * 8).div_ceil(6));
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes(group);
        for n in 0..=chunk.len() {
            let sextet = (group >> (18 - 6 * n)) & 0x3F;
            text.push(char::from(ALPHABET[sextet as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{TokenId, UserId};

    #[test]
    fn a_login_ends_at_its_time_or_when_it_was_not_used() {
        const HOUR: Duration = Duration::from_hours(1);
        let made = Timestamp(1_795_456_800_000_000);
        let token = |lifetime| Token {
            id: TokenId::new(),
            user: UserId::new(),
            label: None,
            created_at: made,
            expires_at: made.after(lifetime),
            last_used_at: made,
            scopes: None,
        };
        let just_before = |end: Timestamp| Timestamp(end.0 - 1);
        let (short, long) = (token(5 * HOUR), token(500 * HOUR));
        let live = |token: &Token, now| is_live(token, 10 * HOUR, now);
        assert!(live(&short, just_before(short.expires_at)) && !live(&short, short.expires_at));
        let idle_end = made.after(11 * HOUR); // One hour is what the store may not know.
        assert!(live(&long, just_before(idle_end)) && !live(&long, idle_end));
        assert!(is_live(&long, Duration::MAX, just_before(long.expires_at)));
        assert!(live(&long, Timestamp(0)), "a clock that was set back ends no login");
        assert!(
            !is_use_news(&long, made.after(HOUR)) && is_use_news(&long, made.after(HOUR + Duration::from_micros(1)))
        );
    }

    #[test]
    fn base64url_is_that_of_rfc_4648() {
        for (bytes, text) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE")]
        {
            assert_eq!(base64url(bytes.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xFB, 0xFF, 0xBF]), "-_-_");
    }

    #[test]
    fn a_secret_has_its_prefix_and_256_bits_and_is_known_by_its_sha_256() {
        for (kind, prefix) in [(Kind::Login, "bondhu_"), (Kind::Invitation, "bondhu_invite_")] {
            let (text, digest) = mint(kind);
            assert_eq!(text.strip_prefix(prefix).unwrap().len(), 43);
            assert_eq!(parse(kind, &text), Some(digest));
            assert_ne!(mint(kind).0, text);
        }
        let known = format!("bondhu_{}", "A".repeat(43));
        let hex =
            parse(Kind::Login, &known).unwrap().0.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(hex, "4adc1bfcb3a881518686d8921038ee4eb2cf691df18cd6969ceb6c0458da086a");
    }

    #[test]
    fn what_was_never_given_out_is_refused_by_its_form() {
        let (login, _) = mint(Kind::Login);
        let (invitation, _) = mint(Kind::Invitation);
        assert_eq!(parse(Kind::Login, &invitation), None);
        assert_eq!(parse(Kind::Invitation, &login), None);
        let random = "A".repeat(42);
        for bad in [
            "",
            "bondhu_",
            &login[1..],
            &login[..login.len() - 1],
            &format!("{login}A"),
            &format!("{login} "),
            &format!("bondhu_{random}+"),
            &format!("bondhu_{random}="),
            &format!("BONDHU_{random}A"),
            &format!("bondhu_{}\u{e9}", "A".repeat(41)),
        ] {
            assert_eq!(parse(Kind::Login, bad), None, "{bad:?}");
        }
    }
}
