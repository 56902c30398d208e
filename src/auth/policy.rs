//! Which passwords are accepted.
//!
//! Length is what counts; no kind of character is asked for. What is refused is what is guessed first: well-known
//! words in all their disguises, the person's own name, rows of keys, and short parts repeated. Several words that do
//! not belong together always pass.

use super::{AuthError, Password};
use crate::text;

/// The least that a config can ask for, characters.
const CHARS_MIN: usize = 8;

/// A password has at least so many different characters.
const DIFFERENT_MIN: usize = 4;

/// A part shorter than this makes no password, however often it is repeated.
const PART_MIN: usize = 8;

/// What a password has to be worth, where each row of keys counts as one character.
const WORTH_MIN: usize = 6;

/// A name shorter than this is found in too much.
const NAME_MIN: usize = 3;

/// Well-known passwords; its first lines say how it is read.
const COMMON: &str = include_str!("common_passwords.txt");

/// What lies side by side: in the alphabet, or on a keyboard.
const ROWS: [&str; 6] =
    ["abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop[]", "asdfghjkl;", "zxcvbnm", "!@#$%^&*()"];

/// Accepts a password of at least `chars_min` characters for the person with these names.
///
/// # Errors
/// `WeakPassword`, with a reason that reads after "the password".
pub(super) fn check(password: &Password, chars_min: usize, names: [&str; 2]) -> Result<(), AuthError> {
    let password = password.as_str();
    let refuse = |why: &str| Err(AuthError::WeakPassword(why.to_owned()));
    if password.len() > Password::BYTES_MAX {
        return Err(AuthError::WeakPassword(format!("must have at most {} bytes", Password::BYTES_MAX)));
    }
    let chars_min = chars_min.max(CHARS_MIN);
    if password.chars().count() < chars_min {
        return Err(AuthError::WeakPassword(format!("must have at least {chars_min} characters")));
    }
    let text = text::folded(password).chars().collect::<Vec<_>>();
    if different(&text) < DIFFERENT_MIN {
        return Err(AuthError::WeakPassword(format!("must have at least {DIFFERENT_MIN} different characters")));
    }
    if repeats(&text) {
        return refuse("must not be a short part repeated");
    }
    let text = squeezed(&text);
    if worth(&text) < WORTH_MIN {
        return refuse("must not be made of rows of keys or letters, such as 1234 or qwerty");
    }
    let own = names.map(|name| squeezed(&text::folded(name).chars().collect::<Vec<_>>()));
    if own.iter().any(|name| name.len() >= NAME_MIN && is_only(name, &text)) {
        return refuse("must not be the user name or the display name");
    }
    if common().any(|word| is_only(&word.chars().collect::<Vec<_>>(), &text)) {
        return refuse("is too common; several words that do not belong together make a good one");
    }
    Ok(())
}

fn common() -> impl Iterator<Item = &'static str> {
    COMMON.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn different(text: &[char]) -> usize {
    let mut chars = text.to_vec();
    chars.sort_unstable();
    chars.dedup();
    chars.len()
}

/// True for a short part that comes at least twice and fills the text; the last time it may be cut.
fn repeats(text: &[char]) -> bool {
    (1..PART_MIN).any(|part| part * 2 <= text.len() && text.iter().zip(&text[part..]).all(|(a, b)| a == b))
}

/// The text without what only separates its words.
fn squeezed(text: &[char]) -> Vec<char> {
    text.iter().copied().filter(|c| !c.is_whitespace() && !"-_.,:/'".contains(*c)).collect()
}

/// How many characters the text is worth, where three or more in a row count as one.
fn worth(text: &[char]) -> usize {
    let (mut worth, mut rest) = (0, text);
    while let [first, ..] = rest {
        let step = rest.get(1).and_then(|second| step(*first, *second));
        let pairs = rest.windows(2).take_while(|pair| step.is_some() && self::step(pair[0], pair[1]) == step).count();
        worth += if pairs >= 2 { 1 } else { pairs + 1 };
        rest = &rest[pairs + 1..];
    }
    worth
}

/// How two neighbours in a row of keys or letters follow each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Same,
    Up,
    Down,
}

fn step(a: char, b: char) -> Option<Step> {
    let beside = |a, b| ROWS.iter().any(|row| row.chars().zip(row.chars().skip(1)).any(|pair| pair == (a, b)));
    if a == b {
        return Some(Step::Same);
    }
    if beside(a, b) {
        return Some(Step::Up);
    }
    beside(b, a).then_some(Step::Down)
}

/// True where the text is `word`, which is not empty, once or more often, and else digits and symbols only.
fn is_only(word: &[char], text: &[char]) -> bool {
    let (mut found, mut rest) = (false, text);
    while let [first, tail @ ..] = rest {
        if rest.len() >= word.len() && rest.iter().zip(word).all(|(c, letter)| stands_for(*c, *letter)) {
            found = true;
            rest = &rest[word.len()..];
        } else if first.is_alphabetic() {
            return false;
        } else {
            rest = tail;
        }
    }
    found
}

/// True for the letter itself, and for what is often written in its place.
fn stands_for(c: char, letter: char) -> bool {
    let places = match letter {
        'a' => "@4",
        'b' => "8",
        'c' => "(",
        'e' => "3",
        'g' => "69",
        'i' => "1!|",
        'l' => "1|",
        'o' => "0",
        's' => "$5",
        't' => "7+",
        'z' => "2",
        _ => "",
    };
    c == letter || places.contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(password: &str, names: [&str; 2]) -> Option<String> {
        match check(&Password::new(password.to_owned()), 12, names) {
            Ok(()) => None,
            Err(AuthError::WeakPassword(why)) => Some(why),
            Err(other) => panic!("{other}"),
        }
    }

    fn all_refused(passwords: &[&str], wanted: &str) {
        for password in passwords {
            let why = refusal(password, ["amina", "Amina Begum"]);
            assert!(why.as_ref().is_some_and(|why| why.contains(wanted)), "{password:?}: {why:?}");
        }
    }

    #[test]
    fn several_words_and_random_characters_pass() {
        for password in [
            "correct horse battery staple",
            "a-long-enough-password",
            "user-7-secret-phrase",
            "the sun in my window",
            "amina likes the rain",
            "Tr0ub4dor&3x",
            "839201847562",
            "kQ7!vz-R2mW9",
            "xkcd xkcd were here",
            "আমার নৌকা ভাসে জলে",
            "मेरी नाव पानी पर है",
            "🚲🌧️🍋🧦🪴🎺🧊🔭📎🧵🥁🦔",
        ] {
            assert_eq!(refusal(password, ["amina", "Amina Begum"]), None, "{password}");
        }
    }

    #[test]
    fn length_counts_characters_below_and_bytes_above() {
        let text = "zyb 4wq 🙂 кто там মেঘ ";
        let exactly = |chars: usize| text.chars().cycle().take(chars).collect::<String>();
        all_refused(&["", "short", &exactly(11)], "must have at least 12 characters");
        assert_eq!(refusal(&exactly(12), ["", ""]), None);
        let bytes = |n: usize| "correct horse battery staple ".chars().cycle().take(n).collect::<String>();
        assert_eq!(refusal(&bytes(256), ["", ""]), None);
        all_refused(&[&bytes(257), &"মেঘ".repeat(40)], "must have at most 256 bytes");
    }

    #[test]
    fn the_config_can_lower_the_length_to_eight() {
        let check = |password: &str, min| check(&Password::new(password.to_owned()), min, ["", ""]);
        assert!(check("kQ7!vzR2", 8).is_ok());
        assert!(check("kQ7!vzR2", 0).is_ok());
        assert!(check("kQ7!vzR", 0).unwrap_err().to_string().ends_with("the password must have at least 8 characters"));
        assert!(check("kQ7!vzR2", 9).is_err());
        assert!(check("kQ7!vzRk", 8).is_ok(), "one character that comes again repeats nothing");
        assert!(check("opreghst", 8).is_ok(), "two neighbours make no row");
    }

    #[test]
    fn common_words_are_refused_in_every_disguise() {
        all_refused(
            &[
                "password1234",
                "PassWord!!!!",
                "12password34",
                "p@$$w0rd2026!",
                "passwordpassword",
                "Password-Password-1",
                "p a s s w o r d 1 2 3",
                "iloveyou2026",
                "I love you!!!",
                "ch4ng3m3ch4ng3m3",
                "1q2w3e4r5t6y",
                "trustno1!!!!",
                "Bondhu123456",
                "jai shri ram 108",
                "amar sonar bangla",
                "আমার সোনার বাংলা",
                "Ami-Tomake-Bhalobashi",
            ],
            "is too common",
        );
    }

    #[test]
    fn rows_of_keys_are_refused_up_and_down() {
        all_refused(
            &["123456789012", "987654321098", "abcdefghijkl", "qwertyuiop12", "poiuytrewq!@", "1234-5678-9012-3456"],
            "rows of keys",
        );
        all_refused(&["asdfghjklzxcvbnm", "aaaabbbbccccdddd", "111222333444", "!@#$%^&*()!@"], "rows of keys");
    }

    #[test]
    fn repetition_is_refused() {
        all_refused(&["aaaaaaaaaaaa", "            ", "abababababab", "abcabcabcabc", "aaaaaaaaaab1"], "4 different");
        all_refused(&["abcdabcdabcd", "kQ7!kQ7!kQ7!k", "tree-tree-tree", "sevenspsevensp"], "short part repeated");
        assert_eq!(refusal("eightspceightspc", ["", ""]), None);
    }

    #[test]
    fn the_own_name_is_refused() {
        all_refused(&["Amina2026!!!", "AMINA-AMINA-1", "amina begum 7", "@m1n@b3gum!!"], "must not be the user name");
        assert!(refusal("আমিনাবেগম ২০২৬", ["আমিনাবেগম", ""]).is_some());
        assert_eq!(refusal("kq77-kzvp-x0b", ["kq", "0"]), None);
    }

    #[test]
    fn the_list_is_in_the_form_in_which_it_is_compared() {
        let words: Vec<_> = common().collect();
        assert!(words.len() > 500);
        for word in &words {
            let chars: Vec<char> = word.chars().collect();
            assert_eq!(text::folded(word), *word);
            assert_eq!(squeezed(&chars), chars, "{word}");
            assert!(chars.len() >= 3 && chars.iter().any(|c| c.is_alphabetic()), "{word}");
            assert!(is_only(&chars, &chars), "{word}");
        }
        let mut sorted = words.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), words.len(), "a word stands twice");
    }
}
