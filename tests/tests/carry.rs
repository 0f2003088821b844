//! What one box measured and compiled serves another one of its kind at once, and one of another kind not at all.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, Tensor, expect_yes};
use edge_tests::clock::{PATIENCE, eventually};
use edge_tests::provider::{OPENVINO, openvino};
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack};
use edge_tests::versions::{done, edgectl};
use edge_wire::dto::SetupStatus;

/// Adds, on OpenVINO or else on the CPU.
const MODEL: &str = "either";

/// One box with OpenVINO in `providers`; none of them measures by itself.
fn setup(providers: &Path, more: &str) -> Setup {
    // The bundle is not signed either: where that matters only the import is looked at.
    let config = format!("[engine]\nproviders_dir = '{}'\n{more}", providers.display());
    Setup::new().bundles(&[MODEL]).without_broker().config(&config)
}

/// Exit code, and all that was said in one line: lines are broken for the screen.
fn said(stack: &Stack, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let (code, out, err) = edgectl(stack, arguments)?;
    Ok((code, format!("{out} {err}").split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The same of what has to do well.
fn well(stack: &Stack, arguments: &[&str]) -> Result<String> {
    let (code, said) = said(stack, arguments)?;
    ensure!(code == Some(0), "{arguments:?}: {code:?} {said}\n{}", stack.logs());
    Ok(said)
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

async fn served(stack: &Stack, cache: &str) -> Result<SetupStatus> {
    let client = stack.client().await?;
    let serves = async || {
        let status = client.status().await?;
        let setups = &status.models.first().context("no model")?.setups;
        let ready = setups.iter().find(|setup| setup.serving && setup.state == "ready");
        Ok(ready.filter(|setup| setup.provider == OPENVINO && setup.cache == cache).cloned())
    };
    eventually(&format!("{OPENVINO} serves, cache {cache}"), PATIENCE, serves).await.with_context(|| stack.logs())
}

async fn add(stack: &Stack) -> Result<()> {
    let ones = |name| Tensor::fp32(name, &[1, 4], &[1.0; 4]);
    let outcome = stack.client().await?.infer(MODEL, &[ones("a"), ones("b")], &Options::default()).await?;
    ensure!(expect_yes("a sum", outcome)?.output("c")?.floats()? == [2.0; 4]);
    Ok(())
}

/// A box that measured its model, and what it exported.
async fn box_a(providers: &Path) -> Result<(Stack, PathBuf)> {
    let stack = setup(providers, "").start().await?;
    served(&stack, "built").await?;
    // What runs beside it makes measuring slow.
    done(&stack, &["--timeout", "170s", "models", "tune", MODEL])?;
    let file = stack.dir().join("line.edgecache");
    let said = well(&stack, &["models", "cache", "export", "--out", path(&file)?])?;
    ensure!(said.contains("exported: plan of either:1.0.0"), "{said}");
    ensure!(said.contains("exported: engine of either for openvino"), "{said}");
    Ok((stack, file))
}

#[test]
fn an_identical_box_serves_by_the_plan_and_the_engines_of_another_without_measuring_or_compiling() -> Result<()> {
    block_on(async {
        let providers = tempfile::tempdir()?;
        if !openvino(&providers.path().join(OPENVINO))? {
            return Ok(());
        }
        let (a, file) = box_a(providers.path()).await?;
        let plan = done(&a, &["models", "plan", MODEL, "--json"])?;

        let mut b = setup(providers.path(), "").start().await?;
        served(&b, "built").await?;
        let (code, err) = said(&b, &["models", "plan", MODEL])?;
        ensure!(code != Some(0) && err.contains("it was not measured yet"), "{err}");
        let said = well(&b, &["models", "cache", "import", path(&file)?])?;
        ensure!(said.contains("taken: plan of either:1.0.0") && !said.contains("refused"), "{said}");
        ensure!(done(&b, &["models", "plan", MODEL, "--json"])? == plan, "the plan of the other box, as it is");
        add(&b).await?;
        // Also after a restart: nothing is measured, nothing compiled.
        b.start_daemon().await?;
        // Which provider is the fastest is the plan's to say.
        let serves = async || {
            let status = b.status().await?;
            let setups = &status.models.first().context("no model")?.setups;
            let ready = setups.iter().find(|setup| setup.serving && setup.state == "ready");
            Ok(ready.filter(|setup| setup.provider == "cpu" || setup.cache == "hit").map(|_| ()))
        };
        eventually("it is served by the plan", PATIENCE, serves).await.with_context(|| b.logs())?;
        add(&b).await?;
        ensure!(done(&b, &["models", "plan", MODEL, "--json"])? == plan);
        let jobs = b.status().await?.jobs;
        ensure!(jobs.is_empty(), "{jobs:?}");
        let history = done(&b, &["models", "history"])?;
        ensure!(history.contains("import"), "{history}");
        Ok(())
    })?
}

#[test]
fn a_box_that_has_not_compiled_yet_finds_the_engines_of_another_when_its_model_comes() -> Result<()> {
    block_on(async {
        let providers = tempfile::tempdir()?;
        if !openvino(&providers.path().join(OPENVINO))? {
            return Ok(());
        }
        let (_a, file) = box_a(providers.path()).await?;
        let config = format!("[engine]\nproviders_dir = '{}'", providers.path().display());
        let b = Setup::new().bundles(&["add"]).without_broker().config(&config).start().await?;
        let ready = async || {
            let client = b.client().await?;
            Ok(client.status().await?.models.iter().any(|model| model.state == "ready").then_some(()))
        };
        eventually("its own model serves", PATIENCE, ready).await?;
        let said = well(&b, &["models", "cache", "import", path(&file)?])?;
        ensure!(said.contains("taken: plan of either") && said.contains("taken: engine of either"), "{said}");
        let bundle = edge_tests::places::test_bundles().join(MODEL);
        done(&b, &["models", "install", path(&bundle)?])?;
        let client = b.client().await?;
        let hit = async || {
            let status = client.status().await?;
            let model = status.models.iter().find(|model| model.name == MODEL).context("not installed")?;
            let setup = model.setups.iter().find(|setup| setup.serving && setup.state == "ready");
            Ok(setup.filter(|setup| setup.cache == "hit" || setup.provider == "cpu").map(|_| ()))
        };
        eventually("it is served by what was compiled elsewhere", PATIENCE, hit).await.with_context(|| b.logs())?;
        done(&b, &["models", "plan", MODEL])?;
        ensure!(!b.daemon()?.process.log().contains("what was compiled is kept"), "{}", b.logs());
        Ok(())
    })?
}

#[test]
fn what_is_of_another_box_or_not_signed_by_somebody_trusted_is_refused_by_name() -> Result<()> {
    block_on(async {
        let providers = tempfile::tempdir()?;
        if !openvino(&providers.path().join(OPENVINO))? {
            return Ok(());
        }
        let (a, file) = box_a(providers.path()).await?;
        let keys = tempfile::tempdir()?;
        let strict = format!("[models]\nallow_unsigned = false\nkeys_dir = '{}'", keys.path().display());
        let b = setup(providers.path(), &strict).start().await?;
        let import = |b: &Stack, file: &Path| said(b, &["models", "cache", "import", path(file)?]);
        let known = async || {
            let (_, out) = import(&b, &file)?;
            Ok((!out.contains("is not known yet")).then_some(out))
        };
        let no = eventually("the runtime is known", PATIENCE, known).await?;
        ensure!(no.contains("the export is not signed: `edgectl models sign"), "{no}");

        done(&a, &["models", "keygen", path(&keys.path().join("site"))?, "--no-password"])?;
        let key = keys.path().join("site.key");
        done(&a, &["models", "sign", path(&file)?, "--key", path(&key)?])?;
        let (code, out) = import(&b, &file)?;
        ensure!(code == Some(0) && out.contains("taken: engine of either"), "{out}");

        // The head of an export that says it is of another box, signed all the same.
        let other = doctored(&a, &file)?;
        done(&a, &["models", "sign", path(&other)?, "--key", path(&key)?])?;
        let (code, out) = import(&b, &other)?;
        ensure!(code == Some(1), "{out}");
        ensure!(out.contains("nothing of it is for this box") && out.contains("NVIDIA Orin"), "{out}");
        ensure!(out.contains("device was"), "the plan says what differs as well: {out}");
        // And the same as it was signed before it was changed.
        let (code, out) = import(&b, &doctored(&a, &file)?)?;
        ensure!(code == Some(1) && out.contains("was changed since"), "{out}");
        let cleared = async || Ok((std::fs::read_dir(b.dir().join("cache/building"))?.count() == 0).then_some(()));
        eventually("nothing is left of what was refused", PATIENCE, cleared).await?;
        Ok(())
    })?
}

/// The same export, said to be of a Jetson.
fn doctored(stack: &Stack, file: &Path) -> Result<PathBuf> {
    let dir = tempfile::tempdir()?;
    let tar = |words: &[&str]| -> Result<()> {
        let status = std::process::Command::new("tar").arg("--zstd").args(words).current_dir(dir.path()).status()?;
        ensure!(status.success(), "tar {words:?}");
        Ok(())
    };
    tar(&["-xf", path(file)?])?;
    let head = dir.path().join("cache.json");
    let mut value: serde_json::Value = serde_json::from_slice(&std::fs::read(&head)?)?;
    let rename = |facts: &mut serde_json::Value, name: &str| {
        for fact in facts.as_array_mut().into_iter().flatten() {
            if fact[0] == name {
                fact[1] = "NVIDIA Orin".into();
            }
        }
    };
    rename(&mut value["machine"], "processor");
    for plan in value["plans"].as_array_mut().into_iter().flatten() {
        rename(&mut plan["key"], "device");
    }
    std::fs::write(&head, serde_json::to_vec(&value)?)?;
    let out = stack.dir().join("doctored.edgecache");
    let mut names = vec!["cache.json"];
    if dir.path().join("cache.json.minisig").exists() {
        names.push("cache.json.minisig");
    }
    tar(&[&["--format=ustar", "-cf", path(&out)?], names.as_slice(), &["engines", "plans"]].concat())?;
    Ok(out)
}
