//! What commands say and documents for people, as plain data; how results are shown is `cli::ui`'s business.

pub mod inventory;
pub mod receipt;
pub mod recipe;
mod results;
pub mod trust;

pub use receipt::Receipt;
pub use results::{
    ArtifactLine, BuildReport, Change, CheckLine, DiffReport, DoctorReport, InitReport, InspectReport,
    KeyReport, LastSigned, LockReport, PlanLine, PlanReport, SignKeyLine, SignReport, VerifyReport,
    VolumeLine,
};
pub use trust::TrustReport;
