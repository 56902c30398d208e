//! `bondhu service`: a systemd unit for this configuration, as hardened as it lets the server be.

use std::{
    env, fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use super::{Failure, load, note, print};
use crate::{
    cli::{Service, Settings},
    config::{Config, DEFAULT_FILE, Loaded, Place, ReplyBackend},
};

/// The unit, with places for what depends on the machine and its configuration.
const UNIT: &str = include_str!("service/bondhu.service");
/// Where systemd makes directories for services.
const STATE: &str = "/var/lib";
/// Ports from here on need no privilege.
pub(super) const FREE_PORTS: u16 = 1024;
/// Directories that the unit hides from the server, or shows it empty.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
/// What a stop takes at most after the grace: the store's close, and the end of tasks.
const CLOSE_S: u64 = 20;

pub(super) fn run(first: Settings, service: &Service) -> Result<(), Failure> {
    let given = [first, service.settings.clone()];
    let loaded = load(&given, false)?;
    let config = &loaded.config;
    full_paths(&loaded)?;
    let named = given.iter().rev().find_map(|settings| settings.config.clone());
    // The one that was read because it stands here is to be read there too.
    let file = named.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists()));
    let file = file.map(|file| absolute(&file)).transpose()?;
    // Where nothing says otherwise, the data stands where services have theirs.
    let is_set = loaded.places.get("data.dir").is_some_and(|place| *place != Place::Default);
    let dir = if is_set { absolute(&config.data.dir)? } else { Path::new(STATE).join(&service.user) };
    let program = match &service.exec {
        Some(program) => std::path::absolute(program).map_err(|error| failed("--exec", &error))?,
        None => env::current_exe().map_err(|error| failed("the program's own path is not known", &error))?,
    };
    let named = named_paths(config).into_iter().filter(|(key, _)| key != "data.dir").filter_map(|(_, path)| path);
    for path in [Some(program.as_path()), file.as_deref(), Some(&dir)].into_iter().flatten().chain(named) {
        warn_of_hidden(path);
    }
    if !is_set {
        let dir = dir.display();
        note(&format!(
            "the unit's data directory is {dir}: set data.dir to it in the file, for commands to find it there"
        ));
    }
    warn_of_environment(&loaded);
    warn_of_missing(&config.backup.dir, &service.user);
    let mut serve = vec![program, "serve".into()];
    for (flag, path) in [("--config", file.as_ref()), ("--data-dir", Some(&dir))] {
        serve.extend(path.map(|path| [flag.into(), path.clone()]).into_iter().flatten());
    }
    serve.extend(flags(&given));
    let serve: Vec<String> = serve.iter().map(|word| quoted(word)).collect::<Result<_, _>>()?;
    let filled = [
        ("{serve}", serve.join(" ")),
        ("{stop}", (config.server.shutdown_grace.as_secs() + CLOSE_S).to_string()),
        ("{user}", user(&service.user)?.to_owned()),
        ("{storage}", storage(&dir)? + &backups(config)?),
        ("{capabilities}", capabilities(config).to_owned()),
        ("{network}", network(config).to_owned()),
    ];
    let unit = filled.iter().fold(UNIT.to_owned(), |unit, (place, text)| unit.replace(place, text));
    print(&unit)
}

/// The flags that this command was given for the server, but for those of the file and the data directory.
fn flags(given: &[Settings]) -> Vec<PathBuf> {
    let listen = given.iter().rev().find_map(|settings| settings.listen.as_ref());
    let options = given.iter().flat_map(|settings| &settings.options).filter(|(key, _)| key != "data.dir");
    let options = options.flat_map(|(key, value)| ["-O".into(), format!("{key}={value}").into()]);
    let listen = listen.into_iter().flat_map(|listen| ["--listen".into(), PathBuf::from(listen)]);
    listen.chain(options).collect()
}

/// The keys that name a file or a directory, and what they name.
fn named_paths(config: &Config) -> Vec<(String, Option<&Path>)> {
    let tls = &config.server.tls;
    let mut paths = vec![
        ("data.dir".to_owned(), Some(config.data.dir.as_path())),
        ("backup.dir".to_owned(), Some(config.backup.dir.as_path())),
        ("server.tls.certificate_file".to_owned(), tls.certificate_file.as_deref()),
        ("server.tls.key_file".to_owned(), tls.key_file.as_deref()),
        ("alerts.webhook_secret_file".to_owned(), config.alerts.webhook_secret_file.as_deref()),
    ];
    for (table, upstream) in config.reply.upstreams() {
        paths.push((format!("{table}.api_key_file"), upstream.api_key_file.as_deref()));
        paths.push((format!("{table}.ca_file"), upstream.ca_file.as_deref()));
    }
    paths
}

/// Refuses paths that begin at a working directory: the unit's is not this one's.
fn full_paths(loaded: &Loaded) -> Result<(), Failure> {
    let mut faults = Vec::new();
    for (key, path) in named_paths(&loaded.config) {
        let place = loaded.places.get(key.as_str()).unwrap_or(&Place::Default);
        let path = path.filter(|path| !path.as_os_str().is_empty() && path.is_relative());
        // --data-dir is taken from here, as any path of a command line.
        let is_taken = key == "data.dir" && matches!(place, Place::Flag(_) | Place::Default);
        if let Some(path) = path.filter(|_| !is_taken) {
            let path = path.display();
            faults
                .push(format!("{place}: {key} must be a full path for a unit, as \"/var/lib/bondhu\", not \"{path}\""));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::Misused(faults.join("\n"))) }
}

/// Says where the unit's own rules would keep the server from a file.
fn warn_of_hidden(path: &Path) {
    if let Some(hidden) = HIDDEN.iter().find(|hidden| path.starts_with(hidden)) {
        note(&format!(
            "warning: {} can't be seen by the server: the unit hides {hidden}; put it elsewhere",
            path.display()
        ));
    }
}

/// Says that the place for backups must be there: systemd starts no unit that may write where nothing is.
fn warn_of_missing(backups: &Path, user: &str) {
    if !backups.as_os_str().is_empty() && !backups.is_dir() {
        let dir = backups.display();
        note(&format!("warning: {dir} is not there, and the unit needs it: sudo install -d -m 0700 -o {user} {dir}"));
    }
}

/// Says which settings hold here and will not in the unit.
fn warn_of_environment(loaded: &Loaded) {
    for (key, place) in &loaded.places {
        if let Place::Environment(name) = place {
            note(&format!("warning: {name} is not in the unit: set {key} in the configuration file"));
        }
    }
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::Failed(format!("{what}: {error}"))
}

/// A unit has no working directory that anyone would guess.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let found = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    found.map_err(|error| failed(&path.display().to_string(), &error))
}

/// A word of a unit's line, in quotes where it needs them.
fn quoted(word: &Path) -> Result<String, Failure> {
    let text = word.to_str().filter(|text| !text.chars().any(char::is_control));
    let text = text.ok_or_else(|| Failure::Failed(format!("{} can't stand in a unit", word.display())))?;
    let text = text.replace('%', "%%").replace('$', "$$");
    let plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+@%$:,=".contains(c));
    Ok(if plain { text } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) })
}

fn user(name: &str) -> Result<&str, Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_name = !name.is_empty() && !name.starts_with('-') && name.chars().all(fits);
    is_name.then_some(name).ok_or_else(|| Failure::Misused(format!("--user {name:?} is no name of a system user")))
}

/// What the server may write. systemd makes and owns what stands directly below its own place.
fn storage(dir: &Path) -> Result<String, Failure> {
    let name = dir.strip_prefix(STATE).ok().and_then(Path::to_str).filter(|name| !name.is_empty());
    let own = name.filter(|name| quoted(Path::new(name)).is_ok_and(|shown| shown == *name));
    let data = match own {
        Some(name) => format!("StateDirectory={name}\nStateDirectoryMode=0700"),
        None => format!("ReadWritePaths={}", quoted(dir)?),
    };
    Ok(data)
}

/// Where backups by the clock stand, which the server writes too.
fn backups(config: &Config) -> Result<String, Failure> {
    if config.backup.dir.as_os_str().is_empty() {
        return Ok(String::new());
    }
    Ok(format!("\nReadWritePaths={}", quoted(&absolute(&config.backup.dir)?)?))
}

/// None, but the one for a port of the first thousand. A user namespace of its own would take even that away.
fn capabilities(config: &Config) -> &'static str {
    if (1..FREE_PORTS).contains(&config.server.listen.port()) {
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE"
    } else {
        "CapabilityBoundingSet=\nAmbientCapabilities=\nPrivateUsers=yes"
    }
}

/// Only this machine, where that is all that the configuration names.
fn network(config: &Config) -> &'static str {
    let listens = config.server.listen.ip().to_canonical().is_loopback();
    let asks_a_model = config.reply.backend == ReplyBackend::Openai;
    let models = !asks_a_model || config.reply.upstreams().all(|(_, upstream)| upstream.is_local());
    let posts = config.alerts.posts_elsewhere();
    let local = models && !posts;
    if listens && local {
        "IPAddressDeny=any\nIPAddressAllow=localhost"
    } else if listens && !models && !posts && config.reply.upstreams().all(|(_, upstream)| is_address(&upstream.host()))
    {
        "# Name the model's address in IPAddressAllow beside localhost, and set IPAddressDeny=any."
    } else {
        "# It talks to other machines, whose addresses change: no IPAddressDeny."
    }
}

fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok() || host.parse::<std::net::SocketAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_unit_are_quoted_where_systemd_would_read_more_than_a_word() {
        let shown = |word: &str| quoted(Path::new(word)).unwrap();
        assert_eq!(shown("/usr/local/bin/bondhu"), "/usr/local/bin/bondhu");
        assert_eq!(shown("/srv/my data"), "\"/srv/my data\"");
        assert_eq!(shown("/srv/100%$HOME"), "/srv/100%%$$HOME");
        assert_eq!(shown("/srv/a\"b\\c"), "\"/srv/a\\\"b\\\\c\"");
        assert!(quoted(Path::new("/srv/a\nUser=root")).is_err());
        assert!(user("bondhu").is_ok() && user("a b").is_err() && user("").is_err() && user("x\nUser=root").is_err());
    }

    #[test]
    fn a_unit_opens_what_the_configuration_needs_and_no_more() {
        let mut config = Config::default();
        assert!(network(&config).contains("IPAddressDeny=any"));
        assert!(capabilities(&config).contains("PrivateUsers=yes"));
        config.server.listen = "0.0.0.0:443".parse().unwrap();
        assert!(!network(&config).contains("IPAddressDeny=any"));
        assert!(capabilities(&config).contains("CAP_NET_BIND_SERVICE"));
        config.server.listen = "127.0.0.1:8000".parse().unwrap();
        config.reply.backend = ReplyBackend::Openai;
        assert!(network(&config).contains("IPAddressDeny=any\n"), "a model on this machine");
        config.reply.openai.upstream.base_url = "https://models.example.org/v1".to_owned();
        assert!(!network(&config).contains("IPAddressDeny=any\n"));
        config.reply.backend = ReplyBackend::Companion;
        config.alerts.webhook_url = Some("https://example.org/hook".to_owned());
        assert!(!network(&config).contains("IPAddressDeny=any\n"), "alerts are posted elsewhere");
        config.alerts.webhook_url = Some("http://127.0.0.1:9000/hook".to_owned());
        assert!(network(&config).contains("IPAddressDeny=any\n"), "alerts are posted to this machine");
        assert_eq!(backups(&config).unwrap(), "");
        config.backup.dir = "/srv/backups".into();
        assert_eq!(backups(&config).unwrap(), "\nReadWritePaths=/srv/backups");
        let place = |dir: &str| storage(Path::new(dir)).unwrap();
        assert_eq!(place("/var/lib/bondhu"), "StateDirectory=bondhu\nStateDirectoryMode=0700");
        assert_eq!(place("/srv/bondhu"), "ReadWritePaths=/srv/bondhu");
    }
}
