//! `edged`: arguments, configuration, logging, run, exit code.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use edged::bring::cli::BundleCommand;
use edged::config::raw::{Fault, Values};
use edged::config::validate::{Machine, is_missing, validate};
use edged::config::{BusConfig, Config, files, keys, reference, session, users};
use edged::difficulty::cli::{self as quality, QualityCommand};
use edged::driver::clock;
use edged::run::{self, Options};
use edged::runtimes::cli::{self as runtimes, RuntimeCommand};
use edged::service;
use edged::telemetry::hailort::child;
use edged::telemetry::machines::{self, Board};

/// Inference daemon for edge boxes. Exit codes: 0 stopped as told, 1 fault, 2 bad configuration or arguments, 3 no bus.
#[derive(Parser)]
#[command(name = "edged", version, max_term_width = 100)]
struct Arguments {
    /// Configuration file; files of the directory FILE.d are read after it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve on the session bus; what is kept is kept with the user (XDG base directories), unless the configuration says where
    #[arg(long)]
    session: bool,
    /// Simulated engine and models, and with a name a simulated machine: answers say so
    #[arg(long, value_name = "machine=NAME", num_args = 0..=1, default_missing_value = "", value_parser = simulation)]
    sim: Option<Simulation>,
    /// Read what a machine tells of itself from the copy of its /sys, /proc, /etc and /var below DIR (for tests and
    /// demonstrations)
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Check the configuration, name every fault, and exit
    #[arg(long)]
    check_config: bool,
    /// Print the reference of all configuration keys: a page, a manual page, or a file with the defaults
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "markdown")]
    config_reference: Option<Form>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What is simulated besides the engine: nothing, or a machine.
#[derive(Clone, Copy)]
struct Simulation(Option<&'static Board>);

fn simulation(text: &str) -> Result<Simulation, String> {
    if text.is_empty() { Ok(Simulation(None)) } else { machines::asked(text).map(|board| Simulation(Some(board))) }
}

/// A form of the key reference.
#[derive(Clone, Copy, ValueEnum)]
enum Form {
    Markdown,
    Man,
    Toml,
}

impl Form {
    fn text(self) -> String {
        match self {
            Form::Markdown => keys::reference(),
            Form::Man => reference::man_page(),
            Form::Toml => reference::default_file(),
        }
    }
}

#[derive(Subcommand)]
enum Role {
    /// Be an engine host (started by the daemon itself)
    #[command(hide = true)]
    EngineHost,
    /// Read Hailo devices by their library (started by the daemon itself)
    #[command(hide = true)]
    ProbeHailo {
        /// The library, if it shall not be searched for
        #[arg(long, value_name = "FILE")]
        library: Option<PathBuf>,
        /// Keep to the C interface of the library
        #[arg(long)]
        c_only: bool,
    },
    /// Work on a bundle that is not served yet (run by edgectl)
    #[command(hide = true, subcommand)]
    Bundle(Box<BundleCommand>),
    /// Work on the runtimes that are installed from wheels (run by edgectl)
    #[command(hide = true)]
    Runtime {
        /// As of the daemon
        #[arg(long, global = true, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(subcommand)]
        command: RuntimeCommand,
    },
    /// Learn from outcomes when a stronger site helps (run by edgectl)
    #[command(hide = true, subcommand)]
    Quality(Box<QualityCommand>),
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    match arguments.role.take() {
        Some(Role::EngineHost) => return engine_host(),
        Some(Role::ProbeHailo { library, c_only }) => {
            return probe_hailo(child::Options { root: arguments.root, library, c_only });
        }
        Some(Role::Bundle(command)) => return blocking(edged::bring::cli::run(*command)),
        Some(Role::Runtime { config, command }) => return runtime(Arguments { config, ..arguments }, command),
        Some(Role::Quality(command)) => return quality::run(&command),
        None => {}
    }
    if let Some(form) = arguments.config_reference {
        print!("{}", form.text());
        return ExitCode::SUCCESS;
    }
    let machine = arguments.sim.and_then(|Simulation(machine)| machine);
    if machine.is_some() && arguments.root != std::path::Path::new("/") {
        eprintln!("edged: --root and --sim machine=NAME both say which machine is read: give one of them");
        return ExitCode::from(2);
    }
    let config = match configure(&arguments, !arguments.check_config) {
        Ok(config) => config,
        Err(faults) => {
            for fault in faults {
                eprintln!("edged: {fault}");
            }
            return ExitCode::from(2);
        }
    };
    if arguments.check_config {
        println!("{}", verdict(&config));
        return ExitCode::SUCCESS;
    }
    if arguments.session
        && let Err(why) = session::make(&config)
    {
        eprintln!("edged: {why}");
        return ExitCode::from(2);
    }
    match serve(config, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, error)) => {
            eprintln!("edged: {}", told(&error));
            ExitCode::from(code)
        }
    }
}

/// What a check says of a configuration without faults.
fn verdict(config: &Config) -> String {
    let mut verdict = match config.files.as_slice() {
        [] => format!("configuration is fine: no file ({}), so the defaults hold", edge_wire::names::CONFIG_FILE),
        files => {
            let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            format!("configuration is fine: {}", files.join(", "))
        }
    };
    if !config.credentials.is_empty() {
        let keys = config.credentials.join(", ");
        verdict.push_str(&format!(
            "; not looked for, as only the service can: the systemd credential of {keys} (LoadCredential= in the unit)"
        ));
    }
    for binding in &config.bindings {
        let prefix = config.mqtt.as_ref().map(|mqtt| mqtt.prefix.as_str()).unwrap_or_default();
        let words = edged::binding::words::sentences(binding, &config.node, prefix);
        verdict.push_str(&format!("\n{words}"));
    }
    verdict
}

/// The error and its causes. Some libraries say the cause in the message too; it is not said twice.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        said if said.ends_with(&cause) => text,
        said => format!("{said}: {cause}"),
    })
}

fn serve(config: Config, arguments: Arguments) -> Result<(), (u8, anyhow::Error)> {
    service::start_logging().map_err(|why| (1, anyhow::anyhow!(why)))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| (1, anyhow::Error::new(error).context("start the runtime")))?;
    let (simulated, root) = (arguments.sim.is_some(), arguments.root.clone());
    let machine = arguments.sim.and_then(|Simulation(machine)| machine);
    let options = Options { simulated, machine, root, reload: std::sync::Arc::new(move || reload(&arguments)) };
    let ended = runtime.block_on(run::run(config, options));
    // Not waited for: a thread that reads from a disk which does not answer.
    runtime.shutdown_background();
    ended.map_err(|error| (error.exit_code(), error.into()))
}

fn configure(arguments: &Arguments, is_start: bool) -> Result<Config, Vec<Fault>> {
    let main = arguments.config.clone().unwrap_or_else(|| edge_wire::names::CONFIG_FILE.into());
    // Whoever reads in the status which files hold may stand in another directory.
    let main = std::path::absolute(&main).unwrap_or(main);
    let mut values = Values::read(&main, arguments.config.is_some());
    if arguments.session {
        for (key, value) in session::values() {
            values.assume(key, value);
        }
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let machine = Machine {
        host_name: read("/proc/sys/kernel/hostname"),
        machine_id: read("/etc/machine-id"),
        processors: std::thread::available_parallelism()
            .map_or(1, |count| u16::try_from(count.get()).unwrap_or(u16::MAX)),
        credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        is_missing: if arguments.check_config { is_missing } else { |_| false },
        mode: files::mode,
        secret: if is_start { |_, _| None } else { edged::uplink::secret_fault },
        user_id: users::id,
        models: None,
        today: u32::try_from(clock::unix_seconds() / (24 * 3600)).unwrap_or(u32::MAX),
    };
    let mut config = validate(values, &machine)?;
    if arguments.session {
        config.bus = BusConfig::Session;
    }
    Ok(config)
}

fn reload(arguments: &Arguments) -> Result<Config, String> {
    let words = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    configure(arguments, false).map_err(words)
}

/// Works on installed runtimes where the daemon looks for them. Secrets are the service's alone, and none is needed.
fn runtime(arguments: Arguments, command: RuntimeCommand) -> ExitCode {
    let config = command.needs_config().then(|| configure(&arguments, true)).transpose();
    match config {
        Ok(config) => blocking(runtimes::run(command, config.as_ref().map(|config| &config.engine))),
        Err(faults) => {
            faults.iter().for_each(|fault| eprintln!("{fault}"));
            ExitCode::FAILURE
        }
    }
}

fn blocking(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            eprintln!("start the runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

fn engine_host() -> ExitCode {
    match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(socket) => ExitCode::from(u8::try_from(edge_engine::host::main(socket)).unwrap_or(1)),
        Err(error) => {
            eprintln!("edged engine-host: take the socket: {error}");
            ExitCode::FAILURE
        }
    }
}

fn probe_hailo(options: child::Options) -> ExitCode {
    match child::main(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("edged probe-hailo: {}", told(&error.into()));
            ExitCode::FAILURE
        }
    }
}
