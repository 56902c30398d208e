//! Secrets that the server gives out: login tokens, API keys and invitation codes.
//!
//! A secret is 256 random bits behind a prefix that says what it is, so that a scanner for leaked secrets can find it. An API
//! key, which people copy into files, has a check behind it: a scanner knows one from what only looks like it.
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

/// Characters of the check of a key.
const CHECK_CHARS: usize = 6;

/// The alphabet of base64url (RFC 4648, section 5).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Proves a login.
    Login,
    /// Lets a program act for who made it.
    Key,
    /// Allows one registration.
    Invitation,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Login => "bondhu_",
            Self::Key => "bondhu_key_",
            Self::Invitation => "bondhu_invite_",
        }
    }

    /// What follows the random part: of a key the first 36 bits of the SHA-256 of all before it.
    fn check(self, before: &str) -> String {
        match self {
            Self::Login | Self::Invitation => String::new(),
            Self::Key => {
                let mut check = base64url(&digest(before).0);
                check.truncate(CHECK_CHARS);
                check
            }
        }
    }
}

/// A new secret of this kind, and what is kept of it.
pub(super) fn mint(kind: Kind) -> (String, TokenDigest) {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).expect("the system has random bytes from its boot on");
    let mut text = format!("{}{}", kind.prefix(), base64url(&bytes));
    text.push_str(&kind.check(&text));
    let digest = digest(&text);
    (text, digest)
}

/// What is kept of `text`, where it has the form of a secret of this kind; everything else was never given out.
pub(super) fn parse(kind: Kind, text: &str) -> Option<TokenDigest> {
    let random = text.strip_prefix(kind.prefix())?;
    let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let random = random.get(..CHARS).filter(|random| random.bytes().all(in_alphabet))?;
    let (before, check) = text.split_at(kind.prefix().len() + random.len());
    (check == kind.check(before)).then(|| digest(text))
}

/// True until a login's end, or until nobody used it for `idle`; a program's may rest.
pub(super) fn is_live(token: &Token, idle: Duration, now: Timestamp) -> bool {
    if token.scopes.is_some() {
        return now < token.expires_at;
    }
    // It may have been used later than the store knows.
    let idle_end = token.last_used_at.after(idle.saturating_add(LAST_USED_EXACT_TO));
    now < token.expires_at && now < idle_end
}

/// When a login ends that is used now and not again.
pub(super) fn ends_at(token: &Token, idle: Duration, now: Timestamp) -> Timestamp {
    if token.scopes.is_some() { token.expires_at } else { token.expires_at.min(now.after(idle)) }
}

/// True where the store should hear that a login is used now. A key is made before it is used: its first use is news, too.
pub(super) fn is_use_news(token: &Token, now: Timestamp) -> bool {
    let is_first = token.scopes.is_some() && token.last_used_at == token.created_at && now > token.created_at;
    is_first || now.since(token.last_used_at) > LAST_USED_EXACT_TO
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
        let key = Token { scopes: Some(1), ..token(500 * HOUR) };
        assert!(
            live(&key, just_before(key.expires_at)) && !live(&key, key.expires_at),
            "a key rests as long as it holds"
        );
        assert_eq!(ends_at(&key, HOUR, made), key.expires_at);
        let soon = made.after(Duration::from_secs(1));
        assert!(is_use_news(&key, soon) && !is_use_news(&key, made) && !is_use_news(&long, soon));
        assert!(!is_use_news(&Token { last_used_at: soon, ..key }, soon.after(HOUR)));
        assert_eq!(ends_at(&long, HOUR, made), made.after(HOUR));
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
    fn a_key_ends_with_a_check_that_any_other_character_breaks() {
        let (key, digest) = mint(Kind::Key);
        assert_eq!(key.strip_prefix("bondhu_key_").unwrap().len(), 43 + 6);
        assert_eq!(parse(Kind::Key, &key), Some(digest));
        assert_eq!((parse(Kind::Login, &key), parse(Kind::Invitation, &key)), (None, None));
        for at in 11..key.len() {
            let other = if key.as_bytes()[at] == b'x' { "y" } else { "x" };
            let mut broken = key.clone();
            broken.replace_range(at..=at, other);
            assert_eq!(parse(Kind::Key, &broken), None, "{at}");
        }
        for bad in [
            &key[..key.len() - 1],
            &format!("{key}A"),
            &key.replace("_key", ""),
            &format!("bondhu_key_{}", "A".repeat(43)),
        ] {
            assert_eq!(parse(Kind::Key, bad), None, "{bad}");
        }
        let known = format!("bondhu_key_{}", "A".repeat(43));
        assert_eq!(Kind::Key.check(&known), "yeXx97");
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
