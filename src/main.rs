//! bondhu.
fn main() {}
