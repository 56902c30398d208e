//! `bondhu check-config`: everything that is wrong with the configuration, or that it is good.

use std::fmt::Write;

use super::{Failure, load, note, print};
use crate::{
    cli::Settings,
    config::{Loaded, Place, SETTINGS},
    http::Tls,
};

pub(super) fn run(settings: &[Settings], show: bool) -> Result<(), Failure> {
    let loaded = load(settings, true)?;
    Tls::check(&loaded.config.server.tls).map_err(|error| Failure::Misused(error.to_string()))?;
    for warning in &loaded.warnings {
        note(&format!("warning: {warning}"));
    }
    let values = if show { values(&loaded) } else { String::new() };
    print(&format!("{values}the configuration is good\n"))
}

/// `bondhu --print-config`: every key that the server would start with.
pub(super) fn print_all(settings: &[Settings]) -> Result<(), Failure> {
    print(&values(&load(settings, false)?))
}

/// Every key with its value, and where it was set.
fn values(loaded: &Loaded) -> String {
    let mut text = String::new();
    for setting in SETTINGS {
        let place = loaded.places.get(setting.key).unwrap_or(&Place::Default);
        let value = setting.show_openly(&loaded.config);
        let _ = writeln!(text, "{} = {value}  # {place}", setting.key); // Writing to a String does not fail.
    }
    text
}
