//! Pushes that wait for their next request, kept open so that they need not be hashed again.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    base::{clock::Timestamp, failure::Result, limits},
    store::{BlobWriter, Store},
};

/// Pushes between two of their requests, hashed as far as they are, the oldest first. What does not find room, or stays
/// for long, is only closed: the store has the bytes, and hashes them again.
#[derive(Debug, Default)]
pub(super) struct Parked(Mutex<VecDeque<ParkedUpload>>);

/// One of them.
#[derive(Debug)]
pub(super) struct ParkedUpload {
    pub(super) repository: String,
    pub(super) owner: String,
    pub(super) id: String,
    pub(super) since: Timestamp,
    pub(super) writer: BlobWriter,
}

impl Parked {
    /// Gives it to a request that goes on with it.
    pub(super) fn take(&self, repository: &str, owner: &str, id: &str) -> Option<BlobWriter> {
        let mut parked = self.lock();
        let wanted = |one: &ParkedUpload| {
            (one.repository.as_str(), one.owner.as_str(), one.id.as_str()) == (repository, owner, id)
        };
        let at = parked.iter().position(wanted)?;
        parked.remove(at).map(|one| one.writer)
    }

    /// Keeps a push; what it takes the place of is for the caller to close.
    pub(super) fn park(&self, upload: ParkedUpload) -> Option<ParkedUpload> {
        let mut parked = self.lock();
        parked.push_back(upload);
        if parked.len() > limits::OPEN_UPLOADS { parked.pop_front() } else { None }
    }

    /// Forgets pushes that nobody goes on with (threats X07): those that are open here too. How many.
    pub(super) fn sweep(&self, store: &Store, now: Timestamp) -> Result<usize> {
        let before = |seconds| Timestamp::from_seconds(now.seconds().saturating_sub(seconds));
        let closing = before(limits::OPEN_UPLOAD_SECONDS);
        let stale: Vec<ParkedUpload> = {
            let mut parked = self.lock();
            let count =
                parked.iter().take_while(|one| closing.is_some_and(|before| one.since < before)).count();
            parked.drain(..count).collect()
        };
        drop(stale);
        before(limits::UPLOAD_SECONDS).map_or(Ok(0), |before| store.sweep_uploads(before))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<ParkedUpload>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Upload;

    fn upload(id: &str, since: Timestamp, writer: BlobWriter) -> ParkedUpload {
        let (repository, owner) = ("sandbox/a".to_owned(), "anyone".to_owned());
        ParkedUpload { repository, owner, id: id.to_owned(), since, writer }
    }

    /// X07: what is open here is swept as what is not, and what somebody is at is not.
    #[test]
    fn abandoned_pushes_go_though_they_are_open() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let parked = Parked::default();
        let now = Timestamp::now();
        let later = |seconds| Timestamp::from_seconds(now.seconds() + seconds).unwrap();
        let park = |since| {
            let (id, writer) = store.begin_upload("sandbox/a", "anyone").unwrap();
            assert!(parked.park(upload(&id, since, writer)).is_none());
            id
        };
        let (old, new) = (park(now), park(later(limits::UPLOAD_SECONDS)));
        assert_eq!(parked.sweep(&store, later(limits::OPEN_UPLOAD_SECONDS + 60)).unwrap(), 0);
        assert!(
            matches!(store.upload("sandbox/a", "anyone", &old).unwrap(), Upload::Open(_)),
            "closed, and kept"
        );
        assert!(matches!(store.upload("sandbox/a", "anyone", &new).unwrap(), Upload::Busy));
        assert_eq!(parked.sweep(&store, later(limits::UPLOAD_SECONDS + 60)).unwrap(), 1);
        assert!(matches!(store.upload("sandbox/a", "anyone", &old).unwrap(), Upload::Unknown));
        assert!(parked.take("sandbox/b", "anyone", &new).is_none());
        assert!(parked.take("sandbox/a", "user:kim", &new).is_none());
        assert!(parked.take("sandbox/a", "anyone", &new).is_some());
    }

    #[test]
    fn the_oldest_makes_room() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let parked = Parked::default();
        let mut ids = Vec::new();
        for _ in 0..=limits::OPEN_UPLOADS {
            let (id, writer) = store.begin_upload("sandbox/a", "anyone").unwrap();
            ids.push(id.clone());
            let gone = parked.park(upload(&id, Timestamp::now(), writer));
            assert_eq!(gone.map(|gone| gone.id), (ids.len() > limits::OPEN_UPLOADS).then(|| ids[0].clone()));
        }
        assert!(parked.take("sandbox/a", "anyone", &ids[0]).is_none());
        assert!(ids[1..].iter().all(|id| parked.take("sandbox/a", "anyone", id).is_some()));
    }
}
