//! A change of the database: alone, or together with what others change at the same time.
//!
//! To make a change true takes a sync of the disk, and the line of the ledger below it a signature. Requests that come at
//! once share both: each works in the transaction that the one before it left open, each all or nothing for itself, and
//! the last one, behind whom nobody waits, ends it for all. Nobody is told that a change is done before that.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Store,
    backend::Backend,
    database::{State, failure},
    sql::{self, Connection, Transaction},
};
use crate::{
    base::{
        clock::Timestamp,
        failure::{Failure, Result},
        fs,
    },
    ledger::Deed,
};

/// At most so many changes become true together,
const MOST: usize = 64;
/// and the first of them waits no longer than this for others.
const LONGEST: Duration = Duration::from_millis(20);

/// A change under way: everything that one command changes, seen by others whole or not at all. What it reads
/// stays so until it is done, for nobody else changes anything meanwhile.
#[derive(Debug)]
pub struct Change<'a> {
    state: State<'a>,
    pub(super) store: &'a Store,
}

impl<'a> Deref for Change<'a> {
    type Target = State<'a>;
    fn deref(&self) -> &State<'a> {
        &self.state
    }
}

/// What happened in the registry, and when.
pub type Deeds = Vec<(Timestamp, Deed)>;

/// Writes down what all members of a group told.
type Ending = Box<dyn FnOnce(&Change<'_>, Deeds) -> Result<()> + Send>;

/// The connection for changes, and whoever waits for it.
#[derive(Debug)]
pub(super) struct Desk {
    at: Mutex<Seat>,
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Seat {
    connection: Connection,
    /// What others left open for the next one.
    group: Option<Group>,
    /// Whether the folder of the log was synced since the log is open.
    log_settled: bool,
}

impl Desk {
    pub(super) fn new(connection: Connection) -> Self {
        let seat = Seat { connection, group: None, log_settled: false };
        Self { at: Mutex::new(seat), waiting: AtomicUsize::new(0) }
    }

    fn sit(&self) -> MutexGuard<'_, Seat> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let seat = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        seat
    }

    /// Whoever is counted here comes next, whatever becomes of the others.
    fn somebody_waits(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }
}

/// Changes in one transaction, which is open as long as the group is.
struct Group {
    deeds: Deeds,
    ending: Ending,
    members: usize,
    since: Instant,
    promise: Promise,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("members", &self.members).finish_non_exhaustive()
    }
}

impl Group {
    fn new(ending: Ending) -> Self {
        let (deeds, since, promise) = (Vec::new(), Instant::now(), Promise::default());
        Self { deeds, ending, members: 0, since, promise }
    }

    fn is_full(&self) -> bool {
        self.members >= MOST || self.since.elapsed() >= LONGEST
    }
}

/// How it ended, for those who wait.
#[derive(Debug, Default)]
struct Outcome {
    ended: Mutex<Option<Result<()>>>,
    told: Condvar,
}

impl Outcome {
    fn wait(&self) -> Result<()> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self.told.wait_while(ended, |ended| ended.is_none());
        ended.unwrap_or_else(PoisonError::into_inner).clone().unwrap_or(Ok(()))
    }
}

/// That the members of a group are told how it ended; that nothing happened, where it is given up.
#[derive(Debug, Default)]
struct Promise(Arc<Outcome>);

impl Promise {
    fn keep(&self, ended: Result<()>) {
        self.0.ended.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(ended);
        self.0.told.notify_all();
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.keep(Err(Failure::internal(
            "what another request did at the same time took this change with it",
        )));
    }
}

impl Store {
    /// Changes the database: all that `work` does, or nothing where it fails. Other changes wait. Do not use
    /// the store itself inside `work`, only what it is given.
    ///
    /// # Errors
    /// Those of `work`; [`Reason::LockHeld`](crate::base::failure::Reason::LockHeld) after waiting for long; those of the
    /// disk.
    pub fn change<T>(&self, work: impl FnOnce(&Change<'_>) -> Result<T>) -> Result<T> {
        let seat = &mut *self.inner.desk.sit();
        if let Some(group) = seat.group.take() {
            // It is told to those who are in it.
            let _theirs = self.end(&seat.connection, &mut seat.log_settled, group);
        }
        self.reconnect(&mut seat.connection)?;
        let transaction = self.at(Transaction::to_change(&seat.connection))?;
        let done = work(&self.within(&seat.connection))?;
        self.at(transaction.commit())?;
        self.settle_log(&mut seat.log_settled)?;
        Ok(done)
    }

    /// The same, perhaps together with others who do so at the same time: each of them all or nothing for itself, and all
    /// made true at once. What their works tell is given to the `ending` of the first of them, which writes it down.
    ///
    /// # Errors
    /// Those of `work`, and what keeps all of them from becoming true: those of `ending` and of the disk.
    pub fn change_together<T>(
        &self,
        work: impl FnOnce(&Change<'_>) -> Result<(T, Deeds)>,
        ending: impl FnOnce(&Change<'_>, Deeds) -> Result<()> + Send + 'static,
    ) -> Result<T> {
        let mut guard = self.inner.desk.sit();
        let seat = &mut *guard;
        let left_open = seat.group.take();
        if left_open.is_none() {
            self.reconnect(&mut seat.connection)?;
        }
        let connection = &seat.connection;
        let transaction = match left_open {
            Some(_) => Transaction::left_open(connection),
            None => self.at(Transaction::to_change(connection))?,
        };
        let mut group = left_open.unwrap_or_else(|| Group::new(Box::new(ending)));
        let part = || {
            let part = self.at(transaction.part())?;
            match work(&self.within(connection)) {
                Ok((done, deeds)) => {
                    self.at(part.keep())?;
                    group.deeds.extend(deeds);
                    group.members += 1;
                    Ok(Ok(done))
                }
                // Where all of it is gone, as SQLite does when the disk is full, that failure says why.
                Err(failure) => part.undo().map_err(|_gone| failure.clone()).map(|()| Err(failure)),
            }
        };
        // A failure here is that of the whole: of the disk, or of the way to the database.
        let done = part().inspect_err(|failure| group.promise.keep(Err(failure.clone())))?;
        transaction.leave_open();
        if self.inner.desk.somebody_waits() && !group.is_full() {
            let outcome = Arc::clone(&group.promise.0);
            seat.group = Some(group);
            drop(guard);
            return done.and_then(|done| outcome.wait().map(|()| done));
        }
        let ended = self.end(&seat.connection, &mut seat.log_settled, group);
        done.and_then(|done| ended.map(|()| done))
    }

    /// Makes true what a group did, and tells it.
    fn end(&self, connection: &Connection, log_settled: &mut bool, group: Group) -> Result<()> {
        let Group { deeds, ending, members, promise, .. } = group;
        let transaction = Transaction::left_open(connection);
        if members == 0 {
            return Ok(());
        }
        let ended = if deeds.is_empty() { Ok(()) } else { ending(&self.within(connection), deeds) };
        let ended =
            ended.and_then(|()| self.at(transaction.commit())).and_then(|()| self.settle_log(log_settled));
        promise.keep(ended.clone());
        ended
    }

    fn within<'a>(&'a self, connection: &'a Connection) -> Change<'a> {
        Change { state: State { database: connection, path: &self.inner.place }, store: self }
    }

    /// Errors of the database name its place.
    fn at<T>(&self, done: sql::Result<T>) -> Result<T> {
        done.map_err(|error| failure(&self.inner.place, &error))
    }

    fn reconnect(&self, connection: &mut Connection) -> Result<()> {
        if let Backend::Postgres(shared) = &self.inner.backend
            && connection.is_closed()
        {
            *connection = shared.connect()?;
        }
        Ok(())
    }

    /// SQLite ignores it when the folder of its log cannot be synced. Once is enough: the log stays as long as the
    /// connection is open.
    fn settle_log(&self, log_settled: &mut bool) -> Result<()> {
        if matches!(self.inner.backend, Backend::Sqlite) && !*log_settled {
            fs::sync_dir(self.home())?;
            *log_settled = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{
        base::failure::Reason,
        ledger::{Deed, RegistryAction},
        store::sql::params,
    };

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        (dir, store)
    }

    fn add(change: &Change<'_>, name: usize) -> Result<()> {
        let insert = "INSERT INTO blobs (repository, digest) VALUES (?1, 'x')";
        change.query(|database| database.statement(insert).execute(params![name.to_string()])).map(drop)
    }

    fn deed() -> (Timestamp, Deed) {
        (Timestamp::now(), Deed::new(RegistryAction::Push, "somebody"))
    }

    fn added(store: &Store) -> Vec<usize> {
        let rows = store.query(|database| {
            let all = database.statement("SELECT repository FROM blobs");
            all.query_map(crate::store::sql::NONE, |row| row.get::<String>(0))?
                .collect::<sql::Result<Vec<_>>>()
        });
        let mut rows: Vec<usize> = rows.unwrap().iter().map(|row| row.parse().unwrap()).collect();
        rows.sort_unstable();
        rows
    }

    /// Runs so many at once, none before all of them wait.
    fn at_once<T: Send>(
        store: &Store,
        count: usize,
        run: impl Fn(usize) -> T + Sync,
    ) -> Vec<std::thread::Result<T>> {
        std::thread::scope(|scope| {
            let (let_go, hold) = mpsc::channel::<()>();
            let (tell, told) = mpsc::channel();
            let holder = scope.spawn(move || {
                store.change(|_change| {
                    tell.send(()).unwrap();
                    hold.recv().unwrap();
                    Ok(())
                })
            });
            told.recv().unwrap();
            let run = &run;
            let all: Vec<_> = (0..count).map(|number| scope.spawn(move || run(number))).collect();
            while store.inner.desk.waiting.load(Ordering::SeqCst) < count {
                std::thread::yield_now();
            }
            let_go.send(()).unwrap();
            holder.join().unwrap().unwrap();
            all.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        })
    }

    #[test]
    fn who_comes_at_once_shares_one_ending_and_each_is_for_itself() {
        let (_dir, store) = store();
        let (endings, written) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let results = at_once(&store, 16, |number| {
            let (endings, written) = (Arc::clone(&endings), Arc::clone(&written));
            store.change_together(
                |change| {
                    add(change, number)?;
                    if number % 4 == 3 {
                        return Err(Failure::new(Reason::NotFound, "x", "of this one alone"));
                    }
                    Ok((number, vec![deed()]))
                },
                move |_change, deeds| {
                    endings.fetch_add(1, Ordering::SeqCst);
                    written.fetch_add(deeds.len(), Ordering::SeqCst);
                    Ok(())
                },
            )
        });
        let (mut done, mut failed) = (Vec::new(), 0);
        for result in results {
            match result.unwrap() {
                Ok(number) => done.push(number),
                Err(failure) => {
                    assert_eq!(failure.reason, Reason::NotFound);
                    failed += 1;
                }
            }
        }
        done.sort_unstable();
        assert_eq!((done.len(), failed), (12, 4));
        assert_eq!(added(&store), done);
        assert_eq!(written.load(Ordering::SeqCst), 12);
        assert!(endings.load(Ordering::SeqCst) < 12, "nobody shared anything");
    }

    #[test]
    fn what_cannot_be_written_down_did_not_happen_and_all_are_told() {
        let (_dir, store) = store();
        let results = at_once(&store, 8, |number| {
            store.change_together(
                |change| add(change, number).map(|()| ((), vec![deed()])),
                |_change, _deeds| Err(Failure::new(Reason::LedgerUnwritten, "x", "no")),
            )
        });
        for result in results {
            assert_eq!(result.unwrap().unwrap_err().reason, Reason::LedgerUnwritten);
        }
        assert!(added(&store).is_empty());
    }

    #[test]
    fn one_that_panics_leaves_the_others_an_answer() {
        let (_dir, store) = store();
        let results = at_once(&store, 8, |number| {
            store.change_together(
                |change| {
                    add(change, number)?;
                    assert_ne!(number, 3, "on purpose");
                    Ok(((), vec![deed()]))
                },
                |_change, _deeds| Ok(()),
            )
        });
        let mut done = Vec::new();
        for (number, result) in results.into_iter().enumerate() {
            assert_eq!(result.is_err(), number == 3);
            if let Ok(Ok(())) = result {
                done.push(number);
            }
        }
        // Of those who were told that it is done nothing is missing, of the others nothing is there.
        assert_eq!(added(&store), done);
        store.change(|change| add(change, 100)).unwrap();
    }

    #[test]
    fn a_change_of_its_own_ends_what_is_open_first() {
        let (_dir, store) = store();
        let results = at_once(&store, 9, |number| match number {
            0 | 4 | 8 => store.change(|change| {
                add(change, number)?;
                if number == 4 { Err(Failure::new(Reason::NotFound, "x", "alone")) } else { Ok(()) }
            }),
            _ => store.change_together(
                |change| add(change, number).map(|()| ((), vec![deed()])),
                |_change, _deeds| Ok(()),
            ),
        });
        let failed = results.into_iter().filter(|result| result.as_ref().unwrap().is_err()).count();
        assert_eq!((failed, added(&store)), (1, vec![0, 1, 2, 3, 5, 6, 7, 8]));
    }
}
