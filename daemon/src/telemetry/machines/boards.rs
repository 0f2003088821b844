//! The machines that can be simulated, as tables: what each has. Nothing here does anything. Figures are those that such
//! machines were seen to tell.

/// A machine.
#[derive(Debug)]
pub struct Board {
    /// As it is asked for.
    pub name: &'static str,
    /// As it names itself: in the device tree, or by its firmware.
    pub model: &'static str,
    /// Whether it has a device tree.
    pub tree: bool,
    /// Line of `/etc/nv_tegra_release`.
    pub release: Option<&'static str>,
    pub os: &'static str,
    pub memory_mib: u64,
    pub zones: &'static [ZoneSpec],
    /// Types of cooling devices, with their last state.
    pub coolers: &'static [(&'static str, u32)],
    pub processors: &'static [Processors],
    pub gpu: Option<Gpu>,
    pub emc: Option<Emc>,
    pub sensors: &'static [Sensor],
    pub modes: Option<Table>,
    pub fan: Option<FanKind>,
    pub over_current: bool,
    /// A processor that counts its energy.
    pub energy: bool,
    pub card: Option<Card>,
    pub npu: Option<Npu>,
    /// Watts that it takes without and with all its load.
    pub watts: (f64, f64),
}

/// A thermal zone.
#[derive(Debug)]
pub struct ZoneSpec {
    pub kind: &'static str,
    pub power: ZonePower,
    /// Kelvin above the surroundings without load, and by all of it.
    pub rise: (f64, f64),
    pub trips: &'static [TripSpec],
}

/// When a zone has power, and so a temperature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZonePower {
    Always,
    Never,
    /// While there is something to do.
    Busy,
}

/// A trip point: millidegrees, and the types of the cooling devices that are bound to it.
#[derive(Debug)]
pub struct TripSpec {
    pub kind: &'static str,
    pub temp: i64,
    pub hyst: i64,
    pub coolers: &'static [&'static str],
}

/// A frequency policy: first processor, and kilohertz.
#[derive(Debug)]
pub struct Processors {
    pub first: u32,
    pub min_khz: u64,
    pub max_khz: u64,
    pub top_khz: u64,
}

/// An integrated graphics processor.
#[derive(Debug)]
pub struct Gpu {
    /// Nodes of devfreq; the first has the load.
    pub nodes: &'static [&'static str],
    /// Its device below `/sys/devices`.
    pub device: &'static str,
    pub steps_hz: &'static [u64],
    /// What the power mode allows.
    pub max_hz: u64,
    /// Appears only some seconds after the start.
    pub late: bool,
}

/// The memory's clock, hertz.
#[derive(Debug)]
pub struct Emc {
    pub min_hz: u64,
    pub max_hz: u64,
    /// File with the cap of the power mode.
    pub cap: &'static str,
}

/// A sensor of power on its bus, with three channels.
#[derive(Debug)]
pub struct Sensor {
    pub device: &'static str,
    pub channels: [Channel; 3],
}

/// A channel of a sensor.
#[derive(Debug)]
pub struct Channel {
    pub label: &'static str,
    pub millivolts: u64,
    /// Share of what the machine takes.
    pub share: f64,
    /// Milliamperes at which it warns.
    pub warn: u64,
    /// Switched off: its files cannot be read.
    pub off: bool,
}

/// A table of power modes.
#[derive(Debug)]
pub struct Table {
    pub file: &'static str,
    /// Number and name.
    pub modes: &'static [(u32, &'static str)],
    /// Number of the present one.
    pub present: u32,
}

/// How a fan is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FanKind {
    /// Two sensors, of which one may be missing.
    Jetson { tachometer: bool },
    /// One sensor that drives it and counts its turns.
    Whole(&'static str),
    /// One that only counts its turns.
    Turns(&'static str),
}

/// A card with a library of its own.
#[derive(Debug)]
pub struct Card {
    pub name: &'static str,
    pub driver: &'static str,
    /// Tells no load, memory or clock.
    pub partial: bool,
    pub memory_mib: u64,
    /// Degrees at which it slows down and switches itself off.
    pub limits: (f64, f64),
    pub top_hz: f64,
}

/// A neural processor.
#[derive(Debug)]
pub struct Npu {
    pub name: &'static str,
    pub driver: &'static str,
    /// Vendor and device on the bus.
    pub ids: (&'static str, &'static str),
    /// Newer drivers tell its place on the bus instead.
    pub by_place: bool,
    pub clock_hz: f64,
    /// Degrees at which it throttles and stops.
    pub limits: (f64, f64),
}

/// All of them, in the order in which they are told.
pub const BOARDS: [&Board; 10] = [
    &ORIN_NANO,
    &ORIN_NANO_SUPER,
    &ORIN_NX,
    &AGX_ORIN,
    &AGX_ORIN_JP5,
    &THOR,
    &PC_NVIDIA,
    &RPI5_HAILO8L,
    &RPI5_HAILO10H,
    &PC,
];

const UBUNTU_22: &str = "Ubuntu 22.04.5 LTS";
const R36: &str =
    "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025";

const fn zone(kind: &'static str, rise: (f64, f64), trips: &'static [TripSpec]) -> ZoneSpec {
    ZoneSpec { kind, power: ZonePower::Always, rise, trips }
}

const fn asleep(kind: &'static str, trips: &'static [TripSpec]) -> ZoneSpec {
    ZoneSpec { kind, power: ZonePower::Never, rise: (0.0, 0.0), trips }
}

const fn trip(kind: &'static str, temp: i64, hyst: i64, coolers: &'static [&'static str]) -> TripSpec {
    TripSpec { kind, temp, hyst, coolers }
}

const fn rail(label: &'static str, millivolts: u64, share: f64, warn: u64) -> Channel {
    Channel { label, millivolts, share, warn, off: false }
}

const NOTHING: Channel = rail("NC", 5000, 0.0, 0);

const CRITICAL: TripSpec = trip("critical", 104_500, 0, &[]);
const CPU_TRIPS: &[TripSpec] = &[
    trip("passive", 99_000, 0, &["cpufreq-cpu0", "cpufreq-cpu4", "cpu-throttle-alert", "devfreq-17000000.gpu"]),
    CRITICAL,
    trip("passive", 70_000, 8_000, &["hot-surface-alert"]),
];
const GPU_TRIPS: &[TripSpec] = &[trip("passive", 99_000, 0, &["gpu-throttle-alert", "devfreq-17000000.gpu"]), CRITICAL];
const CV_TRIPS: &[TripSpec] = &[trip("passive", 99_000, 0, &["cv0-throttle-alert"]), CRITICAL];
const SOC_TRIPS: &[TripSpec] = &[trip("passive", 99_000, 0, &["soc0-throttle-alert"]), CRITICAL];
const TJ_TRIPS: &[TripSpec] = &[CRITICAL];

const ORIN_ZONES: &[ZoneSpec] = &[
    zone("cpu-thermal", (22.0, 24.0), CPU_TRIPS),
    zone("gpu-thermal", (21.0, 27.0), GPU_TRIPS),
    asleep("cv0-thermal", CV_TRIPS),
    asleep("cv1-thermal", CV_TRIPS),
    asleep("cv2-thermal", CV_TRIPS),
    zone("soc0-thermal", (21.0, 20.0), SOC_TRIPS),
    zone("soc1-thermal", (20.5, 20.0), SOC_TRIPS),
    zone("soc2-thermal", (20.0, 19.0), SOC_TRIPS),
    zone("tj-thermal", (22.5, 28.0), TJ_TRIPS),
];

const AGX_ZONES: &[ZoneSpec] = &[
    zone("cpu-thermal", (20.0, 22.0), CPU_TRIPS),
    ZoneSpec { kind: "gpu-thermal", power: ZonePower::Busy, rise: (18.0, 26.0), trips: GPU_TRIPS },
    asleep("cv0-thermal", CV_TRIPS),
    asleep("cv1-thermal", CV_TRIPS),
    asleep("cv2-thermal", CV_TRIPS),
    zone("soc0-thermal", (19.0, 18.0), SOC_TRIPS),
    zone("soc1-thermal", (18.5, 18.0), SOC_TRIPS),
    zone("soc2-thermal", (18.0, 18.0), SOC_TRIPS),
    zone("tj-thermal", (20.5, 27.0), TJ_TRIPS),
    zone("Tboard_tegra", (10.0, 8.0), &[]),
    zone("Tdiode_tegra", (12.0, 10.0), &[]),
];

const JP5_ZONES: &[ZoneSpec] = &[
    zone("CPU-therm", (20.0, 22.0), CPU_TRIPS),
    zone("GPU-therm", (18.0, 26.0), &[trip("passive", 99_000, 0, &["gpu-throttle-alert"]), CRITICAL]),
    asleep("CV0-therm", CV_TRIPS),
    asleep("CV1-therm", CV_TRIPS),
    asleep("CV2-therm", CV_TRIPS),
    zone("SOC0-therm", (19.0, 18.0), SOC_TRIPS),
    zone("SOC1-therm", (18.5, 18.0), SOC_TRIPS),
    zone("SOC2-therm", (18.0, 18.0), SOC_TRIPS),
    zone("tj-therm", (20.5, 27.0), TJ_TRIPS),
    zone("Tboard_tegra", (10.0, 8.0), &[]),
    zone("Tdiode_tegra", (12.0, 10.0), &[]),
];

const ORIN_COOLERS: &[(&str, u32)] = &[
    ("cpufreq-cpu0", 28),
    ("cpufreq-cpu4", 28),
    ("devfreq-17000000.gpu", 10),
    ("cpu-throttle-alert", 1),
    ("gpu-throttle-alert", 1),
    ("cv0-throttle-alert", 1),
    ("cv1-throttle-alert", 1),
    ("cv2-throttle-alert", 1),
    ("soc0-throttle-alert", 1),
    ("soc1-throttle-alert", 1),
    ("soc2-throttle-alert", 1),
    ("hot-surface-alert", 2),
    ("pwm-fan", 3),
];

const fn processors(first: u32, max_khz: u64, top_khz: u64) -> Processors {
    Processors { first, min_khz: 115_200, max_khz, top_khz }
}

const ORIN_SENSOR: &[Sensor] = &[Sensor {
    device: "1-0040",
    channels: [
        rail("VDD_IN", 4984, 1.0, 7784),
        rail("VDD_CPU_GPU_CV", 4976, 0.45, 7784),
        rail("VDD_SOC", 4976, 0.25, 7784),
    ],
}];
const AGX_FIRST: Sensor = Sensor {
    device: "1-0040",
    channels: [
        rail("VDD_GPU_SOC", 19_000, 0.45, 3000),
        rail("VDD_CPU_CV", 19_000, 0.3, 3000),
        rail("VIN_SYS_5V0", 5000, 0.25, 9000),
    ],
};

const EMC: Emc = Emc { min_hz: 204_000_000, max_hz: 3_199_000_000, cap: "sys/kernel/nvpmodel_clk_cap/emc" };

/// What boards of this kind have alike.
const ORIN: Board = Board {
    name: "",
    model: "",
    tree: true,
    release: Some(R36),
    os: UBUNTU_22,
    memory_mib: 7620,
    zones: ORIN_ZONES,
    coolers: ORIN_COOLERS,
    processors: &[],
    gpu: None,
    emc: Some(EMC),
    sensors: ORIN_SENSOR,
    modes: None,
    fan: Some(FanKind::Jetson { tachometer: true }),
    over_current: true,
    energy: false,
    card: None,
    npu: None,
    watts: (4.5, 15.0),
};

const fn orin_gpu(steps_hz: &'static [u64], max_hz: u64) -> Gpu {
    let device = "platform/bus@0/17000000.gpu";
    Gpu { nodes: &["17000000.gpu"], device, steps_hz, max_hz, late: false }
}

const ORIN_CARD: Card =
    Card { name: "Orin (nvgpu)", driver: "540.4.0", partial: true, memory_mib: 0, limits: (0.0, 0.0), top_hz: 0.0 };

const ORIN_NANO: Board = Board {
    name: "orin-nano",
    model: "NVIDIA Jetson Orin Nano Developer Kit",
    processors: &[processors(0, 1_510_400, 1_510_400), processors(4, 1_510_400, 1_510_400)],
    gpu: Some(orin_gpu(&[306_000_000, 408_000_000, 510_000_000, 624_750_000], 624_750_000)),
    modes: Some(Table { file: "nvpmodel_p3767_0003.conf", modes: &[(0, "15W"), (1, "7W")], present: 0 }),
    card: Some(ORIN_CARD),
    ..ORIN
};

const ORIN_NANO_SUPER: Board = Board {
    name: "orin-nano-super",
    model: "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
    processors: &[processors(0, 1_728_000, 1_728_000), processors(4, 1_728_000, 1_728_000)],
    gpu: Some(orin_gpu(
        &[306_000_000, 408_000_000, 510_000_000, 612_000_000, 714_000_000, 816_000_000, 918_000_000, 1_020_000_000],
        1_020_000_000,
    )),
    modes: Some(Table {
        file: "nvpmodel_p3767_0003_super.conf",
        modes: &[(0, "15W"), (1, "25W"), (2, "MAXN_SUPER"), (3, "7W")],
        present: 2,
    }),
    card: Some(ORIN_CARD),
    watts: (5.0, 25.0),
    ..ORIN
};

const ORIN_NX: Board = Board {
    name: "orin-nx",
    model: "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
    memory_mib: 15_656,
    processors: &[processors(0, 1_984_000, 1_984_000), processors(4, 1_984_000, 1_984_000)],
    gpu: Some(orin_gpu(
        &[306_000_000, 408_000_000, 510_000_000, 612_000_000, 714_000_000, 816_000_000, 918_000_000],
        408_000_000,
    )),
    modes: Some(Table {
        file: "nvpmodel_p3767_0000.conf",
        modes: &[(0, "MAXN"), (1, "10W"), (2, "15W"), (3, "25W")],
        present: 3,
    }),
    fan: Some(FanKind::Jetson { tachometer: false }),
    watts: (5.5, 25.0),
    ..ORIN
};

const AGX_STEPS: &[u64] = &[306_000_000, 612_000_000, 816_000_000, 1_020_000_000, 1_300_500_000];
const AGX_MODES: &[(u32, &str)] = &[(0, "MAXN"), (1, "15W"), (2, "30W"), (3, "50W")];

const AGX_ORIN: Board = Board {
    name: "agx-orin",
    model: "NVIDIA Jetson AGX Orin Developer Kit",
    memory_mib: 62_800,
    zones: AGX_ZONES,
    processors: &[
        processors(0, 2_201_600, 2_201_600),
        processors(4, 2_201_600, 2_201_600),
        processors(8, 2_201_600, 2_201_600),
    ],
    gpu: Some(Gpu { late: true, ..orin_gpu(AGX_STEPS, 1_300_500_000) }),
    sensors: &[
        AGX_FIRST,
        Sensor { device: "1-0041", channels: [NOTHING, rail("VDDQ_VDD2_1V8AO", 5000, 0.08, 3000), NOTHING] },
    ],
    modes: Some(Table { file: "nvpmodel_p3701_0005.conf", modes: AGX_MODES, present: 0 }),
    watts: (9.0, 55.0),
    ..ORIN
};

const AGX_ORIN_JP5: Board = Board {
    name: "agx-orin-jp5",
    model: "Jetson AGX Orin Developer Kit",
    release: Some(
        "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64, DATE: Tue Aug  1 19:57:35 UTC 2023",
    ),
    os: "Ubuntu 20.04.6 LTS",
    zones: JP5_ZONES,
    gpu: Some(Gpu {
        nodes: &["17000000.ga10b"],
        device: "17000000.ga10b",
        steps_hz: AGX_STEPS,
        max_hz: 1_300_500_000,
        late: false,
    }),
    emc: Some(Emc { cap: "sys/kernel/nvpmodel_emc_cap/emc_iso_cap", ..EMC }),
    sensors: &[
        AGX_FIRST,
        Sensor {
            device: "1-0041",
            channels: [
                NOTHING,
                rail("VDDQ_VDD2_1V8AO", 5000, 0.08, 3000),
                Channel { off: true, ..rail("VDD_CAM", 5000, 0.0, 0) },
            ],
        },
    ],
    ..AGX_ORIN
};

const THOR: Board = Board {
    name: "thor",
    model: "NVIDIA Jetson AGX Thor Developer Kit",
    release: Some(
        "# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64, DATE: Fri Aug 22 00:55:42 UTC 2025",
    ),
    os: "Ubuntu 24.04.3 LTS",
    memory_mib: 125_770,
    zones: &[
        zone("cpu-thermal", (20.0, 24.0), CPU_TRIPS),
        zone("gpu-thermal", (19.0, 28.0), GPU_TRIPS),
        zone("soc012-thermal", (19.0, 20.0), SOC_TRIPS),
        zone("soc345-thermal", (18.5, 20.0), SOC_TRIPS),
        zone("tj-thermal", (20.5, 29.0), TJ_TRIPS),
    ],
    coolers: &[
        ("cpufreq-cpu0", 28),
        ("cpufreq-cpu4", 28),
        ("cpu-throttle-alert", 1),
        ("gpu-throttle-alert", 1),
        ("soc0-throttle-alert", 1),
        ("hot-surface-alert", 2),
        ("pwm-fan", 3),
    ],
    processors: &[processors(0, 2_601_000, 2_601_000), processors(4, 2_601_000, 2_601_000)],
    gpu: Some(Gpu {
        nodes: &["gpu-gpc-0", "gpu-nvd-0"],
        device: "platform/bus@0/d0b0000000.pcie/gpu",
        steps_hz: &[315_000_000, 765_000_000, 1_215_000_000, 1_575_000_000],
        max_hz: 1_575_000_000,
        late: false,
    }),
    emc: None,
    sensors: &[Sensor {
        device: "2-0040",
        channels: [
            rail("VDD_GPU", 12_000, 0.5, 12_000),
            rail("VDD_CPU_SOC_MSS", 12_000, 0.3, 12_000),
            rail("VIN_SYS_5V0", 5000, 0.2, 12_000),
        ],
    }],
    modes: Some(Table { file: "nvpmodel_p3834_0008.conf", modes: &[(0, "MAXN"), (1, "120W")], present: 1 }),
    card: Some(Card { name: "NVIDIA Thor", driver: "580.00", ..ORIN_CARD }),
    watts: (25.0, 120.0),
    ..ORIN
};

const PC_ZONES: &[ZoneSpec] = &[
    zone("acpitz", (5.0, 4.0), &[trip("critical", 105_000, 0, &[])]),
    zone("x86_pkg_temp", (18.0, 30.0), &[trip("passive", 0, 0, &[])]),
];

const PC: Board = Board {
    name: "pc",
    model: "OptiPlex 7000",
    tree: false,
    release: None,
    os: "Debian GNU/Linux 12 (bookworm)",
    memory_mib: 31_900,
    zones: PC_ZONES,
    coolers: &[("Processor", 10), ("Processor", 10), ("Processor", 10), ("Processor", 10)],
    processors: &[
        Processors { first: 0, min_khz: 800_000, max_khz: 4_700_000, top_khz: 4_700_000 },
        Processors { first: 1, min_khz: 800_000, max_khz: 4_700_000, top_khz: 4_700_000 },
        Processors { first: 2, min_khz: 800_000, max_khz: 4_700_000, top_khz: 4_700_000 },
        Processors { first: 3, min_khz: 800_000, max_khz: 4_700_000, top_khz: 4_700_000 },
    ],
    gpu: None,
    emc: None,
    sensors: &[],
    modes: None,
    fan: Some(FanKind::Turns("dell_smm")),
    over_current: false,
    energy: true,
    card: None,
    npu: None,
    watts: (12.0, 65.0),
};

const PC_NVIDIA: Board = Board {
    name: "pc-nvidia",
    model: "Precision 3660 Tower",
    card: Some(Card {
        name: "NVIDIA RTX A2000 12GB",
        driver: "550.163.01",
        partial: false,
        memory_mib: 12_282,
        limits: (92.0, 98.0),
        top_hz: 2.1e9,
    }),
    watts: (30.0, 170.0),
    ..PC
};

const RPI5_HAILO8L: Board = Board {
    name: "rpi5-hailo8l",
    model: "Raspberry Pi 5 Model B Rev 1.0",
    tree: true,
    os: "Debian GNU/Linux 12 (bookworm)",
    memory_mib: 8062,
    zones: &[zone(
        "cpu-thermal",
        (22.0, 26.0),
        &[
            trip("critical", 110_000, 0, &[]),
            trip("active", 50_000, 5_000, &["pwm-fan"]),
            trip("active", 60_000, 5_000, &["pwm-fan"]),
            trip("active", 67_500, 5_000, &["pwm-fan"]),
            trip("active", 75_000, 5_000, &["pwm-fan"]),
        ],
    )],
    coolers: &[("pwm-fan", 4), ("cpufreq-cpu0", 9)],
    processors: &[Processors { first: 0, min_khz: 1_500_000, max_khz: 2_400_000, top_khz: 2_400_000 }],
    fan: Some(FanKind::Whole("pwmfan")),
    energy: false,
    npu: Some(Npu {
        name: "Hailo-8L",
        driver: "4.20.0",
        ids: ("1e60", "2864"),
        by_place: false,
        clock_hz: 400e6,
        limits: (104.0, 114.0),
    }),
    watts: (3.5, 12.0),
    ..PC
};

const RPI5_HAILO10H: Board = Board {
    name: "rpi5-hailo10h",
    npu: Some(Npu {
        name: "Hailo-10H",
        driver: "5.3.0",
        ids: ("1e60", "45c4"),
        by_place: true,
        clock_hz: 800e6,
        limits: (104.0, 114.0),
    }),
    ..RPI5_HAILO8L
};
