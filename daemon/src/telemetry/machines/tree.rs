//! A board as files: what lies where, and which of them move. Pure: nothing is written here.

use super::boards::{Board, Card, FanKind, Gpu, Npu, Sensor, TripSpec, ZonePower};

/// What lies at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Text(String),
    Dir,
    /// A pipe that is held open and never filled: whoever reads it without waiting gets EAGAIN.
    Pipe,
    Link(String),
}

/// What a file that moves shows.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// Millidegrees of a zone that rises so much above the surroundings.
    Zone {
        rise: (f64, f64),
        only_busy: bool,
    },
    /// Kilohertz between these.
    Processor {
        min: u64,
        max: u64,
    },
    /// Hertz: one of these steps, up to the most that is allowed.
    Gpu {
        steps: &'static [u64],
        max: u64,
    },
    /// Load of the graphics processor, per mille.
    GpuLoad,
    /// Milliamperes of a share of the power.
    Amperes {
        share: f64,
        millivolts: u64,
    },
    /// 0 to 255.
    Fan,
    /// Turns per minute.
    Turns,
    /// State of the alert that flaps.
    Surface,
    /// State of a device that slows down.
    Throttle,
    Stat,
    LoadAverage,
    /// Microjoules.
    Energy,
    Card(&'static Card),
    Npu(&'static Npu),
}

/// A file that moves.
#[derive(Clone, Debug)]
pub struct Moving {
    pub path: String,
    pub what: What,
}

/// All files of a machine.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub files: Vec<(String, Entry)>,
    pub moving: Vec<Moving>,
    /// The same of what appears late.
    pub late: Vec<(String, Entry)>,
    pub late_moving: Vec<Moving>,
    /// Numbers of sensors that were given.
    hwmons: u32,
}

/// The range after which a counter of energy starts again, microjoules.
pub const ENERGY_RANGE: u64 = 262_143_328_850;

/// What a machine has; `start` differs from one start to the next, and with it the numbers of its sensors.
pub fn tree(board: &'static Board, start: u32, boot_id: &str) -> Tree {
    let mut tree = Tree { hwmons: start % 7, ..Tree::default() };
    tree.identity(board, boot_id);
    tree.thermal(board);
    tree.processors(board);
    board.gpu.iter().for_each(|gpu| tree.gpu(gpu));
    if let Some(emc) = &board.emc {
        let dir = "sys/kernel/debug/bpmp/debug/clk/emc";
        tree.text(&format!("{dir}/rate"), emc.max_hz);
        tree.text(&format!("{dir}/min_rate"), emc.min_hz);
        tree.text(&format!("{dir}/max_rate"), emc.max_hz);
        tree.text(emc.cap, emc.max_hz);
    }
    // They come up in another order each time.
    let fan_first = start.is_multiple_of(2);
    if fan_first {
        tree.fan(board.fan);
    }
    board.sensors.iter().for_each(|sensor| tree.sensor(sensor));
    if board.over_current {
        tree.over_current();
    }
    if !fan_first {
        tree.fan(board.fan);
    }
    if board.energy {
        let dir = "sys/class/powercap/intel-rapl:0";
        tree.text(&format!("{dir}/name"), "package-0");
        tree.text(&format!("{dir}/max_energy_range_uj"), ENERGY_RANGE);
        tree.moves(format!("{dir}/energy_uj"), What::Energy);
    }
    board.card.iter().for_each(|card| tree.moves("sim/nvml.json".into(), What::Card(card)));
    board.npu.iter().for_each(|npu| tree.npu(npu));
    tree
}

impl Tree {
    fn text(&mut self, path: &str, text: impl ToString) {
        self.files.push((path.to_owned(), Entry::Text(format!("{}\n", text.to_string()))));
    }

    fn moves(&mut self, path: String, what: What) {
        self.moving.push(Moving { path, what });
    }

    fn link(&mut self, path: &str, target: &str) {
        self.files.push((path.to_owned(), Entry::Link(target.to_owned())));
    }

    fn identity(&mut self, board: &Board, boot_id: &str) {
        self.text("proc/sys/kernel/random/boot_id", boot_id);
        self.text("etc/os-release", format!("PRETTY_NAME=\"{}\"", board.os));
        let kib = board.memory_mib * 1024;
        self.text(
            "proc/meminfo",
            format!("MemTotal: {kib} kB\nMemFree: {} kB\nMemAvailable: {} kB", kib / 2, kib * 6 / 10),
        );
        self.moves("proc/stat".into(), What::Stat);
        self.moves("proc/loadavg".into(), What::LoadAverage);
        match board.tree {
            true => {
                let name = Entry::Text(format!("{}\0", board.model));
                self.files.push(("proc/device-tree/model".into(), name));
            }
            false => self.text("sys/class/dmi/id/product_name", board.model),
        }
        if let Some(release) = board.release {
            self.text("etc/nv_tegra_release", release);
        }
        if let Some(table) = &board.modes {
            let lines = table.modes.iter().map(|(id, name)| format!("< POWER_MODEL ID={id} NAME={name} >\n"));
            self.text(&format!("etc/nvpmodel/{}", table.file), lines.collect::<String>());
            self.link("etc/nvpmodel.conf", &format!("/etc/nvpmodel/{}", table.file));
            self.text("var/lib/nvpmodel/status", format!("pmode:{:04} fmode:quiet", table.present));
        }
    }

    fn thermal(&mut self, board: &Board) {
        let class = "sys/class/thermal";
        for (number, (kind, most)) in board.coolers.iter().enumerate() {
            let dir = format!("{class}/cooling_device{number}");
            self.text(&format!("{dir}/type"), kind);
            self.text(&format!("{dir}/max_state"), most);
            let state = format!("{dir}/cur_state");
            match *kind {
                "hot-surface-alert" => self.moves(state, What::Surface),
                kind if kind.ends_with("throttle-alert") => self.moves(state, What::Throttle),
                _ => self.text(&state, 0),
            }
        }
        for (number, zone) in board.zones.iter().enumerate() {
            let dir = format!("{class}/thermal_zone{number}");
            self.text(&format!("{dir}/type"), zone.kind);
            let temp = format!("{dir}/temp");
            match zone.power {
                ZonePower::Never => self.files.push((temp, Entry::Pipe)),
                power => {
                    let only_busy = power == ZonePower::Busy;
                    self.moves(temp, What::Zone { rise: zone.rise, only_busy });
                }
            }
            self.trips(&dir, zone.trips, board);
        }
    }

    fn trips(&mut self, dir: &str, trips: &[TripSpec], board: &Board) {
        let mut bindings = 0;
        for (number, trip) in trips.iter().enumerate() {
            self.text(&format!("{dir}/trip_point_{number}_type"), trip.kind);
            self.text(&format!("{dir}/trip_point_{number}_temp"), trip.temp);
            self.text(&format!("{dir}/trip_point_{number}_hyst"), trip.hyst);
            for cooler in trip.coolers {
                let Some(device) = board.coolers.iter().position(|(kind, _)| kind == cooler) else { continue };
                self.link(&format!("{dir}/cdev{bindings}"), &format!("../cooling_device{device}"));
                self.text(&format!("{dir}/cdev{bindings}_trip_point"), number);
                bindings += 1;
            }
        }
    }

    fn processors(&mut self, board: &Board) {
        for policy in board.processors {
            let dir = format!("sys/devices/system/cpu/cpufreq/policy{}", policy.first);
            self.text(&format!("{dir}/scaling_min_freq"), policy.min_khz);
            self.text(&format!("{dir}/scaling_max_freq"), policy.max_khz);
            self.text(&format!("{dir}/cpuinfo_max_freq"), policy.top_khz);
            // What was asked for; the other one is what is.
            self.text(&format!("{dir}/scaling_cur_freq"), policy.max_khz);
            let what = What::Processor { min: policy.min_khz, max: policy.max_khz };
            self.moves(format!("{dir}/cpuinfo_cur_freq"), what);
        }
    }

    fn gpu(&mut self, gpu: &'static Gpu) {
        let mut part = Tree::default();
        for (number, node) in gpu.nodes.iter().enumerate() {
            let dir = format!("sys/class/devfreq/{node}");
            let device = if number == 0 { gpu.device.to_owned() } else { format!("{}-{number}", gpu.device) };
            part.files.push((format!("sys/devices/{device}"), Entry::Dir));
            part.link(&format!("{dir}/device"), &format!("../../../devices/{device}"));
            part.text(&format!("{dir}/min_freq"), gpu.steps_hz.first().copied().unwrap_or_default());
            part.text(&format!("{dir}/max_freq"), gpu.max_hz);
            let steps: Vec<String> = gpu.steps_hz.iter().map(ToString::to_string).collect();
            part.text(&format!("{dir}/available_frequencies"), steps.join(" "));
            part.text(&format!("{dir}/governor"), "nvhost_podgov");
            part.moves(format!("{dir}/cur_freq"), What::Gpu { steps: gpu.steps_hz, max: gpu.max_hz });
        }
        part.moves(format!("sys/devices/{}/load", gpu.device), What::GpuLoad);
        let (files, moving) = match gpu.late {
            true => (&mut self.late, &mut self.late_moving),
            false => (&mut self.files, &mut self.moving),
        };
        files.extend(part.files);
        moving.extend(part.moving);
    }

    /// The place of a sensor, below its device and in the class of all of them.
    fn hwmon(&mut self, device: &str, name: &str) -> String {
        let (number, dir) = (self.hwmons, format!("{device}/hwmon/hwmon{}", self.hwmons));
        self.hwmons += 1;
        self.text(&format!("{dir}/name"), name);
        let up = "../../..";
        let below = device.strip_prefix("sys/").unwrap_or(device);
        let target = format!("{up}/sys/{below}/hwmon/hwmon{number}");
        self.link(&format!("sys/class/hwmon/hwmon{number}"), &target);
        dir
    }

    fn sensor(&mut self, sensor: &Sensor) {
        let dir = self.hwmon(&format!("sys/bus/i2c/drivers/ina3221/{}", sensor.device), "ina3221");
        for (number, channel) in (1..).zip(&sensor.channels) {
            self.text(&format!("{dir}/in{number}_label"), channel.label);
            let files = [format!("{dir}/in{number}_input"), format!("{dir}/curr{number}_input")];
            if channel.off {
                self.files.extend(files.map(|file| (file, Entry::Dir)));
                continue;
            }
            let [volts, amperes] = files;
            self.text(&volts, channel.millivolts);
            self.moves(amperes, What::Amperes { share: channel.share, millivolts: channel.millivolts });
            self.text(&format!("{dir}/curr{number}_max"), channel.warn);
            self.text(&format!("{dir}/curr{number}_crit"), channel.warn);
            self.text(&format!("{dir}/curr{number}_max_alarm"), 0);
            self.text(&format!("{dir}/curr{number}_crit_alarm"), 0);
            self.text(&format!("{dir}/in{}_input", number + 3), 1);
        }
        self.text(&format!("{dir}/in7_label"), "sum of shunt voltages");
        self.text(&format!("{dir}/in7_input"), 3);
    }

    fn over_current(&mut self) {
        let dir = self.hwmon("sys/devices/platform/soctherm-oc-event", "soctherm_oc");
        for number in 1..=3 {
            self.text(&format!("{dir}/oc{number}_event_cnt"), number * 2);
            self.text(&format!("{dir}/oc{number}_throt_en"), 1);
        }
    }

    fn fan(&mut self, fan: Option<FanKind>) {
        match fan {
            None => {}
            Some(FanKind::Jetson { tachometer }) => {
                let dir = self.hwmon("sys/devices/platform/pwm-fan", "pwmfan");
                self.moves(format!("{dir}/pwm1"), What::Fan);
                if tachometer {
                    let dir = self.hwmon("sys/devices/platform/39c0000.tachometer", "pwm_tach");
                    self.moves(format!("{dir}/rpm"), What::Turns);
                }
            }
            Some(FanKind::Whole(name)) => {
                let dir = self.hwmon("sys/devices/platform/cooling_fan", name);
                self.moves(format!("{dir}/pwm1"), What::Fan);
                self.moves(format!("{dir}/fan1_input"), What::Turns);
            }
            Some(FanKind::Turns(name)) => {
                let dir = self.hwmon("sys/devices/platform/super-io", name);
                self.moves(format!("{dir}/fan1_input"), What::Turns);
            }
        }
    }

    fn npu(&mut self, npu: &'static Npu) {
        let (place, (vendor, device)) = ("0001:01:00.0", npu.ids);
        let told = if npu.by_place { place.to_owned() } else { format!("{vendor}:{device}") };
        // Without a line end, as the driver tells it.
        let dir = "sys/class/hailo_chardev/hailo0";
        self.files.push((format!("{dir}/device_id"), Entry::Text(told)));
        let pci = format!("sys/bus/pci/devices/{place}");
        self.text(&format!("{pci}/vendor"), format!("0x{vendor}"));
        self.text(&format!("{pci}/device"), format!("0x{device}"));
        let module = if npu.by_place { "hailo1x_pci" } else { "hailo_pci" };
        self.text(&format!("sys/module/{module}/version"), npu.driver);
        self.moves("sim/hailo.json".into(), What::Npu(npu));
    }
}

#[cfg(test)]
mod tests {
    use super::super::boards::BOARDS;
    use super::*;

    #[test]
    fn no_two_files_of_a_machine_lie_at_the_same_place() {
        for board in BOARDS {
            let tree = tree(board, 3, "x");
            let files = tree.files.iter().chain(&tree.late).filter(|(_, entry)| *entry != Entry::Dir);
            let moving = tree.moving.iter().chain(&tree.late_moving).map(|moving| &moving.path);
            let mut paths: Vec<&String> = files.map(|(path, _)| path).chain(moving).collect();
            let all = paths.len();
            paths.sort();
            paths.dedup();
            assert_eq!(paths.len(), all, "{}", board.name);
        }
    }

    #[test]
    fn the_numbers_of_sensors_move_from_one_start_to_the_next() {
        let place = |start| {
            let tree = tree(BOARDS[0], start, "x");
            tree.moving.into_iter().find(|moving| moving.path.ends_with("pwm1")).unwrap().path
        };
        assert_ne!(place(0), place(1));
        assert_ne!(place(1), place(2));
    }
}
