//! What all benches share: rounds and their spread, rows of the table, what a process costs, what is allocated.
//!
//! Knows nothing of what is measured.

pub(crate) mod allocations;
pub(crate) mod figures;
pub(crate) mod process;
pub(crate) mod row;
