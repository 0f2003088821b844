//! What a real daemon says differs from run to run and from machine to machine: times, ids, sizes, and with them the
//! widths of columns. What is left after this is the same everywhere.

/// Fields of the JSON documents with such values.
const FIELDS: [&str; 38] = [
    "uptime_ms",
    "pid",
    "rss_bytes",
    "machine",
    "architecture",
    "os",
    "kernel",
    "cores",
    "memory_bytes",
    "value",
    "absent",
    "age_ms",
    "since_ms",
    "headroom_c",
    "load",
    "input_now",
    "ahead_c",
    "steady_c",
    "trip_in_s",
    "error_c",
    "min_hz",
    "max_hz",
    "received_at",
    "completed_at",
    "queue_us",
    "total_us",
    "at_us",
    "caller",
    "elapsed_ms",
    "answered",
    "throughput_per_s",
    "items_per_s",
    "p50_us",
    "p95_us",
    "p99_us",
    "compute_p50_us",
    "queue_p50_us",
    "count",
];

/// One stream of one run.
pub fn volatile(text: &str) -> String {
    if text.starts_with(['{', '[']) { text.lines().map(field).collect() } else { people(text) }
}

fn field(line: &str) -> String {
    let name = line.trim_start().strip_prefix('"').and_then(|rest| rest.split_once("\": "));
    match name {
        // What was not measured is said on every machine.
        Some((name, value)) if FIELDS.contains(&name) && !(name.ends_with("_us") && value.starts_with("null")) => {
            let (before, _) = line.split_once(':').unwrap_or((line, ""));
            format!("{before}: -{}\n", if value.ends_with(',') { "," } else { "" })
        }
        _ => format!("{line}\n"),
    }
}

/// The form for people: lines that were broken are joined, columns are one space apart.
fn people(text: &str) -> String {
    /// Nothing that begins a line of its own stands so far to the right.
    const CONTINUED: &str = "           ";
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match lines.last_mut() {
            Some(last) if line.starts_with(CONTINUED) => *last = format!("{last} {words}"),
            _ => lines.push(words),
        }
    }
    let (mut in_readings, mut in_steps) = (false, Vec::new());
    let shown = lines.iter().map(|line| {
        if line.starts_with("CLIENTS") {
            in_steps = line.split(' ').collect();
            return format!("{line}\n");
        }
        if line.is_empty() {
            in_steps.clear();
        }
        if !in_steps.is_empty() || line.contains('#') || line.starts_with("refused ") || line.starts_with("result ") {
            return step(line, &in_steps) + "\n";
        }
        let begins = ["READING", "ZONE", "CLOCK", "RAIL"].iter().any(|title| line.starts_with(title));
        in_readings = begins || (in_readings && !line.is_empty());
        let mut words = line.split(' ');
        let shown = match words.next().unwrap_or_default() {
            first @ ("running" | "machine" | "regime" | "fans") => format!("{first} -"),
            first if in_readings => first.to_owned(),
            first if first.parse::<f64>().is_ok() && words.next().is_some_and(|after| after.starts_with('+')) => {
                format!("- - {}", words.map(|word| word.to_owned() + " ").collect::<String>().trim_end())
            }
            first if words.next() == Some("heat") => format!("{first} heat -"),
            _ => numbers(line),
        };
        shown + "\n"
    });
    shown.collect()
}

/// What `bench` measured: a row of its table below these titles, a bar of its chart, a refusal or the result. Whether there
/// were refusals is no measurement.
fn step(line: &str, titles: &[&str]) -> String {
    if let Some(place) = line.find('#') {
        return format!("{}# -", &line[..place]);
    }
    if let Some((before, _)) = line.split_once("best throughput") {
        return format!("{before}best throughput -");
    }
    let cell = |(word, title): (&str, &&str)| match (*title, word) {
        ("CLIENTS" | "BATCH", word) | ("REFUSED", word @ "0") => word.to_owned(),
        _ => "-".to_owned(),
    };
    if !titles.is_empty() {
        return line.split(' ').zip(titles).map(cell).collect::<Vec<_>>().join(" ");
    }
    let words: Vec<&str> = line.split(' ').collect();
    let counted = |place: usize| words.get(place + 1) == Some(&"x");
    (0..words.len()).map(|place| if counted(place) { "-" } else { words[place] }).collect::<Vec<_>>().join(" ")
}

/// Numbers behind words that announce a measured one.
fn numbers(line: &str) -> String {
    let mut shown: Vec<&str> = Vec::new();
    let mut words = line.split(' ').peekable();
    while let Some(word) = words.next() {
        let is_time = word.starts_with("20") && word.contains('T') && word.ends_with('Z');
        shown.push(match word {
            _ if is_time => "TIME",
            _ if word.starts_with(":1.") => ":1.N",
            _ => word,
        });
        if matches!(word, "pid" | "queue" | "total" | "predicted" | "writable,")
            && words.next_if(|next| is_number(next)).is_some()
        {
            shown.push("-");
            words.next_if(|next| matches!(next.trim_end_matches(','), "us" | "ms" | "s" | "MiB" | "GiB" | "TiB"));
        }
    }
    shown.join(" ")
}

fn is_number(word: &str) -> bool {
    word.parse::<f64>().is_ok()
}
