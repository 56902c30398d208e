use super::*;

/// Time between two made-up samples.
const STEP: Duration = Duration::from_secs(10);

fn condition(limit: f64, seconds: u64) -> Condition {
    Condition { limit, lasting: Duration::from_secs(seconds) }
}

/// Only the CPU is watched.
fn cpu_only(limit: f64, seconds: u64) -> AlertsConfig {
    AlertsConfig { cpu: Some(condition(limit, seconds)), ..nothing() }
}

fn nothing() -> AlertsConfig {
    AlertsConfig {
        cpu: None,
        memory: None,
        latency_p95: None,
        first_text_p95: None,
        error_rate: None,
        cache_hits: None,
        disk_free: None,
        backup_failed: false,
        webhook_url: None,
        webhook_secret_file: None,
    }
}

/// Observes each value of a series in turn; gives the samples at which something changed.
fn changes(alerts: &mut Alerts, series: &[Option<f64>]) -> Vec<(usize, Rule, Change)> {
    let mut changes = Vec::new();
    for (n, value) in series.iter().enumerate() {
        let elapsed = STEP * u32::try_from(n).unwrap();
        let now = Moment { elapsed, time: Timestamp(0).after(elapsed) };
        let notices = alerts.observe(now, |_| *value);
        changes.extend(notices.into_iter().map(|notice| (n, notice.rule, notice.state)));
    }
    changes
}

fn values(text: &str) -> Vec<Option<f64>> {
    text.split(' ').map(|word| word.parse().ok()).collect()
}

#[test]
fn a_limit_must_be_passed_for_its_time_without_a_break() {
    let mut alerts = Alerts::new(&cpu_only(80.0, 30), STEP);
    assert_eq!(changes(&mut alerts, &values("90 90 90 70 90 90 90 80 81 - 99 99 99")), []);
    let mut alerts = Alerts::new(&cpu_only(80.0, 30), STEP);
    assert_eq!(changes(&mut alerts, &values("10 90 90 90 90 90 90")), [(4, Rule::Cpu, Change::Firing)]);
    assert_eq!(alerts.states()[0].since, Some(Timestamp(10_000_000)), "since it was passed");
}

#[test]
fn a_value_that_swings_about_its_limit_is_one_alert_and_not_many() {
    let mut alerts = Alerts::new(&cpu_only(80.0, 30), STEP);
    let series = values("90 90 90 90 10 90 10 10 90 10 10 10 10 10 90");
    let wanted = [(3, Rule::Cpu, Change::Firing), (12, Rule::Cpu, Change::Resolved)];
    assert_eq!(changes(&mut alerts, &series), wanted);
    assert_eq!(alerts.states()[0].state, "pending", "and it begins anew");
}

#[test]
fn without_any_value_nothing_is_wrong() {
    let mut alerts = Alerts::new(&cpu_only(80.0, 10), STEP);
    let series = values("90 90 - - - -");
    assert_eq!(changes(&mut alerts, &series), [(1, Rule::Cpu, Change::Firing), (4, Rule::Cpu, Change::Resolved)]);
    assert_eq!(alerts.states()[0].value, None);
}

#[test]
fn a_limit_without_a_time_fires_at_once_and_ends_after_three_good_samples() {
    let mut alerts = Alerts::new(&cpu_only(80.0, 0), STEP);
    let series = values("90 70 90 70 70 70 70");
    assert_eq!(changes(&mut alerts, &series), [(0, Rule::Cpu, Change::Firing), (5, Rule::Cpu, Change::Resolved)]);
}

#[test]
fn some_limits_are_floors() {
    let config =
        AlertsConfig { disk_free: Some(condition(10.0, 0)), cache_hits: Some(condition(50.0, 10)), ..nothing() };
    let mut alerts = Alerts::new(&config, STEP);
    let changed = changes(&mut alerts, &values("60 40 10 9"));
    assert_eq!(changed, [(2, Rule::CacheHits, Change::Firing), (3, Rule::DiskFree, Change::Firing)]);
}

#[test]
fn a_failed_backup_fires_at_once_and_a_good_one_ends_it_at_once() {
    let mut alerts = Alerts::new(&AlertsConfig { backup_failed: true, ..nothing() }, STEP);
    let changed = changes(&mut alerts, &values("- 0 1 1 0 0"));
    assert_eq!(changed, [(2, Rule::BackupFailed, Change::Firing), (4, Rule::BackupFailed, Change::Resolved)]);
}

#[test]
fn rules_change_while_they_fire_and_one_that_is_turned_off_is_over() {
    let mut alerts = Alerts::new(&cpu_only(80.0, 0), STEP);
    assert_eq!(changes(&mut alerts, &values("90")).len(), 1);
    let later = Moment { elapsed: STEP * 9, time: Timestamp(90_000_000) };
    assert_eq!(alerts.reconfigure(&cpu_only(70.0, 60), later), []);
    assert_eq!((alerts.states()[0].state, alerts.states()[0].limit.to_string()), ("firing", "70".to_owned()));
    let ended = alerts.reconfigure(&nothing(), later);
    assert_eq!((ended.len(), ended[0].rule, ended[0].state), (1, Rule::Cpu, Change::Resolved));
    assert!(alerts.states().is_empty() && alerts.reconfigure(&cpu_only(80.0, 0), later).is_empty());
}

#[test]
fn every_rule_has_a_key_of_the_config_and_a_sentence() {
    let alerts = Alerts::new(&AlertsConfig::default(), STEP);
    let abouts: Vec<_> = alerts.states().into_iter().map(|state| (state.rule.key(), state.about)).collect();
    assert_eq!(abouts.len(), Rule::ALL.len());
    for (key, about) in &abouts {
        let key = format!("alerts.{key}");
        assert!(crate::config::SETTINGS.iter().any(|setting| setting.key == key), "{key}");
        assert!(about.ends_with('.') && about.starts_with(|c: char| !c.is_lowercase()), "{about}");
    }
    assert_eq!(abouts[0].1, "CPU use over 80 % for 5m.");
    assert_eq!(abouts[2].1, "95 of 100 answers over 2 s for 5m.");
    let slow = Condition { limit: 2000.0, lasting: Duration::ZERO };
    assert_eq!(Rule::LatencyP95.says(Some(2345.6), slow, true), "95 of 100 answers take up to 2.35 s, over 2 s.");
    let said = Rule::DiskFree.says(Some(12.0), Condition { limit: 10.0, lasting: Duration::ZERO }, false);
    assert_eq!(said, "Free disk space is 12 %, no longer under 10 %.");
    assert!(Rule::ErrorRate.says(None, slow, false).contains("nothing to measure"));
}
