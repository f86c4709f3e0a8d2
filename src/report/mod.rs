//! What commands say and documents for people, as plain data; how results are shown is `cli::ui`'s business.

pub mod custody;
pub mod import;
pub mod inventory;
pub mod receipt;
pub mod recipe;
mod results;
pub mod site;

pub use import::ImportReport;
pub use receipt::Receipt;
pub use results::{
    ArtifactLine, BuildReport, Change, DiffReport, Here, InitReport, InspectReport, KeyReport, LockReport,
    PlanLine, PlanReport, VerifyReport, VolumeLine,
};
