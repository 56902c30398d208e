//! What export and import ask for.

use super::{Account, ControlAnswer, ImportAccount};
use crate::{
    auth::{Auth, AuthError, ImportedAccount},
    id::UserId,
    store::{ExportCursor, Import, Passwords, Store},
    text::{DisplayName, SystemPrompt, Title, Username},
};

pub(super) async fn export(
    store: &Store,
    user: UserId,
    after: Option<ExportCursor>,
    passwords: Passwords,
) -> Result<ControlAnswer, String> {
    let part = store.export(user, after, passwords).await.map_err(|error| error.to_string())?;
    Ok(match part {
        Some((lines, next)) => {
            ControlAnswer::Exported { lines: String::from_utf8_lossy(&lines).into_owned(), next: Some(next) }
        }
        None => ControlAnswer::Exported { lines: String::new(), next: None },
    })
}

pub(super) async fn import_user(auth: &Auth, account: ImportAccount) -> Result<ControlAnswer, String> {
    let username = Username::new(&account.username).map_err(|fault| AuthError::from(fault).to_string())?;
    let display_name = account.display_name.unwrap_or_else(|| username.as_str().to_owned());
    let imported = ImportedAccount {
        display_name: DisplayName::new(display_name).map_err(|fault| format!("the display name {fault}"))?,
        username,
        role: account.role,
        tier: account.tier,
        disabled: account.disabled,
        created_at: account.created_at,
        password: account.password.map(|password| password.0),
    };
    let (user, made) = auth.import_user(imported).await.map_err(|error| error.to_string())?;
    Ok(ControlAnswer::ImportedUser { user: Account::from(user.as_ref()), made })
}

pub(super) async fn import(store: &Store, import: Import) -> Result<ControlAnswer, String> {
    if let Some(make) = &import.make {
        // The same rules as for what a client brings.
        make.title.clone().map(Title::new).transpose().map_err(|fault| format!("the title {fault}"))?;
        let prompt = make.system_prompt.clone().map(SystemPrompt::new).transpose();
        prompt.map_err(|fault| format!("the system prompt {fault}"))?;
    }
    let imported = store.import(import).await.map_err(|error| error.to_string())?;
    Ok(ControlAnswer::Imported { imported })
}
