//! Beacons as QR codes: on paper, or held before a camera.

use std::path::Path;

use qrcode::{
    EcLevel, QrCode,
    render::{svg, unicode},
};

use super::Out;
use crate::{
    base::{
        failure::{Failure, Reason, Result},
        fs, limits,
    },
    trust::Note,
};

/// Draws a note, if that is wanted: into an SVG file, or on the terminal where that is named `terminal`. Gives
/// what to tell people about it.
pub(in crate::cli) fn draw(to: Option<&Path>, note: &Note, out: &Out) -> Result<Vec<String>> {
    let Some(to) = to else { return Ok(Vec::new()) };
    let bytes = note.to_bytes();
    let too_large = || {
        Failure::new(Reason::BadArgument, "--qr", "the document is larger than 2 KiB, which no QR code holds")
            .hint("only beacons are made to fit; carry the file")
    };
    if bytes.len() as u64 > limits::BEACON_BYTES {
        return Err(too_large());
    }
    // A quarter of a beacon may be unreadable while there is room for that; level M, a seventh, fits always.
    let code = QrCode::with_error_correction_level(&bytes, EcLevel::Q)
        .or_else(|_too_long| QrCode::with_error_correction_level(&bytes, EcLevel::M))
        .map_err(|_too_long| too_large())?;
    if to == Path::new("terminal") {
        out.note(&code.render::<unicode::Dense1x2>().build());
        return Ok(Vec::new());
    }
    let svg = code.render::<svg::Color<'_>>().module_dimensions(4, 4).build();
    fs::write_atomic(to, svg.as_bytes(), 0o644)?;
    Ok(vec![format!("{}: the QR code", to.display())])
}
