//! Documents for people and machines: the table for a spreadsheet, the recipe for stock tools, the receipt of
//! an import.

pub mod inventory;
pub mod receipt;
pub mod recipe;

pub use receipt::Receipt;
