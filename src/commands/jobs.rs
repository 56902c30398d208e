//! `bondhu jobs`: the durable queue, as an operator.

use super::{Failure, load, operator::Operator};
use crate::{
    cli::{Jobs, JobsCommand, Settings},
    control::ControlRequest,
};

pub(super) fn run(first: Settings, Jobs { settings, command }: Jobs) -> Result<(), Failure> {
    let last = match &command {
        JobsCommand::List(listing) => &listing.settings,
        JobsCommand::Retry(name) | JobsCommand::Remove(name) => &name.settings,
    };
    let operator = Operator::of_existing(&load(&[first, settings, last.clone()], true)?)?;
    match command {
        JobsCommand::List(listing) => operator.list_jobs(listing.state.map(Into::into)),
        JobsCommand::Retry(name) => operator.perform(ControlRequest::JobRetry { id: name.id }),
        JobsCommand::Remove(name) => operator.perform(ControlRequest::JobRemove { id: name.id }),
    }
}
