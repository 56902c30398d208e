//! What programs are told that ask by an API key, and people who make one.

use super::{MANY_KEYS, OUT_OF_SCOPE, Problem};
use crate::auth::Scope;

impl Problem {
    /// 403 for an API key that does not allow it; `needs` is the scope that would, where there is one.
    pub(super) fn out_of_scope(needs: Option<Scope>) -> Self {
        match needs {
            Some(scope) => {
                let name = scope.name();
                Self::new(
                    &OUT_OF_SCOPE,
                    format!("This API key does not have the scope \"{name}\"; please use one that has it."),
                )
            }
            None => Self::new(
                &OUT_OF_SCOPE,
                "No scope of an API key allows this; please log in with your password and use that token.",
            ),
        }
    }

    /// 409 where the user has `max` keys.
    pub(super) fn too_many_keys(max: usize) -> Self {
        Self::new(&MANY_KEYS, format!("You have {max} API keys already; please end one that nobody uses any more."))
    }
}

/// What is said of a path where there is nothing: programs for OpenAI's API whose base URL lacks its end ask there.
pub(super) fn where_instead(path: &str) -> &'static str {
    if crate::http::routes::is_v1(path) {
        return "This server has no such call: it is not supported here, or its path is not spelled so. /docs lists those \
                that there are.";
    }
    let path = path.trim_start_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if path.starts_with("chat/completions") || ["models", "responses", "conversations", "embeddings"].contains(&first) {
        "There is nothing at this path; OpenAI's API begins at /v1 here: please set the base URL to one that ends with /v1."
    } else {
        "There is nothing at this path; please check its spelling."
    }
}
