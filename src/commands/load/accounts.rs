//! The users: made through a few connections, because each costs the server a password hash, and kept in a file for the
//! next run.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fs::OpenOptions,
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    bench::{Answer, Bench, Question, Tab},
    figures::Call,
    random::Random,
};

/// Connections on which accounts are made.
const AT_ONCE: usize = 8;
/// How often one account is tried where the server refuses.
const TRIES: u32 = 600;
/// How long the server may do nothing but refuse, to all who ask.
const REFUSED_MAX: Duration = Duration::from_secs(10);

/// A user who is logged in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) username: String,
    pub(super) password: String,
    pub(super) id: String,
    /// None where the server has no logins.
    pub(super) token: Option<String>,
}

/// All users of this run: from the file as far as it has them, the others made now and added to it.
pub(super) async fn gather(bench: &Rc<Bench>, made: impl Fn(u64)) -> Result<Vec<Account>, String> {
    let wanted = usize::try_from(bench.options.users).unwrap_or(0);
    if bench.options.no_auth {
        return Ok((0..wanted).map(without_login).collect());
    }
    let file = bench.options.users_file.as_deref();
    let mut accounts = file.map_or(Ok(Vec::new()), read).map_err(|error| format!("the users file: {error}"))?;
    accounts.truncate(wanted);
    made(u64::try_from(accounts.len()).unwrap_or(0));
    let waiting: Rc<RefCell<VecDeque<usize>>> = Rc::new(RefCell::new((accounts.len()..wanted).collect()));
    let (done, made) = (Rc::new(RefCell::new(Vec::new())), &made);
    let answered = &Cell::new(Instant::now());
    let makers = (0..AT_ONCE).map(|_| async {
        let mut tab = bench.tab(None);
        loop {
            let Some(number) = waiting.borrow_mut().pop_front() else { return Ok(()) };
            let account = make(bench, &mut tab, answered, number).await?;
            done.borrow_mut().push((number, account));
            made(u64::try_from(wanted - waiting.borrow().len()).unwrap_or(0));
        }
    });
    let made = all(makers).await;
    let mut new = done.take();
    new.sort_by_key(|(number, _)| *number);
    let new: Vec<Account> = new.into_iter().map(|(_, account)| account).collect();
    if let Some(path) = file {
        append(path, &new).map_err(|error| format!("the users file: {error}"))?;
    }
    accounts.extend(new);
    made.map(|()| accounts)
}

/// Runs all of them at once, and gives the first failure.
async fn all(futures: impl IntoIterator<Item = impl Future<Output = Result<(), String>>>) -> Result<(), String> {
    let mut running: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut failed = Ok(());
    std::future::poll_fn(|context| {
        for slot in &mut running {
            if let Some(future) = slot
                && let std::task::Poll::Ready(ended) = future.as_mut().poll(context)
            {
                *slot = None;
                if failed.is_ok() {
                    failed = ended;
                }
            }
        }
        if running.iter().all(Option::is_none) {
            return std::task::Poll::Ready(std::mem::replace(&mut failed, Ok(())));
        }
        std::task::Poll::Pending
    })
    .await
}

fn without_login(number: usize) -> Account {
    let id = uuid::Uuid::new_v4().to_string();
    Account { username: format!("load-{number}"), password: String::new(), id, token: None }
}

async fn make(bench: &Bench, tab: &mut Tab, answered: &Cell<Instant>, number: usize) -> Result<Account, String> {
    let seed = bench.seed;
    let (username, password) = (format!("load-{seed:016x}-{number}"), format!("stone-{seed:x}-river-{number}"));
    let body = json!({"username": username, "password": password}).to_string();
    // Where the seed was used before, the account is there.
    let register = Question::post(Call::Register, "/api/v1/auth/register", body.clone());
    post(bench, tab, answered, Question { also: 409, ..register }).await?;
    let login = post(bench, tab, answered, Question::post(Call::Login, "/api/v1/auth/login", body)).await?;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let (token, id) = (text(&login["token"]), text(&login["user"]["id"]));
    match (token, id) {
        (Some(token), Some(id)) => Ok(Account { username, password, id, token: Some(token) }),
        _ => Err(format!("a login was answered without a token: {login}")),
    }
}

/// Posts until it is not refused, or the server has done nothing but refuse since `answered` for too long.
async fn post(
    bench: &Bench,
    tab: &mut Tab,
    answered: &Cell<Instant>,
    question: Question<'_>,
) -> Result<serde_json::Value, String> {
    let mut random = Random::new(bench.seed, u64::from(bench.connections.get()));
    let path = question.path;
    for _ in 0..TRIES {
        let question = question.clone();
        match tab.ask(bench, Instant::now(), question).await {
            Answer::Ok(reply) => {
                answered.set(Instant::now());
                return serde_json::from_slice(reply.body()).map_err(|error| format!("{path}: {error}"));
            }
            Answer::Refused if answered.get().elapsed() >= REFUSED_MAX => {
                let (seconds, last) = (REFUSED_MAX.as_secs(), bench.refusal.borrow());
                return Err(format!(
                    "no account can be made: the server refused everything for {seconds} s, at last with {last}"
                ));
            }
            Answer::Refused => tokio::time::sleep(random.around(Duration::from_millis(300))).await,
            Answer::Status(_) | Answer::Nothing => break,
        }
    }
    let errors = bench.figures.borrow();
    let said = errors.errors.keys().next().cloned().unwrap_or_else(|| "it refuses".to_owned());
    Err(format!("no account can be made: {said}"))
}

fn read(path: &Path) -> io::Result<Vec<Account>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    BufReader::new(file).lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

/// Adds accounts to the file, which is its owner's alone: there are passwords and tokens in it.
fn append(path: &Path, accounts: &[Account]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let mut lines = Vec::new();
    for account in accounts {
        serde_json::to_writer(&mut lines, account)?;
        lines.push(b'\n');
    }
    file.write_all(&lines)
}
