use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use super::{check, setting::Field, *};

const BONDHU_TOML: &str = include_str!("../../bondhu.toml");

/// What is loaded from a file with `text`, variables and flags. Faults call the file `FILE`.
fn load_all(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("test.toml");
    fs::write(&file, text).unwrap();
    let sources = Sources {
        file: Some(file.clone()),
        environment: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        flags: flags
            .iter()
            .map(|&(key, value)| Flag { name: format!("-O {key}"), key: key.to_owned(), value: value.to_owned() })
            .collect(),
        surroundings: false,
    };
    let named = file.display().to_string();
    load(&sources).map_err(|faults| faults.to_string().lines().map(|line| line.replace(&named, "FILE")).collect())
}

fn faults(text: &str) -> Vec<String> {
    load_all(text, &[], &[]).unwrap_err()
}

fn config(text: &str) -> Config {
    load_all(text, &[], &[]).unwrap().config
}

#[test]
fn bondhu_toml_spells_out_every_default() {
    let loaded = load_all(BONDHU_TOML, &[], &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let spelled: BTreeSet<&str> = loaded.places.keys().copied().collect();
    let known: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
    assert_eq!(spelled, known);
    assert_eq!(known.len(), SETTINGS.len(), "a key stands in the table twice");
}

#[test]
fn bondhu_toml_documents_each_key_in_order_with_its_bounds() {
    let (mut table, mut comment, mut settings) = ("", String::new(), SETTINGS.iter());
    for line in BONDHU_TOML.lines() {
        if let Some(name) = line.strip_prefix('[') {
            (table, comment) = (name.trim_end_matches(']'), String::new());
        } else if let Some(text) = line.strip_prefix('#') {
            comment += text;
        } else if let Some((name, value)) = line.split_once(" = ") {
            let setting = settings.next().unwrap();
            assert_eq!(setting.key, format!("{table}.{name}"));
            assert_eq!(setting.show(&Config::default()), value, "{}", setting.key);
            assert!(comment.contains(&bounds(setting)), "{}: {:?}, {comment}", setting.key, bounds(setting));
            comment.clear();
        } else {
            assert_eq!(line, "");
        }
    }
    assert!(settings.next().is_none());
}

/// How bondhu.toml writes the bounds of a key; "" where it has none.
fn bounds(setting: &Setting) -> String {
    match &setting.field {
        Field::Usize { least, most, .. } => format!("{least} to {most}"),
        Field::U32 { least, most, .. } => format!("{least} to {most}"),
        Field::Time { least, most, .. } => format!("{least} to {most}"),
        Field::Size { least, most, .. } => format!("{} to {}", given::show_size(*least), given::show_size(*most)),
        Field::Text { .. } | Field::List { .. } | Field::Condition { .. } => String::new(),
    }
}

#[test]
fn every_bound_is_kept_at_below_and_above() {
    for setting in SETTINGS {
        let (least, most) = match setting.field {
            Field::Usize { least, most, .. } => (least as i128, most as i128),
            Field::U32 { least, most, .. } => (i128::from(least), i128::from(most)),
            Field::Time { least, most, .. } | Field::Size { least, most, .. } => (i128::from(least), i128::from(most)),
            Field::Text { .. } | Field::List { .. } | Field::Condition { .. } => continue,
        };
        for (number, good) in [(least - 1, false), (least, true), (most, true), (most + 1, false)] {
            let mut config = Config::default();
            let set = setting.set(&mut config, &given::Given::Number(number));
            assert_eq!(set.is_ok(), good, "{} = {number}", setting.key);
            if good && !matches!(setting.field, Field::Size { .. }) {
                assert_eq!(setting.show(&config), number.to_string(), "{}", setting.key);
            }
        }
    }
}

#[test]
fn every_value_that_is_shown_reads_back_the_same() {
    let text = r#"
        server = { listen = "[::1]:9", hosts = ["a.example", "[::1]"], trusted_proxies = ["192.0.2.1", "2001:db8::1"] }
        server.cors_origins = ["http://localhost:3000"]
        data.dir = "with \"quotes\" and \u0007"
        auth.registration = "invite"
        reply.openai = { api_key_env = "KEY", base_url = "https://llm.example/v1/" }
        log = { level = "trace", format = "json" }
    "#;
    // A table may be written inline or by dotted keys, but not both.
    let text = text.replace("server.cors_origins = [", "# [");
    let first = config(&text);
    let shown: Vec<String> = SETTINGS.iter().map(|it| format!("{} = {}", it.key, it.show(&first))).collect();
    assert_eq!(config(&shown.join("\n")), first);
    assert_eq!(first.reply.openai.upstream.base_url, "https://llm.example/v1");
    assert_ne!(first, Config::default());
}

#[test]
fn all_faults_are_told_at_once_with_their_lines() {
    let text = "\
[server]
listen = 8000
wrokers = 2
header_timeout_ms = -1
body_max = \"128KB\"
cors_origins = [\"https://a.example/\", \"https://b.example\"]
hosts = [1]

[sever]
x = 1

[auth]
memory_kib = 8
password_min = 7
[auth.argon2]
iterations = 99999999999999999999999999999999999999999
[concurrency]
min = 9
max = 8
[log]
level = \"loud\"
";
    let environment = [("BONDHU__SERVER__WORKER", "1"), ("BONDHU__LOG__FORMAT", "xml"), ("OTHER", "1")];
    let told = load_all(text, &environment, &[("data.dri", "x"), ("chat.message_chars_max", "0")]).unwrap_err();
    let expected = [
        "FILE:2: server.listen must be an address and a port, as \"127.0.0.1:8000\" or \"[::1]:8000\", not 8000",
        "FILE:3: unknown key \"server.wrokers\"; did you mean \"server.workers\"?",
        "FILE:4: server.header_timeout_ms must be a whole number of milliseconds from 100 to 600000, not -1",
        "FILE:5: server.body_max must be bytes from 1KiB to 64MiB, as \"64MiB\" or a whole number, not \"128KB\"",
        "FILE:6: server.cors_origins must be origins, as \"https://app.example.org\"; \"https://a.example/\" has more \
         than scheme, host and port (no path, not even a slash at the end)",
        "FILE:7: server.hosts must be host names without a port, not a list with more than strings in it",
        "FILE:9: unknown table \"sever\"; did you mean \"server\"?",
        "FILE:13: unknown key \"auth.memory_kib\"; did you mean \"auth.argon2.memory_kib\"?",
        "FILE:14: auth.password_min must be a whole number of characters from 8 to 128, not 7",
        "FILE:16: auth.argon2.iterations must be a whole number of passes from 1 to 10, not a number beyond all bounds",
        "FILE:18: concurrency.min must be at most concurrency.max (8), not 9",
        "FILE:21: log.level must be \"error\", \"warn\", \"info\", \"debug\" or \"trace\", not \"loud\"",
        "BONDHU__LOG__FORMAT: log.format must be \"text\" or \"json\", not \"xml\"",
        "BONDHU__SERVER__WORKER: no such setting; did you mean \"BONDHU__SERVER__WORKERS\"?",
        "-O chat.message_chars_max: chat.message_chars_max must be a whole number of characters from 1 to 16384, not 0",
        "-O data.dri: unknown key \"data.dri\"; did you mean \"data.dir\"?",
    ];
    assert_eq!(told, expected);
}

#[test]
fn every_syntax_error_has_line_and_column_and_hides_no_other_fault() {
    let told = faults("[server\nworkers = 1\n[log]\nlevel = \nformat = \"xml\"\nlevel = \"info\"\n");
    assert!(told.iter().any(|fault| fault.starts_with("FILE:1:8: ")), "{told:?}");
    assert!(told.iter().any(|fault| fault.starts_with("FILE:4:9: ")), "{told:?}");
    assert!(told.iter().any(|fault| fault.starts_with("FILE:5: log.format must be")), "{told:?}");
    assert_eq!(faults("x\u{E9} = 1"), ["FILE:1:2: invalid unquoted key, expected letters, numbers, `-`, `_`"]);
}

#[test]
fn tables_and_keys_are_not_mistaken_for_each_other() {
    assert_eq!(faults("server = 3"), ["FILE:1: server must be a table, written [server], not 3"]);
    assert_eq!(faults("[[auth.argon2]]").len(), 1);
    let told = faults("[log.level]\nx = 1");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("FILE:1: log.level must be") && told[0].ends_with("not a table"), "{told:?}");
    assert_eq!(faults("\"log.level\" = \"info\"").len(), 1, "a quoted key is one name with a dot in it");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "server.workers = 1\nconcurrency.max = 101\n[cache]\ncapacity = \"1MiB\"\n[chat]\nmessage_chars_max = 7";
    let environment = [
        ("BONDHU__SERVER__WORKERS", "2"),
        ("BONDHU__CACHE__CAPACITY", "2MiB"),
        ("BONDHU__SERVER__HOSTS", "A.example, b.example,"),
        ("BONDHU__AUTH__ARGON2__MEMORY_KIB", "1024"),
    ];
    let loaded = load_all(file, &environment, &[("server.workers", "3"), ("server.workers", "4")]).unwrap();
    let Config { server, cache, chat, concurrency, auth, .. } = &loaded.config;
    assert_eq!((server.workers, cache.capacity, chat.message_chars_max, concurrency.max), (4, 2 << 20, 7, 101));
    assert_eq!(
        (server.hosts.as_slice(), auth.argon2.memory_kib),
        (&["a.example".into(), "b.example".into()][..], 1024)
    );
    assert_eq!(loaded.places["server.workers"], Place::Flag("-O server.workers".to_owned()));
    assert_eq!(loaded.places["cache.capacity"], Place::Environment("BONDHU__CACHE__CAPACITY".to_owned()));
    assert!(!loaded.places.contains_key("data.dir"));
    assert!(loaded.warnings[0].contains("auth.argon2"), "{:?}", loaded.warnings);
}

#[test]
fn a_wrong_value_is_told_even_where_a_later_source_overrides_it() {
    let told = load_all("server.workers = -1", &[("BONDHU__SERVER__WORKERS", "2")], &[]).unwrap_err();
    assert_eq!(told.len(), 1);
}

#[test]
fn rules_between_keys_are_kept() {
    for (text, key) in [
        ("concurrency = { min = 65 }", "concurrency.min"),
        ("auth.argon2 = { parallelism = 2, memory_kib = 15 }", "auth.argon2.memory_kib"),
        ("reply.openai = { total_timeout_ms = 19999 }", "reply.openai.first_token_timeout_ms"),
        ("reply.openai = { api_key_file = \"a\", api_key_env = \"B\" }", "reply.openai.api_key_file"),
        ("reply.third = { api_key_file = \"a\", api_key_env = \"B\" }", "reply.third.api_key_file"),
        ("reply.second = { base_url = \"http://a.example\" }", "reply.second.model"),
        ("reply.openai = { max_tokens = 4096 }", "reply.openai.context_tokens"),
    ] {
        let told = faults(text);
        assert!(told.len() == 1 && told[0].contains(key), "{told:?}");
    }
    config("concurrency = { min = 64 }\nauth.argon2 = { parallelism = 2, memory_kib = 16 }");
    assert_eq!(faults("concurrency = { min = 65, max = 0 }").len(), 1, "nothing is said beside a key with a fault");
}

#[test]
fn values_are_what_their_keys_want() {
    for bad in [
        "server.listen = \"localhost:8000\"",
        "server.listen = \"127.0.0.1:65536\"",
        "server.listen = \"127.0.0.1:0\"",
        "server.hosts = [\"https://a.example\"]",
        "server.hosts = [\"a.example:80\"]",
        "server.hosts = [\"\"]",
        "server.hosts = \"a.example\"",
        "server.cors_origins = [\"*\"]",
        "server.cors_origins = [\"https://\"]",
        "server.cors_origins = [\"ftp://a.example\"]",
        "server.cors_origins = [\"https://a.example:443\"]",
        "server.cors_origins = [\"https://u@a.example\"]",
        "server.cors_origins = [\"https://a.example:x\"]",
        "server.trusted_proxies = [\"10.0.0.0/8\"]",
        "data.dir = \"\"",
        "data.segment = \"2GiB\"",
        "reply.backend = \"gpt\"",
        "reply.openai.base_url = \"localhost\"",
        "reply.openai.base_url = \"ftp://a.example\"",
        "reply.openai.base_url = \"\"",
        "reply.openai.base_url = \"http://a.example:x\"",
        "reply.openai.model = \"\"",
        "reply.second.base_url = \"ftp://a.example\"",
        "reply.fallback = \"gpt\"",
        "log.level = true",
    ] {
        assert_eq!(faults(bad).len(), 1, "{bad}");
    }
    let good = config("server = { cors_origins = [\"HTTPS://App.example:8443\", \"http://[::1]:3000\"] }");
    assert_eq!(good.server.cors_origins, ["https://app.example:8443", "http://[::1]:3000"]);
    let any_port = load_all("", &[], &[("server.listen", "127.0.0.1:0")]).unwrap();
    assert_eq!(any_port.config.server.listen.port(), 0);
}

#[test]
fn servers_that_make_replies_are_asked_in_their_order() {
    let config = config(
        "reply.backend = \"openai\"\nreply.third = { base_url = \"http://c.example/\", model = \"m\" }\n\
         reply.openai.base_url = \"http://a.example\"",
    );
    assert_eq!(config.reply.backend, ReplyBackend::Openai);
    let asked: Vec<_> = config.reply.upstreams().map(|(table, upstream)| (table, upstream.base_url.as_str())).collect();
    assert_eq!(asked, [("reply.openai", "http://a.example"), ("reply.third", "http://c.example")]);
}

#[test]
fn a_system_prompt_has_8000_characters_at_most() {
    let prompt = |chars: usize| format!("reply.system_prompt = \"{}\"", "আ".repeat(chars));
    assert_eq!(config(&prompt(8000)).reply.system_prompt.chars().count(), 8000);
    let told = faults(&prompt(8001));
    assert!(told.len() == 1 && told[0].contains("not 8001") && !told[0].contains('আ'), "{told:?}");
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    for text in [
        "reply.openai.api_key = \"sk-canary\"",
        "reply.openai.api_key_env = \"sk-canary\"",
        "reply.openai.base_url = \"http://user:sk-canary@a.example\"",
        "reply.openai.base_url = \"http://a.example/?key=sk-canary\"",
    ] {
        let told = faults(text);
        assert!(told.len() == 1 && !told[0].contains("canary"), "{told:?}");
    }
}

#[test]
fn a_file_that_is_named_must_be_there_and_be_text() {
    let dir = tempfile::tempdir().unwrap();
    let from = |path: &Path| load(&Sources { file: Some(path.to_owned()), ..Sources::default() });
    assert!(from(&dir.path().join("none.toml")).unwrap_err().to_string().contains("none.toml: can't be read"));
    assert!(from(dir.path()).is_err());
    let file = dir.path().join("a.toml");
    fs::write(&file, b"# fine\n# \xff\n").unwrap();
    assert!(from(&file).unwrap_err().to_string().contains("line 2 is not UTF-8"));
    fs::write(&file, vec![b'\n'; (1 << 20) + 1]).unwrap();
    assert!(from(&file).unwrap_err().to_string().contains("over 1 MiB"));
    fs::write(&file, vec![b'\n'; 1 << 20]).unwrap();
    assert_eq!(from(&file).unwrap().config, Config::default());
}

#[test]
fn what_the_machine_lacks_is_told_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (file, key) = (dir.path().join("file"), dir.path().join("key"));
    fs::write(&file, "x").unwrap();
    fs::write(&key, "").unwrap();
    let lacks = |dir: &Path, key: Option<&Path>| {
        let mut config = Config::default();
        config.data.dir = dir.to_owned();
        config.reply.backend = ReplyBackend::Openai;
        config.reply.openai.upstream.api_key_file = key.map(Path::to_owned);
        check::surroundings(&config).into_iter().map(|broken| broken.message).collect::<String>()
    };
    assert!(lacks(&file, None).contains("is not a directory"));
    assert!(lacks(&file.join("in"), None).contains("Not a directory"));
    assert!(lacks(&dir.path().join("x".repeat(108)), None).contains("is too long"));
    let new = dir.path().join("new/deep");
    assert_eq!(lacks(&new, None), "");
    assert!(!dir.path().join("new").exists());
    assert!(lacks(&new, Some(&dir.path().join("none"))).contains("No such file"));
    assert!(lacks(&new, Some(&key)).contains("is empty"));
    fs::write(&key, "secret").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(lacks(&new, Some(&key)).contains("chmod 600"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(lacks(&new, Some(&key)), "");
}

#[test]
fn what_servers_need_is_looked_for_only_where_they_are_asked() {
    let text = "reply.third = { base_url = \"https://a.example\", model = \"m\", api_key_env = \"BONDHU_TEST_NO_SUCH\", \
                ca_file = \"/nowhere/ca.pem\" }";
    let lacks = |text: &str| {
        let mut config = config(text);
        config.data.dir = "data".into();
        check::surroundings(&config).into_iter().map(|broken| broken.key).collect::<Vec<_>>()
    };
    assert_eq!(lacks(text), [""; 0]);
    assert_eq!(
        lacks(&format!("reply.backend = \"openai\"\n{text}")),
        ["reply.third.api_key_env", "reply.third.ca_file"]
    );
}

#[test]
fn what_crosses_the_network_in_the_clear_is_warned_about() {
    let warnings = |url: &str, key: &str| {
        let text =
            format!("reply.backend = \"openai\"\nreply.openai = {{ base_url = \"{url}\", api_key_env = \"{key}\" }}");
        load_all(&text, &[], &[]).unwrap().warnings
    };
    let told = warnings("http://llm.example/v1", "KEY");
    assert!(
        told.len() == 1 && told[0].contains("reply.openai.base_url") && told[0].contains("in the clear"),
        "{told:?}"
    );
    for (url, key) in [
        ("https://llm.example/v1", "KEY"),
        ("http://localhost:1/v1", "KEY"),
        ("http://127.9.9.9/v1", "KEY"),
        ("http://[::1]:1/v1", "KEY"),
    ] {
        assert_eq!(warnings(url, key).len(), 0, "{url}");
    }
    let posted = |url: &str| {
        let text = format!("alerts = {{ webhook_url = \"{url}\", webhook_secret_file = \"/etc/secret\" }}");
        load_all(&text, &[], &[]).unwrap().warnings.len()
    };
    assert_eq!(["http://example.org/a", "https://example.org/a", "http://127.0.0.1:9000/a"].map(posted), [1, 0, 0]);
    let told = warnings("http://llm.example/v1", "");
    assert!(told.len() == 1 && told[0].contains("conversations") && !told[0].contains("key"), "{told:?}");
}

#[test]
fn listening_to_other_machines_without_tls_is_warned_about() {
    let warnings = |text: &str| load_all(text, &[], &[]).unwrap().warnings;
    assert_eq!(warnings("server.listen = \"0.0.0.0:8000\"").len(), 2);
    assert_eq!(warnings("server = { listen = \"0.0.0.0:8000\", hosts = [\"a.example\"] }").len(), 1);
    assert_eq!(warnings("server.listen = \"[::1]:8000\"").len(), 0);
}

#[test]
fn a_body_of_a_program_has_room_for_its_longest_text() {
    assert_eq!(
        faults("[api]\nbody_max = 416383\n"),
        [
            "FILE:2: api.body_max must be at least 416384, not 416383: a body needs room for api.input_chars_max (100000) \
          characters of 4 bytes, and 16384 bytes around them"
        ]
    );
    assert_eq!(config("[api]\nbody_max = 416384\n").api.body_max, 416_384);
    assert_eq!(config("[api]\ninput_chars_max = 250000\n").api.input_chars_max, 250_000);
    assert_eq!(faults("[api]\ninput_chars_max = 250001\nbody_max = 2000\n").len(), 1, "one fault at a time");
}
