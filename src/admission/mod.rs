//! Who may go on now: rate limits per user, and reply slots for everybody.

pub mod rate;
pub mod slots;
