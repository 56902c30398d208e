//! One user who sends a hundred messages at once, and 99 who send one each at that moment.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    offer::{Crowd, Done, jain},
    stub::Stub,
};
use crate::{load::server::Server, measure::figures::float};

const SLOTS: usize = 16;
const SERVICE: Duration = Duration::from_millis(200);
const USERS: usize = 100;
const CROWD: usize = 100;
/// The longest wait in the queue, and a reply: what comes later is no part of the first round.
const ROUND: Duration = Duration::from_millis(2_200);

pub(crate) async fn run(stub: &Stub) {
    stub.behave(&format!("slow {}", SERVICE.as_millis()));
    println!("one user sends {CROWD} messages, {} users one each, all at once; {SLOTS} slots:", USERS - 1);
    println!("into sessions | of the others in time, refused | of the one in time, refused | fairness");
    for sessions in [20, 1] {
        round(stub, sessions).await;
    }
}

async fn round(stub: &Stub, sessions: usize) {
    let slots = [format!("concurrency.min={SLOTS}"), format!("concurrency.max={SLOTS}")];
    let server = Server::start(&stub.base_url(), &[&slots[0], &slots[1]]);
    let crowd = Crowd::gather(server.address, USERS, sessions).await;
    crowd.connect(CROWD + USERS - 1).await;
    let begin = Instant::now();
    let mut asked = JoinSet::new();
    // The one user is first, which is the worst that he can do.
    let all = (0..CROWD).map(|n| (0, n % sessions)).chain((1..USERS).map(|user| (user, 0)));
    for (user, session) in all {
        let crowd = Arc::clone(&crowd);
        asked.spawn(async move { crowd.say(user, session, begin, begin).await });
    }
    let done = asked.join_all().await;
    let in_time = |done: &&Done| done.answered() && done.took <= ROUND;
    let (mine, others): (Vec<Done>, Vec<Done>) = done.iter().partition(|done| done.user == 0);
    let [mine_in_time, others_in_time] = [&mine, &others].map(|who| who.iter().filter(in_time).count());
    let [mine_refused, others_refused] = [&mine, &others].map(|who| who.iter().filter(|d| !d.answered()).count());
    // What each user got of what he asked for in the first round.
    let mut shares = vec![float(mine_in_time) / float(CROWD)];
    shares.extend(others.iter().map(|done| if in_time(&done) { 1.0 } else { 0.0 }));
    println!(
        "{sessions:13} | {others_in_time:21}, {others_refused:7} | {mine_in_time:18}, {mine_refused:7} | {:.3}",
        jain(&shares)
    );
}
