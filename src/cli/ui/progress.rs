//! One line for all that goes on: a bar on a terminal, plain lines elsewhere.

use std::{
    io::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::base::{progress::Progress, text};

/// A bar with rate and time left.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
        Self { bar }
    }
}

impl Progress for Bar {
    fn start(&self, what: &str, total: u64) {
        let template = if total == 0 {
            "{spinner} {msg}"
        } else {
            "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.reset();
        self.bar.set_length(total);
        self.bar.set_message(what.to_owned());
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn finish(&self) {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
    }

    fn note(&self, line: &str) {
        self.bar.suspend(|| print(line));
    }
}

/// Plain lines for logs: one at the start of each phase, one every ten seconds, one at its end.
#[derive(Debug)]
pub(super) struct Lines {
    verbose: bool,
    done: AtomicU64,
    phase: Mutex<Option<Phase>>,
}

#[derive(Debug)]
struct Phase {
    what: String,
    total: u64,
    began: Instant,
    told: Instant,
}

const INTERVAL: Duration = Duration::from_secs(10);

impl Lines {
    pub(super) fn new(verbose: bool) -> Self {
        Self { verbose, done: AtomicU64::new(0), phase: Mutex::new(None) }
    }
}

impl Progress for Lines {
    fn start(&self, what: &str, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        if total > 0 {
            print(&format!("{what}: {}", text::bytes(total)));
        } else if self.verbose {
            print(what);
        }
        let now = Instant::now();
        let phase = Phase { what: what.to_owned(), total, began: now, told: now };
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(phase);
    }

    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Whoever does not get the lock at once leaves telling to the one who has it.
        let Ok(mut phase) = self.phase.try_lock() else { return };
        let Some(phase) = phase.as_mut().filter(|phase| phase.told.elapsed() >= INTERVAL) else { return };
        phase.told = Instant::now();
        let seconds = phase.began.elapsed().as_secs().max(1);
        let rate = done / seconds;
        let left = phase.total.saturating_sub(done) / rate.max(1);
        let (what, done, total) = (&phase.what, text::bytes(done), text::bytes(phase.total));
        print(&format!("{what}: {done} of {total}, {}/s, {left} s left", text::bytes(rate)));
    }

    fn finish(&self) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn note(&self, line: &str) {
        print(line);
    }
}

fn print(line: &str) {
    let _broken_pipe = writeln!(std::io::stderr().lock(), "{}", text::escaped(line, 2000));
}
