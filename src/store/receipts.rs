//! Signed receipts, of imports and of refusals, each once.

use super::{
    Change, State, Store,
    site::digest,
    sql::{self, OptionalExtension as _, Row, Tables, params},
};
use crate::base::{digest::Digest, failure::Result};

pub(super) const SCHEMA: &str = "
    CREATE TABLE signed_receipts (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        digest TEXT NOT NULL UNIQUE,
        bundle TEXT NOT NULL,
        text   TEXT NOT NULL
    ) STRICT;
";

/// As of the ledger.
pub(super) const TRIGGERS: Tables = Tables::Each {
    sqlite: "
    CREATE TRIGGER signed_receipts_stay_as_they_are BEFORE UPDATE ON signed_receipts
        BEGIN SELECT raise(ABORT, 'receipts are only added to'); END;
    CREATE TRIGGER signed_receipts_are_kept BEFORE DELETE ON signed_receipts
        BEGIN SELECT raise(ABORT, 'receipts are only added to'); END;
",
    postgres: "
    CREATE TRIGGER receipts_stay_as_they_are BEFORE UPDATE OR DELETE OR TRUNCATE ON signed_receipts
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_stays();
",
};

/// A receipt as it was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReceipt {
    /// Digest of its text.
    pub digest: Digest,
    /// Digest of the `SHA256SUMS` of the bundle that it is about.
    pub bundle: Digest,
    /// The whole file.
    pub text: String,
}

impl State<'_> {
    /// All of them, oldest first.
    pub fn signed_receipts(&self) -> Result<Vec<SignedReceipt>> {
        self.query(|database| {
            let all = database.statement("SELECT digest, bundle, text FROM signed_receipts ORDER BY number");
            all.query_map(sql::NONE, receipt_row)?.collect()
        })
    }

    /// The one with this digest.
    pub fn signed_receipt(&self, wanted: &Digest) -> Result<Option<SignedReceipt>> {
        self.query(|database| {
            database
                .statement("SELECT digest, bundle, text FROM signed_receipts WHERE digest = ?1")
                .query_row([wanted.to_string()], receipt_row)
                .optional()
        })
    }

    /// Digest of the last one, which the next names.
    pub fn last_receipt(&self) -> Result<Option<Digest>> {
        self.query(|database| {
            database
                .statement("SELECT digest FROM signed_receipts ORDER BY number DESC LIMIT 1")
                .query_row(sql::NONE, |row| digest(row, 0))
                .optional()
        })
    }
}

impl Change<'_> {
    /// Keeps a receipt.
    pub fn add_receipt(&self, receipt: &SignedReceipt) -> Result<()> {
        let insert = "INSERT INTO signed_receipts (digest, bundle, text) VALUES (?1, ?2, ?3)";
        let values = params![receipt.digest.to_string(), receipt.bundle.to_string(), receipt.text];
        self.query(|database| database.execute(insert, values).map(drop))
    }
}

impl Store {
    /// All signed receipts, oldest first.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough")]
    pub fn signed_receipts(&self) -> Result<Vec<SignedReceipt>> {
        self.state(|state| state.signed_receipts())
    }
}

fn receipt_row(row: &Row) -> sql::Result<SignedReceipt> {
    Ok(SignedReceipt { digest: digest(row, 0)?, bundle: digest(row, 1)?, text: row.get(2)? })
}
