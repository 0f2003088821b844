//! Heat on the real daemon: what the governor says on the bus and the broker, a device that is held, a power mode that is asked
//! for by name.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use edge_tests::answer::{Options, Tensor, expect_no, expect_yes};
use edge_tests::client::mqtt::Protocol;
use edge_tests::clock::{PATIENCE, eventually, within};
use edge_tests::runner::block_on;
use edge_tests::stack::{Setup, Stack, describe};
use edge_wire::governor::GovernorReport;
use edge_wire::proxy::{ManagerProxy, TelemetryProxy};
use zbus::export::futures_core::Stream as _;

fn inputs() -> Vec<Tensor> {
    vec![Tensor::fp32("a", &[1, 4], &[1.0; 4]), Tensor::fp32("b", &[1, 4], &[1.0, 2.0, 3.0, 4.0])]
}

#[test]
fn nothing_runs_on_a_device_that_is_held_until_its_descriptor_is_closed() -> Result<()> {
    block_on(async {
        let stack = Setup::new().bundles(&["add"]).without_broker().start().await?;
        let client = stack.client().await?;
        expect_yes("before", client.infer("add", &inputs(), &Options::new()).await?)?;
        let holder = stack.client().await?;
        let manager = ManagerProxy::new(&holder.connection).await?;
        let held = manager.hold("new firmware").await?;
        let also = manager.hold("and a look at the fan").await?;
        let no = client.infer("add", &inputs(), &Options::new()).await?;
        expect_no("while it is held", &no, "overloaded", &["holds the device"])?;
        let status = client.status().await?;
        ensure!(status.governor.capacity.lanes == 0, "{:?}", status.governor);
        ensure!(status.governor.capacity.held == "new firmware; and a look at the fan", "{:?}", status.governor);
        ensure!(status.reason.contains("new firmware"), "{}", status.reason);
        drop(held);
        // Whoever leaves the bus without closing anything lets go as well.
        let still =
            async || Ok((client.status().await?.governor.capacity.held == "and a look at the fan").then_some(()));
        eventually("one of them let go", PATIENCE, still).await?;
        expect_no("one still holds", &client.infer("add", &inputs(), &Options::new()).await?, "overloaded", &[])?;
        drop(also);
        let free = async || Ok(client.status().await?.governor.capacity.held.is_empty().then_some(()));
        eventually("nobody holds it", PATIENCE, free).await?;
        expect_yes("afterwards", client.infer("add", &inputs(), &Options::new()).await?)?;
        for why in ["", " ", "a\nb", &"x".repeat(201)] {
            let no = manager.hold(why).await.err().context("a bad reason was taken")?.to_string();
            ensure!(no.contains("why") && no.contains("1 to 200"), "{why:?}: {no}");
        }
        Ok(())
    })?
}

fn tree(stack: &Stack, machine: &str) -> Result<std::path::PathBuf> {
    let pid = stack.daemon()?.process.pid();
    Ok(stack.dir().join(format!("run/machines/{machine}-{pid}")))
}

#[test]
fn a_box_that_grows_hot_says_so_on_bus_and_broker_and_has_less_to_give() -> Result<()> {
    block_on(async {
        let setup = Setup::new().config("[telemetry]\ninterval_ms = 500");
        let stack = setup.argument("--sim").argument("machine=agx-orin").start().await?;
        let client = stack.client().await?;
        let telemetry = TelemetryProxy::new(&client.connection).await?;
        let mut entered = telemetry.receive_regime_entered().await?;
        let nominal = async || Ok((client.status().await?.governor.regime == "nominal").then_some(()));
        eventually("it is read", PATIENCE, nominal).await?;
        let root = tree(&stack, "agx-orin")?;
        fs::write(root.join("sim/load"), "1.0")?;
        fs::write(root.join("sim/ambient"), "80")?;
        let signal = within("a change of regime", PATIENCE, async {
            loop {
                let signal = std::future::poll_fn(|cx| std::pin::Pin::new(&mut entered).poll_next(cx))
                    .await
                    .context("the signals ended")?;
                let told = signal.args()?;
                if told.regime != "nominal" {
                    return anyhow::Ok((told.regime.to_owned(), told.before.to_owned(), told.reason.to_owned()));
                }
            }
        })
        .await??;
        ensure!(["throttled", "critical"].contains(&signal.0.as_str()) && signal.1 == "nominal", "{signal:?}");
        ensure!(signal.2.contains(" C") && signal.2.contains("simulated"), "{signal:?}");
        let status = client.status().await?;
        ensure!(status.governor.capacity.duty < 1.0, "{:?}", status.governor);
        ensure!(telemetry.regime().await? == status.governor.regime, "{:?}", status.governor);
        let report: GovernorReport = serde_json::from_str(&telemetry.governor(&HashMap::new()).await?)?;
        ensure!(report.changes.iter().any(|change| change.from == "nominal"), "{:?}", report.changes);
        let device = stack.device(Protocol::V5).await?;
        device.subscribe("edge/+/telemetry").await?;
        let told = |message: &edge_tests::client::mqtt::Incoming| {
            message.json().is_ok_and(|json| json["regime"] != "nominal" && json["capacity"]["duty"].is_number())
        };
        device.take("telemetry of a hot box", PATIENCE, told).await?;
        fs::write(root.join("sim/load"), "0.0")?;
        fs::write(root.join("sim/ambient"), "20")?;
        let cool = async || Ok((client.status().await?.governor.regime == "nominal").then_some(()));
        eventually("it is as before", std::time::Duration::from_secs(180), cool).await
    })?
}

#[test]
fn a_power_mode_is_asked_for_only_by_name() -> Result<()> {
    block_on(async {
        let mode = async |toml: &str| -> Result<(String, Vec<String>)> {
            let setup = Setup::new().without_broker().config(toml).argument("--sim");
            let stack = setup.argument("machine=orin-nano").start().await?;
            let status = describe(&stack.client().await?.connection).await?;
            let problems = status.problems.iter().map(|problem| format!("{}: {}", problem.subject, problem.what));
            Ok((status.hardware.power_mode, problems.collect()))
        };
        ensure!(mode("").await? == ("15W".into(), Vec::new()), "nobody asked");
        ensure!(mode("[governor]\npower_mode = '7w'").await? == ("7W".into(), Vec::new()), "by its name");
        let (present, problems) = mode("[governor]\npower_mode = 'MAXN'").await?;
        ensure!(present == "15W" && problems.len() == 1, "{problems:?}");
        ensure!(problems[0].starts_with("power mode: ") && problems[0].contains("takes 15W, 7W"), "{problems:?}");
        Ok(())
    })?
}
