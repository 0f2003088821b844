//! Bad tensor requests, each on every route that can carry it: the contract's code, a message that names the field, and
//! a daemon that serves the next request.

use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use edge_tests::answer::{Options, Tensor, expect_no, expect_yes, options};
use edge_tests::client::bus::TensorFd;
use edge_tests::client::routes::{Example, Route, Routes, Row};
use edge_tests::memfd;
use edge_tests::stack::{Setup, Stack};
use serde_json::json;

/// A model with two inputs of a fixed shape.
const MODEL: &str = "add";

fn main() -> ExitCode {
    let trials = edge_tests::trials![
        a_good_request_is_served_on_every_route_with_the_same_answer,
        an_unknown_model_is_said_so,
        an_unknown_version_is_said_so,
        a_missing_input_is_named,
        an_input_too_many_is_named,
        an_input_given_twice_is_named,
        a_misnamed_input_is_named,
        a_wrong_datatype_is_named,
        a_datatype_that_does_not_exist_is_named,
        a_wrong_rank_is_named,
        a_wrong_fixed_dimension_is_named,
        a_zero_dimension_is_named,
        a_negative_dimension_is_named,
        dimensions_whose_product_overflows_are_named,
        data_shorter_than_its_shape_is_refused,
        data_longer_than_its_shape_is_refused,
        no_inputs_at_all_are_refused,
        a_memfd_without_seals_is_refused,
        a_memfd_that_is_too_short_is_refused,
        an_offset_past_the_end_is_refused,
        an_offset_and_length_that_overflow_are_refused,
        an_unaligned_offset_works_or_is_named,
        a_descriptor_that_is_no_memfd_is_refused,
        sixteen_descriptors_pass_the_bus_and_more_pass_the_private_connection,
    ];
    edge_tests::runner::run(Setup::new(), trials)
}

async fn setting(stack: &Stack) -> Result<(Routes, Example)> {
    Ok((Routes::open(stack).await?, Example::from(stack, MODEL).await?))
}

/// One row on all routes with changed inputs.
async fn refused(stack: &Stack, what: &str, mentions: &[&str], change: impl FnOnce(&mut Vec<Tensor>)) -> Result<()> {
    refused_on(&Route::ALL, stack, what, mentions, change).await
}

async fn refused_on(
    via: &[Route],
    stack: &Stack,
    what: &str,
    mentions: &[&str],
    change: impl FnOnce(&mut Vec<Tensor>),
) -> Result<()> {
    let (routes, good) = setting(stack).await?;
    let inputs = good.with(change);
    let row = Row { what, routes: via, model: MODEL, inputs: &inputs, mentions, ..Row::default() };
    routes.refuse(&row, &good).await
}

async fn a_good_request_is_served_on_every_route_with_the_same_answer(stack: &Stack) -> Result<()> {
    let (routes, good) = setting(stack).await?;
    let first = routes.serves(Route::Inline, &good).await?.outputs;
    ensure!(!first.is_empty(), "no outputs");
    for route in Route::ALL {
        let outputs = routes.serves(route, &good).await?.outputs;
        ensure!(outputs == first, "{route:?} answers {outputs:?}, Inline {first:?}");
    }
    Ok(())
}

async fn an_unknown_model_is_said_so(stack: &Stack) -> Result<()> {
    let (routes, good) = setting(stack).await?;
    for model in ["no-such-model", "Add", "add_"] {
        let row = Row {
            what: "an unknown model",
            model,
            inputs: &good.inputs,
            code: "unknown_model",
            mentions: &[model],
            ..Row::default()
        };
        routes.refuse(&row, &good).await?;
    }
    Ok(())
}

async fn an_unknown_version_is_said_so(stack: &Stack) -> Result<()> {
    let (routes, good) = setting(stack).await?;
    let row = Row {
        what: "an unknown version",
        model: MODEL,
        inputs: &good.inputs,
        options: options(json!({"version": "99.0.0"})),
        code: "unknown_model",
        mentions: &["99.0.0"],
        ..Row::default()
    };
    routes.refuse(&row, &good).await?;
    let outcome = routes.bus.infer("add:99.0.0", &good.inputs, &Options::new()).await?;
    expect_no("name:version", &outcome, "unknown_model", &["99.0.0"])?;
    routes.serves(Route::Inline, &good).await.map(drop)
}

async fn a_missing_input_is_named(stack: &Stack) -> Result<()> {
    let missing = Example::from(stack, MODEL).await?.inputs.pop().map(|last| last.name).unwrap_or_default();
    refused(stack, "a missing input", &[&missing], |inputs| drop(inputs.pop())).await
}

async fn an_input_too_many_is_named(stack: &Stack) -> Result<()> {
    refused(stack, "an extra input", &["surplus"], |inputs| inputs.push(Tensor::fp32("surplus", &[1], &[1.0]))).await
}

async fn an_input_given_twice_is_named(stack: &Stack) -> Result<()> {
    let first = Example::from(stack, MODEL).await?.inputs.remove(0);
    refused(stack, "a doubled input", &[&first.name.clone()], |inputs| inputs.push(first)).await
}

async fn a_misnamed_input_is_named(stack: &Stack) -> Result<()> {
    refused(stack, "a misnamed input", &["nobody"], |inputs| inputs[0].name = "nobody".into()).await
}

async fn a_wrong_datatype_is_named(stack: &Stack) -> Result<()> {
    refused(stack, "a wrong datatype", &["datatype", "INT32"], |inputs| inputs[0].datatype = "INT32".into()).await
}

async fn a_datatype_that_does_not_exist_is_named(stack: &Stack) -> Result<()> {
    refused(stack, "an unknown datatype", &["FLOAT"], |inputs| inputs[0].datatype = "FLOAT".into()).await
}

async fn a_wrong_rank_is_named(stack: &Stack) -> Result<()> {
    refused(stack, "a wrong rank", &["shape"], |inputs| inputs[0].shape.push(1)).await?;
    refused(stack, "a scalar", &["shape"], |inputs| {
        inputs[0].shape.clear();
        inputs[0].data.truncate(4);
    })
    .await
}

async fn a_wrong_fixed_dimension_is_named(stack: &Stack) -> Result<()> {
    let good = Example::from(stack, MODEL).await?;
    ensure!(!good.inputs[0].shape.is_empty(), "{MODEL} takes a tensor");
    let last = good.inputs[0].shape.len() - 1;
    refused(stack, "a wrong dimension", &["shape"], |inputs| {
        inputs[0].shape[last] += 1;
        let elements: i64 = inputs[0].shape.iter().product();
        inputs[0].data = vec![0; usize::try_from(elements * 4).unwrap_or(0)];
    })
    .await
}

async fn a_zero_dimension_is_named(stack: &Stack) -> Result<()> {
    refused(stack, "a zero dimension", &["shape"], |inputs| {
        inputs[0].shape[0] = 0;
        inputs[0].data.clear();
    })
    .await
}

async fn a_negative_dimension_is_named(stack: &Stack) -> Result<()> {
    for size in [-1, i64::MIN] {
        refused_on(&Route::SIGNED, stack, "a negative dimension", &["shape"], |inputs| inputs[0].shape[0] = size)
            .await?;
    }
    Ok(())
}

async fn dimensions_whose_product_overflows_are_named(stack: &Stack) -> Result<()> {
    for size in [i64::MAX, 1 << 62, 1 << 33] {
        refused(stack, "overflowing dimensions", &["shape"], |inputs| inputs[0].shape.fill(size)).await?;
    }
    // The same where the bus has one bit more than a shape can have.
    refused_on(&[Route::Inline, Route::Sealed], stack, "2^64 - 1", &["shape"], |inputs| inputs[0].shape[0] = -1).await
}

async fn data_shorter_than_its_shape_is_refused(stack: &Stack) -> Result<()> {
    let name = Example::from(stack, MODEL).await?.inputs[0].name.clone();
    refused(stack, "an element short", &[&name], |inputs| {
        shorten(&mut inputs[0], 4);
    })
    .await?;
    refused_on(&Route::RAW, stack, "a byte short", &[&name], |inputs| shorten(&mut inputs[0], 1)).await?;
    refused(stack, "no data", &[&name], |inputs| inputs[0].data.clear()).await
}

fn shorten(tensor: &mut Tensor, by: usize) {
    tensor.data.truncate(tensor.data.len() - by);
}

async fn data_longer_than_its_shape_is_refused(stack: &Stack) -> Result<()> {
    let name = Example::from(stack, MODEL).await?.inputs[0].name.clone();
    refused(stack, "an element too many", &[&name], |inputs| inputs[0].data.extend([0; 4])).await?;
    refused_on(&Route::RAW, stack, "a byte too many", &[&name], |inputs| inputs[0].data.push(0)).await
}

async fn no_inputs_at_all_are_refused(stack: &Stack) -> Result<()> {
    refused(stack, "no inputs", &["input"], Vec::clear).await
}

/// Calls `InferFd` with one descriptor changed, and a good request after it.
async fn descriptor_refused(
    stack: &Stack,
    what: &str,
    fd: impl AsFd,
    place: (u64, u64),
    mentions: &[&str],
) -> Result<()> {
    let (routes, good) = setting(stack).await?;
    for client in [&routes.bus, &routes.peer] {
        let outcome = with_descriptor(client, &good, fd.as_fd(), place).await?;
        expect_no(what, &outcome, "invalid_input", mentions)?;
        expect_yes(what, client.infer(MODEL, &good.inputs, &Options::new()).await?)?;
    }
    Ok(())
}

async fn with_descriptor(
    client: &edge_tests::client::bus::BusClient,
    good: &Example,
    fd: std::os::fd::BorrowedFd<'_>,
    place: (u64, u64),
) -> Result<edge_tests::answer::Outcome> {
    let shapes: Vec<Vec<u64>> =
        good.inputs.iter().map(|tensor| tensor.shape.iter().map(|size| size.unsigned_abs()).collect()).collect();
    let sealed = good.inputs.iter().map(|tensor| memfd::sealed(&tensor.data)).collect::<Result<Vec<_>>>()?;
    let tensors: Vec<TensorFd<'_>> = good
        .inputs
        .iter()
        .enumerate()
        .map(|(at, tensor)| TensorFd {
            name: &tensor.name,
            datatype: &tensor.datatype,
            shape: &shapes[at],
            fd: if at == 0 { fd } else { sealed[at].as_fd() },
            offset: if at == 0 { place.0 } else { 0 },
            len: if at == 0 { place.1 } else { tensor.data.len() as u64 },
        })
        .collect();
    client.infer_fd(MODEL, &tensors, &Options::new()).await
}

async fn first_data(stack: &Stack) -> Result<Vec<u8>> {
    Ok(Example::from(stack, MODEL).await?.inputs.remove(0).data)
}

async fn a_memfd_without_seals_is_refused(stack: &Stack) -> Result<()> {
    let data = first_data(stack).await?;
    let len = data.len() as u64;
    descriptor_refused(stack, "an unsealed memfd", memfd::unsealed(&data)?, (0, len), &["seal"]).await?;
    let half = memfd::unsealed(&data)?;
    rustix::fs::fcntl_add_seals(&half, rustix::fs::SealFlags::SHRINK | rustix::fs::SealFlags::GROW)?;
    descriptor_refused(stack, "a memfd that may be written", half, (0, len), &["seal"]).await
}

async fn a_memfd_that_is_too_short_is_refused(stack: &Stack) -> Result<()> {
    let data = first_data(stack).await?;
    let short = memfd::sealed(&data[..data.len() - 1])?;
    descriptor_refused(stack, "a short memfd", short, (0, data.len() as u64), &[]).await
}

async fn an_offset_past_the_end_is_refused(stack: &Stack) -> Result<()> {
    let data = first_data(stack).await?;
    let len = data.len() as u64;
    descriptor_refused(stack, "an offset past the end", memfd::sealed(&data)?, (len + 4096, len), &["offset"]).await
}

async fn an_offset_and_length_that_overflow_are_refused(stack: &Stack) -> Result<()> {
    let data = first_data(stack).await?;
    let len = data.len() as u64;
    for place in [(u64::MAX, len), (u64::MAX - len + 1, len), (1 << 63, 1 << 63), (0, u64::MAX)] {
        descriptor_refused(stack, "an overflowing place", memfd::sealed(&data)?, place, &[]).await?;
    }
    Ok(())
}

async fn an_unaligned_offset_works_or_is_named(stack: &Stack) -> Result<()> {
    let (routes, good) = setting(stack).await?;
    let data = &good.inputs[0].data;
    for offset in [1_usize, 2, 3, 4095] {
        let fd = memfd::sealed(&[vec![0xff; offset], data.clone()].concat())?;
        match with_descriptor(&routes.bus, &good, fd.as_fd(), (offset as u64, data.len() as u64)).await? {
            Ok(yes) => {
                let wanted = routes.serves(Route::Inline, &good).await?;
                ensure!(yes.outputs == wanted.outputs, "offset {offset} changes the answer");
            }
            Err(no) => expect_no("an unaligned offset", &Err(no), "invalid_input", &["offset"])?,
        }
    }
    Ok(())
}

async fn a_descriptor_that_is_no_memfd_is_refused(stack: &Stack) -> Result<()> {
    let len = first_data(stack).await?.len() as u64;
    let (reading, _writing) = memfd::silent_pipe()?;
    descriptor_refused(stack, "a pipe", reading, (0, len), &[]).await?;
    for path in ["/dev/zero", "/dev/null", "/", "/proc/self/status", "/etc/hostname"] {
        descriptor_refused(stack, path, memfd::open(path)?, (0, len), &[]).await?;
    }
    Ok(())
}

async fn sixteen_descriptors_pass_the_bus_and_more_pass_the_private_connection(stack: &Stack) -> Result<()> {
    let (routes, good) = setting(stack).await?;
    let first = &good.inputs[0];
    let shape: Vec<u64> = first.shape.iter().map(|size| size.unsigned_abs()).collect();
    let fd = memfd::sealed(&first.data)?;
    let names: Vec<String> = (0..40).map(|number| format!("input-{number}")).collect();
    let tensors: Vec<TensorFd<'_>> = names
        .iter()
        .map(|name| TensorFd {
            name,
            datatype: &first.datatype,
            shape: &shape,
            fd: fd.as_fd(),
            offset: 0,
            len: first.data.len() as u64,
        })
        .collect();
    // None of them is an input of the model: that they are named shows that the call came through whole.
    let over_bus = routes.bus.infer_fd(MODEL, &tensors[..16], &Options::new()).await?;
    expect_no("16 descriptors on the bus", &over_bus, "invalid_input", &["input-"])?;
    for count in [17, 40] {
        let over_peer = routes.peer.infer_fd(MODEL, &tensors[..count], &Options::new()).await?;
        expect_no("more on the private connection", &over_peer, "invalid_input", &["descriptors", "at most 16"])?;
    }
    routes.serves(Route::Sealed, &good).await.map(drop)
}
