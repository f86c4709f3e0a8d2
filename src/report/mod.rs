//! Documents for people: the table for a spreadsheet, the recipe for stock tools.

pub mod inventory;
pub mod recipe;
