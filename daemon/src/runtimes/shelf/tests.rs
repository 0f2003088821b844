use super::*;

fn put(shelf: &Shelf, id: &str) {
    let held = shelf.hold().unwrap();
    let stage = held.stage(0).unwrap();
    fs::write(stage.path().join("libonnxruntime.so.1"), id).unwrap();
    let record = InstalledRuntime { id: id.into(), version: "1.32.0".into(), ..InstalledRuntime::default() };
    stage.admit(&record).unwrap();
}

/// Names of everything in the directory, the lock apart.
fn names(shelf: &Shelf) -> Vec<String> {
    let entries = fs::read_dir(shelf.dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.filter(|name| name != LOCK).collect();
    names.sort();
    names
}

fn marks(shelf: &Shelf) -> Vec<(String, bool, bool)> {
    shelf.list().into_iter().map(|runtime| (runtime.id, runtime.current, runtime.previous)).collect()
}

#[test]
fn runtimes_are_listed_with_the_current_one_and_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::at(&dir.path().join("a/b"));
    assert_eq!(shelf.list(), []);
    ["1-a", "2-b", "3-c"].iter().for_each(|id| put(&shelf, id));
    let held = shelf.hold().unwrap();
    let switched = held.switch("1-a", "").unwrap();
    assert_eq!((switched.current.as_str(), switched.was_current.as_str()), ("1-a", ""));
    let switched = held.switch("2-b", "1-a").unwrap();
    assert_eq!((switched.was_current.as_str(), switched.was_previous.as_str()), ("1-a", ""));
    let expected = [("1-a", false, true), ("2-b", true, false), ("3-c", false, false)];
    assert_eq!(marks(&shelf), expected.map(|(id, current, previous)| (id.to_owned(), current, previous)));
    assert_eq!(shelf.list()[1].version, "1.32.0");
    let held_link = fs::read_link(shelf.dir().join(CURRENT)).unwrap();
    assert_eq!(held_link, Path::new("2-b"), "a name, so that the directory may be moved");

    assert_eq!(held.prune(), Removed { removed: vec!["3-c".into()], faults: vec![] });
    assert!(matches!(held.remove("2-b"), Err(ShelfError::Current { .. })));
    assert!(matches!(held.remove("9"), Err(ShelfError::Unknown { .. })));
    assert!(matches!(held.remove("../2-b"), Err(ShelfError::Unknown { .. })));
    held.remove("1-a").unwrap();
    assert_eq!(names(&shelf), ["2-b", "current"], "nothing leads to what is gone");
    held.switch("", "2-b").unwrap();
    assert_eq!(names(&shelf), ["2-b", "previous"]);
    assert!(matches!(held.switch("1-a", ""), Err(ShelfError::Unknown { .. })));
}

#[test]
fn what_a_killed_run_left_goes_at_the_next_one_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::at(dir.path());
    put(&shelf, "1-a");
    shelf.hold().unwrap().switch("1-a", "").unwrap();
    // Killed while it unpacked, while it set a link, while it removed.
    fs::create_dir(dir.path().join(".part-77")).unwrap();
    fs::write(dir.path().join(".part-77/libonnxruntime.so.1"), "half").unwrap();
    symlink("9-z", dir.path().join(".part-current-77")).unwrap();
    fs::create_dir(dir.path().join(".part-0-z")).unwrap();
    assert_eq!(marks(&shelf), [("1-a".to_owned(), true, false)], "it is not shown");
    drop(shelf.hold().unwrap());
    assert_eq!(names(&shelf), ["1-a", "current"]);
}

#[test]
fn a_stage_that_becomes_nothing_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::at(dir.path());
    let held = shelf.hold().unwrap();
    drop(held.stage(0).unwrap());
    assert_eq!(names(&shelf), [""; 0]);
    let error = held.stage(u64::MAX / 2).unwrap_err().to_string();
    assert!(error.contains("make room there") && error.contains("nothing was changed"), "{error}");
}

#[test]
fn two_runs_do_not_change_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::at(dir.path());
    let held = shelf.hold().unwrap();
    assert!(matches!(shelf.hold(), Err(ShelfError::Busy { .. })));
    drop(held);
    assert!(shelf.hold().is_ok());
}
