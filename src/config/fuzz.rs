//! What must hold for configurations, whatever stands in the file, the environment and the flags.

use super::{
    Condition, Config, DEFAULT_FILE, Faults, Flag, Loaded, Place, SETTINGS, Sources,
    given::show_size,
    load::{PREFIX, load_text},
    setting::Field,
};

/// Lines `BONDHU__... = value` are the environment's, lines `-O key value` are flags, the others are the file.
pub(crate) fn configs(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (mut file, mut sources) = (String::new(), Sources::default());
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches('\n');
        if let Some((name, value)) = bare.split_once('=').filter(|(name, _)| name.starts_with(PREFIX)) {
            sources.environment.push((name.into(), value.into()));
        } else if let Some((key, value)) = bare.strip_prefix("-O ").and_then(|flag| flag.split_once(' ')) {
            sources.flags.push(flag(key, value));
        } else {
            file.push_str(line);
        }
    }
    match load_text(&file, &sources) {
        Ok(loaded) => {
            is_all_known("", &file.parse().expect("what is accepted is TOML"));
            holds(&loaded, &sources);
        }
        Err(faults) => are_told(&faults, &file),
    }
}

/// Nothing that an operator wrote is passed over.
fn is_all_known(prefix: &str, table: &toml::Table) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            toml::Value::Table(inner) => is_all_known(&format!("{key}."), inner),
            toml::Value::String(_)
            | toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_) => {
                assert!(SETTINGS.iter().any(|setting| setting.key == key), "{key:?} is passed over");
            }
        }
    }
}

fn flag(key: &str, value: &str) -> Flag {
    Flag { name: format!("-O {key}"), key: key.to_owned(), value: value.to_owned() }
}

fn holds(loaded: &Loaded, sources: &Sources) {
    let config = &loaded.config;
    for setting in SETTINGS {
        let variable = setting.variable();
        let by_flag = sources.flags.iter().any(|flag| flag.key == setting.key);
        let by_variable = sources.environment.iter().any(|(name, _)| *name == *variable);
        match loaded.places.get(setting.key) {
            None => assert_eq!(setting.show(config), setting.show(&Config::default()), "{}", setting.key),
            Some(place) => assert_eq!(
                (matches!(place, Place::Flag(_)), matches!(place, Place::Environment(_))),
                (by_flag, by_variable && !by_flag),
                "{} by {place}",
                setting.key
            ),
        }
    }
    let known = |key: &str| SETTINGS.iter().any(|setting| setting.key == key);
    assert!(sources.flags.iter().all(|flag| known(&flag.key)), "an unknown flag is passed over");
    assert!(config.concurrency.min <= config.concurrency.max && config.concurrency.min > 0);
    assert!(config.auth.password_min >= 8);

    let shown: Vec<String> =
        SETTINGS.iter().map(|setting| format!("{} = {}", setting.key, setting.show(config))).collect();
    // Port 0 is for flags, so it is not asked of the file.
    let is_any_port = config.server.listen.port() == 0;
    if !is_any_port {
        let again = load_text(&shown.join("\n"), &Sources::default()).expect("what is shown can be read");
        assert_eq!(again.config, *config, "what is shown is what holds");
    }
    let lists: Vec<&str> = shown.iter().filter(|line| line.contains("= [")).map(String::as_str).collect();
    let flags = SETTINGS.iter().filter_map(|setting| Some(flag(setting.key, &plain(setting.key, config)?))).collect();
    let again = load_text(&lists.join("\n"), &Sources { flags, ..Sources::default() });
    assert_eq!(again.expect("a flag takes what a file takes").config, *config, "flags mean what the file means");
}

/// The value of a key as a flag gives it; a list has no such form where its items have commas.
fn plain(key: &str, config: &Config) -> Option<String> {
    let setting = SETTINGS.iter().find(|setting| setting.key == key)?;
    match &setting.field {
        Field::Text { show, .. } => Some(show(config)),
        Field::Condition { at, unit } => Some(Condition::show(*at(&mut config.clone()), *unit)),
        Field::Size { at, .. } => Some(show_size(*at(&mut config.clone()))),
        Field::Usize { .. } | Field::U32 { .. } | Field::Time { .. } => Some(setting.show(config)),
        Field::List { .. } => None,
    }
}

fn are_told(faults: &Faults, file: &str) {
    assert!(!faults.0.is_empty(), "refused for nothing");
    assert!(faults.0.is_sorted(), "faults are in order");
    assert_eq!(faults.to_string().lines().count(), faults.0.len(), "a fault is a line:\n{faults}");
    let lines: Vec<&str> = file.split('\n').collect();
    for fault in &faults.0 {
        assert!(!fault.to_string().contains(char::is_control), "a terminal is given what it obeys: {fault:?}");
        if let Place::File { path, line, column } = &fault.place {
            assert_eq!(path.as_os_str(), DEFAULT_FILE);
            assert!((1..=lines.len()).contains(line), "there is no line {line}: {fault}");
            assert!(*column <= lines[line - 1].chars().count() + 1, "there is no column {column}: {fault}");
        }
    }
}
