//! The tests' own machinery: what it starts is reachable, and gone when its handle is.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use edge_tests::broker::Broker;
use edge_tests::bus::Bus;
use edge_tests::client::mqtt::{Device, Outgoing, Protocol};
use edge_tests::clock::{PATIENCE, eventually_blocking};
use edge_tests::process::{Life, Process, alive};
use edge_tests::runner::block_on;
use edge_tests::usage;

#[test]
fn a_process_is_gone_with_its_handle_and_so_is_its_child() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 1000 & echo $!; wait"]);
    let process = Process::spawn("parent", command, dir.path(), Life::WithParent)?;
    let child = eventually_blocking("the child's id", PATIENCE, || Ok(process.log().trim().parse::<u32>().ok()))?;
    let parent = process.pid();
    assert!(alive(parent) && alive(child));
    drop(process);
    eventually_blocking("both end", PATIENCE, || Ok((!alive(parent) && !alive(child)).then_some(())))
}

#[test]
fn the_private_bus_takes_connections_and_a_second_one_lives_beside_it() -> Result<()> {
    let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let buses = [Bus::start(one.path(), Life::WithParent)?, Bus::start(two.path(), Life::WithParent)?];
    block_on(async {
        for bus in &buses {
            let connection = bus.connect().await?;
            assert!(connection.unique_name().is_some());
            assert!(!edge_tests::stack::name_is_owned(&connection).await?);
        }
        Ok(())
    })?
}

#[test]
fn a_device_hears_itself_on_the_broker_in_both_versions_and_after_a_restart_of_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut broker = Broker::start(dir.path(), Life::WithParent)?;
    block_on(async {
        for protocol in [Protocol::V5, Protocol::V311] {
            let device = Device::connect(broker.port(), protocol).await?;
            hears_itself(&device, "before").await?;
            broker.stop()?;
            broker.start_again()?;
            hears_itself(&device, "after").await?;
        }
        Ok(())
    })?
}

async fn hears_itself(device: &Device, word: &'static str) -> Result<()> {
    let topic = device.reply_topic.clone();
    device.publish(Outgoing { topic, payload: word.into(), qos: 1, ..Outgoing::default() }).await?;
    let heard = device.take(word, PATIENCE, |message| message.payload == word).await?;
    assert_eq!(heard.qos, 1);
    Ok(())
}

#[test]
fn processor_time_of_another_process_grows_while_it_works() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut command = Command::new("sh");
    command.args(["-c", "while :; do :; done"]);
    let process = Process::spawn("busy", command, dir.path(), Life::WithParent)?;
    let grown = || Ok((usage::cpu_time(process.pid())? > Duration::from_millis(50)).then_some(()));
    eventually_blocking("50 ms of processor time", PATIENCE, grown)?;
    assert!(usage::resident(process.pid())? > 100 << 10);
    Ok(())
}
