//! `edgectl top`: one look, or look after look on a screen. What a frame shows is decided in `render::top`.

use std::io::IsTerminal;
use std::time::Duration;

use edge_wire::dto::Status;
use edge_wire::governor::GovernorPoint;
use tokio::sync::mpsc;

use crate::cli::{Common, TopArgs};
use crate::client::Client;
use crate::clock::Stopwatch;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::top::Look;
use crate::render::{glyphs, json, top};
use crate::screen::{Key, Screen, Signals, Told};
use crate::top::View;

/// Columns of text unless the command line says otherwise.
const WIDTH: u16 = 80;
/// A daemon that takes longer than this to answer is said not to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub async fn run(common: &Common, args: &TopArgs) -> Result<Answer, Failure> {
    let client = super::connect(common).await?;
    let first = client.status().await?;
    if args.is_once(common) || !can_draw() {
        return once(&client, common, args, first).await;
    }
    let look = Look { glyphs: glyphs::here(args.ascii), colours: has_colours() };
    let watch = Stopwatch::start();
    let view = View::new(first, &history(&client).await, 0);
    let limit = common.timeout.unwrap_or(PATIENCE);
    let looks = looks(client, super::bus(common)?, args.interval, limit);
    live(view, look, looks, watch).await
}

/// Both ends are a terminal that can be drawn on.
fn can_draw() -> bool {
    let term = std::env::var("TERM").unwrap_or_default();
    let knows_how = !matches!(term.as_str(), "" | "dumb");
    knows_how && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// By the custom of no-color.org: set and not empty.
fn has_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// What the governor remembers. A daemon that remembers nothing is shown from now on.
async fn history(client: &Client) -> Vec<GovernorPoint> {
    client.governor().await.map(|report| report.history).unwrap_or_default()
}

/// Two looks, an interval apart: one alone has no rates.
async fn once(client: &Client, common: &Common, args: &TopArgs, first: Status) -> Result<Answer, Failure> {
    let mut view = View::new(first, &history(client).await, 0);
    tokio::time::sleep(args.interval).await;
    let now_ms = i64::try_from(args.interval.as_millis()).unwrap_or(i64::MAX);
    view.take(Ok(client.status().await?), now_ms);
    let width = args.width.unwrap_or(WIDTH).into();
    let text = if common.json { json::top(&view) } else { top::text(&view, glyphs::here(args.ascii), width) };
    Ok(Answer::done(text))
}

/// Looks again and again, over a new connection after each that failed.
fn looks(
    client: Client,
    bus: crate::cli::Bus,
    interval: Duration,
    limit: Duration,
) -> mpsc::Receiver<Result<Status, String>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut known = Some(client);
        loop {
            tokio::time::sleep(interval).await;
            let found = tokio::time::timeout(limit, look(&mut known, bus)).await;
            let found =
                found.unwrap_or_else(|_| Err(format!("no answer within {}", crate::render::units::duration(limit))));
            if found.is_err() {
                known = None;
            }
            if sender.send(found).await.is_err() {
                return;
            }
        }
    });
    receiver
}

async fn look(known: &mut Option<Client>, bus: crate::cli::Bus) -> Result<Status, String> {
    let client = match known.take() {
        Some(client) => client,
        None => Client::connect(bus, None).await.map_err(|failure| failure.to_string())?,
    };
    let status = client.status().await.map_err(|failure| failure.to_string());
    *known = Some(client);
    status
}

/// Draws until a key or a signal ends it.
async fn live(
    mut view: View,
    look: Look,
    mut looks: mpsc::Receiver<Result<Status, String>>,
    watch: Stopwatch,
) -> Result<Answer, Failure> {
    let failed = |error: std::io::Error| Failure::local(format!("draw on the terminal: {error}"));
    let mut signals = Signals::all().map_err(|error| Failure::local(format!("listen to signals: {error}")))?;
    let mut screen = Screen::open().map_err(failed)?;
    let exit = loop {
        screen.draw(|area, buffer| top::draw(&view, look, area, buffer)).map_err(failed)?;
        tokio::select! {
            Some(found) = looks.recv() => {
                view.take(found, i64::try_from(watch.elapsed().as_millis()).unwrap_or(i64::MAX));
            }
            key = screen.key() => match key {
                Some(Key::Quit) => break Exit::Done,
                Some(Key::Pause) => view.paused = !view.paused,
                Some(Key::Help) => view.help = !view.help,
                Some(Key::Stop) => screen.suspend().map_err(failed)?,
                Some(Key::Redraw) => {}
                // The terminal is gone.
                None => break Exit::Interrupted,
            },
            told = signals.next() => match told {
                Told::Stop => screen.suspend().map_err(failed)?,
                Told::Interrupt | Told::Terminate => break Exit::Interrupted,
            },
        }
    };
    drop(screen);
    Ok(Answer::done(String::new()).ending(exit))
}
