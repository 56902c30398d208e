//! Tokens on the wire: the `Authorization` header and the cookie. Whose token it is, `auth` says; whose the client means
//! it to be, it may say itself.

use std::time::Duration;

use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue},
};

use super::problem::Problem;
use crate::id::UserId;

/// The user whose login the client means to show.
const MEANT: HeaderName = HeaderName::from_static("x-bondhu-user");

/// The cookie on a connection that others might read; only for trying things out on one machine.
const PLAIN: &str = "bondhu";
/// The cookie over TLS: browsers take the prefix only with `Secure`, and from this very host.
const SECURE: &str = "__Host-bondhu";

/// A token that a request shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown<'r> {
    /// Its text, not yet believed.
    pub(super) token: &'r str,
    /// True where it came by cookie only: then a page of another site may have sent it.
    pub(super) by_cookie: bool,
}

/// The one token that the request shows, or none.
///
/// # Errors
/// 400 where two are shown that differ; 401 for an `Authorization` that is no bearer token.
pub(super) fn shown(headers: &HeaderMap, secure: bool) -> Result<Option<Shown<'_>>, Problem> {
    let cookie = cookie(headers, if secure { SECURE } else { PLAIN })?;
    let bearer = bearer(headers)?;
    match (bearer, cookie) {
        (Some(bearer), Some(cookie)) if bearer != cookie => Err(two_identities()),
        (Some(token), _) => Ok(Some(Shown { token, by_cookie: false })),
        (None, Some(token)) => Ok(Some(Shown { token, by_cookie: true })),
        (None, None) => Ok(None),
    }
}

fn two_identities() -> Problem {
    Problem::bad_request("The request shows two different logins; please send one token, once.")
}

/// The token in `Authorization`.
///
/// # Errors
/// 400 where there are two; 401 where it is no bearer token.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(two_identities());
    }
    let text = value.to_str().map_err(|_| Problem::dead_token())?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && is_token(token) => Ok(Some(token)),
        Some(_) | None => Err(Problem::dead_token()),
    }
}

/// The characters of RFC 6750's `b64token`.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}

fn cookie<'r>(headers: &'r HeaderMap, name: &str) -> Result<Option<&'r str>, Problem> {
    let lines = headers.get_all(COOKIE);
    let pairs = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    let mut values = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(key, _)| *key == name);
    let Some((_, value)) = values.next() else { return Ok(None) };
    if values.any(|(_, other)| other != value) {
        return Err(two_identities());
    }
    Ok(Some(value).filter(|value| !value.is_empty()))
}

/// Refuses a request whose client means another user than `caller`, whom the token proved. A client need not say.
///
/// The cookie belongs to the browser: a tab that still shows one user may wake up after another has logged in, and what
/// it sends would go into the other's account. This keeps an honest page from that mistake. It is no security boundary:
/// who asks is decided by the token alone.
///
/// # Errors
/// 409 where the header is not exactly the caller's id, once.
pub(super) fn check_meant(headers: &HeaderMap, caller: UserId) -> Result<(), Problem> {
    let mut all = headers.get_all(MEANT).iter();
    let Some(meant) = all.next() else { return Ok(()) };
    let id = meant.to_str().ok().and_then(|text| text.parse().ok());
    if id == Some(caller) && all.next().is_none() { Ok(()) } else { Err(Problem::other_login()) }
}

/// The `Set-Cookie` that keeps `token` for as long as it holds.
pub(super) fn set_cookie(token: &str, lifetime: Duration, secure: bool) -> HeaderValue {
    let (name, flag) = if secure { (SECURE, "; Secure") } else { (PLAIN, "") };
    let seconds = lifetime.as_secs();
    HeaderValue::try_from(format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{flag}"))
        .expect("tokens are made of letters and digits")
}

/// The `Set-Cookie` that takes the token away again.
pub(super) fn clear_cookie(secure: bool) -> HeaderValue {
    set_cookie("", Duration::ZERO, secure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn by(lines: &[(&'static str, &'static str)], secure: bool) -> Result<Option<(String, bool)>, u16> {
        match shown(&headers(lines), secure) {
            Ok(shown) => Ok(shown.map(|shown| (shown.token.to_owned(), shown.by_cookie))),
            Err(problem) => Err(problem.status().as_u16()),
        }
    }

    #[test]
    fn a_token_comes_by_header_or_by_cookie() {
        let shown = |by_cookie| Ok(Some(("t1".to_owned(), by_cookie)));
        assert_eq!(by(&[], false), Ok(None));
        assert_eq!(by(&[("authorization", "Bearer t1")], false), shown(false));
        assert_eq!(by(&[("authorization", "bEARER t1")], true), shown(false));
        assert_eq!(by(&[("cookie", "a=b; bondhu=t1; c")], false), shown(true));
        assert_eq!(by(&[("cookie", "bondhu=t1"), ("cookie", "x=y")], false), shown(true));
        assert_eq!(by(&[("cookie", "bondhu=t1; bondhu=t1"), ("authorization", "Bearer t1")], false), shown(false));
    }

    #[test]
    fn over_tls_only_the_host_bound_cookie_counts() {
        let cookies = &[("cookie", "bondhu=planted; __Host-bondhu=t1")];
        assert_eq!(by(cookies, true), Ok(Some(("t1".to_owned(), true))));
        assert_eq!(by(&[("cookie", "bondhu=planted")], true), Ok(None));
        assert_eq!(by(&[("cookie", "__Host-bondhu=t1")], false), Ok(None));
    }

    #[test]
    fn two_tokens_are_400_and_a_malformed_one_401() {
        assert_eq!(by(&[("authorization", "Bearer a"), ("authorization", "Bearer a")], false), Err(400));
        assert_eq!(by(&[("authorization", "Bearer a"), ("cookie", "bondhu=b")], false), Err(400));
        assert_eq!(by(&[("cookie", "bondhu=a; bondhu=b")], false), Err(400));
        for malformed in ["Bearer", "Bearer ", "Bearer  x y", "Bearer x y", "Basic dTpw", "Bearer \"x\"", "x"] {
            assert_eq!(by(&[("authorization", malformed)], false), Err(401), "{malformed:?}");
        }
    }

    #[test]
    fn a_login_that_the_client_does_not_mean_is_409_and_saying_nothing_is_fine() {
        let own = UserId::new();
        let check = |lines: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(MEANT, HeaderValue::from_bytes(line).unwrap());
            }
            check_meant(&headers, own).map_err(|problem| problem.status().as_u16())
        };
        let text = own.to_string();
        let (id, capitals) = (text.as_bytes(), text.to_uppercase());
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[id]), Ok(()));
        assert_eq!(check(&[capitals.as_bytes()]), Ok(()), "an id's case does not matter anywhere");
        let (other, bare, list) = (UserId::new().to_string(), text.replace('-', ""), format!("{text}, {text}"));
        for wrong in [other.as_bytes(), bare.as_bytes(), list.as_bytes(), b"", b"me", b"\xff"] {
            assert_eq!(check(&[wrong]), Err(409), "{wrong:?}");
            assert_eq!(check(&[id, wrong]), Err(409), "{wrong:?}");
        }
        assert_eq!(check(&[id, id]), Err(409));
    }

    #[test]
    fn the_cookie_is_for_this_site_and_not_for_scripts() {
        let plain = "bondhu=t1; Path=/; HttpOnly; SameSite=Strict; Max-Age=60";
        assert_eq!(set_cookie("t1", Duration::from_mins(1), false), plain);
        assert_eq!(set_cookie("t1", Duration::from_mins(1), true), format!("__Host-{plain}; Secure"));
        assert_eq!(clear_cookie(false), "bondhu=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    }
}
