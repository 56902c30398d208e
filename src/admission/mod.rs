//! Who may go on now: rate limits per user, and reply slots for everybody.

mod limit;
pub mod rate;
pub mod slots;
