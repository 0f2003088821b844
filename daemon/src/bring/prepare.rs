//! What a bundle's own recipe makes of samples, as files that other tools read: one `.npy` for each input, and a list of the
//! inputs. Tools that quantise a model must see what it will see when it serves.

use std::path::{Path, PathBuf};

use edge_engine::bundle::{self, Bundle, Manifest};
use edge_engine::graph::Graph;
use edge_engine::media::Recipe;
use edge_engine::protocol::{Datatype, LoadedModel, TensorSpec};
use edge_wire::bring::Prepared;
use serde_json::json;

use super::eval::{self, data};
use super::goldens::write;
use super::room::Shaped;
use super::{BringError, room, samples, tensors};
use crate::driver::chain;

/// Most samples that scales are made of: more change them little, and calibrating takes longer than the model itself.
pub const MOST: usize = 500;

/// Writes what becomes of the samples in `data` into `out`, which must not be there.
pub async fn prepare(dir: &Path, from: &Path, out: &Path, library: Option<&Path>) -> Result<Prepared, BringError> {
    let bundle = bundle::open(dir)?;
    bundle::verify(&bundle)?;
    if out.symlink_metadata().is_ok() {
        return Err(BringError::Usage(format!("{} is there already: name another with --out", out.display())));
    }
    let found = data::read(from, bundle.manifest().task, &eval::labels(bundle.manifest()))?;
    let Some(variant) = bundle.manifest().variant.first() else {
        return Err(BringError::Usage("a pipeline has no tensors of its own: prepare its stages'".into()));
    };
    let loaded = room(library).await?.load(dir, variant, false).await?;
    let paths: Vec<&Path> = found.samples.iter().map(|sample| sample.path.as_path()).collect();
    let mut prepared = tensors_of(&bundle, &loaded, &paths, out)?;
    prepared.left_out.splice(0..0, found.left_out);
    Ok(prepared)
}

/// The tensors of the samples at `paths`, at most [`MOST`] of them, at even distances.
pub fn tensors_of(bundle: &Bundle, loaded: &LoadedModel, paths: &[&Path], out: &Path) -> Result<Prepared, BringError> {
    let recipe = recipe(bundle, loaded)?;
    let mut prepared = Prepared {
        dir: out.display().to_string(),
        inputs: loaded.inputs.iter().map(|spec| spec.name.clone()).collect(),
        ..Prepared::default()
    };
    let all = paths.len();
    let kept = |(at, path): (usize, &&Path)| {
        let is_kept = all <= MOST || (at * MOST) / all != ((at + 1) * MOST) / all;
        is_kept.then(|| path.to_path_buf())
    };
    let paths: Vec<PathBuf> = paths.iter().enumerate().filter_map(kept).collect();
    for path in &paths {
        match of_sample(bundle.manifest(), recipe.as_ref(), loaded, path) {
            Ok(tensors) => {
                for (at, (spec, tensor)) in loaded.inputs.iter().zip(&tensors).enumerate() {
                    let name = format!("{:06}-{at}.npy", prepared.samples);
                    write(&out.join(name), &npy(spec, tensor)?)?;
                }
                prepared.samples += 1;
            }
            Err(error) => {
                let (file, why) = (path.display().to_string(), chain(&error));
                prepared.left_out.push(edge_wire::bring::LeftOut { file, line: 0, why });
            }
        }
    }
    let told = json!({"inputs": prepared.inputs, "samples": prepared.samples});
    write(&out.join("inputs.json"), told.to_string().as_bytes())?;
    Ok(prepared)
}

/// The recipe of a bundle, which is held against the graph's own tensors as the engine host does.
fn recipe(bundle: &Bundle, loaded: &LoadedModel) -> Result<Option<Recipe>, BringError> {
    let Some(variant) = bundle.manifest().variant.first() else { return Ok(None) };
    let graph = Graph::read(&bundle.file(&variant.file)?)?;
    let metadata = |key: &str| graph.metadata.get(key).cloned();
    Recipe::load(bundle, &loaded.inputs, &loaded.outputs, metadata).map_err(|error| BringError::Usage(chain(&error)))
}

fn of_sample(
    manifest: &Manifest,
    recipe: Option<&Recipe>,
    loaded: &LoadedModel,
    path: &Path,
) -> Result<Vec<Shaped>, BringError> {
    let (payload, kind) = samples::read(path)?;
    let Some(recipe) = recipe else {
        return tensors::given(&payload, &loaded.inputs).map_err(BringError::Usage);
    };
    let content_type = eval::content_type(manifest.task, kind, loaded)?;
    let (prepared, _) = recipe.prepare(content_type, &payload).map_err(|error| BringError::Usage(chain(&error)))?;
    let none =
        || BringError::Usage("the model does not see it in one run: a sound, or a file that is too short".into());
    let filled = recipe.fill(&prepared).ok_or_else(none)?;
    Ok(vec![(filled.shape.clone(), filled.bytes.as_slice().to_vec())])
}

/// A file of NumPy's form, version 1.0 (numpy.lib.format): a header of text, then the elements as they are.
fn npy(spec: &TensorSpec, (shape, bytes): &Shaped) -> Result<Vec<u8>, BringError> {
    let kind = match spec.datatype {
        Datatype::Bool => "|b1",
        Datatype::Uint8 => "|u1",
        Datatype::Int8 => "|i1",
        Datatype::Uint16 => "<u2",
        Datatype::Uint32 => "<u4",
        Datatype::Uint64 => "<u8",
        Datatype::Int16 => "<i2",
        Datatype::Int32 => "<i4",
        Datatype::Int64 => "<i8",
        Datatype::Fp16 => "<f2",
        Datatype::Fp32 => "<f4",
        Datatype::Fp64 => "<f8",
        Datatype::Bf16 | Datatype::Bytes => {
            let what = format!("input {} is {}, which NumPy's files do not hold", spec.name, spec.datatype.as_str());
            return Err(BringError::Usage(what));
        }
    };
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", sizes.trim_end());
    // The elements begin at a multiple of 64.
    let before = b"\x93NUMPY\x01\x00".len() + 2;
    while !(before + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length =
        u16::try_from(header.len()).map_err(|_| BringError::Usage("a tensor has too many dimensions".into()))?;
    Ok([b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], header.as_bytes(), bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numpys_files_begin_with_what_is_in_them() {
        let spec = |datatype| TensorSpec { name: "x".into(), datatype, shape: vec![-1] };
        let file = npy(&spec(Datatype::Fp32), &(vec![1, 2], vec![1; 8])).unwrap();
        let text = String::from_utf8_lossy(&file[10..file.len() - 8]).into_owned();
        assert_eq!(text.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2,), }");
        assert_eq!((file.len() - 8) % 64, 0);
        assert_eq!(usize::from(u16::from_le_bytes([file[8], file[9]])) + 10, file.len() - 8);
        assert_eq!(&file[..8], b"\x93NUMPY\x01\x00");
        let scalar = npy(&spec(Datatype::Int64), &(vec![], vec![0; 8])).unwrap();
        assert!(String::from_utf8_lossy(&scalar).contains("'shape': (), }"));
        assert!(npy(&spec(Datatype::Bytes), &(vec![1], vec![])).unwrap_err().to_string().contains("x is BYTES"));
    }
}
