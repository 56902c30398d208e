//! `bondhu export`: everything of one account, or of all, as JSON Lines.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{Failure, load, operator::Operator, print, progress::Progress};
use crate::{
    cli::Export,
    cli::Settings,
    control::{ControlAnswer, ControlRequest, USERS_MAX},
    id::UserId,
    store::Passwords,
};

/// How the line of a message begins.
const MESSAGE: &str = "{\"type\":\"message\"";

pub(super) fn run(first: Settings, export: Export) -> Result<(), Failure> {
    let Export { user, out, force, with_passwords, settings } = export;
    if with_passwords && out.is_none() {
        return Err(Failure::Misused("--with-passwords needs --out: the hashes are a secret".to_owned()));
    }
    if let Some(there) = out.as_ref().filter(|out| !force && out.symlink_metadata().is_ok()) {
        return Err(Failure::Misused(format!("{} is there: name another file, or add --force", there.display())));
    }
    let operator = Operator::of_existing(&load(&[first, settings], true)?)?;
    let passwords = if with_passwords { Passwords::With } else { Passwords::Without };
    let mut progress = Progress::counting("exporting");
    let exported = users(&operator, user).and_then(|users| {
        let mut sink = Sink::open(out.as_deref())?;
        let mut all = || {
            let mut messages = 0;
            for (done, user) in (1..).zip(&users) {
                messages += write(&operator, *user, passwords, &mut sink)?;
                progress.step(done, users.len() as u64);
            }
            sink.finish()?;
            Ok((users.len(), messages))
        };
        all().map_err(|failure| sink.abandon(failure))
    });
    progress.end();
    operator.end();
    let (users, messages) = exported?;
    // Where the lines go to the standard output, nothing else does.
    let Some(out) = out else { return Ok(()) };
    print(&format!("users       {users}\nmessages    {messages}\nexported    {}\n", out.display()))
}

/// The account that was named, or all, oldest first.
fn users(operator: &Operator, name: Option<String>) -> Result<Vec<UserId>, Failure> {
    if let Some(username) = name {
        let answer = operator.ask(ControlRequest::UserFind { username })?;
        let ControlAnswer::User { user } = answer else { return Err(unexpected(&answer)) };
        return Ok(vec![user.id]);
    }
    let mut ids: Vec<UserId> = Vec::new();
    loop {
        let answer = operator.ask(ControlRequest::UserList { after: ids.last().copied() })?;
        let ControlAnswer::Users { users } = answer else { return Err(unexpected(&answer)) };
        ids.extend(users.iter().map(|user| user.id));
        if users.len() < USERS_MAX {
            return Ok(ids);
        }
    }
}

/// Writes everything of an account; gives how many messages that are.
fn write(operator: &Operator, user: UserId, passwords: Passwords, sink: &mut Sink) -> Result<usize, Failure> {
    let (mut after, mut messages) = (None, 0);
    loop {
        let answer = operator.ask(ControlRequest::Export { user, after, passwords })?;
        let ControlAnswer::Exported { lines, next } = answer else { return Err(unexpected(&answer)) };
        sink.write(&lines)?;
        messages += lines.lines().filter(|line| line.starts_with(MESSAGE)).count();
        if next.is_none() {
            return Ok(messages);
        }
        after = next;
    }
}

/// What the server should not have answered.
pub(super) fn unexpected(answer: &ControlAnswer) -> Failure {
    Failure::Failed(format!("the server answers something else: {answer:?}"))
}

/// Where the lines go: a file is there under its name once it is whole.
enum Sink {
    Output(BufWriter<io::Stdout>),
    File { file: BufWriter<File>, partial: PathBuf, path: PathBuf },
}

impl Sink {
    fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::Output(BufWriter::new(io::stdout()))) };
        let partial = path.with_added_extension("partial");
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial);
        let file = file.map_err(|error| Failure::Failed(format!("{}: {error}", partial.display())))?;
        Ok(Self::File { file: BufWriter::new(file), partial, path: path.to_owned() })
    }

    fn write(&mut self, lines: &str) -> Result<(), Failure> {
        let written = match self {
            Self::Output(output) => output.write_all(lines.as_bytes()),
            Self::File { file, .. } => file.write_all(lines.as_bytes()),
        };
        written.map_err(|error| Failure::Failed(format!("the export can't be written: {error}")))
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let mut finish = || match self {
            Self::Output(output) => output.flush(),
            Self::File { file, partial, path } => {
                file.flush()?;
                file.get_ref().sync_all()?;
                std::fs::rename(partial, path)
            }
        };
        finish().map_err(|error| Failure::Failed(format!("the export can't be written: {error}")))
    }

    /// Takes away what was written of a file that does not become whole: where the disk is full, others need the room. Gives
    /// the failure again, with what is left where even that fails.
    fn abandon(self, failure: Failure) -> Failure {
        let Self::File { partial, .. } = self else { return failure };
        match std::fs::remove_file(&partial) {
            Ok(()) => failure,
            Err(error) if error.kind() == io::ErrorKind::NotFound => failure,
            Err(error) => {
                let (why, partial) = (failure.into_words(), partial.display());
                Failure::Failed(format!("{why}; and {partial}, which is not whole, can't be removed: {error}"))
            }
        }
    }
}
