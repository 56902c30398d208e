use std::sync::mpsc;

use super::*;

/// An output that a test reads, and that takes nothing while its gate is shut.
struct Gate {
    open: mpsc::Receiver<()>,
    written: mpsc::Sender<Vec<u8>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.open.recv(); // An error: the test has opened the gate for good.
        let _ = self.written.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A buffer, what opens its gate for one write (for ever, when dropped), and what was written.
fn gated(format: LogFormat) -> (Buffer, mpsc::Sender<()>, mpsc::Receiver<Vec<u8>>) {
    let (opener, open) = mpsc::channel();
    let (written, out) = mpsc::channel();
    let buffer = Buffer::start(Style { format, colours: false }, Box::new(Gate { open, written })).unwrap();
    (buffer, opener, out)
}

fn all(out: &mpsc::Receiver<Vec<u8>>) -> String {
    String::from_utf8(out.try_iter().flatten().collect()).unwrap()
}

#[test]
fn a_line_cannot_be_forged_by_what_it_says() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let (buffer, opener, out) = gated(format);
        drop(opener);
        let forged = "x\nERROR forged \u{1B}[2J\u{202E}";
        let speak = || {
            tracing::info!(display = %forged, debug = ?forged, "said {forged}");
            tracing::debug!("below the level");
        };
        let (level, _) = reload::Layer::new(LevelFilter::INFO);
        let base = Registry::default().with(level);
        match format {
            LogFormat::Text => tracing::subscriber::with_default(base.with(text(&buffer)), speak),
            LogFormat::Json => tracing::subscriber::with_default(base.with(json(&buffer)), speak),
        }
        buffer.flush();
        let written = all(&out);
        assert_eq!(written.matches('\n').count(), 1, "{written}");
        assert!(written.ends_with('\n') && written.contains("forged"), "{written}");
        assert!(!written.contains(['\u{1B}', '\u{202E}']), "{written}");
        if format == LogFormat::Json {
            let line: serde_json::Value = serde_json::from_str(&written).unwrap();
            assert_eq!(line["display"], forged);
            assert_eq!(line["level"], "INFO");
        }
    }
}

#[test]
fn a_slow_reader_costs_lines_and_they_are_counted() {
    let (buffer, opener, out) = gated(LogFormat::Text);
    buffer.push(b"first\n");
    while !buffer.lock().writing {
        std::thread::yield_now(); // Until the thread stands at the gate with the first line.
    }
    let line = vec![b'x'; WAITING_MAX / 4];
    for _ in 0..6 {
        buffer.push(&line);
    }
    assert_eq!(buffer.lock().waiting.len(), WAITING_MAX);
    drop(opener);
    buffer.flush();
    let written = all(&out);
    assert!(written.starts_with("first\n"));
    assert!(written.contains("2 log lines were dropped"));
    buffer.push(b"last\n");
    buffer.flush();
    assert_eq!(all(&out), "last\n");
}
