//! From what a file tells to what the server stores: whose, which session, which messages it has already.

use std::collections::HashMap;

use super::{
    super::{Failure, export::unexpected, operator::Operator},
    Options, find_account,
    open::Open,
    report::{Report, Told},
};
use crate::{
    clock::{Clock, Timestamp},
    control::{ControlAnswer, ControlRequest, ImportAccount, Secret},
    id::{MessageId, Seq, SessionId, UserId},
    import::{self, Event, Format, ImportError, Note, Owner, Said, Talk, What},
    store::{
        Holder, IMPORT_MESSAGES_MAX, Import, ImportMessage, ImportSession, Imported, Look, Role, Speaker,
        TEXT_BYTES_MAX, Tier,
    },
    text::{SystemPrompt, Title},
};

/// A batch of so many bytes of text is sent at the next message of the user, and of twice as many at once.
const BATCH_BYTES: usize = 256 << 10;
/// Room that is left in a batch for the replies to its last message.
const ROOM: usize = 16;
/// How often a batch is sent anew where somebody else writes to the session.
const TRIES: usize = 100;

/// Whose conversations come, and what they are called there.
#[derive(Clone)]
pub(super) struct User {
    id: UserId,
    name: String,
}

pub(super) struct Sender<'a> {
    operator: &'a Operator,
    options: &'a Options,
    format: Format,
    report: &'a mut Report,
    /// Accounts by the names in the file.
    users: HashMap<Owner, Option<User>>,
    open: Option<Open>,
}

type Step<T> = Result<T, ImportError>;

impl<'a> Sender<'a> {
    pub(super) fn new(operator: &'a Operator, options: &'a Options, format: Format, report: &'a mut Report) -> Self {
        Self { operator, options, format, report, users: HashMap::new(), open: None }
    }

    /// Takes what the file tells.
    pub(super) fn take(&mut self, event: Event) -> Step<()> {
        match event {
            Event::Account(account) => {
                self.finish()?;
                self.account(account)
            }
            Event::Talk(talk) => {
                self.finish()?;
                self.begin(talk)
            }
            Event::Said(said) => self.said(said),
            Event::Note(note) => {
                self.report.note(&note);
                Ok(())
            }
            Event::Progress(..) => Ok(()),
        }
    }

    /// Ends the conversation that is open.
    pub(super) fn finish(&mut self) -> Step<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        // A session without messages is something on another server, and nothing in a file of messages.
        if !open.batch.is_empty() || (open.is_new && self.format == Format::Bondhu) {
            self.send(&mut open)?;
        }
        // Those that were there when it began, those that this made, and those of which nothing could be kept.
        let count = match (open.was_there, open.is_new) {
            (true, _) => &mut self.report.sessions_found,
            (false, false) => &mut self.report.sessions_made,
            (false, true) => &mut self.report.sessions_left_out,
        };
        *count += 1;
        let told = Told {
            key: &open.talk.key,
            session: (!open.is_new).then(|| open.session.to_string()),
            user: Some(&open.user.name),
            added: open.added,
            there: open.there,
        };
        self.report.talk(&told);
        Ok(())
    }

    fn note(&mut self, what: What, at: &str) {
        self.report.note(&Note { what, at: at.to_owned() });
    }

    fn ask(&self, request: ControlRequest) -> Step<ControlAnswer> {
        self.operator.ask(request).map_err(stopped)
    }

    fn account(&mut self, account: import::Account) -> Step<()> {
        if self.options.user.is_some() {
            return Ok(()); // Whoever they were there, they are somebody else's here.
        }
        let at = format!("user {:?}", account.username);
        let trust = self.options.trust;
        if !trust && (account.role == Role::Admin || account.password.is_some()) {
            self.note(What::Untrusted, &at);
        }
        let request = ImportAccount {
            username: account.username,
            display_name: account.display_name,
            role: if trust { account.role } else { Role::User },
            tier: account.tier,
            disabled: account.disabled,
            created_at: account.created_at.unwrap_or_else(|| Clock::System.now()),
            password: account.password.filter(|_| trust).map(Secret),
        };
        let user = self.import_user(request, &at)?;
        self.users.insert(Owner::Account, user);
        Ok(())
    }

    /// Finds or makes an account; nothing where the server refuses it.
    fn import_user(&mut self, account: ImportAccount, at: &str) -> Step<Option<User>> {
        let answer = match self.operator.ask(ControlRequest::ImportUser { account }) {
            Ok(answer) => answer,
            Err(Failure::Failed(why)) => {
                self.note(What::Refused, &format!("{at} ({why})"));
                return Ok(None);
            }
            Err(error) => return Err(stopped(error)),
        };
        let ControlAnswer::ImportedUser { user, made } = answer else { return Err(stopped(unexpected(&answer))) };
        self.report.user(user.id, made);
        Ok(Some(User { id: user.id, name: user.username }))
    }

    fn user(&mut self, owner: &Owner) -> Step<Option<User>> {
        if let Some(user) = self.users.get(owner) {
            return Ok(user.clone());
        }
        let named = match owner {
            Owner::Old(old) => {
                let mapped = self.options.map.get(old).inspect(|_| self.report.map(old));
                mapped.or(self.options.user.as_ref())
            }
            Owner::Account | Owner::Named => self.options.user.as_ref(),
        };
        let user = match (named.cloned(), owner) {
            (Some(username), _) => Some(self.find_user(username)?),
            (None, Owner::Old(old)) => {
                let digest = import::derived::<()>(&[b"old user", old.as_bytes()]).to_string().replace('-', "");
                let account = ImportAccount {
                    username: format!("old-{}", &digest[..10]),
                    display_name: Some(old.chars().take(100).collect()),
                    role: Role::User,
                    tier: Tier::Free,
                    disabled: true,
                    created_at: Clock::System.now(),
                    password: None,
                };
                self.import_user(account, &format!("user {old:?}"))?
            }
            (None, Owner::Account | Owner::Named) => None,
        };
        self.users.insert(owner.clone(), user.clone());
        Ok(user)
    }

    fn find_user(&mut self, username: String) -> Step<User> {
        let user = find_account(self.operator, username).map_err(stopped)?;
        self.report.user(user.id, false);
        Ok(User { id: user.id, name: user.username })
    }

    fn begin(&mut self, talk: Talk) -> Step<()> {
        let Some(user) = self.user(&talk.owner)? else {
            self.note(What::NoUser, &format!("session {}", talk.key));
            self.leave_out(&talk, None);
            return Ok(());
        };
        let own = import::derived(&[b"session", &user.id.bytes(), talk.key.as_bytes()]);
        let mut session = talk.key.parse::<SessionId>().unwrap_or(own);
        let mut look = self.look(user.id, session, Seq::ZERO)?;
        if look.holder == Holder::Other {
            // It was somebody's before it came here: a copy of it gets an id of its own, always the same.
            session = own;
            look = self.look(user.id, session, Seq::ZERO)?;
        }
        match look.holder {
            Holder::Nobody | Holder::User => {}
            Holder::Other | Holder::Deleted => {
                self.note(What::Deleted, &format!("session {}", talk.key));
                self.leave_out(&talk, Some(&user));
                return Ok(());
            }
        }
        let (is_new, last, cleared_at) = (look.holder == Holder::Nobody, look.last_at, look.cleared_at);
        let (head, messages) = self.look_through((user.id, session), look)?;
        let known = messages.into_iter().map(|(seq, id)| (id, seq)).collect();
        self.open = Some(Open {
            is_same: session != own,
            talk,
            user,
            session,
            was_there: !is_new,
            is_new,
            cleared_at,
            known,
            places: HashMap::new(),
            head,
            last,
            batch: Vec::new(),
            bytes: 0,
            added: 0,
            there: 0,
        });
        Ok(())
    }

    fn leave_out(&mut self, talk: &Talk, user: Option<&User>) {
        self.report.sessions_left_out += 1;
        let user = user.map(|user| user.name.as_str());
        self.report.talk(&Told { key: &talk.key, session: None, user, added: 0, there: 0 });
    }

    fn look(&self, user: UserId, session: SessionId, after: Seq) -> Step<Look> {
        let answer = self.ask(ControlRequest::ImportLook { user, session, after })?;
        let ControlAnswer::Looked { look } = answer else { return Err(stopped(unexpected(&answer))) };
        Ok(look)
    }

    /// What stands from the first look on, and the end of the log up to which that is everything.
    fn look_through(&self, (user, session): (UserId, SessionId), first: Look) -> Step<(Seq, Vec<(Seq, MessageId)>)> {
        let (mut look, mut all) = (first, Vec::new());
        while let Some((seq, _)) = look.messages.last().copied() {
            all.append(&mut look.messages);
            look = self.look(user, session, seq)?;
        }
        // Of the last look: it grows while somebody writes.
        Ok((look.head, all))
    }

    fn said(&mut self, said: Said) -> Step<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) }; // Of a session that was left out.
        let taken = self.said_in(&mut open, said);
        self.open = Some(open);
        taken
    }

    fn said_in(&mut self, open: &mut Open, said: Said) -> Step<()> {
        let id = match said.key.parse() {
            Ok(id) if open.is_same => id,
            Ok(_) | Err(_) => import::derived(&[b"message", &open.session.bytes(), said.key.as_bytes()]),
        };
        if is_there(open, id, said.place) {
            return Ok(());
        }
        if let (Some(cleared), Some(time)) = (open.cleared_at, said.time)
            && time <= cleared
        {
            self.note(What::Cleared, &said.at);
            return Ok(());
        }
        // In our own files, what was taken out is told, and so is a reply that was stopped before its first word.
        let may_be_empty = said.erased || (self.format == Format::Bondhu && said.stopped);
        if said.text.trim().is_empty() && !may_be_empty {
            self.note(What::Empty, &said.at);
            return Ok(());
        }
        let full = open.batch.len() >= IMPORT_MESSAGES_MAX || open.bytes >= 2 * BATCH_BYTES;
        let nearly = open.batch.len() + ROOM > IMPORT_MESSAGES_MAX || open.bytes >= BATCH_BYTES;
        if full || ((said.noted || said.role == Speaker::User) && nearly) {
            self.send(open)?; // Places may be others afterwards, and another import may have been first.
            if is_there(open, id, said.place) {
                return Ok(());
            }
        }
        let reply_to = match (said.role, said.reply_to.and_then(|of| open.places.get(&of))) {
            _ if said.noted => None,
            (Speaker::User | Speaker::System | Speaker::Developer, _) => None,
            (Speaker::Assistant, Some(seq)) => Some(*seq),
            (Speaker::Assistant, None) => {
                self.note(What::NoMessage, &said.at);
                return Ok(());
            }
        };
        let created_at = self.time(open, &said);
        let content = self.cut(said.text, &said.at);
        open.bytes += content.len() + said.note.as_ref().map_or(0, String::len);
        let seq = Seq(open.head.0 + open.batch.len() as u64 + 1);
        open.places.insert(said.place, seq);
        open.known.insert(id, seq);
        let Said { role, stopped, failure, noted, note, .. } = said;
        open.batch.push(ImportMessage { id, role, content, reply_to, stopped, created_at, failure, noted, note });
        Ok(())
    }

    /// When it was said, as far as that is possible behind what was said before.
    fn time(&mut self, open: &mut Open, said: &Said) -> Timestamp {
        let (now, last) = (Clock::System.now(), open.last.or(open.talk.created_at));
        let time = if let Some(time) = said.time {
            let possible = time.min(now);
            let possible = possible.max(open.last.unwrap_or(possible));
            if possible != time {
                self.note(What::WrongTime, &said.at);
            }
            possible
        } else {
            // Of the old table that is told of the row already.
            if self.format != Format::Old {
                self.note(What::NoTime, &said.at);
            }
            last.unwrap_or(now).min(now)
        };
        open.last = Some(time);
        time
    }

    fn cut(&mut self, mut text: String, at: &str) -> String {
        if text.len() > TEXT_BYTES_MAX {
            self.note(What::Cut, at);
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        }
        text
    }

    /// Has the server store the batch; a batch that meets other messages moves behind them, without what is among them already.
    fn send(&mut self, open: &mut Open) -> Step<()> {
        let make = open.is_new.then(|| make(&open.talk, &open.batch));
        for _ in 0..TRIES {
            let (user, session, head) = (open.user.id, open.session, open.head);
            let import = Import { user, session, make: make.clone(), head, messages: open.batch.clone() };
            let answer = self.ask(ControlRequest::Import { import })?;
            let ControlAnswer::Imported { imported } = answer else { return Err(stopped(unexpected(&answer))) };
            match imported {
                Imported::Stored(head) => {
                    let count = open.batch.len() as u64;
                    open.added += count;
                    // Somebody else may have said something meanwhile.
                    let before = Seq(head.0 - count);
                    if before != open.head {
                        let (_, mut between) = self.look_behind(open)?;
                        between.retain(|(seq, _)| *seq <= before);
                        open.meet(before, &between);
                    }
                    (open.head, open.is_new, open.bytes) = (head, false, 0);
                    open.batch.clear();
                    return Ok(());
                }
                Imported::Moved(_) => {
                    let (head, between) = self.look_behind(open)?;
                    open.meet(head, &between);
                    if open.is_new {
                        (open.is_new, open.was_there) = (false, true); // Another import was first.
                    }
                    if open.batch.is_empty() {
                        open.bytes = 0;
                        return Ok(());
                    }
                }
                Imported::Wrong(why) => {
                    return Err(ImportError::Stopped(format!("session {}: {why}", open.talk.key)));
                }
            }
        }
        Err(ImportError::Stopped(format!("session {} is being written to: import again later", open.talk.key)))
    }

    /// What was said behind the head that is known, and the head that there is now.
    fn look_behind(&self, open: &Open) -> Step<(Seq, Vec<(Seq, MessageId)>)> {
        let first = self.look(open.user.id, open.session, open.head)?;
        self.look_through((open.user.id, open.session), first)
    }
}

/// True where the message is in the session already; the file's place is then known.
fn is_there(open: &mut Open, id: MessageId, place: u64) -> bool {
    let Some(seq) = open.known.get(&id).copied() else { return false };
    open.places.insert(place, seq);
    open.there += 1;
    true
}

/// What the session begins with.
fn make(talk: &Talk, batch: &[ImportMessage]) -> ImportSession {
    let first = batch.first().map(|message| message.created_at);
    let created_at = [talk.created_at, first].into_iter().flatten().min().unwrap_or_else(|| Clock::System.now());
    let title = talk.title.as_ref().map(|title| title.chars().take(Title::CHARS_MAX).collect::<String>());
    let prompt = talk.system_prompt.as_ref().map(|text| text.chars().take(SystemPrompt::CHARS_MAX).collect::<String>());
    ImportSession {
        title: title.filter(|title| Title::new(title.clone()).is_ok()),
        system_prompt: prompt.filter(|text| SystemPrompt::new(text.clone()).is_ok()),
        note: talk.note.clone(),
        created_at,
        updated_at: talk.updated_at.unwrap_or(created_at).max(created_at),
    }
}

fn stopped(failure: Failure) -> ImportError {
    ImportError::Stopped(failure.into_words())
}
