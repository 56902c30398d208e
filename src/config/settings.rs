//! Every key there is, in the order of `bondhu.toml`.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tracing::level_filters::LevelFilter;

use super::{
    Condition, Config, Fallback, LimitUnit, LogFormat, Registration, ReplyBackend, Titles, UpstreamConfig,
    setting::{Field, Refusal, Setting, TimeUnit},
    url::{origin, set_base_url, set_webhook},
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

const BASE_URL: &str = "a URL, as \"http://127.0.0.1:11434/v1\"";
const NO_BASE_URL: &str = "a URL, as \"http://127.0.0.1:11434/v1\", or \"\" for none";
const MODEL: &str = "the name of a model, 1 to 200 characters";
const NO_MODEL: &str = "the name of a model, at most 200 characters";
const FILE: &str = "a file, or \"\" for none";
const VARIABLE: &str = "the name of an environment variable, or \"\" for none";

const PERCENT: LimitUnit = LimitUnit::Percent;
const MS: LimitUnit = LimitUnit::Milliseconds;

/// Most characters of the system prompt.
const SYSTEM_PROMPT_CHARS_MAX: usize = 8000;

/// Every key, in the order of `bondhu.toml`.
pub static SETTINGS: &[Setting] = &[
    text(
        "server.listen",
        "an address and a port, as \"127.0.0.1:8000\" or \"[::1]:8000\"",
        |config, text| text.parse().map(|listen| config.server.listen = listen).map_err(|_| None),
        |config| config.server.listen.to_string(),
    ),
    Setting {
        key: "server.workers",
        field: Field::Usize { at: |c| &mut c.server.workers, least: 0, most: 1024, unit: "threads" },
    },
    list("server.hosts", "host names without a port", set_hosts, |c| c.server.hosts.clone()),
    list("server.cors_origins", "origins, as \"https://app.example.org\"", set_origins, |c| {
        c.server.cors_origins.clone()
    }),
    list("server.trusted_proxies", "IP addresses", set_proxies, |config| {
        config.server.trusted_proxies.iter().map(IpAddr::to_string).collect()
    }),
    ms("server.header_timeout_ms", |c| &mut c.server.header_timeout, 100, 600_000),
    ms("server.body_timeout_ms", |c| &mut c.server.body_timeout, 100, 600_000),
    ms("server.request_timeout_ms", |c| &mut c.server.request_timeout, 100, 3_600_000),
    ms("server.shutdown_grace_ms", |c| &mut c.server.shutdown_grace, 0, 600_000),
    size("server.body_max", |c| &mut c.server.body_max, KIB, 64 * MIB),
    count("server.connections", |c| &mut c.server.connections, 1, 1_000_000, "connections"),
    count("server.connections_per_address", |c| &mut c.server.connections_per_address, 1, 1_000_000, "connections"),
    text(
        "server.tls.certificate_file",
        FILE,
        |c, text| set_file(&mut c.server.tls.certificate_file, text),
        |c| show_file(c.server.tls.certificate_file.as_deref()),
    ),
    text(
        "server.tls.key_file",
        FILE,
        |c, text| set_file(&mut c.server.tls.key_file, text),
        |c| show_file(c.server.tls.key_file.as_deref()),
    ),
    text("data.dir", "a directory", set_dir, |config| config.data.dir.display().to_string()),
    size("data.index_cache", |c| &mut c.data.index_cache, MIB, TIB),
    size("data.segment", |c| &mut c.data.segment, MIB, GIB),
    size("data.min_free", |c| &mut c.data.min_free, 0, TIB),
    seconds("data.keep_replaced_s", |c| &mut c.data.keep_replaced, 0, 30 * 86_400),
    seconds("data.compact_within_s", |c| &mut c.data.compact_within, 1, 86_400),
    text("backup.dir", "a directory, or \"\" for none", set_backup_dir, |c| c.backup.dir.display().to_string()),
    hours("backup.every_h", |c| &mut c.backup.every, 1, 8_760),
    count("backup.keep", |c| &mut c.backup.keep, 1, 1_000, "backups"),
    size("cache.capacity", |c| &mut c.cache.capacity, MIB, TIB),
    text("auth.registration", "\"open\", \"invite\" or \"closed\"", set_registration, |config| {
        match config.auth.registration {
            Registration::Open => "open",
            Registration::Invite => "invite",
            Registration::Closed => "closed",
        }
        .to_owned()
    }),
    count("auth.password_min", |c| &mut c.auth.password_min, 8, 128, "characters"),
    days("auth.token_lifetime_days", |c| &mut c.auth.token_lifetime, 1, 3650),
    days("auth.token_idle_days", |c| &mut c.auth.token_idle, 1, 3650),
    count("auth.tokens_per_user", |c| &mut c.auth.tokens_per_user, 1, 1000, "logins"),
    small("auth.argon2.memory_kib", |c| &mut c.auth.argon2.memory_kib, (8, 65_536), "KiB"),
    small("auth.argon2.iterations", |c| &mut c.auth.argon2.iterations, (1, 10), "passes"),
    small("auth.argon2.parallelism", |c| &mut c.auth.argon2.parallelism, (1, 16), "lanes"),
    // A character takes up to four bytes, and a message is at most 64 KiB on disk.
    count("chat.message_chars_max", |c| &mut c.chat.message_chars_max, 1, 16_384, "characters"),
    seconds("chat.idempotency_window_s", |c| &mut c.chat.idempotency_window, 1, 7 * 86_400),
    // A character takes up to four bytes, and a text is at most 1,000,000 bytes on disk.
    count("api.input_chars_max", |c| &mut c.api.input_chars_max, 1, 250_000, "characters"),
    size("api.body_max", |c| &mut c.api.body_max, KIB, 64 * MIB),
    text("reply.backend", "\"companion\" or \"openai\"", set_backend, |config| {
        match config.reply.backend {
            ReplyBackend::Companion => "companion",
            ReplyBackend::Openai => "openai",
        }
        .to_owned()
    }),
    text("reply.fallback", "\"none\" or \"companion\"", set_fallback, |config| {
        match config.reply.fallback {
            Fallback::Nobody => "none",
            Fallback::Companion => "companion",
        }
        .to_owned()
    }),
    text("reply.system_prompt", "a text of at most 8000 characters", set_system_prompt, |config| {
        config.reply.system_prompt.clone()
    }),
    text(
        "reply.openai.base_url",
        BASE_URL,
        |c, text| set_base_url(&mut c.reply.openai.upstream, text, true),
        |c| c.reply.openai.upstream.base_url.clone(),
    ),
    text(
        "reply.openai.model",
        MODEL,
        |c, text| set_model(&mut c.reply.openai.upstream, text, true),
        |c| c.reply.openai.upstream.model.clone(),
    ),
    text(
        "reply.openai.api_key_file",
        FILE,
        |c, text| set_file(&mut c.reply.openai.upstream.api_key_file, text),
        |c| show_file(c.reply.openai.upstream.api_key_file.as_deref()),
    ),
    text(
        "reply.openai.api_key_env",
        VARIABLE,
        |c, text| set_variable(&mut c.reply.openai.upstream.api_key_env, text),
        |c| c.reply.openai.upstream.api_key_env.clone().unwrap_or_default(),
    ),
    text(
        "reply.openai.ca_file",
        FILE,
        |c, text| set_file(&mut c.reply.openai.upstream.ca_file, text),
        |c| show_file(c.reply.openai.upstream.ca_file.as_deref()),
    ),
    count("reply.openai.max_tokens", |c| &mut c.reply.openai.max_tokens, 0, 1_000_000, "tokens"),
    count("reply.openai.context_tokens", |c| &mut c.reply.openai.context_tokens, 512, 10_000_000, "tokens"),
    ms("reply.openai.connect_timeout_ms", |c| &mut c.reply.openai.connect_timeout, 10, 60_000),
    ms("reply.openai.first_token_timeout_ms", |c| &mut c.reply.openai.first_token_timeout, 100, 600_000),
    ms("reply.openai.token_timeout_ms", |c| &mut c.reply.openai.token_timeout, 100, 600_000),
    ms("reply.openai.total_timeout_ms", |c| &mut c.reply.openai.total_timeout, 100, 3_600_000),
    text(
        "reply.second.base_url",
        NO_BASE_URL,
        |c, text| set_base_url(&mut c.reply.second, text, false),
        |c| c.reply.second.base_url.clone(),
    ),
    text(
        "reply.second.model",
        NO_MODEL,
        |c, text| set_model(&mut c.reply.second, text, false),
        |c| c.reply.second.model.clone(),
    ),
    text(
        "reply.second.api_key_file",
        FILE,
        |c, text| set_file(&mut c.reply.second.api_key_file, text),
        |c| show_file(c.reply.second.api_key_file.as_deref()),
    ),
    text(
        "reply.second.api_key_env",
        VARIABLE,
        |c, text| set_variable(&mut c.reply.second.api_key_env, text),
        |c| c.reply.second.api_key_env.clone().unwrap_or_default(),
    ),
    text(
        "reply.second.ca_file",
        FILE,
        |c, text| set_file(&mut c.reply.second.ca_file, text),
        |c| show_file(c.reply.second.ca_file.as_deref()),
    ),
    text(
        "reply.third.base_url",
        NO_BASE_URL,
        |c, text| set_base_url(&mut c.reply.third, text, false),
        |c| c.reply.third.base_url.clone(),
    ),
    text(
        "reply.third.model",
        NO_MODEL,
        |c, text| set_model(&mut c.reply.third, text, false),
        |c| c.reply.third.model.clone(),
    ),
    text(
        "reply.third.api_key_file",
        FILE,
        |c, text| set_file(&mut c.reply.third.api_key_file, text),
        |c| show_file(c.reply.third.api_key_file.as_deref()),
    ),
    text(
        "reply.third.api_key_env",
        VARIABLE,
        |c, text| set_variable(&mut c.reply.third.api_key_env, text),
        |c| c.reply.third.api_key_env.clone().unwrap_or_default(),
    ),
    text(
        "reply.third.ca_file",
        FILE,
        |c, text| set_file(&mut c.reply.third.ca_file, text),
        |c| show_file(c.reply.third.ca_file.as_deref()),
    ),
    count("concurrency.min", |c| &mut c.concurrency.min, 1, 10_000, "replies"),
    count("concurrency.max", |c| &mut c.concurrency.max, 1, 10_000, "replies"),
    count("concurrency.queue", |c| &mut c.concurrency.queue, 0, 100_000, "turns"),
    ms("concurrency.queue_timeout_ms", |c| &mut c.concurrency.queue_timeout, 0, 60_000),
    messages("limits.free.messages_per_minute", |c| &mut c.limits.free.messages_per_minute),
    requests("limits.free.requests_per_minute", |c| &mut c.limits.free.requests_per_minute),
    streams("limits.free.streams", |c| &mut c.limits.free.streams),
    small("limits.free.retention_days", |c| &mut c.limits.free.retention_days, (0, 36_500), "days"),
    messages("limits.premium.messages_per_minute", |c| &mut c.limits.premium.messages_per_minute),
    requests("limits.premium.requests_per_minute", |c| &mut c.limits.premium.requests_per_minute),
    streams("limits.premium.streams", |c| &mut c.limits.premium.streams),
    small("limits.premium.retention_days", |c| &mut c.limits.premium.retention_days, (0, 36_500), "days"),
    messages("limits.unlimited.messages_per_minute", |c| &mut c.limits.unlimited.messages_per_minute),
    requests("limits.unlimited.requests_per_minute", |c| &mut c.limits.unlimited.requests_per_minute),
    streams("limits.unlimited.streams", |c| &mut c.limits.unlimited.streams),
    small("limits.unlimited.retention_days", |c| &mut c.limits.unlimited.retention_days, (0, 36_500), "days"),
    count("jobs.workers", |c| &mut c.jobs.workers, 1, 64, "jobs"),
    ms("jobs.retry_after_ms", |c| &mut c.jobs.retry_after, 1, 3_600_000),
    text("jobs.titles", "\"excerpt\" or \"none\"", set_titles, |config| {
        match config.jobs.titles {
            Titles::Excerpt => "excerpt",
            Titles::None => "none",
        }
        .to_owned()
    }),
    ms("monitor.interval_ms", |c| &mut c.monitor.interval, 100, 60_000),
    condition("alerts.cpu", |c| &mut c.alerts.cpu, PERCENT),
    condition("alerts.memory", |c| &mut c.alerts.memory, PERCENT),
    condition("alerts.latency_p95", |c| &mut c.alerts.latency_p95, MS),
    condition("alerts.first_text_p95", |c| &mut c.alerts.first_text_p95, MS),
    condition("alerts.error_rate", |c| &mut c.alerts.error_rate, PERCENT),
    condition("alerts.cache_hits", |c| &mut c.alerts.cache_hits, PERCENT),
    condition("alerts.disk_free", |c| &mut c.alerts.disk_free, PERCENT),
    text("alerts.backup_failed", "\"on\" or \"off\"", set_backup_failed, |config| {
        if config.alerts.backup_failed { "on" } else { "off" }.to_owned()
    }),
    text("alerts.webhook_url", "a URL, as \"https://example.org/hook\", or \"\" for none", set_webhook, |config| {
        config.alerts.webhook_url.clone().unwrap_or_default()
    }),
    text(
        "alerts.webhook_secret_file",
        FILE,
        |c, text| set_file(&mut c.alerts.webhook_secret_file, text),
        |c| show_file(c.alerts.webhook_secret_file.as_deref()),
    ),
    text("log.level", "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"", set_level, |config| {
        config.log.level.to_string()
    }),
    text("log.format", "\"text\" or \"json\"", set_format, |config| {
        match config.log.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
        .to_owned()
    }),
];

const fn count(
    key: &'static str,
    at: fn(&mut Config) -> &mut usize,
    least: usize,
    most: usize,
    unit: &'static str,
) -> Setting {
    Setting { key, field: Field::Usize { at, least, most, unit } }
}

const fn small(
    key: &'static str,
    at: fn(&mut Config) -> &mut u32,
    (least, most): (u32, u32),
    unit: &'static str,
) -> Setting {
    Setting { key, field: Field::U32 { at, least, most, unit } }
}

const fn messages(key: &'static str, at: fn(&mut Config) -> &mut u32) -> Setting {
    small(key, at, (0, 1_000_000), "messages")
}

const fn requests(key: &'static str, at: fn(&mut Config) -> &mut u32) -> Setting {
    small(key, at, (0, 10_000_000), "requests")
}

const fn streams(key: &'static str, at: fn(&mut Config) -> &mut u32) -> Setting {
    small(key, at, (0, 1_000_000), "streams")
}

const fn ms(key: &'static str, at: fn(&mut Config) -> &mut Duration, least: u64, most: u64) -> Setting {
    Setting { key, field: Field::Time { at, least, most, unit: TimeUnit::Milliseconds } }
}

const fn seconds(key: &'static str, at: fn(&mut Config) -> &mut Duration, least: u64, most: u64) -> Setting {
    Setting { key, field: Field::Time { at, least, most, unit: TimeUnit::Seconds } }
}

const fn hours(key: &'static str, at: fn(&mut Config) -> &mut Duration, least: u64, most: u64) -> Setting {
    Setting { key, field: Field::Time { at, least, most, unit: TimeUnit::Hours } }
}

const fn days(key: &'static str, at: fn(&mut Config) -> &mut Duration, least: u64, most: u64) -> Setting {
    Setting { key, field: Field::Time { at, least, most, unit: TimeUnit::Days } }
}

const fn size(key: &'static str, at: fn(&mut Config) -> &mut u64, least: u64, most: u64) -> Setting {
    Setting { key, field: Field::Size { at, least, most } }
}

const fn condition(key: &'static str, at: fn(&mut Config) -> &mut Option<Condition>, unit: LimitUnit) -> Setting {
    Setting { key, field: Field::Condition { at, unit } }
}

const fn text(
    key: &'static str,
    wants: &'static str,
    set: fn(&mut Config, &str) -> Result<(), Refusal>,
    show: fn(&Config) -> String,
) -> Setting {
    Setting { key, field: Field::Text { wants, set, show } }
}

const fn list(
    key: &'static str,
    wants: &'static str,
    set: fn(&mut Config, &[String]) -> Result<(), String>,
    show: fn(&Config) -> Vec<String>,
) -> Setting {
    Setting { key, field: Field::List { wants, set, show } }
}

fn set_hosts(config: &mut Config, items: &[String]) -> Result<(), String> {
    let host = |item: &String| {
        let name = item.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(item);
        let is_name = !item.is_empty() && item.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        // Browsers send names in lower case, so they are kept in it.
        if is_name || name.parse::<std::net::Ipv6Addr>().is_ok() {
            Ok(item.to_ascii_lowercase())
        } else {
            Err(format!("must be host names without scheme, port or path; {item:?} is none"))
        }
    };
    config.server.hosts = items.iter().map(host).collect::<Result<_, _>>()?;
    Ok(())
}

fn set_origins(config: &mut Config, items: &[String]) -> Result<(), String> {
    config.server.cors_origins = items.iter().map(|item| origin(item)).collect::<Result<_, _>>()?;
    Ok(())
}

fn set_proxies(config: &mut Config, items: &[String]) -> Result<(), String> {
    let address = |item: &String| item.parse().map_err(|_| format!("must be IP addresses; {item:?} is none"));
    config.server.trusted_proxies = items.iter().map(address).collect::<Result<_, _>>()?;
    Ok(())
}

fn set_dir(config: &mut Config, text: &str) -> Result<(), Refusal> {
    config.data.dir = path(text).ok_or(None)?;
    Ok(())
}

fn set_backup_dir(config: &mut Config, text: &str) -> Result<(), Refusal> {
    config.backup.dir = if text.is_empty() { PathBuf::new() } else { path(text).ok_or(None)? };
    Ok(())
}

/// `text` as a path, where it can be one.
fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty() && !text.contains('\0')).then(|| PathBuf::from(text))
}

fn set_registration(config: &mut Config, text: &str) -> Result<(), Refusal> {
    config.auth.registration = match text {
        "open" => Registration::Open,
        "invite" => Registration::Invite,
        "closed" => Registration::Closed,
        _ => return Err(None),
    };
    Ok(())
}

fn set_backend(config: &mut Config, text: &str) -> Result<(), Refusal> {
    config.reply.backend = match text {
        "companion" => ReplyBackend::Companion,
        "openai" => ReplyBackend::Openai,
        _ => return Err(None),
    };
    Ok(())
}

fn set_fallback(config: &mut Config, text: &str) -> Result<(), Refusal> {
    config.reply.fallback = match text {
        "none" => Fallback::Nobody,
        "companion" => Fallback::Companion,
        _ => return Err(None),
    };
    Ok(())
}

fn set_system_prompt(config: &mut Config, text: &str) -> Result<(), Refusal> {
    let chars = text.chars().count();
    if chars > SYSTEM_PROMPT_CHARS_MAX {
        return Err(Some(format!("must be a text of at most {SYSTEM_PROMPT_CHARS_MAX} characters, not {chars}")));
    }
    text.clone_into(&mut config.reply.system_prompt);
    Ok(())
}

fn set_model(upstream: &mut UpstreamConfig, text: &str, is_needed: bool) -> Result<(), Refusal> {
    if (text.is_empty() && is_needed) || text.chars().count() > 200 || text.chars().any(char::is_control) {
        return Err(None);
    }
    text.clone_into(&mut upstream.model);
    Ok(())
}

fn set_file(file: &mut Option<PathBuf>, text: &str) -> Result<(), Refusal> {
    *file = if text.is_empty() { None } else { Some(path(text).ok_or(None)?) };
    Ok(())
}

fn show_file(file: Option<&Path>) -> String {
    file.map_or_else(String::new, |file| file.display().to_string())
}

fn set_variable(variable: &mut Option<String>, text: &str) -> Result<(), Refusal> {
    let is_name =
        text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !text.starts_with(|c: char| c.is_ascii_digit());
    if !is_name {
        // The text is not repeated: it may be the key itself.
        return Err(Some(
            "must be the name of an environment variable (letters, digits and _), not the key".to_owned(),
        ));
    }
    *variable = Some(text.to_owned()).filter(|name| !name.is_empty());
    Ok(())
}

fn set_backup_failed(config: &mut Config, text: &str) -> Result<(), Refusal> {
    config.alerts.backup_failed = match text {
        "on" => true,
        "off" => false,
        _ => return Err(None),
    };
    Ok(())
}

fn set_level(config: &mut Config, text: &str) -> Result<(), Refusal> {
    config.log.level = match text {
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return Err(None),
    };
    Ok(())
}

fn set_titles(config: &mut Config, text: &str) -> Result<(), Refusal> {
    config.jobs.titles = match text {
        "excerpt" => Titles::Excerpt,
        "none" => Titles::None,
        _ => return Err(None),
    };
    Ok(())
}

fn set_format(config: &mut Config, text: &str) -> Result<(), Refusal> {
    config.log.format = match text {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => return Err(None),
    };
    Ok(())
}
