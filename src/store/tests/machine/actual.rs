//! The store under test: it is given each command as the world is, and must answer what the world says.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{
    life::{born_by, open_on},
    look::{PAGES, Sight, Tags, look, shown, without_status},
    step::{Fate, How, Op, Step},
    world::{Told, World},
};
use crate::{
    clock::{Clock, Timestamp},
    id::{JobId, MessageId, Seq, SessionId, TokenId, UserId},
    store::{
        AddedItems, Appended, Enqueued, Erasure, Imported, Job, JobStateName, Message, PageRange, Session, Store,
        StoreError, TokenDigest, User, disk::Disk,
    },
};

/// What the world's numbers are called in the store.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) users: Vec<UserId>,
    pub(super) sessions: Vec<SessionId>,
    pub(super) logins: Vec<(TokenId, TokenDigest)>,
    pub(super) messages: BTreeMap<(usize, u64), MessageId>,
    /// Those that are known.
    pub(super) jobs: Vec<Option<JobId>>,
}

/// A store, and what it must show.
pub(super) struct Actual {
    pub(super) runtime: Arc<Runtime>,
    pub(super) store: Arc<Store>,
    pub(super) dir: TempDir,
    pub(super) disk: Disk,
    pub(super) data: PathBuf,
    pub(super) copies: u8,
    pub(super) clock: Clock,
    pub(super) cache: u64,
    pub(super) world: World,
    pub(super) names: Names,
    pub(super) tags: Tags,
    pub(super) round: usize,
    /// How many commands were given.
    pub(super) commands: usize,
}

/// What a command was answered.
pub(super) enum Got {
    Done,
    Flag(bool),
    User(Arc<User>),
    Session(Session, bool),
    Message(Appended),
    Reply(Option<Message>),
    Items(AddedItems),
    Erased(Erasure),
    Enqueued(Enqueued),
    Job(Job),
    /// And what the same was answered once more.
    Imported(Imported, Option<Imported>),
}

pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Got, StoreError>>>>;

impl Actual {
    pub(super) fn start(world: &World, cache: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let clock = Clock::manual(Timestamp(world.now));
        let runtime = Arc::new(tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());
        let disk = born_by(&clock, dir.path(), None);
        let (store, open) = open_on(&disk, &data, cache, &clock);
        assert!(open.is_empty());
        let world = world.clone();
        Self {
            runtime,
            store,
            dir,
            disk,
            data,
            copies: 0,
            clock,
            cache,
            world,
            names: Names::default(),
            tags: Tags::new(),
            round: 0,
            commands: 0,
        }
    }

    /// Takes one step, and looks at everything afterwards.
    pub(super) fn step(mut self, step: &Step) -> Self {
        let runtime = Arc::clone(&self.runtime);
        runtime.block_on(async move {
            match step {
                Step::Do(commands) => self.give(commands).await,
                Step::DropReads(polls) => self.drop_reads(*polls).await,
                Step::Jump(by) => self.jump(*by),
                Step::Restart { how, cache, resumes, releases } => {
                    self = self.restart(*how, *cache, *resumes).await;
                    if *releases {
                        self.release().await;
                    }
                }
                Step::Copy { sends, goes_on } => self = self.copy(*sends, *goes_on).await,
                Step::Compact { rebuilds } => {
                    self.compact().await;
                    if *rebuilds {
                        let cache = self.cache;
                        self = self.restart(How::CrashAndRebuild, cache, None).await;
                    }
                }
                Step::Expire => self.expire().await,
            }
            self.learn().await;
            self.round += 1;
            let sight = Sight { world: &self.world, names: &self.names };
            look(&self.store, sight, &mut self.tags, self.round).await;
            self
        })
    }

    fn jump(&mut self, by: i64) {
        self.world.now += by;
        let Clock::Manual(now) = &self.clock else { return };
        now.store(self.world.now, Ordering::SeqCst);
    }

    /// Gives commands one after another, waits for their answers at the end, and reads meanwhile.
    async fn give(&mut self, commands: &[(Op, Fate)]) {
        self.world.busy.clear();
        self.world.alone = commands.len() == 1;
        let mut worlds = vec![self.world.clone()];
        let there: Vec<usize> =
            (0..self.world.sessions.len()).filter(|&session| !self.world.is_adrift(session)).collect();
        let mut reads = Vec::new();
        for &session in &there {
            let (store, id) = (Arc::clone(&self.store), self.names.sessions[session]);
            let range = PageRange { after: None, before: None, limit: PAGES[1].2 };
            let mut page = Box::pin(async move { store.page(id, range).await });
            let early = once(page.as_mut()).await;
            reads.push((session, page, early));
        }
        let mut waiting = Vec::new();
        for (op, fate) in commands {
            let before = self.world.clone();
            let Some(told) = self.world.tell(op, *fate) else { continue };
            self.commands += 1;
            self.name(&told, *fate);
            let mut answer = self.command(op, &before, &told);
            let polls = if let Fate::Dropped(polls) = fate { *polls } else { 1 };
            let mut early = None;
            for _ in 0..polls {
                if early.is_none() {
                    early = once(answer.as_mut()).await;
                }
            }
            worlds.push(self.world.clone());
            if *fate == Fate::Awaited {
                waiting.push((worlds.len() - 1, op, told, answer, early));
            }
        }
        for (at, op, told, answer, early) in waiting {
            let got = match early {
                Some(got) => got,
                None => answer.await,
            };
            self.is_told(&worlds[at], op, &told, got);
        }
        self.barrier().await;
        let made = self.world.invitations.iter_mut().skip(worlds[0].invitations.len());
        made.for_each(|code| code.unsure = false); // From here on somebody may have it.
        self.learn().await;
        for (session, page, early) in reads {
            let read = match early {
                Some(read) => read,
                None => page.await,
            };
            let page = shown(read, &mut self.tags);
            let page_in = |world: &World| Sight { world, names: &self.names }.page(session, PAGES[1]);
            let possible: Vec<_> = worlds.iter().map(page_in).collect();
            let is_a_part = || {
                let mut parts = worlds.windows(2).flat_map(|pair| pair[1].parts(session, &pair[0]));
                parts.any(|part| without_status(page_in(&part)) == without_status(page.clone()))
            };
            assert!(possible.contains(&page) || is_a_part(), "session {session} never was {page:?}, but {possible:?}");
        }
    }

    /// Everything that was given has been done once this is over.
    async fn barrier(&self) {
        assert!(!self.store.end_token(UserId::new(), TokenId::new()).await.unwrap());
    }

    /// Names what a command makes, unless it never begins.
    fn name(&mut self, told: &Told, fate: Fate) {
        if fate == Fate::Dropped(0) {
            return;
        }
        let names = &mut self.names;
        if let Told::User(number) = told
            && *number == names.users.len()
        {
            names.users.push(UserId::new());
        }
        if let Told::Login(number) = told {
            let mut digest = [u8::try_from(*number % 251).unwrap(); 32];
            digest[..8].copy_from_slice(&(*number as u64).to_le_bytes());
            names.logins.push((TokenId::new(), TokenDigest(digest)));
        }
        while names.sessions.len() < self.world.sessions.len() {
            names.sessions.push(SessionId::new());
        }
    }

    /// Wants what the world said right behind this command.
    pub(super) fn is_told(&mut self, world: &World, op: &Op, told: &Told, got: Result<Got, StoreError>) {
        match (told, got) {
            (Told::NotOwner, Err(StoreError::NotOwner(_)))
            | (Told::NoUser, Err(StoreError::NoUser))
            | (Told::NameTaken, Err(StoreError::NameTaken))
            | (Told::NoInvitation, Err(StoreError::NoInvitation))
            | (Told::Wrong, Ok(Got::Imported(Imported::Wrong(_), _)))
            | (Told::KeyReused, Err(StoreError::KeyReused))
            | (Told::TurnGone, Err(StoreError::TurnGone))
            | (Told::Moved, Err(StoreError::Moved))
            | (Told::Done | Told::User(_) | Told::Login(_), Ok(Got::Done))
            | (Told::Reply(None), Ok(Got::Reply(None))) => {}
            (Told::Flag(wanted), Ok(Got::Flag(flag))) => assert_eq!(*wanted, flag, "{op:?}"),
            (Told::Erased(wanted), Ok(Got::Erased(erasure))) => assert_eq!(*wanted, erasure, "{op:?}"),
            (Told::Items(number, first, last), Ok(Got::Items(added))) => {
                assert_eq!(added.session, self.names.sessions[*number], "{op:?}");
                for message in &added.items {
                    self.names.messages.entry((*number, message.seq.0)).or_insert(message.id);
                }
                let sight = Sight { world, names: &self.names };
                let wanted: Vec<Message> = (*first..=*last).map(|seq| sight.message(*number, seq)).collect();
                assert_eq!(added.items, wanted, "{op:?}");
            }
            (Told::User(number), Ok(Got::User(user))) => {
                assert!(*user == Sight { world, names: &self.names }.user(*number), "{op:?}");
            }
            (Told::Session(number, new), Ok(Got::Session(session, made))) => {
                assert_eq!((session, made), (Sight { world, names: &self.names }.session(*number), *new), "{op:?}");
            }
            (Told::Message(number, seq, known), Ok(Got::Message(appended))) => {
                let Appended { session, message, repeated } = appended;
                self.names.messages.entry((*number, *seq)).or_insert(message.id);
                let wanted = Sight { world, names: &self.names }.message(*number, *seq);
                assert_eq!((session, repeated), (self.names.sessions[*number], *known), "{op:?}");
                assert_eq!(message, wanted, "{op:?}");
            }
            (Told::Reply(Some((number, seq))), Ok(Got::Reply(Some(reply)))) => {
                self.names.messages.entry((*number, *seq)).or_insert(reply.id);
                assert_eq!(reply, Sight { world, names: &self.names }.message(*number, *seq), "{op:?}");
            }
            (Told::JobRefused(wanted), Err(StoreError::Job(error))) => assert_eq!(*wanted, error, "{op:?}"),
            (Told::Enqueued(number, new), Ok(Got::Enqueued(Enqueued { id, is_new }))) => {
                let known = *self.job_name(*number).get_or_insert(id);
                assert_eq!((id, is_new), (known, *new), "{op:?}");
            }
            (Told::Taken(number) | Told::Job(number), Ok(Got::Job(job))) => {
                assert_eq!(job, Sight { world, names: &self.names }.job(*number), "{op:?}");
            }
            (Told::Imported(head, moved), Ok(Got::Imported(Imported::Stored(stored), again))) => {
                assert_eq!(stored, Seq(*head), "{op:?}");
                let wanted = if *moved { Imported::Moved(stored) } else { Imported::Stored(stored) };
                assert_eq!(again.unwrap_or(wanted.clone()), wanted, "{op:?}");
            }
            (told, got) => panic!("{op:?}: {} and not {told:?}", word(&got)),
        }
    }

    /// What the job is called, once that is known.
    fn job_name(&mut self, number: usize) -> &mut Option<JobId> {
        if self.names.jobs.len() <= number {
            self.names.jobs.resize(number + 1, None);
        }
        &mut self.names.jobs[number]
    }

    /// Finds the ids of jobs of which nobody has heard, or which the store has made by itself.
    async fn learn_jobs(&mut self) {
        let (now, all) = (self.world.now, self.world.queue.all.len());
        if all > 0 {
            self.job_name(all - 1);
        }
        for state in [JobStateName::Queued, JobStateName::Running, JobStateName::Parked] {
            for job in self.store.jobs(state, None, 1000).await.unwrap() {
                if self.names.jobs.contains(&Some(job.id)) {
                    continue;
                }
                let sight = Sight { world: &self.world, names: &self.names };
                let is_it = |number: &usize| {
                    let work = &self.world.queue.all[*number];
                    let (payload, state) = (sight.payload(work), work.state);
                    let fits = payload == job.payload && (work.is_unsure(now) || state == job.state);
                    self.names.jobs[*number].is_none() && fits && (work.is_there(now) || work.is_unsure(now))
                };
                let found = (0..all).find(is_it).unwrap_or_else(|| panic!("nobody has enqueued {job:?}"));
                self.names.jobs[found] = Some(job.id);
            }
        }
        for (work, name) in self.world.queue.all.iter_mut().zip(&self.names.jobs) {
            work.known = name.is_some();
        }
    }

    /// Reads the ids of messages whose acknowledgement nobody has heard.
    pub(super) async fn learn(&mut self) {
        self.learn_jobs().await;
        for number in 0..self.world.sessions.len() {
            let log = &self.world.sessions[number];
            if log.deleted || self.world.is_adrift(number) {
                continue;
            }
            for seq in log.shown() {
                if self.names.messages.contains_key(&(number, seq)) {
                    continue;
                }
                let range = PageRange { after: Some(Seq(seq - 1)), before: None, limit: 1 };
                let page = shown(self.store.page(self.names.sessions[number], range).await, &mut self.tags).unwrap();
                let id =
                    page["messages"][0]["id"].as_str().unwrap_or_else(|| panic!("session {number}: {seq} is lost"));
                self.names.messages.insert((number, seq), id.parse().unwrap());
            }
        }
        // Those of sessions that went before anyone looked are never shown.
        for (number, log) in self.world.sessions.iter().enumerate() {
            for seq in 1..=log.head() {
                self.names.messages.entry((number, seq)).or_default();
            }
        }
    }
}

/// Polls once.
pub(super) async fn once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

fn word(got: &Result<Got, StoreError>) -> String {
    match got {
        Ok(Got::Done) => "done".to_owned(),
        Ok(Got::Flag(flag)) => flag.to_string(),
        Ok(Got::User(user)) => user.id.to_string(),
        Ok(Got::Session(session, new)) => format!("{session:?}, new: {new}"),
        Ok(Got::Message(appended)) => format!("{appended:?}"),
        Ok(Got::Reply(reply)) => format!("{reply:?}"),
        Ok(Got::Items(added)) => format!("{added:?}"),
        Ok(Got::Erased(erasure)) => format!("{erasure:?}"),
        Ok(Got::Enqueued(enqueued)) => format!("{enqueued:?}"),
        Ok(Got::Job(job)) => format!("{job:?}"),
        Ok(Got::Imported(first, again)) => format!("{first:?}, again {again:?}"),
        Err(error) => error.to_string(),
    }
}
