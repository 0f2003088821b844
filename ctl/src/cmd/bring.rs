//! `edgectl models new`, `check`, `goldens`, `eval`, `quantize`, `sign`, `keygen` and `pack`: the daemon's binary does the work, and no daemon is
//! asked.

use std::path::Path;

use edge_wire::bring::{Checked, Drafted, Evaluated, Quantized, Written};

use crate::annotate;
use crate::cli::{Common, ModelsCommand};
use crate::edged::{BUNDLE, Words};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Answer;
use crate::payload;
use crate::render::{human, json, plot};

/// Does the verb; `None` if it is one that the daemon answers.
pub async fn run(common: &Common, command: &ModelsCommand) -> Option<Result<Answer, Failure>> {
    Some(match command {
        ModelsCommand::New(args) => {
            let mut words = Words::new(BUNDLE, "new", args.model.as_os_str());
            words.option("--task", args.task.as_deref());
            words.option("--samples", args.samples.as_deref());
            words.option("--labels", args.labels.as_deref());
            words.option("--name", args.name.as_deref());
            words.option("--model-version", args.model_version.as_deref());
            words.option("--licence", args.licence.as_deref());
            words.option("--out", args.out.as_deref());
            words.option("--library", args.library.as_deref());
            drafted(common, words, args.annotate.as_deref()).await
        }
        ModelsCommand::Goldens(args) => {
            let mut words = Words::new(BUNDLE, "goldens", args.dir.as_os_str());
            words.option("--samples", args.samples.as_deref());
            words.option("--library", args.library.as_deref());
            drafted(common, words, args.annotate.as_deref()).await
        }
        ModelsCommand::Check(args) => {
            let mut words = Words::new(BUNDLE, "check", args.path.as_os_str());
            words.option("--library", args.library.as_deref());
            checked(common, words).await
        }
        ModelsCommand::Eval(args) => {
            let mut words = Words::new(BUNDLE, "eval", args.bundle.as_os_str());
            words.option("--data", Some(&args.data));
            for name in &args.variants {
                words.option("--variants", Some(name));
            }
            words.option("--library", args.library.as_deref());
            evaluated(common, words, args.plot.as_deref()).await
        }
        ModelsCommand::Quantize(args) => {
            let mut words = Words::new(BUNDLE, "quantize", args.dir.as_os_str());
            words.option("--data", Some(&args.data));
            words.option("--out", args.out.as_deref());
            words.option("--name", args.name.as_deref());
            words.option("--tolerance", args.tolerance.as_deref());
            words.option("--python", args.python.as_deref());
            words.option("--library", args.library.as_deref());
            quantized(common, words).await
        }
        ModelsCommand::Pack(args) => {
            let mut words = Words::new(BUNDLE, "pack", args.dir.as_os_str());
            words.option("--out", args.out.as_deref());
            written(common, words, human::bring::packed).await
        }
        ModelsCommand::Sign(args) => {
            let mut words = Words::new(BUNDLE, "sign", args.dir.as_os_str());
            words.option("--key", Some(&args.key));
            written(common, words, human::bring::signed).await
        }
        ModelsCommand::Keygen(args) => {
            let mut words = Words::new(BUNDLE, "keygen", args.name.as_os_str());
            if args.no_password {
                words.flag("--no-password");
            }
            written(common, words, human::bring::keys).await
        }
        _ => return None,
    })
}

async fn drafted(common: &Common, words: Words, annotate: Option<&Path>) -> Result<Answer, Failure> {
    let (drafted, _): (Drafted, bool) = words.ask().await?;
    let drawn = annotate.map(|dir| draw(&drafted, dir)).transpose()?;
    let text = match common.json {
        true => json::record(&drafted),
        false => human::bring::drafted(
            &drafted,
            drawn.as_ref().map(|drawn| (drawn.count, annotate.unwrap_or(Path::new(".")))),
        ),
    };
    let exit = if human::bring::is_lost(&drafted) { Exit::Refused } else { Exit::Done };
    let faults = drawn.into_iter().flat_map(|drawn| drawn.faults);
    Ok(faults.fold(Answer::done(text).ending(exit), Answer::noting))
}

/// What came of drawing.
struct Drawn {
    count: usize,
    faults: Vec<String>,
}

/// Each sample with what was found on it, under its own name.
fn draw(drafted: &Drafted, dir: &Path) -> Result<Drawn, Failure> {
    std::fs::create_dir_all(dir).map_err(|error| Failure::usage(format!("--annotate {}: {error}", dir.display())))?;
    let mut drawn = Drawn { count: 0, faults: Vec::new() };
    for sample in drafted.samples.iter().filter(|sample| sample.error.is_empty()) {
        let file = Path::new(&sample.file);
        let out = dir.join(file.file_name().unwrap_or_default()).with_added_extension("png");
        let done = payload::open(file)
            .map_err(|failure| failure.to_string())
            .and_then(|payload| annotate::draw(&sample.result, &payload.fd, &out).map_err(|fault| fault.to_string()));
        match done {
            Ok(()) => drawn.count += 1,
            Err(fault) => drawn.faults.push(format!("edgectl: --annotate {}: {fault}", sample.file)),
        }
    }
    // Where nothing can be drawn of any of them, once is enough.
    if drawn.count == 0 && drawn.faults.len() > 1 {
        let others = drawn.faults.len() - 1;
        drawn.faults.truncate(1);
        drawn.faults.push(format!("edgectl: --annotate: and {others} others"));
    }
    Ok(drawn)
}

async fn checked(common: &Common, words: Words) -> Result<Answer, Failure> {
    let (checked, good): (Checked, bool) = words.ask().await?;
    let text = if common.json { json::record(&checked) } else { human::bring::checked(&checked) };
    Ok(Answer::done(text).ending(if good { Exit::Done } else { Exit::Refused }))
}

async fn evaluated(common: &Common, words: Words, plotted: Option<&Path>) -> Result<Answer, Failure> {
    let (evaluated, good): (Evaluated, bool) = words.ask().await?;
    let text = if common.json { json::record(&evaluated) } else { human::eval::evaluated(&evaluated) };
    let answer = Answer::done(text).ending(if good { Exit::Done } else { Exit::Refused });
    let Some(path) = plotted else { return Ok(answer) };
    let Some(svg) = plot::svg(&evaluated) else {
        return Ok(answer.noting(format!("edgectl: --plot {}: there is nothing to draw", path.display())));
    };
    std::fs::write(path, svg).map_err(|error| Failure::usage(format!("--plot {}: {error}", path.display())))?;
    Ok(answer)
}

async fn quantized(common: &Common, words: Words) -> Result<Answer, Failure> {
    let (quantized, _): (Quantized, bool) = words.ask().await?;
    let text = if common.json { json::record(&quantized) } else { human::eval::quantized(&quantized) };
    Ok(Answer::done(text))
}

async fn written(common: &Common, words: Words, render: fn(&Written) -> String) -> Result<Answer, Failure> {
    let (written, _): (Written, bool) = words.ask().await?;
    let text = if common.json { json::record(&written) } else { render(&written) };
    Ok(Answer::done(text))
}
