//! `bondhu compact`: deleted text leaves the disk now.

use super::{Failure, load, operator::Operator};
use crate::{cli::Settings, control::ControlRequest};

pub(super) fn run(settings: &[Settings]) -> Result<(), Failure> {
    Operator::of_existing(&load(settings, true)?)?.perform(ControlRequest::Compact {})
}
