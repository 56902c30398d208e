//! What is asked of a running server only: `bondhu reload`, `bondhu log-level`.

use super::{Failure, load, operator::Operator};
use crate::{cli::Settings, control::ControlRequest};

pub(super) fn reload(settings: &[Settings]) -> Result<(), Failure> {
    ask(settings, ControlRequest::Reload {})
}

pub(super) fn log_level(settings: &[Settings], level: String) -> Result<(), Failure> {
    ask(settings, ControlRequest::LogLevel { level })
}

fn ask(settings: &[Settings], request: ControlRequest) -> Result<(), Failure> {
    Operator::running(&load(settings, false)?)?.perform(request)
}
