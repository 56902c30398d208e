//! Log lines to the standard error, without ever making a request wait for them.
//!
//! A line is put into a bounded buffer, which one thread writes out. Where the reader of the standard error is too slow,
//! lines are dropped and counted, and the count is written as soon as there is room. No character in a line can act on
//! the terminal that shows it or look like the end of the line.

mod escape;
mod text;

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer, Registry,
    fmt::MakeWriter,
    layer::SubscriberExt,
    reload::{self, Handle},
};

use crate::config::{LogConfig, LogFormat};

/// The most bytes that wait to be written.
const WAITING_MAX: usize = 4 << 20;
/// The longest wait of [`Logs::flush`] for a reader of the standard error that does not read.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Lines that come within this time of each other are written in one piece.
const GATHER: Duration = Duration::from_millis(10);

/// The lines on their way out. Dropping the last handle but the subscriber's writes what waits.
pub struct Logs {
    buffer: Buffer,
    levels: Levels,
}

/// Sets the least severe level that is written, at any time; clones set the same.
#[derive(Clone)]
pub struct Levels(Handle<LevelFilter, Registry>);

/// Sends what is traced from now on to the standard error.
///
/// # Errors
/// The system's, where it gives no thread, or where logging was started before in this process.
pub fn start(config: &LogConfig) -> io::Result<Logs> {
    let colours = config.format == LogFormat::Text && io::stderr().is_terminal();
    let style = Style { format: config.format, colours };
    let buffer = Buffer::start(style, Box::new(io::stderr()))?;
    let (level, handle) = reload::Layer::new(config.level);
    let base = Registry::default().with(level);
    let set = match config.format {
        LogFormat::Text => tracing::subscriber::set_global_default(base.with(text(&buffer))),
        LogFormat::Json => tracing::subscriber::set_global_default(base.with(json(&buffer))),
    };
    set.map_err(io::Error::other)?;
    std::panic::set_hook(Box::new(|panic| {
        // Where, and not what: the words of a panic may quote a message.
        let location = panic.location().map(tracing::field::display);
        let thread = std::thread::current();
        tracing::error!(location, thread = thread.name(), "a part of the program panicked");
    }));
    Ok(Logs { buffer, levels: Levels(handle) })
}

fn text<S>(buffer: &Buffer) -> impl Layer<S> + use<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let colours = buffer.style.colours;
    let layer = tracing_subscriber::fmt::layer().with_ansi(colours);
    layer.event_format(text::Text { colours }).with_writer(buffer.clone())
}

fn json<S>(buffer: &Buffer) -> impl Layer<S> + use<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(buffer.clone())
}

impl Levels {
    /// The level now.
    #[must_use]
    pub fn get(&self) -> LevelFilter {
        self.0.clone_current().unwrap_or(LevelFilter::OFF) // Without a subscriber nothing is written.
    }

    /// Another level from now on.
    pub fn set(&self, level: LevelFilter) {
        // It fails only where there is no subscriber any more, and then there is no log.
        let _ = self.0.modify(|now| *now = level);
    }
}

impl Logs {
    /// Waits until every line so far is written, for two seconds at most.
    pub fn flush(&self) {
        self.buffer.flush();
    }

    /// What sets the level.
    #[must_use]
    pub fn levels(&self) -> Levels {
        self.levels.clone()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.flush();
    }
}

/// How lines look.
#[derive(Debug, Clone, Copy)]
struct Style {
    format: LogFormat,
    /// True where our own escape sequences for colours may pass.
    colours: bool,
}

/// The bounded buffer; clones share it.
#[derive(Clone)]
struct Buffer {
    style: Style,
    shared: Arc<Shared>,
}

struct Shared {
    /// Guards the lines that wait.
    state: Mutex<State>,
    /// There is something to write.
    work: Condvar,
    /// All is written.
    idle: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines that found no room since the last count was written.
    dropped: u64,
    /// The thread has taken bytes that it has not written yet.
    writing: bool,
    /// The thread knows that there are lines: nobody needs to wake it.
    awake: bool,
    /// Someone waits for the lines to be written.
    hurry: bool,
}

impl Buffer {
    fn start(style: Style, out: Box<dyn Write + Send>) -> io::Result<Self> {
        let shared = Shared { state: Mutex::default(), work: Condvar::new(), idle: Condvar::new() };
        let buffer = Self { style, shared: Arc::new(shared) };
        let thread = buffer.clone();
        std::thread::Builder::new().name("bondhu-log".to_owned()).spawn(move || thread.run(out))?;
        Ok(buffer)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let line = escape::line(line, self.style.format, self.style.colours);
        let mut state = self.lock();
        if state.waiting.len() + line.len() > WAITING_MAX {
            state.dropped += 1;
        } else {
            state.waiting.extend_from_slice(&line);
        }
        let wake = !std::mem::replace(&mut state.awake, true);
        drop(state);
        if wake {
            self.shared.work.notify_one();
        }
    }

    fn flush(&self) {
        let until = Instant::now() + FLUSH_WITHIN;
        let mut state = self.lock();
        state.hurry = true;
        self.shared.work.notify_one();
        while state.writing || !state.waiting.is_empty() || state.dropped > 0 {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return };
            state = self.shared.idle.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The thread: takes all that waits at once, so that a burst of lines is a few writes.
    fn run(&self, mut out: Box<dyn Write + Send>) {
        let mut taken = Vec::new();
        loop {
            let dropped = self.take(&mut taken);
            if dropped > 0 {
                taken.extend_from_slice(dropped_line(dropped, self.style.format).as_bytes());
            }
            // Nobody is left to tell where the standard error is closed.
            let _ = out.write_all(&taken).and_then(|()| out.flush());
            taken.clear();
        }
    }

    /// Waits for lines, gathers a few, moves them into `taken`, which is empty, and gives the count of those that were
    /// dropped.
    fn take(&self, taken: &mut Vec<u8>) -> u64 {
        let mut state = self.lock();
        state.writing = false;
        self.shared.idle.notify_all();
        while state.waiting.is_empty() && state.dropped == 0 {
            (state.awake, state.hurry) = (false, false);
            state = self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // Waking for each line would cost more than the line.
        let waiting = |state: &mut State| !state.hurry;
        let gathered = self.shared.work.wait_timeout_while(state, GATHER, waiting);
        let mut state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        state.writing = true;
        std::mem::swap(&mut state.waiting, taken);
        std::mem::take(&mut state.dropped)
    }
}

fn dropped_line(dropped: u64, format: LogFormat) -> String {
    let said = format!("{dropped} log lines were dropped: the standard error is read too slowly");
    match format {
        LogFormat::Text => format!("WARN bondhu::logging: {said}\n"),
        LogFormat::Json => format!("{{\"level\":\"WARN\",\"message\":\"{said}\",\"dropped\":{dropped}}}\n"),
    }
}

/// Writes one event; the formatter hands it over whole.
struct Line<'a>(&'a Buffer);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Buffer {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self)
    }
}

#[cfg(test)]
mod tests;
