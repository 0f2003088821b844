//! Frames as they are drawn, compared with files.

use edge_wire::dto::Status;
use ratatui_core::backend::TestBackend;
use ratatui_core::terminal::Terminal;

use super::super::glyphs::{ASCII, BLOCKS, Glyphs};
use super::*;

#[path = "../../../tests/support/canned.rs"]
mod canned;

/// A box that has worked for two seconds.
fn view(status: Status) -> View {
    // Who has no thermometer has no such history.
    let history =
        if status.hardware.zones.is_empty() { vec![] } else { canned::report(status.governor.clone()).history };
    let mut view = View::new(status.clone(), &history, 0);
    let mut later = status;
    later.uptime_ms += 2000;
    later.counters.arrived += 105;
    later.counters.done += 104;
    later.counters.refused += 1;
    later.models[0].done += 80;
    view.take(Ok(later), 2000);
    view
}

fn frame(view: &View, glyphs: Glyphs, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let look = Look { glyphs, colours: true };
    terminal.draw(|frame| draw(view, look, frame.area(), frame.buffer_mut())).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned() + "\n";
    (0..height).map(row).collect()
}

/// Compares with `tests/golden/top/NAME.txt`; `UPDATE_GOLDENS=1` writes it.
fn check(name: &str, told: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/top/{name}.txt"));
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, told).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(told == expected, "{} differs; UPDATE_GOLDENS=1 takes over the new text:\n{told}", path.display());
}

#[test]
fn every_size_of_terminal_shows_what_matters_most() {
    for (width, height) in [(80, 24), (120, 40), (60, 15)] {
        check(&format!("hot_{width}x{height}"), &frame(&view(canned::hot()), BLOCKS, width, height));
    }
    check("bare_80x24", &frame(&view(canned::bare()), BLOCKS, 80, 24));
    check("ascii_80x24", &frame(&view(canned::hot()), ASCII, 80, 24));
}

#[test]
fn a_daemon_that_went_away_a_hold_a_simulator_and_a_pause_are_said_in_the_head() {
    let mut status = canned::hot();
    status.simulated = true;
    status.hardware.simulated = "agx-orin".into();
    status.governor.capacity.held = "firmware update".into();
    status.problems = canned::degraded().problems;
    let mut view = view(status);
    view.take(Err("edged is not on the system bus: nobody owns org.edged.Edge1".into()), 5000);
    view.take(Err("edged is not on the system bus: nobody owns org.edged.Edge1".into()), 17_000);
    (view.paused, view.help) = (true, true);
    check("head_80x24", &frame(&view, BLOCKS, 80, 24));
}

#[test]
fn a_daemon_without_a_governor_is_shown_without_one() {
    check("old_80x24", &frame(&View::new(canned::serving(), &[], 0), BLOCKS, 80, 24));
}

#[test]
fn no_size_breaks_it_and_the_head_is_always_there() {
    let view = view(canned::hot());
    for width in (1..200).step_by(7) {
        for height in [1, 2, 3, 5, 8, 13, 21, 34, 60] {
            let shown = frame(&view, BLOCKS, width, height);
            assert!(width < 50 || shown.starts_with("edged on press-7"), "{width}x{height}:\n{shown}");
        }
    }
}

#[test]
fn the_text_has_no_escapes_and_keeps_to_its_width() {
    for width in [40, 60, 80, 120, 400] {
        let shown = text(&view(canned::hot()), BLOCKS, width);
        assert!(!shown.contains('\u{1b}'), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= width), "{width}:\n{shown}");
    }
}
