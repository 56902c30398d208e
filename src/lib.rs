//! bondhu: the whole back end of a multi-user AI companion chat in one executable.

pub mod clock;
pub mod id;
pub mod pool;
pub mod text;
