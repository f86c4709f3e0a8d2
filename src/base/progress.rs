//! What a step tells about its advance. Steps emit, only `cli::ui` draws.

/// Receives the advance of long work. Implementations are cheap and callable from any thread.
pub trait Progress: Send + Sync {
    /// A phase begins: `what` in a word or two, `total` bytes to do (0 when unknown).
    fn start(&self, what: &str, total: u64);
    /// `bytes` more are done.
    fn advance(&self, bytes: u64);
    /// The phase is over.
    fn finish(&self);
    /// Something worth a line of its own: a retry, a note.
    fn note(&self, line: &str);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _what: &str, _total: u64) {}
    fn advance(&self, _bytes: u64) {}
    fn finish(&self) {}
    fn note(&self, _line: &str) {}
}
