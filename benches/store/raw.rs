//! The limit: one thread takes what waits, writes it in one piece, syncs once and answers.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    sync::mpsc,
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{Cell, TEXT, measure_senders};

/// As the store's writer.
const GROUP_MAX: usize = 512;
/// What a message has in the journal beside its text, roughly.
const AROUND: usize = 60;

type Waiting = (Vec<u8>, oneshot::Sender<()>);

pub(crate) fn run(dir: &Path, senders: usize, seconds: Duration) -> Cell {
    let (send, receive) = mpsc::sync_channel::<Waiting>(8192);
    let options = OpenOptions::new().write(true).create(true).truncate(true).open(dir.join("raw"));
    let file = options.expect("a file");
    let writer = std::thread::spawn(move || write(&file, &receive));
    let cell = measure_senders(senders, seconds, move |_| {
        let send = send.clone();
        async move {
            let (done, told) = oneshot::channel();
            send.send((vec![7; TEXT + AROUND], done)).expect("the writer lives");
            told.await.expect("the writer answers");
        }
    });
    writer.join().expect("the writer ends");
    cell
}

fn write(file: &File, receive: &mpsc::Receiver<Waiting>) {
    let mut offset = 0;
    let mut buffer = Vec::new();
    while let Ok(first) = receive.recv() {
        let mut group = vec![first];
        while group.len() < GROUP_MAX {
            let Ok(next) = receive.try_recv() else { break };
            group.push(next);
        }
        buffer.clear();
        for (bytes, _) in &group {
            buffer.extend_from_slice(bytes);
        }
        file.write_all_at(&buffer, offset).expect("the disk takes it");
        file.sync_data().expect("the disk syncs");
        offset += buffer.len() as u64;
        for (_, done) in group {
            let _ = done.send(());
        }
    }
}
