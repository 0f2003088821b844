//! What NVIDIA's management library tells of one card, and what its errors mean. On a Jetson it tells little or nothing;
//! what it does not support is absent, and no news.

use std::sync::Arc;

use edge_core::Mono;
use edge_wire::hardware::Trip;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor, TemperatureThreshold};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::accelerators::Told;
use super::clocks;
use super::reading::{Absence, Reading, tidy, to_float};
use super::sensed::{Accelerator, ClockRate, Zone};
use super::zones::PLAUSIBLE;

/// Cards of one machine; more are left out.
const MOST: u32 = 16;
const MEGA: f64 = 1e6;
const MILLI: f64 = 1e-3;

/// All cards, now.
pub fn cards(nvml: &Nvml, now: Mono) -> Told {
    let driver = nvml.sys_driver_version().unwrap_or_default();
    let mut told = Told::default();
    for index in 0..nvml.device_count().unwrap_or(0).min(MOST) {
        match nvml.device_by_index(index) {
            Ok(device) => card(&device, &driver, now, &mut told),
            Err(error) => told.accelerators.push(Accelerator {
                note: format!("card {index}: {error}"),
                ..Accelerator::named("gpu", &format!("card {index}"), &driver, "nvml")
            }),
        }
    }
    told
}

fn card(device: &Device<'_>, driver: &str, now: Mono, told: &mut Told) {
    let name = device.name().unwrap_or_else(|_| "NVIDIA".into());
    let load = value(device.utilization_rates()).map(|rates| f64::from(rates.gpu));
    let watts = value(device.power_usage()).map(|milli| tidy(f64::from(milli) * MILLI));
    let free = value(device.memory_info()).map(|memory| to_float(memory.free));
    let reading = |read, range| Reading::of(in_range(read, range), now);
    let mut card = Accelerator {
        load_percent: reading(load, (0.0, 100.0)),
        power_w: reading(watts, (0.0, 1e4)),
        memory_free_bytes: reading(free, (0.0, 1e15)),
        processes: device.running_compute_processes_count().ok(),
        throttled_by: device.current_throttle_reasons().map(words).unwrap_or_default(),
        ..Accelerator::named("gpu", &name, driver, "nvml")
    };
    let celsius = in_range(value(device.temperature(TemperatureSensor::Gpu)).map(f64::from), PLAUSIBLE);
    let hz = in_range(value(device.clock_info(Clock::Graphics)).map(|mega| f64::from(mega) * MEGA), clocks::PLAUSIBLE);
    let silent = card.load_percent.value().is_none() && card.power_w.value().is_none() && celsius.is_err();
    if silent {
        card.note = "its driver tells neither load nor power nor temperature here".into();
    }
    told.accelerators.push(card);
    if celsius != Err(Absence::Unsupported) {
        told.zones.push(Zone { name: "gpu".into(), temp_c: Reading::of(celsius, now), trips: trips(device) });
    }
    if hz != Err(Absence::Unsupported) {
        let top_hz = device.max_clock_info(Clock::Graphics).ok().map(|mega| f64::from(mega) * MEGA);
        let (min_hz, max_hz) = (None, top_hz);
        told.clocks.push(ClockRate { name: "gpu".into(), hz: Reading::of(hz, now), min_hz, max_hz, top_hz });
    }
}

/// Where the card slows down, and where it switches itself off.
fn trips(device: &Device<'_>) -> Arc<[Trip]> {
    use TemperatureThreshold::{GpuMax, Shutdown, Slowdown};
    let trip = |(threshold, kind): (TemperatureThreshold, &str)| {
        let temp_c = device.temperature_threshold(threshold).ok().map(f64::from)?;
        (temp_c > 0.0 && temp_c <= PLAUSIBLE.1).then(|| Trip { kind: kind.into(), temp_c, hysteresis_c: 0.0 })
    };
    let wanted = [(GpuMax, "passive"), (Slowdown, "passive"), (Shutdown, "critical")];
    let mut trips: Vec<Trip> = wanted.into_iter().filter_map(trip).collect();
    trips.sort_by(|a, b| a.temp_c.total_cmp(&b.temp_c));
    trips.into()
}

fn in_range(read: Result<f64, Absence>, range: (f64, f64)) -> Result<f64, Absence> {
    let value = read?;
    let fits = (range.0..=range.1).contains(&value);
    if fits { Ok(value) } else { Err(Absence::Failed(format!("the card says {value}"))) }
}

fn value<T>(told: Result<T, NvmlError>) -> Result<T, Absence> {
    told.map_err(|error| match error {
        NvmlError::NotSupported | NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_) => {
            Absence::Unsupported
        }
        NvmlError::NoPermission => Absence::Unsupported,
        other => Absence::Failed(other.to_string()),
    })
}

/// What slows a card down, in words. That it has nothing to do, or that somebody set its clocks, is none of it.
fn words(reasons: ThrottleReasons) -> String {
    let known = [
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, "too hot (hardware)"),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, "too hot (driver)"),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "power brake"),
        (ThrottleReasons::SW_POWER_CAP, "power cap"),
        (ThrottleReasons::HW_SLOWDOWN, "hardware slowdown"),
    ];
    known.iter().filter(|(reason, _)| reasons.contains(*reason)).map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slows_a_card_down_is_said_in_words() {
        assert_eq!(words(ThrottleReasons::GPU_IDLE | ThrottleReasons::APPLICATIONS_CLOCKS_SETTING), "");
        let hot = ThrottleReasons::HW_SLOWDOWN | ThrottleReasons::HW_THERMAL_SLOWDOWN;
        assert_eq!(words(hot), "too hot (hardware), hardware slowdown");
    }

    #[test]
    fn what_is_not_supported_is_no_failure() {
        assert_eq!(value::<u32>(Err(NvmlError::NotSupported)), Err(Absence::Unsupported));
        assert!(matches!(value::<u32>(Err(NvmlError::GpuLost)), Err(Absence::Failed(_))));
        assert_eq!(in_range(Ok(5.0), (0.0, 4.0)), Err(Absence::Failed("the card says 5".into())));
    }
}
