//! What can be mended of a store without a guess. Content that is gone only an import or a push brings back.

use super::{Change, Store, pushes::Deletion, sql};
use crate::base::{
    digest::Digest,
    failure::{Failure, Result},
};

/// What was mended.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Damaged copies that were removed.
    pub removed: Vec<Digest>,
    /// Blobs that left a repository: their bytes are gone, and no manifest lists them.
    pub dropped: u64,
    /// Blobs that no manifest lists and that no collection would have looked at.
    pub listed: u64,
}

impl Store {
    /// Removes the copies of these contents, those that do not match their digest. Which, and their bytes.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect): whoever repairs has to know what every manifest lists.
    pub fn discard_all(&self, damaged: &[Digest]) -> Result<(Vec<Digest>, u64)> {
        self.write_edges()?;
        let (mut removed, mut bytes) = (Vec::new(), 0);
        for digest in damaged {
            let size = self.size_of(digest)?;
            if self.discard_damaged(digest)? {
                removed.push(digest.clone());
                bytes += size.unwrap_or_default();
            }
        }
        Ok((removed, bytes))
    }
}

impl Change<'_> {
    /// Brings the rows into line with the disk: blobs that are gone and that no manifest lists leave their
    /// repositories, all that no manifest lists is on the list of what collections look at, quotas are counted anew.
    pub fn repair(&self) -> Result<Repaired> {
        let mut done = Repaired::default();
        for (repository, digest) in self.unlisted()? {
            if self.size_of(&digest)?.is_none() {
                done.dropped += u64::from(self.delete_blob(&repository, &digest)? == Deletion::Done);
                continue;
            }
            done.listed += u64::from(self.look_at(&repository, &digest)?);
        }
        let rules = self.rules()?.rules;
        self.recount(&rules)?;
        Ok(done)
    }

    /// Blobs that no manifest of their repository lists.
    fn unlisted(&self) -> Result<Vec<(String, Digest)>> {
        let rows: Vec<(String, String)> = self.query(|database| {
            database
                .statement(
                    "SELECT b.repository, b.digest FROM blobs b WHERE NOT EXISTS
                     (SELECT 1 FROM edges e WHERE e.repository = b.repository AND e.child = b.digest)",
                )
                .query_map(sql::NONE, |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })?;
        rows.into_iter()
            .map(|(repository, digest)| Ok((repository, Digest::parse(&digest).map_err(Failure::internal)?)))
            .collect()
    }
}
