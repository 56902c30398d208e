//! Replies of a model, made by servers that speak the OpenAI chat-completions protocol.
//!
//! Servers are asked in the order of the configuration. A reply is tried twice at most, the second time only before any of
//! its text was passed on, and only for what another try can mend; that is the only place of the program where a reply is
//! tried again. Knows nothing of sessions: it is given a conversation and passes text on.

mod breaker;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod key;
mod retry;
mod stream;
#[cfg(test)]
mod tests;
mod upstream;

use bytes::Bytes;
pub(super) use stream::Said;
use tokio::time::Instant;

use self::{
    breaker::Pass,
    failure::{Failure, What},
    retry::Retries,
    stream::Spoken,
    upstream::{Times, Upstream, Waits},
};
use super::{BackendError, Instructions, Prompt, ReplyError, Sink, UpstreamState};
use crate::{
    client::Resolver,
    completions::{Request, RequestMessage, Role, StreamOptions},
    config::ReplyConfig,
    id::UserId,
};

/// What the model is told where the operator tells it nothing.
const SYSTEM_PROMPT: &str = "\
You are Bondhu, a warm and patient listener. Bondhu means friend. Answer in the language in which the user writes to you, in \
a few short, plain sentences. Take up what they tell you, ask one open question at most, and don't flatter. If you are asked, \
say that you are a computer program and not a person. Give no diagnosis and no advice on medicine; for these, point to a \
doctor. If somebody may be in danger, or speaks of harming themselves, stay kind and calm, and ask them to call the local \
emergency number or to find a helpline in their country at findahelpline.com.";

/// Least tokens for a conversation, however small the model's context is set.
const BUDGET_MIN: usize = 256;

/// Servers that make replies.
pub(super) struct Openai {
    upstreams: Vec<Upstream>,
    retries: Retries,
    times: Times,
    system: String,
    max_tokens: Option<usize>,
    budget: usize,
    /// A number from 0 to 1.
    chance: fn() -> f64,
}

/// What a reply is made from, and until when.
struct Task<'p> {
    prompt: Prompt<'p>,
    deadline: Instant,
}

/// Leave to ask one server.
struct Leave<'b> {
    /// Its place in the order.
    at: usize,
    pass: Pass<'b>,
}

impl Openai {
    /// Reads keys and certificates. Connects to nobody.
    ///
    /// # Errors
    /// [`BackendError`], for the operator.
    pub(super) fn new(config: &ReplyConfig, chance: fn() -> f64) -> Result<Self, BackendError> {
        let openai = &config.openai;
        let times = Times {
            connect: openai.connect_timeout,
            first_token: openai.first_token_timeout,
            token: openai.token_timeout,
            total: openai.total_timeout,
        };
        let urls: Vec<_> = config.upstreams().filter_map(|(_, upstream)| upstream::url(upstream)).collect();
        let resolver = Resolver::start(&urls).map_err(BackendError::Thread)?;
        let upstreams =
            config.upstreams().map(|(table, upstream)| Upstream::new(table, upstream, times.connect, &resolver));
        let system = if config.system_prompt.trim().is_empty() { SYSTEM_PROMPT } else { &config.system_prompt };
        // A server with a bound of its own needs some of the context too.
        let for_reply = if openai.max_tokens > 0 { openai.max_tokens } else { openai.context_tokens / 4 };
        Ok(Self {
            upstreams: upstreams.collect::<Result<_, _>>()?,
            retries: Retries::new(),
            times,
            system: system.to_owned(),
            max_tokens: Some(openai.max_tokens).filter(|tokens| *tokens > 0),
            budget: openai.context_tokens.saturating_sub(for_reply).max(BUDGET_MIN),
            chance,
        })
    }

    /// The model of the first server.
    pub(super) fn model(&self) -> &str {
        self.upstreams.first().map_or("none", |upstream| &upstream.model)
    }

    /// The models of all servers, in their order.
    pub(super) fn models(&self) -> impl Iterator<Item = &str> {
        self.upstreams.iter().map(|upstream| upstream.model.as_str())
    }

    /// Tokens of instructions and lines together.
    pub(super) fn budget(&self) -> usize {
        self.budget
    }

    /// What the model is told where a conversation has no instructions of its own.
    pub(super) fn system(&self) -> &str {
        &self.system
    }

    /// How the servers stand, in their order.
    pub(super) fn states(&self) -> Vec<UpstreamState> {
        let now = Instant::now().into_std();
        self.upstreams.iter().map(|upstream| upstream.breaker.state(now)).collect()
    }

    /// Passes a reply on as it comes, and gives what the server said of it. Dropping the future closes the connection and
    /// counts as nothing.
    ///
    /// # Errors
    /// [`ReplyError`]; text may have been passed on.
    pub(super) async fn reply(&self, prompt: Prompt<'_>, sink: &mut dyn Sink) -> Result<Said, ReplyError> {
        let task = Task { prompt, deadline: Instant::now() + self.times.total };
        let mut spoken = Spoken::new(sink);
        let first = self.first_server(prompt.asker)?;
        let at = first.at;
        self.retries.earn();
        let failure = match self.ask(first, &task, &mut spoken).await {
            Ok(()) => return Ok(spoken.said()),
            Err(failure) if spoken.has_begun() => return Err(failed(failure, &spoken)),
            Err(failure) => failure,
        };
        let Some(second) = self.second_server(prompt.asker, at, &failure).filter(|_| self.retries.spend()) else {
            return Err(failed(failure, &spoken));
        };
        let cause = failure::for_log(&failure.cause);
        tracing::warn!(server = at + 1, next = second.at + 1, cause, "a reply is tried again");
        tokio::time::sleep(retry::wait((self.chance)())).await;
        spoken.begin_anew();
        match self.ask(second, &task, &mut spoken).await {
            Ok(()) => Ok(spoken.said()),
            Err(failure) => Err(failed(failure, &spoken)),
        }
    }

    /// The first server that may be asked.
    fn first_server(&self, asker: UserId) -> Result<Leave<'_>, ReplyError> {
        let now = Instant::now().into_std();
        let mut again = None;
        for (at, upstream) in self.upstreams.iter().enumerate() {
            match upstream.breaker.admit(asker, now) {
                Ok(pass) => return Ok(Leave { at, pass }),
                Err(wait) => again = Some(again.map_or(wait, |soonest| wait.min(soonest))),
            }
        }
        Err(failure::resting(again.unwrap_or_default()))
    }

    /// The server for a second try: the next one that may be asked, or the same again.
    fn second_server(&self, asker: UserId, first: usize, failure: &Failure) -> Option<Leave<'_>> {
        let now = Instant::now().into_std();
        let count = self.upstreams.len();
        let places = (1..=count).map(|step| (first + step) % count);
        let mut worth = places.filter(|&at| failure.may_mend(at != first));
        worth.find_map(|at| Some(Leave { at, pass: self.upstreams[at].breaker.admit(asker, now).ok()? }))
    }

    /// One try, whose end the server's breaker hears of.
    async fn ask(&self, leave: Leave<'_>, task: &Task<'_>, spoken: &mut Spoken<'_, '_>) -> Result<(), Failure> {
        let Leave { at, mut pass } = leave;
        let upstream = &self.upstreams[at];
        spoken.asked(&upstream.model);
        let request = self.request(&upstream.model, task.prompt);
        let waits = Waits::begin(self.times, task.deadline);
        let outcome = upstream.ask(request, waits, spoken, &mut pass).await;
        let now = Instant::now().into_std();
        let rest = match &outcome {
            Err(Failure { what: What::Busy(Some(again)), .. }) => Some(pass.overloaded(now, *again)),
            Err(failure) if let Some(sign) = failure.sign() => pass.failed(sign, now, (self.chance)()),
            Ok(()) | Err(_) => {
                pass.succeeded();
                None
            }
        };
        if let (Some(rest), Err(failure)) = (rest, &outcome) {
            let cause = failure::for_log(&failure.cause);
            tracing::warn!(server = at + 1, ?rest, cause, "a model server is left alone for a while");
        }
        outcome
    }

    /// The request's body.
    fn request(&self, model: &str, prompt: Prompt<'_>) -> Bytes {
        let instructions = match prompt.instructions {
            Instructions::Usual => Some(self.system.as_str()),
            Instructions::Own(own) => Some(own),
            Instructions::None => None,
        };
        let system = instructions.map(|content| RequestMessage { role: Role::System, content, name: None });
        let lines =
            prompt.lines.iter().map(|line| RequestMessage { role: line.role, content: line.text, name: line.name });
        let sampling = prompt.sampling;
        let wanted = sampling.max_tokens.map(|tokens| tokens as usize);
        let request = Request {
            model,
            messages: system.into_iter().chain(lines).collect(),
            stream: true,
            stream_options: StreamOptions { include_usage: true },
            // Who asks may want less than the operator allows, and never gets more.
            max_tokens: self.max_tokens.into_iter().chain(wanted).min(),
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            stop: &sampling.stop,
            seed: sampling.seed,
            presence_penalty: sampling.presence_penalty,
            frequency_penalty: sampling.frequency_penalty,
            response_format: sampling.response_format.as_ref(),
        };
        serde_json::to_vec(&request).expect("texts and numbers are always JSON").into()
    }
}

/// A failure as it is given to whoever asked, with what the server said of its answer.
fn failed(failure: Failure, spoken: &Spoken<'_, '_>) -> ReplyError {
    ReplyError { usage: spoken.said().usage, ..failure.into_error() }
}

/// A number from 0 to 1 by the system's randomness.
pub(super) fn chance() -> f64 {
    // Without randomness the middle does: it only parts programs from each other.
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}
