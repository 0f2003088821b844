//! `models quantize`: an INT8 variant beside those that a bundle has. ONNX Runtime's own tool makes it, in Python, of tensors that the
//! bundle's recipe makes of samples; what it lost is measured, and stated in the manifest. The bundle changes when
//! everything has worked, or not at all.

mod python;

use std::path::{Path, PathBuf};

use edge_engine::bundle::{self, Bundle, Golden, InputRecipe, MANIFEST, Variant};
use edge_wire::bring::{Evaluated, Quantized};

use super::eval::data::{self, Data};
use super::eval::{self, Of};
use super::goldens::{seal, tempdir_beside};
use super::manifest::{with_variant, without_tail};
use super::{BringError, file, prepare, room};

/// Name of the variant, if nobody gave one.
const NAME: &str = "int8";
/// Where tensors lie meanwhile: what is hidden is no file of a bundle.
const TENSORS: &str = ".tensors";
/// Losses are stated in steps of this, rounded up.
const STEP: f64 = 0.0001;

/// What was asked for.
#[derive(Debug, Default)]
pub struct Asked {
    /// The bundle's directory.
    pub dir: PathBuf,
    pub data: PathBuf,
    /// A new directory; without it the bundle itself is changed.
    pub out: Option<PathBuf>,
    /// Name of the new variant.
    pub name: Option<String>,
    /// Golden answers may differ by this at least.
    pub tolerance: Option<f64>,
    /// The Python that has the tool.
    pub python: Option<PathBuf>,
    pub library: Option<PathBuf>,
}

/// Makes the variant.
pub async fn quantize(asked: &Asked) -> Result<Quantized, BringError> {
    let bundle = bundle::open(&asked.dir)?;
    bundle::verify(&bundle)?;
    let variant = variant(asked, &bundle)?;
    let data = data::read(&asked.data, bundle.manifest().task, &eval::labels(bundle.manifest()))?;
    let to = asked.out.as_deref().unwrap_or(&asked.dir);
    if asked.out.is_some() && to.symlink_metadata().is_ok() {
        return Err(BringError::Usage(format!("{} is there already: name another with --out", to.display())));
    }
    // The bundle's own place is whole, however it was named.
    let staged = tempdir_beside(asked.out.as_deref().unwrap_or(bundle.dir()))?;
    let done = match stage(asked, &bundle, &variant, data, &staged).await {
        Ok(done) => place(asked, &variant, &staged).map(|()| done),
        Err(error) => Err(error),
    };
    if staged.exists() {
        std::fs::remove_dir_all(&staged).map_err(file("remove", &staged))?;
    }
    done
}

/// The new variant: run as the first one is.
fn variant(asked: &Asked, bundle: &Bundle) -> Result<Variant, BringError> {
    let manifest = bundle.manifest();
    let Some(first) = manifest.variant.first() else {
        return Err(BringError::Usage("a pipeline has no model of its own: quantise its stages".into()));
    };
    if matches!(manifest.input, Some(InputRecipe::Sound(_))) {
        return Err(BringError::Usage("a model that hears a sound window by window is not quantised".into()));
    }
    if first.int8 {
        return Err(BringError::Usage(format!("variant {} is quantised already", first.name)));
    }
    let name = asked.name.clone().unwrap_or_else(|| NAME.into());
    if manifest.variant(&name).is_some() {
        return Err(BringError::Usage(format!("the bundle has a variant {name} already: name another with --name")));
    }
    if asked.tolerance.is_some_and(|tolerance| !(0.0..=1.0).contains(&tolerance)) {
        return Err(BringError::Usage("--tolerance: takes 0..=1".into()));
    }
    let path = Path::new(&first.file);
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let made = path.with_file_name(format!("{stem}-{name}.onnx")).to_string_lossy().into_owned();
    if asked.dir.join(&made).symlink_metadata().is_ok() {
        return Err(BringError::Usage(format!("{made} is there already: name another variant with --name")));
    }
    Ok(Variant { name, file: made, int8: true, loss: None, ..first.clone() })
}

async fn stage(
    asked: &Asked,
    bundle: &Bundle,
    variant: &Variant,
    data: Data,
    staged: &Path,
) -> Result<Quantized, BringError> {
    let manifest = bundle.manifest();
    let Some(first) = manifest.variant.first() else { return Err(BringError::Usage("there is no variant".into())) };
    copy(bundle, staged)?;
    let path = staged.join(MANIFEST);
    let text = bundle::read_text(&path, 1 << 20).map_err(file("read the manifest", &path))?;
    let head = without_tail(&text)
        .ok_or_else(|| BringError::Usage(format!("{MANIFEST}: tables [[golden]] and [[file]] must come last")))?;
    let (learnt, kept) = eval::divided(data.samples.len());
    let mut quantized = Quantized {
        dir: asked.out.as_ref().unwrap_or(&asked.dir).display().to_string(),
        variant: variant.name.clone(),
        file: variant.file.clone(),
        ..Quantized::default()
    };

    let tensors = staged.join(TENSORS);
    let paths: Vec<&Path> = learnt.iter().filter_map(|at| Some(data.samples.get(*at)?.path.as_path())).collect();
    let loaded = room(asked.library.as_deref()).await?.load(staged, first, false).await?;
    let prepared = prepare::tensors_of(bundle, &loaded, &paths, &tensors)?;
    if prepared.samples == 0 {
        let why = prepared.left_out.first().map(data::told).unwrap_or_default();
        return Err(BringError::Usage(format!("no sample could be prepared: {why}")));
    }
    quantized.calibrated = prepared.samples;
    let made = staged.join(&variant.file);
    quantized.quantized = python::run(asked.python.as_deref(), &staged.join(&first.file), &tensors, &made).await?;
    std::fs::remove_dir_all(&tensors).map_err(file("remove", &tensors))?;
    let size = |path: &Path| std::fs::metadata(path).map(|found| found.len()).map_err(file("look at", path));
    (quantized.from_bytes, quantized.bytes) = (size(&staged.join(&first.file))?, size(&made)?);

    let goldens = goldens(&manifest.golden, asked.tolerance);
    seal(staged, &with_variant(head, variant), &goldens)?;
    let has_kept = !kept.is_empty();
    let everything = (0..data.samples.len()).collect();
    let sets = if has_kept { vec![everything, kept] } else { vec![everything] };
    let told =
        Evaluated { path: quantized.dir.clone(), data: asked.data.display().to_string(), ..Evaluated::default() };
    let opened = bundle::open(staged)?;
    let of =
        Of { dir: staged, manifest: opened.manifest(), variants: &[first, variant], library: asked.library.as_deref() };
    let mut evaluated = of.measure(data, sets, &told).await?.into_iter();
    quantized.all = evaluated.next().unwrap_or_default();
    quantized.held_out = evaluated.next().filter(|held| held.samples > 0);
    quantized.loss = lost(&quantized)?;

    let variant = Variant { loss: Some(quantized.loss), ..variant.clone() };
    seal(staged, &with_variant(head, &variant), &goldens)?;
    if let Err(error) = room(asked.library.as_deref()).await?.load(staged, &variant, true).await {
        return Err(BringError::Usage(format!(
            "the new variant lost {} of {} and would not be served, as its golden answers differ: {}; give more samples like \
             those, or let goldens differ by more with --tolerance",
            quantized.loss,
            quantized.all.measure,
            crate::driver::chain(&error)
        )));
    }
    quantized.remarks = remarks(&quantized, manifest.max_loss, has_kept);
    Ok(quantized)
}

/// Every file that the manifest lists, and the manifest.
fn copy(bundle: &Bundle, to: &Path) -> Result<(), BringError> {
    let listed = bundle.manifest().file.iter().map(|entry| entry.path.as_str());
    for name in listed.chain([MANIFEST]) {
        let (from, to) = (bundle.dir().join(name), to.join(name));
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(file("make", parent))?;
        }
        std::fs::copy(&from, &to).map_err(file("copy", &from))?;
    }
    Ok(())
}

/// The golden answers stay; what they may differ by may grow.
fn goldens(given: &[Golden], tolerance: Option<f64>) -> Vec<Golden> {
    let wider =
        |golden: &Golden| Golden { tolerance: golden.tolerance.max(tolerance.unwrap_or(0.0)), ..golden.clone() };
    given.iter().map(wider).collect()
}

/// The larger loss of those that were measured.
fn lost(quantized: &Quantized) -> Result<f64, BringError> {
    let mut most = 0f64;
    for evaluated in std::iter::once(&quantized.all).chain(&quantized.held_out) {
        let Some(scored) = evaluated.variants.get(1) else { continue };
        if !scored.error.is_empty() {
            return Err(BringError::Usage(format!("the new variant does not run: {}", scored.error)));
        }
        let Some(loss) = scored.loss else {
            return Err(BringError::Usage(format!(
                "the first variant gets nothing right by {}, so that nothing can be lost: look at the labels of the data",
                evaluated.measure
            )));
        };
        most = most.max(loss);
    }
    Ok(stated(most))
}

/// Rounded up, as a promise is; what is left of sums of fractions is nothing.
fn stated(loss: f64) -> f64 {
    let steps = ((loss - 1e-9) / STEP).ceil().max(0.0);
    (steps / (1.0 / STEP).round()).clamp(0.0, 1.0)
}

fn remarks(quantized: &Quantized, max_loss: f64, has_kept: bool) -> Vec<String> {
    let mut remarks = Vec::new();
    if !has_kept {
        let what = "too few samples to keep some back: the loss is that on the samples that it was made of";
        remarks.push(what.to_owned());
    }
    if quantized.loss > max_loss {
        remarks.push(format!(
            "it loses more than the bundle accepts (max_loss = {max_loss}): no box will serve encoded requests by it until \
             model.toml says max_loss = {} or more",
            quantized.loss
        ));
    }
    remarks
}

/// Puts what was made where it belongs: a new directory, or into the bundle, the manifest last.
fn place(asked: &Asked, variant: &Variant, staged: &Path) -> Result<(), BringError> {
    if let Some(out) = &asked.out {
        return std::fs::rename(staged, out).map_err(file("rename the new bundle to", out));
    }
    let put = |name: &str| {
        let to = asked.dir.join(name);
        std::fs::rename(staged.join(name), &to).map_err(file("put in place", &to))
    };
    put(&variant.file)?;
    // A signature of what stood there before holds no more.
    let signature = asked.dir.join(super::sign::SIGNATURE);
    match std::fs::remove_file(&signature) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(file("remove the signature", &signature)(error))
        }
        _ => put(MANIFEST),
    }
}

#[cfg(test)]
mod tests {
    use edge_wire::bring::Scored;

    use super::*;

    #[test]
    fn a_loss_is_stated_in_steps_and_never_too_small() {
        for (loss, wanted) in [
            (0.0, 0.0),
            (1e-12, 0.0),
            (0.00001, 0.0001),
            (0.0001, 0.0001),
            (0.012_341, 0.0124),
            (0.25, 0.25),
            (1.0, 1.0),
        ] {
            assert_eq!(stated(loss), wanted, "{loss}");
        }
    }

    #[test]
    fn the_larger_loss_counts_and_what_cannot_be_told_is_a_fault() {
        let evaluated = |loss: Option<f64>, error: &str| Evaluated {
            measure: "top1".into(),
            variants: vec![Scored::default(), Scored { loss, error: error.into(), ..Scored::default() }],
            ..Evaluated::default()
        };
        let of = |all, held_out| lost(&Quantized { all, held_out, ..Quantized::default() });
        assert_eq!(of(evaluated(Some(0.01), ""), None).unwrap(), 0.01);
        assert_eq!(of(evaluated(Some(0.01), ""), Some(evaluated(Some(0.02), ""))).unwrap(), 0.02);
        assert!(of(evaluated(None, ""), None).unwrap_err().to_string().contains("gets nothing right by top1"));
        assert!(of(evaluated(None, "no such operator"), None).unwrap_err().to_string().contains("no such operator"));
    }

    #[test]
    fn goldens_may_only_become_wider() {
        let golden = |tolerance| Golden { input: "a".into(), content_type: None, expected: "b".into(), tolerance };
        let wider = |tolerance| {
            goldens(&[golden(0.02), golden(0.2)], tolerance).iter().map(|one| one.tolerance).collect::<Vec<_>>()
        };
        assert_eq!(wider(None), [0.02, 0.2]);
        assert_eq!(wider(Some(0.1)), [0.1, 0.2]);
    }
}
