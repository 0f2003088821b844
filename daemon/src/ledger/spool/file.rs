//! The spool's tables, and each thing that is done to them.
//!
//! Payloads lie in pieces in a table of their own: SQLite puts a row together in memory before it writes it, so a
//! payload in one piece would be there twice. A piece's key is its request's id and its number, so the pieces of a
//! request follow each other and need no index.

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Deferred, Key, Level, MAX_DEATHS, Rank, Recalled, Waiting, Wish};
use crate::ledger::database::count;
use crate::ledger::schema::Schema;

pub(super) const SCHEMA: Schema = Schema { steps: &[FIRST, SECOND, THIRD], synchronous: "FULL", shrinks: true };

/// `due_ms` and `due_ran_ms`: when it expires, by the wall clock and by the running time. The index has all that
/// choosing needs.
const FIRST: &str = "
    CREATE TABLE request (
        id INTEGER PRIMARY KEY AUTOINCREMENT, received_ms INTEGER NOT NULL, deadline_ms INTEGER,
        due_ms INTEGER NOT NULL, due_ran_ms INTEGER NOT NULL, rank INTEGER NOT NULL, class TEXT NOT NULL,
        model TEXT NOT NULL, caller TEXT NOT NULL, request_id TEXT NOT NULL, deaths INTEGER NOT NULL,
        alive INTEGER NOT NULL, payload_len INTEGER NOT NULL, head BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX request_key ON request (caller, request_id);
    CREATE INDEX request_turn ON request (rank, due_ms, id, due_ran_ms, deaths, model, class);
    CREATE TABLE piece (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
    CREATE TABLE reply (
        id INTEGER PRIMARY KEY, caller TEXT NOT NULL, request_id TEXT NOT NULL, due_ms INTEGER NOT NULL,
        due_ran_ms INTEGER NOT NULL, bytes BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX reply_key ON reply (caller, request_id);
    CREATE TABLE life (clean INTEGER NOT NULL, ran_ms INTEGER NOT NULL) STRICT;
    INSERT INTO life VALUES (1, 0);";

/// Those that were put off at once were written down as `regulated`, whatever their class was: of them it is not known.
const SECOND: &str = "UPDATE request SET class = '' WHERE class = 'regulated';";

/// The same id for another model is another request. Which model an older reply is of is not known: it stands for any, for as long
/// as replies are kept.
const THIRD: &str = "
    DROP INDEX request_key;
    CREATE UNIQUE INDEX request_key ON request (caller, request_id, model);
    ALTER TABLE reply ADD COLUMN model TEXT NOT NULL DEFAULT '';
    DROP INDEX reply_key;
    CREATE UNIQUE INDEX reply_key ON reply (caller, request_id, model);";

/// Bytes of a piece.
const PIECE: usize = 256 << 10;
/// A request's pieces have numbers below this: 16 GiB.
const PIECES: i64 = 1 << 16;
/// Replies that one sweep lets go.
const STALE: i64 = 256;
const COLUMNS: &str =
    "id, received_ms, deadline_ms, due_ms, due_ran_ms, rank, class, model, caller, request_id, deaths,
     payload_len, head";

/// When something expires, or what time it is, in both clocks (milliseconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) wall_ms: i64,
    pub(super) ran_ms: i64,
}

impl Times {
    pub(super) fn left_until(self, due: Times) -> i64 {
        due.wall_ms.saturating_sub(self.wall_ms).min(due.ran_ms.saturating_sub(self.ran_ms)).max(0)
    }
}

/// What begins a life: how the last one ended, and what is left of it.
pub(super) struct Start {
    pub(super) crashed: bool,
    /// It is on disk that this life has begun. Not on a full disk, on which what waits can still be read.
    pub(super) begun: bool,
    pub(super) ran_ms: i64,
    pub(super) level: Level,
}

/// Counts the deaths, and marks the file as open, if there is room for that.
pub(super) fn start_life(connection: &mut Connection) -> rusqlite::Result<Start> {
    let sql = "SELECT clean, ran_ms FROM life";
    let (clean, ran_ms): (bool, i64) = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let transaction = connection.transaction()?;
    let begun = match begin(&transaction).and_then(|()| transaction.commit()) {
        Ok(()) => true,
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => false,
        Err(error) => return Err(error),
    };
    Ok(Start { crashed: !clean, begun, ran_ms, level: level(connection)? })
}

/// Whoever was handed out when the last daemon crashed has one death more.
pub(super) fn begin(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "UPDATE request SET deaths = min(deaths + (SELECT 1 - clean FROM life), 255), alive = 0 WHERE alive = 1";
    connection.execute(sql, [])?;
    connection.execute("UPDATE life SET clean = 0", []).map(drop)
}

/// Those that are marked as handed out.
pub(super) fn alive(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    connection.prepare("SELECT id FROM request WHERE alive = 1")?.query_map([], |row| row.get(0))?.collect()
}

fn level(connection: &Connection) -> rusqlite::Result<Level> {
    let waits = "SELECT count(*), coalesce(sum(payload_len + length(head)), 0), min(received_ms) FROM request";
    let kept = "SELECT count(*), coalesce(sum(length(bytes)), 0) FROM reply";
    let (rows, bytes, oldest_ms) =
        connection.query_row(waits, [], |row| Ok((count(row, 0)?, count(row, 1)?, row.get(2)?)))?;
    let (replies, reply_bytes) = connection.query_row(kept, [], |row| Ok((count(row, 0)?, count(row, 1)?)))?;
    Ok(Level { rows, bytes, oldest_ms, replies, reply_bytes })
}

pub(super) fn oldest_ms(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached("SELECT min(received_ms) FROM request")?.query_row([], |row| row.get(0))
}

pub(super) fn put(connection: &Connection, row: &Deferred, due: Times) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO request (received_ms, deadline_ms, due_ms, due_ran_ms, rank, class, model, caller,
         request_id, deaths, alive, payload_len, head) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0, ?10, ?11)";
    let len = i64::try_from(row.payload.len()).unwrap_or(i64::MAX);
    connection.prepare_cached(sql)?.execute(params![
        row.received_ms,
        row.deadline_ms,
        due.wall_ms,
        due.ran_ms,
        number(row.rank),
        row.class,
        row.key.model,
        row.key.caller,
        row.key.request_id,
        len,
        row.head
    ])?;
    let id = connection.last_insert_rowid();
    let mut insert = connection.prepare_cached("INSERT INTO piece VALUES (?1, ?2)")?;
    for (n, piece) in (0_i64..PIECES).zip(row.payload.chunks(PIECE)) {
        insert.execute(params![id * PIECES + n, piece])?;
    }
    Ok(id)
}

/// The payload of a request; `None` if there is no such request.
pub(super) fn fetch(connection: &Connection, id: i64) -> rusqlite::Result<Option<Bytes>> {
    let sql = "SELECT payload_len FROM request WHERE id = ?1";
    let len: Option<i64> = connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
    let Some(len) = len else { return Ok(None) };
    let mut payload = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    let mut pieces = connection.prepare_cached("SELECT bytes FROM piece WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
    let mut pieces = pieces.query([id * PIECES, id * PIECES + PIECES - 1])?;
    while let Some(piece) = pieces.next()? {
        if let ValueRef::Blob(bytes) = piece.get_ref(0)? {
            payload.extend_from_slice(bytes);
        }
    }
    let whole = i64::try_from(payload.len()).is_ok_and(|read| read == len);
    if whole { Ok(Some(payload.into())) } else { Err(rusqlite::Error::IntegralValueOutOfRange(0, len)) }
}

pub(super) fn set_alive(connection: &Connection, id: i64, alive: bool) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE request SET alive = ?2 WHERE id = ?1")?.execute(params![id, alive]).map(drop)
}

/// What a request is known by and what it takes, if it is there.
pub(super) struct Place {
    pub(super) key: Key,
    pub(super) bytes: u64,
}

/// Takes a request out.
pub(super) fn remove(connection: &Connection, id: i64) -> rusqlite::Result<Option<Place>> {
    let sql = "DELETE FROM request WHERE id = ?1 RETURNING caller, request_id, model, payload_len + length(head)";
    let mut delete = connection.prepare_cached(sql)?;
    let place = delete.query_row([id], |row| {
        let key = Key { caller: row.get(0)?, request_id: row.get(1)?, model: row.get(2)? };
        Ok(Place { key, bytes: count(row, 3)? })
    });
    let Some(place) = place.optional()? else { return Ok(None) };
    connection
        .prepare_cached("DELETE FROM piece WHERE id BETWEEN ?1 AND ?2")?
        .execute([id * PIECES, id * PIECES + PIECES - 1])?;
    Ok(Some(place))
}

pub(super) fn keep(connection: &Connection, id: i64, of: &Key, due: Times, reply: &[u8]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO reply (id, caller, request_id, model, due_ms, due_ran_ms, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let values = params![id, of.caller, of.request_id, of.model, due.wall_ms, due.ran_ms, reply];
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

/// The reply to a request that is gone, whatever its age.
pub(super) fn reply_to(connection: &Connection, id: i64) -> rusqlite::Result<Option<Bytes>> {
    let mut find = connection.prepare_cached("SELECT bytes FROM reply WHERE id = ?1")?;
    Ok(find.query_row([id], |row| row.get::<_, Vec<u8>>(0)).optional()?.map(Bytes::from))
}

/// Lets replies go, the oldest first; bytes that are free by that. With the time, only those whose window is over.
pub(super) fn drop_reply(connection: &Connection, now: Option<Times>) -> rusqlite::Result<Vec<u64>> {
    let freed = |row: &Row<'_>| count(row, 0);
    match now {
        Some(now) => {
            let sql = "DELETE FROM reply WHERE id IN (
                 SELECT id FROM reply WHERE due_ms <= ?1 OR due_ran_ms <= ?2 ORDER BY id LIMIT ?3) RETURNING length(bytes)";
            connection.prepare_cached(sql)?.query_map(params![now.wall_ms, now.ran_ms, STALE], freed)?.collect()
        }
        None => {
            let sql = "DELETE FROM reply WHERE id = (SELECT min(id) FROM reply) RETURNING length(bytes)";
            connection.prepare_cached(sql)?.query_map([], freed)?.collect()
        }
    }
}

/// What is known of a key. A reply whose window is over is let go, as its id may be used anew.
pub(super) fn recall(connection: &Connection, of: &Key, now: Times) -> rusqlite::Result<Recalled> {
    let sql = "SELECT id FROM request WHERE caller = ?1 AND request_id = ?2 AND model = ?3";
    let key = [&of.caller, &of.request_id, &of.model];
    let waits = connection.prepare_cached(sql)?.query_row(key, |row| row.get(0)).optional()?;
    if let Some(id) = waits {
        return Ok(Recalled::Waits(id));
    }
    let sql = "SELECT bytes FROM reply WHERE caller = ?1 AND request_id = ?2 AND model IN (?3, '')
         AND due_ms > ?4 AND due_ran_ms > ?5 ORDER BY id DESC";
    let mut find = connection.prepare_cached(sql)?;
    let values = params![of.caller, of.request_id, of.model, now.wall_ms, now.ran_ms];
    let reply = find.query_row(values, |row| row.get::<_, Vec<u8>>(0));
    Ok(reply.optional()?.map_or(Recalled::Unknown, |bytes| Recalled::Answered(bytes.into())))
}

/// What waits under a caller's id, whatever the model.
pub(super) fn named(
    connection: &Connection,
    now: Times,
    n: usize,
    (caller, request_id): (&str, &str),
) -> rusqlite::Result<Vec<Waiting>> {
    let sql = format!("SELECT {COLUMNS} FROM request WHERE caller = ?1 AND request_id = ?2 ORDER BY id");
    let mut find = connection.prepare_cached(&sql)?;
    find.query_map([caller, request_id], |row| read(row, now))?.take(n).collect()
}

/// Makes room for a reply to the same key. Bytes that are free by that.
pub(super) fn forget_reply(connection: &Connection, of: &Key) -> rusqlite::Result<Option<u64>> {
    let sql = "DELETE FROM reply WHERE caller = ?1 AND request_id = ?2 AND model = ?3 RETURNING length(bytes)";
    let key = [&of.caller, &of.request_id, &of.model];
    connection.prepare_cached(sql)?.query_row(key, |row| count(row, 0)).optional()
}

/// The next requests in their order that `free` lets pass.
pub(super) fn next(
    connection: &Connection,
    now: Times,
    n: usize,
    wish: &Wish,
    free: impl Fn(i64) -> bool,
) -> rusqlite::Result<Vec<Waiting>> {
    let sql = "SELECT id, due_ms, due_ran_ms, deaths, model, class FROM request ORDER BY rank, due_ms, id";
    let mut find = connection.prepare_cached(sql)?;
    let mut rows = find.query([])?;
    let mut chosen = Vec::new();
    while chosen.len() < n
        && let Some(row) = rows.next()?
    {
        let (id, due) = (row.get(0)?, Times { wall_ms: row.get(1)?, ran_ms: row.get(2)? });
        let (deaths, model, class): (u8, _, _) = (row.get(3)?, text(row, 4)?, text(row, 5)?);
        if deaths < MAX_DEATHS && now.left_until(due) > 0 && wish.allows(id, model, class) && free(id) {
            chosen.push(id);
        }
    }
    chosen.into_iter().filter_map(|id| waiting(connection, now, id).transpose()).collect()
}

fn text<'a>(row: &'a Row<'_>, at: usize) -> rusqlite::Result<&'a str> {
    row.get_ref(at)?.as_str().map_err(rusqlite::Error::from)
}

fn waiting(connection: &Connection, now: Times, id: i64) -> rusqlite::Result<Option<Waiting>> {
    let sql = format!("SELECT {COLUMNS} FROM request WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id], |row| read(row, now)).optional()
}

/// Those that died too often.
pub(super) fn dead(connection: &Connection, now: Times) -> rusqlite::Result<Vec<Waiting>> {
    let sql = format!("SELECT {COLUMNS} FROM request WHERE deaths >= ?1 ORDER BY id");
    connection.prepare(&sql)?.query_map([MAX_DEATHS], |row| read(row, now))?.collect()
}

/// Those that have expired and that `free` lets pass.
pub(super) fn expired(
    connection: &Connection,
    now: Times,
    n: usize,
    free: impl Fn(i64) -> bool,
) -> rusqlite::Result<Vec<Waiting>> {
    let sql = format!("SELECT {COLUMNS} FROM request WHERE due_ms <= ?1 OR due_ran_ms <= ?2 ORDER BY id");
    let mut find = connection.prepare_cached(&sql)?;
    let rows = find.query_map([now.wall_ms, now.ran_ms], |row| read(row, now))?;
    rows.filter(|row| row.as_ref().is_ok_and(|row| free(row.id)) || row.is_err()).take(n).collect()
}

/// In how many milliseconds the next one expires that `free` lets pass.
pub(super) fn next_due(
    connection: &Connection,
    now: Times,
    free: impl Fn(i64) -> bool,
) -> rusqlite::Result<Option<i64>> {
    let mut find = connection.prepare_cached("SELECT id, due_ms, due_ran_ms FROM request")?;
    let mut rows = find.query([])?;
    let mut next: Option<i64> = None;
    while let Some(row) = rows.next()? {
        let left = now.left_until(Times { wall_ms: row.get(1)?, ran_ms: row.get(2)? });
        if next.is_none_or(|next| left < next) && free(row.get(0)?) {
            next = Some(left);
        }
    }
    Ok(next)
}

fn read(row: &Row<'_>, now: Times) -> rusqlite::Result<Waiting> {
    let due = Times { wall_ms: row.get(3)?, ran_ms: row.get(4)? };
    Ok(Waiting {
        id: row.get(0)?,
        received_ms: row.get(1)?,
        deadline_ms: row.get(2)?,
        left_ms: now.left_until(due),
        rank: match row.get::<_, i64>(5)? {
            ..=0 => Rank::High,
            1 => Rank::Normal,
            2.. => Rank::Low,
        },
        class: row.get(6)?,
        key: Key { model: row.get(7)?, caller: row.get(8)?, request_id: row.get(9)? },
        deaths: row.get(10)?,
        payload_len: count(row, 11)?,
        head: row.get(12)?,
    })
}

fn number(rank: Rank) -> i64 {
    match rank {
        Rank::High => 0,
        Rank::Normal => 1,
        Rank::Low => 2,
    }
}

impl Wish {
    fn allows(&self, id: i64, model: &str, class: &str) -> bool {
        let names = |list: &[String], word: &str| list.iter().any(|one| one == word);
        self.models.as_ref().is_none_or(|models| names(models, model))
            && !names(&self.except_models, model)
            && self.classes.as_ref().is_none_or(|classes| names(classes, class))
            && !self.except.contains(&id)
    }
}

/// Somebody has set the wall clock: what is kept in its time moves along.
pub(super) fn move_times(connection: &Connection, by_ms: i64) -> rusqlite::Result<()> {
    for sql in ["UPDATE request SET due_ms = due_ms + ?1", "UPDATE reply SET due_ms = due_ms + ?1"] {
        connection.execute(sql, [by_ms])?;
    }
    Ok(())
}

pub(super) fn note_ran(connection: &Connection, ran_ms: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE life SET ran_ms = ?1")?.execute([ran_ms]).map(drop)
}

pub(super) fn end_life(connection: &Connection, ran_ms: i64) -> rusqlite::Result<()> {
    connection.execute("UPDATE life SET clean = 1, ran_ms = ?1", [ran_ms]).map(drop)
}
