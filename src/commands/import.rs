//! `bondhu import`: files of other systems, and of other servers.

mod open;
mod report;
mod sender;

use std::{collections::HashMap, path::PathBuf};

use self::{report::Report, sender::Sender};
use super::{Failure, export::unexpected, load, note, operator::Operator, print, progress::Progress};
use crate::{
    cli::{FormatName, Import, Settings},
    control::{Account, ControlAnswer, ControlRequest},
    import::{self, Event, Format},
};

/// How the files are to be read.
struct Options {
    /// Whose everything becomes.
    user: Option<String>,
    /// Whose the conversations of a user of the old system become.
    map: HashMap<String, String>,
    /// True where roles and password hashes are taken over.
    trust: bool,
}

pub(super) fn run(first: Settings, command: Import) -> Result<(), Failure> {
    let Import { files, format, user, map, trust, report, settings } = command;
    let loaded = load(&[first, settings], true)?;
    let files = files.into_iter().map(|path| with_format(path, format)).collect::<Result<Vec<_>, _>>()?;
    let needs_user = |format: &Format| matches!(format, Format::Chatgpt | Format::OpenWebui);
    if let (None, Some((path, _))) = (&user, files.iter().find(|(_, format)| needs_user(format))) {
        return Err(Failure::Misused(format!("{} does not say whose it is: add --user NAME", path.display())));
    }
    let options = Options { user, map: map.into_iter().collect(), trust };
    let operator = Operator::of(&loaded)?;
    // Before anything is written: a half of the file under the wrong heading is hard to find.
    let mut names = options.user.iter().chain(options.map.values());
    let found = names.try_for_each(|name| find_account(&operator, name.clone()).map(drop));
    let mut report = match found.and_then(|()| Report::open(report.as_deref())) {
        Ok(report) => report,
        Err(why) => {
            operator.end();
            return Err(why);
        }
    };
    let imported =
        files.iter().try_for_each(|(path, format)| import(&operator, &options, (path, *format), &mut report));
    operator.end();
    for (old, name) in &options.map {
        if imported.is_ok() && !report.is_mapped(old) {
            note(&format!(
                "warning: --map {old}={name}: no file has a user with the id {old:?}, so nothing went to {name}"
            ));
        }
    }
    print(&report.text())?;
    report.finish()?;
    imported?;
    if report.is_nothing() {
        return Err(Failure::Failed("nothing was imported: see above what was left out".to_owned()));
    }
    if report.is_of_broken_file() {
        let why = "not everything was imported, because a file is broken: see above where; what is right in it was imported, and \
                   a mended file adds the rest";
        return Err(Failure::Failed(why.to_owned()));
    }
    Ok(())
}

/// The account of this name.
fn find_account(operator: &Operator, username: String) -> Result<Account, Failure> {
    let advice = format!("no account {username:?}: add it by \"bondhu user add\" first");
    let found = operator.ask(ControlRequest::UserFind { username });
    let answer = found.map_err(|why| Failure::Failed(format!("{advice} ({})", why.into_words())))?;
    let ControlAnswer::User { user } = answer else { return Err(unexpected(&answer)) };
    Ok(user)
}

fn with_format(path: PathBuf, format: Option<FormatName>) -> Result<(PathBuf, Format), Failure> {
    if let Some(format) = format {
        return Ok((path, format.into()));
    }
    match import::detect(&path) {
        Ok(Some(format)) => Ok((path, format)),
        Ok(None) => {
            let shown = path.display();
            Err(Failure::Misused(format!("{shown} is of no form that is known; say --format if it is of one")))
        }
        Err(error) => Err(Failure::Failed(error.to_string())),
    }
}

fn import(
    operator: &Operator,
    options: &Options,
    (path, format): (&PathBuf, Format),
    report: &mut Report,
) -> Result<(), Failure> {
    let mut progress = Progress::new("importing");
    report.begin(path);
    let mut sender = Sender::new(operator, options, format, report);
    let read = import::read(path, format, &mut |event| match event {
        Event::Progress(done, total) => {
            progress.step(done, total);
            Ok(())
        }
        event @ (Event::Account(_) | Event::Talk(_) | Event::Said(_) | Event::Note(_)) => sender.take(event),
    });
    let done = read.and_then(|()| sender.finish());
    progress.end();
    // What was read before stands, and is found again by the next import.
    done.map_err(|error| Failure::Failed(error.to_string()))
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Bondhu => Self::Bondhu,
            FormatName::Old => Self::Old,
            FormatName::Chatgpt => Self::Chatgpt,
            FormatName::OpenWebui => Self::OpenWebui,
        }
    }
}
