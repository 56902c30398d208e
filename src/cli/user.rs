//! `bondhu user`, as types for clap.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Settings;
use crate::{
    auth::{KeyLifetime, Scope},
    id::TokenId,
    store::{Role, Tier},
};

/// `user`
#[derive(Debug, Args)]
pub struct User {
    /// Settings between `user` and what to do.
    #[command(flatten)]
    pub settings: Settings,
    /// What to do.
    #[command(subcommand)]
    pub command: UserCommand,
}

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add an account; asks for its password
    #[command(after_help = "\
Examples:
  bondhu user add alice --admin
  bondhu user add bob --tier premium --display-name 'Bob B.'
  pwgen 20 1 | bondhu user add carol --password-file -")]
    Add(UserAdd),
    /// List all accounts, oldest first
    List(Settings),
    /// Give an account a new password; every login of it ends
    #[command(after_help = "\
Examples:
  bondhu user passwd alice
  bondhu user passwd alice --password-file /run/secrets/alice")]
    Passwd(UserPasswd),
    /// Make an account a plain user or an administrator
    #[command(after_help = "Example:\n  bondhu user role alice admin")]
    Role(UserRole),
    /// Choose the limits that hold for an account (`[limits]` in the configuration)
    #[command(after_help = "Example:\n  bondhu user tier bob premium")]
    Tier(UserTier),
    /// Shut an account: every login of it ends, and none is given; its data stays
    #[command(after_help = "Example:\n  bondhu user disable mallory")]
    Disable(UserName),
    /// Open an account again that was shut
    #[command(after_help = "Example:\n  bondhu user enable mallory")]
    Enable(UserName),
    /// Delete an account and everything in it, for good; asks for the name once more
    #[command(after_help = "\
Examples:
  bondhu user delete mallory
  bondhu user delete load-000001 --yes")]
    Delete(UserDelete),
    /// List the API keys of an account, oldest first: id, when made, when it ends, last use, scopes, name
    #[command(after_help = "Example:\n  bondhu user keys alice")]
    Keys(UserName),
    /// Make an API key of an account, and print it: it is shown this once
    #[command(after_help = "\
Examples:
  bondhu user key alice --name 'notes on my laptop' --scopes conversations
  bondhu user key bot --name ci --scopes models,completions --days 30 > key")]
    Key(UserKey),
    /// End an API key of an account; `bondhu user keys` shows its id
    #[command(after_help = "Example:\n  bondhu user revoke alice 0197b1c2-7a3e-7c4d-9b1a-2f3e4d5c6b7a")]
    Revoke(UserRevoke),
    /// Make an invitation code for one registration (auth.registration = "invite")
    #[command(after_help = "Example:\n  bondhu user invite")]
    Invite(Settings),
}

/// `user add`
#[derive(Debug, Args)]
pub struct UserAdd {
    /// The user name
    pub name: String,
    /// Make it an administrator
    #[arg(long)]
    pub admin: bool,
    /// The limits that hold for it
    #[arg(long, value_enum, default_value_t = TierName::Free)]
    pub tier: TierName,
    /// How to call the person [default: the user name]
    #[arg(long, value_name = "NAME")]
    pub display_name: Option<String>,
    /// Where the password comes from.
    #[command(flatten)]
    pub password: PasswordSource,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `user passwd`
#[derive(Debug, Args)]
pub struct UserPasswd {
    /// The account
    pub name: String,
    /// Where the password comes from.
    #[command(flatten)]
    pub password: PasswordSource,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `user role`
#[derive(Debug, Args)]
pub struct UserRole {
    /// The account
    pub name: String,
    /// Its new role
    pub role: RoleName,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `user tier`
#[derive(Debug, Args)]
pub struct UserTier {
    /// The account
    pub name: String,
    /// Its new tier
    pub tier: TierName,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `user key`
#[derive(Debug, Args)]
pub struct UserKey {
    /// The account
    pub user: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub name: String,
    /// What it allows, parted by commas
    #[arg(long, value_enum, required = true, value_delimiter = ',')]
    pub scopes: Vec<ScopeName>,
    /// How long it holds, days, up to 3650
    #[arg(long, default_value_t = KeyLifetime::DAYS_DEFAULT)]
    pub days: u32,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// A scope on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeName {
    /// List the models
    Models,
    /// Have something answered of which nothing is kept
    Completions,
    /// Read, write and delete conversations
    Conversations,
    /// Read conversations
    Read,
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Models => Self::Models,
            ScopeName::Completions => Self::Completions,
            ScopeName::Conversations => Self::Conversations,
            ScopeName::Read => Self::Read,
        }
    }
}

/// `user revoke`
#[derive(Debug, Args)]
pub struct UserRevoke {
    /// The account
    pub name: String,
    /// The key's id, which is not its secret
    pub id: TokenId,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `user disable`, `user enable` and `user keys`
#[derive(Debug, Args)]
pub struct UserName {
    /// The account
    pub name: String,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `user delete`
#[derive(Debug, Args)]
pub struct UserDelete {
    /// The account
    pub name: String,
    /// Don't ask
    #[arg(long)]
    pub yes: bool,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// Where a password comes from: never from an argument, which every user of the machine can read.
#[derive(Debug, Args)]
pub struct PasswordSource {
    /// Read the password from the first line of FILE (- is the standard input) instead of asking for it
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// A role on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Uses the server
    User,
    /// Operates it
    Admin,
}

/// A tier on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TierName {
    /// [limits.free]
    Free,
    /// [limits.premium]
    Premium,
    /// [limits.unlimited]
    Unlimited,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::User => Self::User,
            RoleName::Admin => Self::Admin,
        }
    }
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Free => Self::Free,
            TierName::Premium => Self::Premium,
            TierName::Unlimited => Self::Unlimited,
        }
    }
}
