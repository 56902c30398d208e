//! Rules between keys, what the machine must have for a config to work, and what is allowed but unwise.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{fs::Access, process::geteuid};

use super::{Config, ReplyBackend, UpstreamConfig};

/// What the server keeps in its directory beside the journal: what a start that was cut off may have left.
const OWN_NAMES: [&str; 4] = ["LOCK", "index", "monitor", super::SOCKET];

/// The weakest argon2 parameters that need no warning: OWASP's, which are the defaults.
const ARGON2_LEAST: super::Argon2Config = super::Argon2Config { memory_kib: 19_456, iterations: 2, parallelism: 1 };

/// A fault of a key that other keys, or the machine, bring about.
pub(super) struct Broken {
    /// The key that is named, and whose place is reported.
    pub(super) key: &'static str,
    /// What is wrong, without the key.
    pub(super) message: String,
}

/// Rules between keys. Where one of them has a fault of its own (`faulty`), nothing is said about the others.
pub(super) fn between_keys(config: &Config, faulty: &BTreeSet<&'static str>) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut rule = |holds: bool, keys: &[&'static str], message: String| {
        if !holds && !keys.iter().any(|key| faulty.contains(key)) {
            broken.push(Broken { key: keys[0], message });
        }
    };
    let (least, most) = (config.concurrency.min, config.concurrency.max);
    rule(
        least <= most,
        &["concurrency.min", "concurrency.max"],
        format!("must be at most concurrency.max ({most}), not {least}"),
    );
    let argon2 = config.auth.argon2;
    let lanes_need = argon2.parallelism.saturating_mul(8);
    rule(
        argon2.memory_kib >= lanes_need,
        &["auth.argon2.memory_kib", "auth.argon2.parallelism"],
        format!("must be at least 8 KiB for each lane ({lanes_need} KiB), not {}", argon2.memory_kib),
    );
    if let Some(message) = super::api::too_small(config) {
        rule(false, &["api.body_max", "api.input_chars_max"], message);
    }
    let openai = &config.reply.openai;
    rule(
        openai.first_token_timeout <= openai.total_timeout,
        &["reply.openai.first_token_timeout_ms", "reply.openai.total_timeout_ms"],
        format!("must be at most reply.openai.total_timeout_ms ({})", openai.total_timeout.as_millis()),
    );
    rule(
        openai.context_tokens > openai.max_tokens,
        &["reply.openai.context_tokens", "reply.openai.max_tokens"],
        format!(
            "must be over reply.openai.max_tokens ({}), not {}: the conversation needs room beside the reply",
            openai.max_tokens, openai.context_tokens
        ),
    );
    let tls = &config.server.tls;
    let (certificate, key) = ("server.tls.certificate_file", "server.tls.key_file");
    rule(
        tls.key_file.is_none() || tls.certificate_file.is_some(),
        &[certificate, key],
        format!("is missing beside {key}"),
    );
    rule(
        tls.certificate_file.is_none() || tls.key_file.is_some(),
        &[key, certificate],
        format!("is missing beside {certificate}"),
    );
    let alerts = &config.alerts;
    rule(
        alerts.webhook_url.is_none() || alerts.webhook_secret_file.is_some(),
        &["alerts.webhook_secret_file", "alerts.webhook_url"],
        "must be set, because alerts.webhook_url is: whoever receives an alert must know whom it is from".to_owned(),
    );
    for (keys, upstream) in upstreams(config) {
        rule(
            upstream.api_key_file.is_none() || upstream.api_key_env.is_none(),
            &[keys.api_key_file, keys.api_key_env],
            format!("and {} can't both be set", keys.api_key_env),
        );
        rule(
            upstream.base_url.is_empty() || !upstream.model.is_empty(),
            &[keys.model, keys.base_url],
            format!("must name a model, because {} is set", keys.base_url),
        );
    }
    broken
}

/// What the machine must have for this config to work. Nothing is made or changed.
pub(super) fn surroundings(config: &Config) -> Vec<Broken> {
    let dir = data_dir(&config.data.dir).err().map(|message| Broken { key: "data.dir", message });
    let mut broken: Vec<_> = dir.into_iter().collect();
    let (data, backups) = (&config.data.dir, &config.backup.dir);
    if !backups.as_os_str().is_empty() && is_within(backups, data) {
        let message = format!(
            "must be outside of data.dir ({}), not {}: what is lost there would be lost with its backups",
            data.display(),
            backups.display()
        );
        broken.push(Broken { key: "backup.dir", message });
    }
    if !backups.as_os_str().is_empty() && is_within(data, backups) {
        let message = format!(
            "must be outside of backup.dir ({}), where what is old is removed, not {}: to go on from a backup, restore it to \
             a place of its own (see bondhu restore)",
            backups.display(),
            data.display()
        );
        broken.push(Broken { key: "data.dir", message });
    }
    let tls = &config.server.tls;
    let certificate = tls.certificate_file.as_deref().map_or(Ok(()), readable).err();
    broken.extend(certificate.map(|message| Broken { key: "server.tls.certificate_file", message }));
    let key = tls.key_file.as_deref().map_or(Ok(()), tls_key_file).err();
    broken.extend(key.map(|message| Broken { key: "server.tls.key_file", message }));
    for (keys, upstream) in asked(config) {
        let mut need =
            |key, found: Result<(), String>| broken.extend(found.err().map(|message| Broken { key, message }));
        need(keys.api_key_file, upstream.api_key_file.as_deref().map_or(Ok(()), key_file));
        need(keys.api_key_env, upstream.api_key_env.as_deref().map_or(Ok(()), key_variable));
        need(keys.ca_file, upstream.ca_file.as_deref().map_or(Ok(()), readable));
    }
    let secret = config.alerts.webhook_secret_file.as_deref();
    let message = secret.and_then(|file| key_file(file).and_then(|()| secret_file(file)).err());
    broken.extend(message.map(|message| Broken { key: "alerts.webhook_secret_file", message }));
    broken
}

/// The full names of the keys of a server that makes replies.
struct UpstreamKeys {
    base_url: &'static str,
    model: &'static str,
    api_key_file: &'static str,
    api_key_env: &'static str,
    ca_file: &'static str,
}

/// The servers that are asked for replies.
fn asked(config: &Config) -> impl Iterator<Item = (UpstreamKeys, &UpstreamConfig)> {
    let is_used = config.reply.backend == ReplyBackend::Openai;
    upstreams(config).into_iter().filter(move |(_, upstream)| is_used && !upstream.base_url.is_empty())
}

/// All servers that can be set, whether they are or not.
fn upstreams(config: &Config) -> [(UpstreamKeys, &UpstreamConfig); 3] {
    let reply = &config.reply;
    [
        (
            UpstreamKeys {
                base_url: "reply.openai.base_url",
                model: "reply.openai.model",
                api_key_file: "reply.openai.api_key_file",
                api_key_env: "reply.openai.api_key_env",
                ca_file: "reply.openai.ca_file",
            },
            &reply.openai.upstream,
        ),
        (
            UpstreamKeys {
                base_url: "reply.second.base_url",
                model: "reply.second.model",
                api_key_file: "reply.second.api_key_file",
                api_key_env: "reply.second.api_key_env",
                ca_file: "reply.second.ca_file",
            },
            &reply.second,
        ),
        (
            UpstreamKeys {
                base_url: "reply.third.base_url",
                model: "reply.third.model",
                api_key_file: "reply.third.api_key_file",
                api_key_env: "reply.third.api_key_env",
                ca_file: "reply.third.ca_file",
            },
            &reply.third,
        ),
    ]
}

/// A data directory is one that can be written, or one that can be made.
fn data_dir(dir: &Path) -> Result<(), String> {
    let shown = dir.display();
    // The control socket's path must fit into `sockaddr_un`, with a zero at its end.
    let socket = dir.join(super::SOCKET).as_os_str().len();
    if socket > 107 {
        return Err(format!("is too long by {} bytes for the control socket in it: {shown}", socket - 107));
    }
    match fs::metadata(dir) {
        Ok(found) if !found.is_dir() => Err(format!("{shown} is not a directory")),
        Ok(_) => writable(dir).and_then(|()| nothing_of_others(dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => writable(&nearest_existing(dir)),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

fn writable(dir: &Path) -> Result<(), String> {
    rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        let owner = fs::metadata(dir).ok().map(|found| found.uid()).filter(|owner| *owner != geteuid().as_raw());
        let remedy = owner.map_or_else(String::new, |owner| {
            format!(": it belongs to the user with the id {owner}; run this as that one, as by sudo -u '#{owner}'")
        });
        format!("can't be written: {}: {}{remedy}", dir.display(), io::Error::from(error))
    })
}

/// A directory with a journal is a data directory, and one with nothing in it may become one. Any other is somebody's: it
/// would be closed to all others, and its files would lie among the server's.
fn nothing_of_others(dir: &Path) -> Result<(), String> {
    if dir.join("journal").exists() {
        return Ok(());
    }
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) }; // Its opening says why.
    let is_nobodys = |name: &str| OWN_NAMES.contains(&name) || name == "lost+found" || name.starts_with('.');
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
    match names.filter(|name| !is_nobodys(name)).min() {
        None => Ok(()),
        Some(name) => Err(format!(
            "is no data directory and not empty: {name:?} is in {}; name one that is empty or not there",
            dir.display()
        )),
    }
}

/// True where `place` is `outer` or would stand somewhere in it, whatever links lead there. Nothing needs to be there.
#[must_use]
pub fn is_within(place: &Path, outer: &Path) -> bool {
    real(place).starts_with(real(outer))
}

/// The path without links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = path.ancestors().find_map(|above| {
        let rest = path.strip_prefix(above).ok()?;
        Some(fs::canonicalize(above).ok()?.join(rest))
    });
    found.unwrap_or(path)
}

/// The closest directory above `dir` that is there.
fn nearest_existing(dir: &Path) -> PathBuf {
    let above = dir.ancestors().skip(1).map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
    above.into_iter().find(|above| above.exists()).unwrap_or(Path::new("/")).to_path_buf()
}

fn key_file(file: &Path) -> Result<(), String> {
    let shown = file.display();
    let found = fs::metadata(file).map_err(|error| format!("{shown}: {error}"))?;
    if !found.is_file() || found.len() == 0 {
        return Err(format!("{shown} is {}", if found.is_file() { "empty" } else { "not a file" }));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("{shown} can be read by others (mode {mode:04o}): chmod 600 it"));
    }
    Ok(())
}

/// As [`key_file`], but a group may read it: those who renew certificates and those who serve with them are often two.
fn tls_key_file(file: &Path) -> Result<(), String> {
    readable(file)?;
    let shown = file.display();
    let mode = fs::metadata(file).map_err(|error| format!("{shown}: {error}"))?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(format!("{shown} can be read by others (mode {mode:04o}): chmod o= it"));
    }
    Ok(())
}

/// A secret that is shorter could be guessed from one message and its signature.
fn secret_file(file: &Path) -> Result<(), String> {
    let shown = file.display();
    let secret = fs::read(file).map_err(|error| format!("{shown}: {error}"))?;
    match secret.trim_ascii().len() {
        24..=1024 => Ok(()),
        length => {
            Err(format!("{shown} has {length} bytes; a secret has 24 to 1024, as `openssl rand -base64 32` makes it"))
        }
    }
}

fn key_variable(name: &str) -> Result<(), String> {
    match std::env::var_os(name) {
        Some(key) if !key.is_empty() => Ok(()),
        Some(_) | None => Err(format!("names {name}, which the environment does not have")),
    }
}

fn readable(file: &Path) -> Result<(), String> {
    fs::File::open(file).map(drop).map_err(|error| format!("{}: {error}", file.display()))
}

/// What is allowed but should be known: sentences for the log.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let argon2 = config.auth.argon2;
    if argon2.memory_kib < ARGON2_LEAST.memory_kib || argon2.iterations < ARGON2_LEAST.iterations {
        warnings.push(format!(
            "auth.argon2 is weaker than memory_kib = {}, iterations = {}: stolen password hashes are easier to guess",
            ARGON2_LEAST.memory_kib, ARGON2_LEAST.iterations,
        ));
    }
    let listen = config.server.listen;
    if !listen.ip().is_loopback() {
        let plain = !config.server.tls.is_set();
        warnings.extend(plain.then(|| format!(
            "server.listen = \"{listen}\" is reached from other machines without TLS: passwords and messages cross the \
             network in the clear unless server.tls is set or something in front of bondhu encrypts them"
        )));
        if config.server.hosts.is_empty() {
            warnings.push(
                "server.hosts is empty and server.listen is not a loopback address: any Host name is accepted"
                    .to_owned(),
            );
        }
    }
    let alerts = &config.alerts;
    if alerts.posts_elsewhere() && alerts.webhook_url.as_deref().is_some_and(|url| url.starts_with("http://")) {
        warnings.push("alerts.webhook_url begins with http://: alerts cross the network in the clear".to_owned());
    }
    for (keys, upstream) in asked(config) {
        if upstream.base_url.starts_with("http://") && !upstream.is_local() {
            let has_key = upstream.api_key_file.is_some() || upstream.api_key_env.is_some();
            warnings.push(format!(
                "{} begins with http:// and is no loopback address: {}all conversations cross the network in the clear",
                keys.base_url,
                if has_key { "the key and " } else { "" }
            ));
        }
    }
    let backups = &config.backup.dir;
    if !backups.as_os_str().is_empty() && !backups.is_dir() {
        warnings.push(format!(
            "backup.dir = \"{0}\" is not there: it is made by the first backup where the server may, and a systemd unit does \
             not start without it: sudo install -d -m 0700 -o USER {0}",
            backups.display()
        ));
    }
    let (request, reply) = (config.server.request_timeout, config.reply.openai.total_timeout);
    if config.reply.backend == ReplyBackend::Openai && request < reply {
        warnings.push(format!(
            "server.request_timeout_ms ({}) is less than reply.openai.total_timeout_ms ({}): whoever waits for a long \
             reply without a stream gets 504 before it is there",
            request.as_millis(),
            reply.as_millis()
        ));
    }
    warnings
}
