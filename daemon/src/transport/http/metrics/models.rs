//! Models as they serve, and the processes that run them.

use std::fmt;
use std::time::Duration;

use edge_wire::dto::{ModelStatus, Status};

use super::out::{Out, count, truth};
use super::table;

/// Whether it is what models are made of, and no model.
pub(super) fn is_part(model: &ModelStatus) -> bool {
    matches!(model.task.as_str(), "adapter" | "tokenizer" | "labels" | "weights")
}

pub(super) fn write(out: &mut Out<'_>, status: &Status) -> fmt::Result {
    let active = || status.models.iter().filter(|model| model.active && !is_part(model));
    out.facts(
        &table::MODEL,
        active().map(|model| {
            let provider = model.providers.first().map_or("", |provider| provider.name.as_str());
            [model.name.as_str(), &model.version, &model.variant, provider, &model.state]
        }),
    )?;
    let label = |model: &'_ ModelStatus| [model.name.clone(), model.version.clone()];
    let labels: Vec<[String; 2]> = active().map(label).collect();
    let named = || active().zip(labels.iter().map(|[name, version]| [name.as_str(), version.as_str()]));
    let ready = |model: &ModelStatus| truth(matches!(model.state.as_str(), "ready" | "standby"));
    out.values(&table::MODEL_READY, named().map(|(model, labels)| (labels, ready(model))))?;
    let learnt = named().filter(|(model, _)| model.service_us > 0);
    let seconds = |model: &ModelStatus| Duration::from_micros(model.service_us).as_secs_f64();
    out.values(&table::MODEL_SERVICE, learnt.map(|(model, labels)| (labels, seconds(model))))?;
    let setups = status.models.iter().flat_map(|model| model.setups.iter().map(move |setup| (model, setup)));
    let loaded = setups.filter(|(_, setup)| setup.state == "ready" && setup.memory_bytes > 0);
    let memory = loaded.map(|(model, setup)| {
        let labels = [model.name.as_str(), &model.version, &setup.provider, &setup.variant];
        (labels, count(setup.memory_bytes))
    });
    out.values(&table::MODEL_MEMORY, memory)?;
    let slow = status.governor.slow.iter().map(|slow| ([slow.model.as_str()], slow.factor));
    out.values(&table::MODEL_SLOW, slow)?;
    let needed = status.engine.hosts.iter().filter(|host| !matches!(host.state.as_str(), "unused" | "idle"));
    let up = |state: &str| truth(matches!(state, "up" | "simulated"));
    out.values(&table::ENGINE_UP, needed.map(|host| ([host.provider.as_str()], up(&host.state))))?;
    let restarts = status.engine.hosts.iter().map(|host| ([host.provider.as_str()], f64::from(host.restarts)));
    out.values(&table::ENGINE_RESTARTS, restarts)
}
