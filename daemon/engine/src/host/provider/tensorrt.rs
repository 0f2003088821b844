//! TensorRT, the runtime's own provider, and TensorRT-RTX, which comes as a plugin: both compile a model for one range of
//! sizes, which takes minutes on a small board. So the range comes from the manifest, what was compiled is kept, and what
//! lies outside the range never reaches them.

use super::{Told, Wish};
use crate::bundle::{Profile, Variant};
use crate::protocol::{Precision, TensorSpec, WORKSPACE_BYTES};

pub fn told(wish: &Wish<'_>) -> Result<Told, &'static str> {
    let (options, variant) = (wish.options, wish.variant);
    let reduced = wish.setup.precision == Precision::Reduced;
    if options.dla_core.is_some() && !reduced && !variant.int8 {
        return Err("a deep learning accelerator computes in FP16 or INT8, the setup asks for exact FP32");
    }
    let mut entries = vec![
        ("device_id", options.device.unwrap_or(0).to_string()),
        ("trt_max_workspace_size", options.workspace_limit_bytes.unwrap_or(WORKSPACE_BYTES).to_string()),
        ("trt_fp16_enable", flag(reduced)),
        ("trt_int8_enable", flag(variant.int8)),
    ];
    if let Some(core) = options.dla_core {
        entries.extend([("trt_dla_enable", flag(true)), ("trt_dla_core", core.to_string())]);
    }
    if let Some(dir) = wish.cache_dir {
        let dir = dir.to_str().ok_or("the cache directory's name is not UTF-8")?;
        entries.extend([
            ("trt_engine_cache_enable", flag(true)),
            ("trt_engine_cache_path", dir.to_owned()),
            ("trt_engine_cache_prefix", prefix(wish)),
            ("trt_timing_cache_enable", flag(true)),
            ("trt_timing_cache_path", dir.to_owned()),
        ]);
    }
    if !variant.profile.is_empty() {
        entries.extend([
            ("trt_profile_min_shapes", shapes(&variant.profile, |profile| &profile.min)),
            ("trt_profile_opt_shapes", shapes(&variant.profile, |profile| &profile.opt)),
            ("trt_profile_max_shapes", shapes(&variant.profile, |profile| &profile.max)),
        ]);
    }
    Ok(Told::provider(entries))
}

/// TensorRT-RTX computes in the types of the graph, whatever precision is asked for.
pub fn told_rtx(wish: &Wish<'_>) -> Result<Told, &'static str> {
    let (options, variant) = (wish.options, wish.variant);
    if wish.setup.precision == Precision::Reduced {
        return Err("TensorRT-RTX computes in the types of the graph; reduced precision takes a graph of its own");
    }
    let workspace = options.workspace_limit_bytes.unwrap_or(WORKSPACE_BYTES);
    let mut entries = vec![("nv_max_workspace_size", workspace.to_string())];
    if let Some(dir) = wish.cache_dir {
        let dir = dir.to_str().ok_or("the cache directory's name is not UTF-8")?;
        entries.push(("nv_runtime_cache_path", dir.to_owned()));
    }
    if !variant.profile.is_empty() {
        entries.extend([
            ("nv_profile_min_shapes", shapes(&variant.profile, |profile| &profile.min)),
            ("nv_profile_opt_shapes", shapes(&variant.profile, |profile| &profile.opt)),
            ("nv_profile_max_shapes", shapes(&variant.profile, |profile| &profile.max)),
        ]);
    }
    Ok(Told::provider(entries))
}

/// An input with an open dimension for which the variant has no profile.
pub fn unbounded<'a>(inputs: &'a [TensorSpec], variant: &Variant) -> Option<&'a TensorSpec> {
    let bounded = |input: &TensorSpec| {
        !input.shape.contains(&-1) || variant.profile.iter().any(|profile| profile.tensor == input.name)
    };
    inputs.iter().find(|input| !bounded(input))
}

fn flag(on: bool) -> String {
    if on { "1".into() } else { "0".into() }
}

/// Name of the engines of one model file, runtime and precision in the cache: an engine under the name of another one gives
/// wrong answers, not an error. TensorRT adds the graph and the GPU's architecture itself.
fn prefix(wish: &Wish<'_>) -> String {
    let digest = wish.digest.get(..16).unwrap_or(wish.digest);
    let int8 = if wish.variant.int8 { "-int8" } else { "" };
    format!("{digest}-{}-{}{int8}", wish.version, wish.setup.precision.as_str())
}

/// `name:1x3x48x320,other:1x2`.
fn shapes(profiles: &[Profile], sizes: impl Fn(&Profile) -> &Vec<i64>) -> String {
    let shape = |profile: &Profile| {
        let sizes: Vec<String> = sizes(profile).iter().map(i64::to_string).collect();
        format!("{}:{}", profile.tensor, sizes.join("x"))
    };
    profiles.iter().map(shape).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, profile, text};
    use super::*;
    use crate::protocol::Datatype;

    fn profiled(sample: &mut Sample) {
        sample.variant.profile = vec![
            profile("x", [&[1, 3, 48, 320], &[1, 3, 48, 640], &[8, 3, 48, 1600]]),
            profile("state", [&[2, 1], &[2, 1], &[2, 4]]),
        ];
    }

    #[test]
    fn precision_limits_cache_and_profiles_are_told() {
        let cases = [
            (
                Sample::new("tensorrt"),
                "device_id=0 trt_max_workspace_size=536870912 trt_fp16_enable=0 trt_int8_enable=0",
            ),
            (
                Sample::with("tensorrt", |sample| {
                    sample.setup.precision = Precision::Reduced;
                    sample.variant.int8 = true;
                    sample.options.device = Some(1);
                    sample.options.workspace_limit_bytes = Some(1 << 28);
                    sample.options.dla_core = Some(1);
                }),
                "device_id=1 trt_max_workspace_size=268435456 trt_fp16_enable=1 trt_int8_enable=1 trt_dla_enable=1 \
                 trt_dla_core=1",
            ),
            (
                Sample::with("tensorrt", |sample| {
                    profiled(sample);
                    sample.cache_dir = Some("/cache".into());
                }),
                "device_id=0 trt_max_workspace_size=536870912 trt_fp16_enable=0 trt_int8_enable=0 \
                 trt_engine_cache_enable=1 trt_engine_cache_path=/cache \
                 trt_engine_cache_prefix=48fc40f24f6d2a20-1.32.0-exact trt_timing_cache_enable=1 \
                 trt_timing_cache_path=/cache trt_profile_min_shapes=x:1x3x48x320,state:2x1 \
                 trt_profile_opt_shapes=x:1x3x48x640,state:2x1 trt_profile_max_shapes=x:8x3x48x1600,state:2x4",
            ),
        ];
        for (sample, expected) in cases {
            assert_eq!(text(&told(&sample.wish()).unwrap()), expected);
        }
    }

    #[test]
    fn an_accelerator_that_cannot_compute_exactly_is_refused_for_exact_answers() {
        let exact = Sample::with("tensorrt", |sample| sample.options.dla_core = Some(0));
        assert!(told(&exact.wish()).unwrap_err().contains("FP16 or INT8"));
    }

    #[test]
    fn the_plugin_is_told_the_same_in_its_own_words_and_refuses_reduced_precision() {
        let mut sample = Sample::with("tensorrt-rtx", |sample| {
            profiled(sample);
            sample.cache_dir = Some("/cache".into());
        });
        assert_eq!(
            text(&told_rtx(&sample.wish()).unwrap()),
            "nv_max_workspace_size=536870912 nv_runtime_cache_path=/cache \
             nv_profile_min_shapes=x:1x3x48x320,state:2x1 nv_profile_opt_shapes=x:1x3x48x640,state:2x1 \
             nv_profile_max_shapes=x:8x3x48x1600,state:2x4"
        );
        sample.setup.precision = Precision::Reduced;
        assert!(told_rtx(&sample.wish()).is_err());
    }

    #[test]
    fn an_open_input_without_a_profile_is_found() {
        let input = |name: &str, shape: &[i64]| TensorSpec {
            name: name.into(),
            datatype: Datatype::Fp32,
            shape: shape.to_vec(),
        };
        let mut sample = Sample::new("tensorrt");
        let inputs = [input("fixed", &[1, 3]), input("x", &[-1, 3]), input("state", &[2, -1])];
        assert_eq!(unbounded(&inputs, &sample.variant).unwrap().name, "x");
        profiled(&mut sample);
        assert_eq!(unbounded(&inputs, &sample.variant), None);
    }
}
