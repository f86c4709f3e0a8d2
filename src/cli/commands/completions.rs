//! `sealift completions`

use crate::cli::{args::Completions, ui::Out};

pub(super) fn run(args: &Completions, out: &Out) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::command(), "sealift", &mut script);
    out.data(&String::from_utf8_lossy(&script));
}
