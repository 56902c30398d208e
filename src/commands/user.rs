//! `bondhu user`: accounts, as an operator.

use std::io::IsTerminal;

use super::{Failure, load, operator::Operator, password};
use crate::{
    cli::{Settings, User, UserCommand},
    control::ControlRequest,
    store::Role,
};

pub(super) fn run(first: Settings, User { settings, command }: User) -> Result<(), Failure> {
    let loaded = load(&[first, settings, last_settings(&command).clone()], true)?;
    // The first account of a new server is made before its directory.
    let may_create = matches!(command, UserCommand::Add(_) | UserCommand::Invite(_));
    // What is missing is asked for first: a person who thinks about a password holds no lock.
    let request = request(command)?;
    let operator = if may_create { Operator::of(&loaded)? } else { Operator::of_existing(&loaded)? };
    match request {
        Some(request) => operator.perform(request),
        None => operator.list_users(),
    }
}

/// The settings at the end of the line.
fn last_settings(command: &UserCommand) -> &Settings {
    match command {
        UserCommand::List(settings) | UserCommand::Invite(settings) => settings,
        UserCommand::Add(add) => &add.settings,
        UserCommand::Passwd(passwd) => &passwd.settings,
        UserCommand::Role(role) => &role.settings,
        UserCommand::Tier(tier) => &tier.settings,
        UserCommand::Delete(user) => &user.settings,
        UserCommand::Disable(user) | UserCommand::Enable(user) | UserCommand::Keys(user) => &user.settings,
        UserCommand::Key(key) => &key.settings,
        UserCommand::Revoke(revoke) => &revoke.settings,
    }
}

/// What to ask for; nothing for `list`, which asks page by page.
fn request(command: UserCommand) -> Result<Option<ControlRequest>, Failure> {
    Ok(Some(match command {
        UserCommand::List(_) => return Ok(None),
        UserCommand::Add(add) => ControlRequest::UserAdd {
            username: add.name,
            password: password::read(&add.password)?,
            display_name: add.display_name,
            role: if add.admin { Role::Admin } else { Role::User },
            tier: add.tier.into(),
        },
        UserCommand::Passwd(passwd) => {
            ControlRequest::UserPasswd { username: passwd.name, password: password::read(&passwd.password)? }
        }
        UserCommand::Role(it) => ControlRequest::UserRole { username: it.name, role: it.role.into() },
        UserCommand::Tier(it) => ControlRequest::UserTier { username: it.name, tier: it.tier.into() },
        UserCommand::Disable(it) => ControlRequest::UserDisable { username: it.name },
        UserCommand::Enable(it) => ControlRequest::UserEnable { username: it.name },
        UserCommand::Delete(it) => {
            if !it.yes {
                confirm(&it.name)?;
            }
            ControlRequest::UserDelete { username: it.name }
        }
        UserCommand::Keys(it) => ControlRequest::UserKeys { username: it.name },
        UserCommand::Key(it) => ControlRequest::UserKey {
            username: it.user,
            name: it.name,
            scopes: it.scopes.into_iter().map(Into::into).collect(),
            days: it.days,
        },
        UserCommand::Revoke(it) => ControlRequest::UserRevoke { username: it.name, id: it.id },
        UserCommand::Invite(_) => ControlRequest::UserInvite {},
    }))
}

/// Has a person type the name once more: what is deleted does not come back.
fn confirm(name: &str) -> Result<(), Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::Misused("nobody is there to be asked: add --yes to delete the account".to_owned()));
    }
    eprint!("This deletes the account {name:?}, its sessions and messages for good. Its name once more: ");
    let mut typed = String::new();
    stdin.read_line(&mut typed).map_err(|error| Failure::Failed(format!("the terminal can't be read: {error}")))?;
    if typed.trim() == name {
        return Ok(());
    }
    Err(Failure::Failed("that is another name, so nothing was deleted".to_owned()))
}
