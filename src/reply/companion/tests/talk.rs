//! Conversations.

use super::*;

/// True where `reply` uses one of `variants`.
fn uses(reply: &str, variants: &Variants) -> bool {
    Voice::new(vec![reply], 0).used(variants, 1)
}

fn has_letters(reply: &str, language: &Language) -> bool {
    reply.chars().any(|c| language.letters.contains(&c) && c.is_alphabetic())
}

#[test]
fn the_users_own_words_come_back_turned_round() {
    let companion = Companion::new();
    let reply = |text| companion.reply(&[user("hi"), assistant("Hello."), user(text)]);
    assert!(reply("I feel like my boss ignores me").contains("you feel like your boss ignores you"));
    assert!(reply("Yesterday was odd, I am sure that I was watched").contains("you are sure that you were watched"));
    assert!(reply("MY DOG HAS EATEN MY SHOES").contains("your dog has eaten your shoes"));
    let quoted = reply("The neighbours painted their door red");
    assert!(quoted.contains("“The neighbours painted their door red”"), "{quoted}");
}

#[test]
fn nothing_unsafe_comes_back() {
    let companion = Companion::new();
    for text in [
        "I told you that you are a bot",
        "I think <script>alert(1)</script> is neat",
        "My fucking neighbour is loud",
        "I wrote to me@example.org about it",
        "my password is hunter2 today",
        "I saw \u{202E}gnorw siht today \0 ok",
    ] {
        let reply = companion.reply(&[user(text)]);
        for part in ["script", "fuck", "example", "hunter2", "\u{202E}", "\0", "bot"] {
            assert!(!reply.contains(part), "{text}: {reply}");
        }
    }
}

#[test]
fn the_first_reply_says_that_it_is_a_program_and_later_ones_do_not() {
    let companion = Companion::new();
    for (language, said) in companion.languages.iter().zip([
        ["hello", "I had a long day at work", "I see", "my friend came"],
        ["নমস্কার", "আজ অফিসে অনেক কাজ ছিল", "আচ্ছা", "বন্ধু এসেছিল"],
        ["नमस्ते", "आज ऑफिस में बहुत काम था", "अच्छा", "दोस्त आया था"],
    ]) {
        let replies = converse(&companion, &said);
        let disclosed: Vec<_> = replies.iter().map(|reply| uses(reply, &language.disclosure)).collect();
        assert_eq!(disclosed, [true, false, false, false], "{replies:?}");
    }
}

#[test]
fn asked_it_says_that_it_is_a_program() {
    let companion = Companion::new();
    for (text, language) in [
        ("are you a real person?", 0),
        ("Who are you", 0),
        ("am I talking to a human?", 0),
        ("আপনি কি মানুষ?", 1),
        ("tumi ke", 1),
        ("क्या आप इंसान हैं?", 2),
        ("aap kaun ho", 2),
    ] {
        let rules = companion.languages[language].rules_of(Move::Identity);
        for conversation in [vec![user(text)], vec![user("x"), assistant("y"), user(text)]] {
            let reply = companion.reply(&conversation);
            assert!(uses(&reply, &rules.reactions), "{text}: {reply}");
        }
    }
}

#[test]
fn medical_questions_are_declined_kindly() {
    let companion = Companion::new();
    for (text, language) in [
        ("How many pills of ibuprofen can I take?", 0),
        ("should I stop taking my antidepressants", 0),
        ("Do I have depression?", 0),
        ("what medicine helps against migraine", 0),
        ("জ্বর হলে কোন ওষুধ খাব?", 1),
        ("ওষুধ খাওয়া বন্ধ করব?", 1),
        ("बुखार में कौन सी दवा लूँ?", 2),
        ("क्या मुझे डिप्रेशन है?", 2),
    ] {
        let reply = companion.reply(&[user(text)]);
        assert!(uses(&reply, &companion.languages[language].rules_of(Move::Medical).reactions), "{text}: {reply}");
    }
}

#[test]
fn it_answers_in_the_users_language_and_stays_in_it() {
    let companion = Companion::new();
    let [english, bengali, hindi] = [0, 1, 2].map(|at| &companion.languages[at]);
    for (text, language) in [
        ("I am so tired today", english),
        ("আজ আমার মন খুব খারাপ", bengali),
        ("आज मैं बहुत उदास हूँ", hindi),
        ("tumi kemon acho", bengali),
        ("main thik hoon yaar", hindi),
        ("namaste", hindi),
        ("আমার boss খুব rude behave করে", bengali),
        ("मेरा exam बहुत hard था", hindi),
    ] {
        let reply = companion.reply(&[user(text)]);
        assert!(has_letters(&reply, language), "{text}: {reply}");
        assert!(std::ptr::eq(language, english) || !reply.contains(" the "), "{text}: {reply}");
    }
    let replies = converse(&companion, &["আমার মন খারাপ", "ok", "👍", "no", "why"]);
    assert!(replies.iter().all(|reply| has_letters(reply, bengali)), "{replies:?}");
    let replies = converse(&companion, &["আমার মন খারাপ", "Sorry, let us speak English, I feel sad"]);
    assert!(!has_letters(&replies[1], bengali), "{replies:?}");
}

#[test]
fn other_languages_are_answered_politely_in_english() {
    let companion = Companion::new();
    for text in [
        "Привет, как дела?",
        "我今天很难过",
        "Hola, estoy muy triste por el trabajo",
        "ich bin heute sehr müde",
        "أنا حزين جدا",
    ] {
        let reply = companion.reply(&[user(text)]);
        assert!(uses(&reply, companion.languages[0].talk(Talk::OtherLanguage)), "{text}: {reply}");
    }
}

#[test]
fn it_comes_back_once_to_what_was_told_earlier() {
    let companion = Companion::new();
    let said = ["hello", "I have an exam on Friday", "the weather is grey here", "ok", "hm", "well", "hm ok", "ok"];
    let replies = converse(&companion, &said);
    let backs: Vec<_> = replies.iter().filter(|reply| reply.contains("your exam on Friday")).collect();
    assert_eq!(backs.len(), 1, "{replies:?}");
    let bengali = converse(&companion, &["আমার শুক্রবারের পরীক্ষা আছে", "আজ বাইরে বৃষ্টি", "হুম", "আচ্ছা"]);
    assert_eq!(bengali.iter().filter(|reply| reply.contains("আপনার শুক্রবারের পরীক্ষার কথা")).count(), 1, "{bengali:?}");
    let hindi = converse(&companion, &["मेरी परीक्षा आ रही है", "आज बाहर बारिश है", "हम्म", "अच्छा"]);
    assert_eq!(hindi.iter().filter(|reply| reply.contains("अपनी परीक्षा")).count(), 1, "{hindi:?}");
}

#[test]
fn it_knows_the_name_and_what_was_told() {
    let companion = Companion::new();
    let replies = converse(
        &companion,
        &["Hi, my name is asha", "my sister is ill", "what is my name?", "what did I tell you?", "bye"],
    );
    assert!(replies[0].contains("Asha"), "{replies:?}");
    assert!(replies[2].contains("Asha"), "{replies:?}");
    assert!(replies[3].contains("your sister"), "{replies:?}");
    assert!(replies[4].contains("Asha"), "{replies:?}");
    assert!(uses(&companion.reply(&[user("what is my name?")]), companion.languages[0].talk(Talk::NameUnknown)));
    assert!(converse(&companion, &["আমার নাম রুমা", "আমার নাম কী?"])[1].contains("রুমা"));
    assert!(converse(&companion, &["मेरा नाम रवि है", "मेरा नाम क्या है?"])[1].contains("रवि"));
}

#[test]
fn feelings_are_the_users_own_and_not_denied() {
    let companion = Companion::new();
    let english = &companion.languages[0];
    let reply = |text| companion.reply(&[user("hi"), assistant("Hello."), user(text)]);
    let sad = |reply: &str| english.feelings.iter().filter(|f| f.tone == Tone::Hard).any(|f| uses(reply, &f.reactions));
    assert!(sad(&reply("I am so sad")));
    assert!(!sad(&reply("I am not sad")), "{}", reply("I am not sad"));
    assert!(uses(&reply("my brother is very sad"), english.talk(Talk::OtherFeeling)));
    assert!(!sad(&reply("download the file")), "no word is found inside another");
    let by_others = reply("I think my boss hates me");
    assert!(!uses(&by_others, english.talk(Talk::OtherFeeling)), "{by_others}");
    let brighter = converse(&companion, &["I feel sad", "I feel much better, I am happy"]);
    assert!(uses(&brighter[1], english.talk(Talk::Brighter)), "{brighter:?}");
}

#[test]
fn greetings_thanks_and_goodbyes_are_returned() {
    let companion = Companion::new();
    for (text, language, kind) in [
        ("Good morning!", 0, Move::Greeting),
        ("thank you so much", 0, Move::Thanks),
        ("good night", 0, Move::Goodbye),
        ("how are you?", 0, Move::HowAreYou),
        ("নমস্কার", 1, Move::Greeting),
        ("অনেক ধন্যবাদ", 1, Move::Thanks),
        ("শুভ রাত্রি", 1, Move::Goodbye),
        ("কেমন আছেন?", 1, Move::HowAreYou),
        ("नमस्ते", 2, Move::Greeting),
        ("धन्यवाद", 2, Move::Thanks),
        ("अलविदा", 2, Move::Goodbye),
        ("आप कैसे हैं?", 2, Move::HowAreYou),
    ] {
        let reply = companion.reply(&[user(text)]);
        assert!(uses(&reply, &companion.languages[language].rules_of(kind).reactions), "{text}: {reply}");
    }
}

#[test]
fn the_same_line_again_is_not_answered_the_same() {
    let companion = Companion::new();
    for text in [
        "hello",
        "I feel sad",
        "ok",
        "what is the time?",
        "👍",
        "আমার মন খারাপ",
        "मैं उदास हूँ",
        "I want to die",
        "tell me a joke",
        "hola que tal amigo por favor",
    ] {
        let replies = converse(&companion, &[text; 6]);
        for pair in replies.windows(2) {
            assert_ne!(pair[0], pair[1], "{text}");
        }
    }
}

#[test]
fn the_same_conversation_gives_the_same_reply() {
    let said = ["hi", "I worry about my exam", "ok", "my sister helps me", "bye"];
    assert_eq!(converse(&Companion::new(), &said), converse(&Companion::new(), &said));
}

#[test]
fn any_text_gets_a_bounded_reply() {
    let companion = Companion::new();
    let long = [
        "want to ".repeat(625),
        "a".repeat(5000),
        "🙂".repeat(5000),
        "\0".repeat(5000),
        "i feel, ".repeat(625),
        "ক\u{9BE}".repeat(2500),
        "\u{FDFA}".repeat(5000),
        "e\u{301}".repeat(2500),
        "? ".repeat(2500),
        "\u{202E}abc\u{200D}\u{200D}".repeat(800),
    ];
    for text in &long {
        let lines: Vec<_> = (0..50).map(|at| if at % 2 == 0 { assistant(text) } else { user(text) }).collect();
        for conversation in [&lines[49..], &lines[..]] {
            let reply = companion.reply(conversation);
            assert!(!reply.is_empty() && reply.chars().count() < 1500, "{reply}");
        }
    }
    assert_eq!(companion.reply(&[]), "");
}

#[test]
fn what_is_read_of_a_long_conversation_is_bounded() {
    let companion = Companion::new();
    let long = "word ".repeat(1000);
    let lines: Vec<_> = (0..49).map(|_| user(&long)).collect();
    let read: usize = companion.hear_earlier(&lines).iter().map(Words::len).sum();
    assert_eq!(read, EARLIER_CHARS_TOTAL / 5);
    let lines: Vec<_> = (0..49).map(|_| assistant(&long)).collect();
    assert!(said(&lines).iter().map(|text| text.len()).sum::<usize>() <= OWN_BYTES_TOTAL);
}
