//! Tamper sweep.
