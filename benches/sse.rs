//! Event streams: what an idle one costs, what a token costs and how late it is, and one reply for a hundred tabs.
//!
//! Budget: 8 KiB of resident memory for each of 10,000 idle streams. 500 replies at once of 20 tokens a second: 20 ms added
//! to a token's way by bondhu (p99), 25 us of CPU for each. The model server is a stub on threads of its own, which sends
//! each token at a time that is known beforehand; the same tokens are read from it in the same run without bondhu, and
//! through a relay that only copies bytes.
//!
//! `cargo bench --bench sse -- [idle] [tokens] [tabs]`, by default all three.

#[path = "sse/idle.rs"]
mod idle;
#[expect(dead_code, reason = "other benches ask it for more")]
mod load;
#[expect(dead_code, reason = "other benches measure more")]
mod measure;
#[path = "sse/relay.rs"]
mod relay;
#[path = "../tests/it/support/stub.rs"]
#[expect(dead_code, reason = "the tests ask it for more")]
mod stub;
#[path = "sse/tokens.rs"]
mod tokens;

use crate::{load::server::raise_open_files, stub::Stub};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [mode, model, listen] = words.as_slice()
        && mode == "relay"
    {
        return relay::serve(model.parse().expect("an address"), listen.parse().expect("an address"));
    }
    let wanted = |part: &str| words.is_empty() || words.iter().any(|word| word == part);
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if wanted("idle") {
        runtime.block_on(idle::run());
    }
    if wanted("tokens") {
        let stub = Stub::start();
        runtime.block_on(tokens::replies(&stub));
    }
    if wanted("tabs") {
        let stub = Stub::start();
        runtime.block_on(tokens::tabs(&stub));
    }
}
