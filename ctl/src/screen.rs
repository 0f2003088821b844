//! The terminal as a screen: taken over, drawn on, and given back as it was, however the command ends.

use std::io::{self, Stdout, Write};
use std::time::Duration;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::terminal::Terminal;
use ratatui_crossterm::CrosstermBackend;
use ratatui_crossterm::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui_crossterm::crossterm::{cursor, execute, terminal};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Keys that were pressed and not yet looked at; more are dropped.
const KEYS: usize = 16;
/// How often the thread that waits for keys looks whether it is still wanted.
const WANTED: Duration = Duration::from_millis(200);

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Quit,
    Pause,
    Help,
    /// To the background.
    Stop,
    /// The window has another size, or the screen is to be drawn anew.
    Redraw,
}

/// The terminal while it is ours.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    keys: mpsc::Receiver<Key>,
}

impl Screen {
    /// Takes the terminal over. A panic gives it back before it is told.
    pub fn open() -> io::Result<Screen> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |told| {
            give_back();
            before(told);
        }));
        let (sender, keys) = mpsc::channel(KEYS);
        take_over()?;
        let terminal = match Terminal::new(CrosstermBackend::new(io::stdout())) {
            Ok(terminal) => terminal,
            Err(error) => {
                give_back();
                return Err(error);
            }
        };
        std::thread::spawn(move || read_keys(&sender));
        Ok(Screen { terminal, keys })
    }

    /// Draws a frame; only what changed is sent.
    pub fn draw(&mut self, frame: impl FnOnce(Rect, &mut Buffer)) -> io::Result<()> {
        self.terminal.draw(|now| {
            let area = now.area();
            frame(area, now.buffer_mut());
        })?;
        Ok(())
    }

    /// The next key that means something; `None` if the terminal is gone.
    pub async fn key(&mut self) -> Option<Key> {
        self.keys.recv().await
    }

    /// Gives the terminal to the shell until somebody brings this command back.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        rustix::process::kill_current_process_group(rustix::process::Signal::STOP)?;
        take_over()?;
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take_over() -> io::Result<()> {
    terminal::enable_raw_mode()?;
    let entered = execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide);
    if entered.is_err() {
        give_back();
    }
    entered
}

/// Nothing more can be done about a terminal that does not take this.
fn give_back() {
    let mut out = io::stdout();
    let _ = execute!(out, cursor::Show, terminal::LeaveAlternateScreen);
    let _ = terminal::disable_raw_mode();
    let _ = out.flush();
}

/// Until nobody wants keys any more, or there is no terminal to read them from.
fn read_keys(sender: &mpsc::Sender<Key>) {
    while !sender.is_closed() {
        let event = match event::poll(WANTED) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let Ok(event) = event else { return };
        if let Some(key) = meaning(&event) {
            // A key that finds no room was pressed by somebody who presses faster than is drawn.
            let _ = sender.try_send(key);
        }
    }
}

fn meaning(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else {
        return matches!(event, Event::Resize(..)).then_some(Key::Redraw);
    };
    if *kind == KeyEventKind::Release {
        return None;
    }
    let control = modifiers.contains(KeyModifiers::CONTROL);
    match (code, control) {
        (KeyCode::Char('c' | 'C'), true) | (KeyCode::Char('q' | 'Q'), false) | (KeyCode::Esc, _) => Some(Key::Quit),
        (KeyCode::Char('z'), true) => Some(Key::Stop),
        (KeyCode::Char('l'), true) => Some(Key::Redraw),
        (KeyCode::Char('p' | 'P' | ' '), false) => Some(Key::Pause),
        (KeyCode::Char('h' | 'H' | '?'), false) => Some(Key::Help),
        _ => None,
    }
}

/// What a signal wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// An end, by a key of the terminal, which tells every command that runs there.
    Interrupt,
    /// An end.
    Terminate,
    /// To the background.
    Stop,
}

/// Signals that end a command or stop it for a while.
pub struct Signals {
    keys: [Signal; 2],
    ending: [Signal; 2],
    stop: Option<Signal>,
}

impl Signals {
    /// From now on those that end a command do nothing by themselves.
    pub fn that_end() -> io::Result<Signals> {
        let keys = [signal(SignalKind::interrupt())?, signal(SignalKind::quit())?];
        let ending = [signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
        Ok(Signals { keys, ending, stop: None })
    }

    /// The same, and those that stop one.
    pub fn all() -> io::Result<Signals> {
        let stop = signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?;
        Ok(Signals { stop: Some(stop), ..Signals::that_end()? })
    }

    /// The next one.
    pub async fn next(&mut self) -> Told {
        let ([interrupt, quit], [terminate, hangup]) = (&mut self.keys, &mut self.ending);
        let stop = async {
            match &mut self.stop {
                Some(stop) => drop(stop.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => Told::Interrupt,
            _ = quit.recv() => Told::Interrupt,
            _ = terminate.recv() => Told::Terminate,
            _ = hangup.recv() => Told::Terminate,
            () = stop => Told::Stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
        meaning(&Event::Key(KeyEvent::new(code, modifiers)))
    }

    #[test]
    fn keys_mean_what_the_help_line_says() {
        let none = KeyModifiers::NONE;
        for (code, modifiers, expected) in [
            (KeyCode::Char('q'), none, Some(Key::Quit)),
            (KeyCode::Esc, none, Some(Key::Quit)),
            (KeyCode::Char('c'), KeyModifiers::CONTROL, Some(Key::Quit)),
            (KeyCode::Char('z'), KeyModifiers::CONTROL, Some(Key::Stop)),
            (KeyCode::Char('p'), none, Some(Key::Pause)),
            (KeyCode::Char('h'), none, Some(Key::Help)),
            (KeyCode::Char('c'), none, None),
            (KeyCode::Char('p'), KeyModifiers::CONTROL, None),
            (KeyCode::Up, none, None),
        ] {
            assert_eq!(pressed(code, modifiers), expected, "{code:?} {modifiers:?}");
        }
        assert_eq!(meaning(&Event::Resize(80, 24)), Some(Key::Redraw));
        assert_eq!(meaning(&Event::FocusLost), None);
    }
}
