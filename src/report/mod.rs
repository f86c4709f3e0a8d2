//! What commands say and documents for people, as plain data; how results are shown is `cli::ui`'s business.

pub mod account;
pub mod backup;
pub mod custody;
pub mod import;
pub mod inventory;
pub mod mirror;
pub mod receipt;
pub mod recipe;
mod results;
pub mod rules;
pub mod site;
pub mod tags;
pub mod trust;
pub mod upkeep;

pub use import::ImportReport;
pub use receipt::Receipt;
pub use results::{
    Alarm, ArtifactLine, BuildReport, Change, CheckLine, DiffReport, DoctorReport, Here, InitReport,
    InspectReport, KeyReport, LastSigned, LockReport, PlanLine, PlanReport, SignKeyLine, SignReport,
    VerifyReport, VolumeLine,
};
pub use trust::TrustReport;
