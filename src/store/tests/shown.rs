//! Nothing is shown before the sync of what holds it: readers look at the very moment.

use std::sync::{Arc, Mutex};

use super::{
    super::Store,
    life::{Life, Step, script},
    model::World,
};

/// What readers look at while a deed is under way, and should see.
struct Watch {
    store: Arc<Store>,
    keys: Vec<(u8, u8)>,
    before: World,
    /// Syncs that are still to be looked at: behind a deletion come those of what it removes.
    left: usize,
}

#[derive(Default)]
struct Seen {
    watch: Option<Watch>,
    looked: usize,
    wrong: Vec<String>,
}

impl Seen {
    fn look(&mut self) {
        let Some(watch) = self.watch.as_mut().filter(|watch| watch.left > 0) else { return };
        watch.left -= 1;
        self.looked += 1;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let seen = runtime.block_on(World::seen_in(&watch.store, &watch.keys)).shown();
        if seen != watch.before {
            self.wrong.push(format!("{seen:#?}"));
        }
    }
}

#[test]
fn nothing_is_shown_before_it_is_synced() {
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let of_writer = Arc::clone(&seen);
    let steps = script();
    let mut life = Life::new(&steps).with_on_sync(Box::new(move |_| of_writer.lock().unwrap().look()));
    for step in &steps {
        if let Step::Do(deed) = step
            && let Some(store) = life.watched()
        {
            // What is read before is in the cache when it changes.
            let (before, keys) = (life.seen(), life.keys.clone());
            let left = if deed.removes() { 1 } else { usize::MAX };
            seen.lock().unwrap().watch = Some(Watch { store, keys, before, left });
        }
        life.run(std::slice::from_ref(step));
        seen.lock().unwrap().watch = None;
        // And what is acknowledged is shown at once.
        life.compare();
    }
    life.kill();
    let seen = seen.lock().unwrap();
    assert!(seen.wrong.is_empty(), "shown before its sync: {:?}", seen.wrong);
    eprintln!("shown: looked at {} syncs", seen.looked);
    assert!(seen.looked > 30);
}
