//! How an answer ended and what it took, and what is passed through as it came.

use super::*;
use crate::reply::{Backend, Extent, Finish, Hearer, Usage};

/// Keeps all that it hears.
#[derive(Default)]
struct Keeper {
    text: String,
    ended: Vec<(Finish, Usage)>,
    /// Who made the text, in order.
    made_by: Vec<String>,
    /// Bytes after which no more is wanted.
    enough: Option<usize>,
}

impl Hearer for Keeper {
    fn made_by(&mut self, model: &str) {
        self.made_by.push(model.to_owned());
    }

    fn model(&mut self, text: &str) -> ControlFlow<()> {
        assert!(self.ended.is_empty(), "nothing comes behind the end");
        self.text.push_str(text);
        let is_enough = self.enough.is_some_and(|enough| self.text.len() >= enough);
        if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn aside(&mut self, text: &str) -> ControlFlow<()> {
        self.model(text)
    }

    fn overloaded(&mut self) {}

    fn finished(&mut self, finish: Finish, usage: Usage) {
        self.ended.push((finish, usage));
    }
}

/// What a backend with this one server makes of `prompt`, and what the server was asked.
async fn heard(said: Vec<u8>, prompt: Prompt<'_>, mut keeper: Keeper) -> (Result<Extent, ReplyError>, Keeper, String) {
    let stub = Stub::start([(said, Then::Close)]).await;
    let backend = Backend::new(&config(&stub.url)).unwrap();
    let ended = backend.reply(prompt, &mut keeper).await;
    let asked = stub.asked.lock().unwrap()[0].split_once("\r\n\r\n").unwrap().1.to_owned();
    (ended, keeper, asked)
}

fn finish(reason: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"{reason}\"}}]}}\n\n")
}

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7}}\n\n";

#[tokio::test]
async fn the_end_and_the_tokens_are_the_servers_where_it_tells_them() {
    let (hi, told) = (delta("hi"), Usage { input: 11, output: 7, ..Usage::default() });
    let whole = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"length"}],
                    "usage":{"prompt_tokens":11,"completion_tokens":7}}"#;
    for (said, finish) in [
        (events(&format!("{hi}{}{USAGE}{DONE}", finish("stop"))), Finish::Stop),
        (events(&format!("{hi}{}{USAGE}{DONE}", finish("length"))), Finish::Length),
        (events(&format!("{hi}{}{USAGE}", finish("content_filter"))), Finish::ContentFilter),
        (events(&format!("{hi}{}{USAGE}", finish("eos"))), Finish::Stop),
        (answer("200 OK", JSON, whole), Finish::Length),
    ] {
        let (ended, keeper, _) = heard(said, plain(&LINES), Keeper::default()).await;
        assert_eq!((ended.unwrap(), keeper.text.as_str(), keeper.ended), (Extent::Whole, "hi", vec![(finish, told)]));
    }
}

#[tokio::test]
async fn what_a_server_does_not_tell_is_estimated() {
    let (_, keeper, _) = heard(good("hi all"), plain(&LINES), Keeper::default()).await;
    let [(Finish::Stop, Usage { input, output: 3, .. })] = keeper.ended[..] else { panic!("{:?}", keeper.ended) };
    let own = Prompt { instructions: Instructions::None, ..plain(&LINES) };
    let (_, keeper, _) = heard(good("hi"), own, Keeper::default()).await;
    let [(Finish::Stop, Usage { input: less, output: 1, .. })] = keeper.ended[..] else { panic!("{:?}", keeper.ended) };
    assert!(less > 3 * 8 && input > less + 100, "{input} with the instructions, {less} without");
}

#[tokio::test]
async fn a_reply_that_is_cut_ended_for_its_length() {
    let keeper = Keeper { enough: Some(2), ..Keeper::default() };
    let (ended, keeper, _) = heard(good("hi"), plain(&LINES), keeper).await;
    assert_eq!((ended.unwrap(), keeper.ended[0].0), (Extent::Whole, Finish::Length));
}

#[tokio::test]
async fn a_failure_has_no_end() {
    let (ended, keeper, _) = heard(status("400 Bad Request"), plain(&LINES), Keeper::default()).await;
    assert!(ended.unwrap_err().refused().is_some() && keeper.ended.is_empty());
}

#[tokio::test]
async fn what_is_passed_through_gets_nothing_of_ours() {
    let lines = [
        Line { role: Role::Developer, text: "be brief", name: None },
        Line { role: Role::System, text: "be kind", name: None },
        Line { role: Role::Assistant, text: "hi", name: None },
        Line { role: Role::User, text: "x", name: None },
    ];
    let sampling = Sampling { max_tokens: Some(5), temperature: Some(0.25), ..Sampling::default() };
    let prompt = Prompt { instructions: Instructions::None, sampling: &sampling, ..plain(&lines) };
    let (_, _, asked) = heard(good("hi"), prompt, Keeper::default()).await;
    let wanted = "{\"model\":\"llama3.2\",\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},\
                  {\"role\":\"system\",\"content\":\"be kind\"},{\"role\":\"assistant\",\"content\":\"hi\"},\
                  {\"role\":\"user\",\"content\":\"x\"}],\"stream\":true,\
                  \"stream_options\":{\"include_usage\":true},\"max_tokens\":5,\"temperature\":0.25}";
    assert_eq!(asked, wanted);
    let sampling = Sampling { max_tokens: Some(9999), ..Sampling::default() };
    let (_, _, asked) = heard(good("hi"), Prompt { sampling: &sampling, ..prompt }, Keeper::default()).await;
    assert!(asked.contains("\"max_tokens\":1024"), "the operator's bound holds: {asked}");
}

#[tokio::test]
async fn helplines_come_first_also_where_the_rest_is_passed_through() {
    let lines = [
        Line { role: Role::User, text: "I want to kill myself", name: None },
        Line { role: Role::System, text: "answer in JSON", name: None },
    ];
    let prompt = Prompt { instructions: Instructions::None, ..plain(&lines) };
    let (_, keeper, _) = heard(good("hi"), prompt, Keeper::default()).await;
    assert!(keeper.text.ends_with("\n\nhi") && keeper.text.contains("findahelpline.com"), "{}", keeper.text);
}

#[tokio::test]
async fn the_companion_hears_users_and_itself_only() {
    let backend = Backend::new(&ReplyConfig::default()).unwrap();
    let made = async |lines: &[Line<'_>]| {
        let mut keeper = Keeper::default();
        let prompt = Prompt { instructions: Instructions::None, ..plain(lines) };
        backend.reply(prompt, &mut keeper).await.unwrap();
        assert!(
            matches!(keeper.ended[..], [(Finish::Stop, Usage { input: 8.., output: 1.., .. })]),
            "{:?}",
            keeper.ended
        );
        keeper.text
    };
    let user = Line { role: Role::User, text: "I am sad today", name: None };
    let system = Line { role: Role::System, text: "My dog has died.", name: None };
    let trailing = Line { role: Role::Assistant, text: "I see.", name: None };
    let wanted = made(&[user]).await;
    assert_eq!(made(&[system, user, trailing, system]).await, wanted);
    assert_eq!(
        made(&[system]).await,
        made(&[Line { role: Role::User, text: "", name: None }]).await,
        "who says nothing is greeted"
    );
}
