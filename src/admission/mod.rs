//! Who may go on now: rate limits and event streams per user, and reply slots for everybody.

mod limit;
pub mod rate;
pub mod slots;
pub mod streams;

use crate::{
    config::{LimitsConfig, TierLimits},
    store::Tier,
};

/// What a user of this tier may do.
fn limits_of(limits: &LimitsConfig, tier: Tier) -> &TierLimits {
    match tier {
        Tier::Free => &limits.free,
        Tier::Premium => &limits.premium,
        Tier::Unlimited => &limits.unlimited,
    }
}
