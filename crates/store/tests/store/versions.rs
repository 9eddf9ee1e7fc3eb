//! Programs of several versions on one server, updated one by one.

use crate::{SCHEMA, add, names};
use medlock_store::postgres::Server;
use medlock_store::{Database, Error, Schema, Step, first, values};
use medlock_testkit::PostgresServer;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What the newer program adds: a column, an index that takes seconds to make, and what is in the column.
const ADDED: [Step; 3] = [
    Step::Both("ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 0"),
    Step::Index { name: "thing_slow", on: "thing (slow(number))" },
    Step::Code(|sql| sql.execute("UPDATE thing SET size = size + 7 WHERE name = ?1", values!["first"]).map(drop)),
];
const ONE: Step = SCHEMA.steps[0];
const TWO: Step = SCHEMA.steps[1];
const NEWER: Schema = Schema { steps: &[ONE, TWO, ADDED[0], ADDED[1], ADDED[2]], ..SCHEMA };
/// What a program makes that no older one understands.
const OTHER: Schema = Schema {
    oldest: 6,
    steps: &[ONE, TWO, ADDED[0], ADDED[1], ADDED[2], Step::Both("ALTER TABLE thing RENAME COLUMN bytes TO content")],
    ..SCHEMA
};
/// The longest that anybody may be held up: half a second by a step that waits, and a slow machine.
const LONGEST: Duration = Duration::from_millis(1_500);

struct Place<'s> {
    running: &'s PostgresServer,
    schema: String,
    server: Server,
}

impl<'s> Place<'s> {
    /// Where each of the first rows of an index takes so many seconds.
    fn on(running: &'s PostgresServer, row_seconds: &str) -> Self {
        let schema = running.schema();
        let server = Server::new(&running.url(), &schema, None, None).unwrap();
        let place = Self { running, schema, server };
        drop(place.open(&SCHEMA).unwrap());
        place.query(&format!(
            "CREATE FUNCTION slow(n BIGINT) RETURNS BIGINT IMMUTABLE LANGUAGE plpgsql AS
             $$ BEGIN IF n < 150 THEN PERFORM pg_catalog.pg_sleep({row_seconds}); END IF; RETURN n; END $$"
        ));
        place
    }

    fn open(&self, schema: &Schema) -> Result<Database, Error> {
        Database::postgres(self.server.clone(), schema)
    }

    fn query(&self, sql: &str) -> String {
        self.try_query(sql).expect("psql answers")
    }

    fn try_query(&self, sql: &str) -> Option<String> {
        let url = format!("{}&options=-csearch_path%3D{}", self.running.url(), self.schema);
        PostgresServer::query_at(&url, sql)
    }

    /// Indices named so: how many are finished, and how many are not.
    fn indices(&self, name: &str) -> String {
        self.query(&format!(
            "SELECT count(*) FILTER (WHERE indisvalid), count(*) FILTER (WHERE NOT indisvalid)
             FROM pg_index WHERE indexrelid = to_regclass('{name}')"
        ))
    }
}

fn size_of_first(database: &Database) -> i64 {
    let question = "SELECT size FROM thing WHERE name = 'first'";
    let found = database.read("read", |sql| first(sql, "thing", question, &[], |row| row.number("size")));
    found.unwrap().unwrap()
}

/// Shows REQ-STORE-150: while somebody holds the table for seconds, and while an index is made, whoever writes and reads is never
/// held up for longer than a moment.
#[test]
fn a_program_goes_on_while_a_newer_one_changes_the_tables() {
    let place = Place::on(PostgresServer::shared(), "0.02");
    let older = place.open(&SCHEMA).unwrap();
    for number in 0..150 {
        older.write("add", move |sql| add(sql, &format!("before {number}"))).unwrap();
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (held, begun) = std::sync::mpsc::channel();
        let dump = scope.spawn({
            let older = &older;
            move || {
                older.read_snapshot("dump", |sql| {
                    first(sql, "thing", "SELECT count(*) AS n FROM thing", &[], |_| Ok(()))?;
                    held.send(()).unwrap();
                    std::thread::sleep(Duration::from_secs(3));
                    Ok(Instant::now())
                })
            }
        });
        begun.recv().unwrap();
        let working: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|who| {
                let (older, over) = (&older, &over);
                scope.spawn(move || {
                    let (mut count, mut longest) = (0, Duration::ZERO);
                    while !over.load(Ordering::Relaxed) {
                        let (name, begun) = (format!("{who} {count}"), Instant::now());
                        older.write("add", move |sql| add(sql, &name)).unwrap();
                        older
                            .read("read", |sql| first(sql, "thing", "SELECT 1 AS n FROM thing", &[], |_| Ok(())))
                            .unwrap();
                        longest = longest.max(begun.elapsed());
                        count += 1;
                    }
                    (count, longest)
                })
            })
            .collect();
        let newer = place.open(&NEWER).unwrap();
        let finished = Instant::now();
        over.store(true, Ordering::Relaxed);
        assert!(finished > dump.join().unwrap().unwrap(), "a column came into a table that somebody held");
        for one in working {
            let (count, longest) = one.join().unwrap();
            assert!(longest < LONGEST, "somebody was held up for {longest:?}");
            assert!(count > 50, "{count} in all that time");
        }
        assert_eq!((size_of_first(&newer), place.indices("thing_slow")), (7, "1|0".to_owned()));
        older.write("add", |sql| add(sql, "by the older")).unwrap();
        newer.write("add", |sql| add(sql, "by the newer")).unwrap();
        assert_eq!(names(&older), names(&newer));
    });
}

/// Shows REQ-STORE-152: and an index that was cut off is made anew.
#[test]
fn programs_that_change_the_tables_at_once_do_it_once() {
    let place = Place::on(PostgresServer::shared(), "0");
    place.open(&SCHEMA).unwrap().write("add", |sql| add(sql, "second")).unwrap();
    // What a program leaves that ends while it makes an index, which here cannot be finished.
    assert_eq!(place.try_query("CREATE UNIQUE INDEX CONCURRENTLY thing_slow ON thing ((bytes IS NULL))"), None);
    assert_eq!(place.indices("thing_slow"), "0|1");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let server = place.server.clone();
            std::thread::spawn(move || Database::postgres(server, &NEWER).unwrap())
        })
        .collect();
    for thread in threads {
        assert_eq!(size_of_first(&thread.join().unwrap()), 7);
    }
    assert_eq!(place.indices("thing_slow"), "1|0");
    assert_eq!(place.query("SELECT version, oldest FROM tables_version"), "5|2");
    // Ended when the index was made, and before that was noted down.
    place.query("UPDATE tables_version SET version = 3; UPDATE thing SET size = 0");
    assert_eq!(size_of_first(&place.open(&NEWER).unwrap()), 7);
}

/// Shows REQ-STORE-153: back to an older program where the newer has only added; where it did more, no older one comes or goes on.
#[test]
fn an_older_program_comes_back_unless_the_tables_are_no_longer_what_it_knows() {
    let running = PostgresServer::start();
    let place = Place::on(&running, "0");
    drop(place.open(&NEWER).unwrap());
    let older = place.open(&SCHEMA).unwrap();
    older.write("add", |sql| add(sql, "by the older")).unwrap();
    assert_eq!(size_of_first(&place.open(&NEWER).unwrap()), 7, "the steps were not taken again");

    let refused = place.open(&OTHER).unwrap_err().to_string();
    assert!(refused.contains("stop all of them, then start this one"), "{refused}");
    older.write("add", |sql| add(sql, "still by the older")).unwrap();
    running.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'medlock'").unwrap();
    let other = place.open(&OTHER).unwrap();
    other.write("add", |sql| add(sql, "by the newest")).unwrap();
    let away = older.write("add", |sql| add(sql, "by who does not know")).unwrap_err();
    assert!(matches!(away, Error::Away { .. }) && away.to_string().contains("start it here too"), "{away}");
    let newer = place.open(&NEWER).unwrap_err();
    assert!(matches!(newer, Error::Newer { version: 6, known: 5, .. }), "{newer:?}");
    assert!(newer.to_string().contains("start the newer program"), "{newer}");
}
